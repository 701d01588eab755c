"""Numbers for people: three digits and a prefix."""

from __future__ import annotations

_PREFIXES = {1e18: "E", 1e15: "P", 1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1.0: "", 1e-3: "m", 1e-6: "µ"}


def si(value: float, unit: str = "", *, digits: int = 3) -> str:
    """`1.23 G`, `69.5 MB`, `12.3 ms`: so many digits, and the largest prefix of a thousand that leaves at least 1."""
    rounded = float(f"{value:.{digits}g}")
    scale = next((scale for scale in _PREFIXES if rounded >= scale), min(_PREFIXES) if rounded else 1.0)
    number = rounded / scale
    decimals = max(digits - len(str(int(number))), 0)
    return f"{number:.{decimals}f} {_PREFIXES[scale]}{unit}".rstrip()
