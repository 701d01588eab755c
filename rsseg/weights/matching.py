"""Laying the tensors of a file over those of a network, by name and shape, strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rsseg.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

_COUNTER = ".num_batches_tracked"
"""Batches that a batch norm has seen: nothing reads it here, and files of early versions of torch lack it."""


_SHOWN = 80
"""Characters of a name; those of networks have up to about 60."""


def shown(text: object) -> str:
    """Text of a file as it may be shown: characters that would command a terminal are spelt out, long text is cut."""
    spelt = ascii(str(text)[: _SHOWN + 1])[1:-1]
    return spelt if len(spelt) <= _SHOWN else spelt[: _SHOWN - 3] + "..."


@dataclass(frozen=True, kw_only=True)
class Match:
    """How the tensors of a file meet those of a network.

    `used` maps the network's names to the file's, where the shapes are the same. `missing` are names of the network;
    `unknown`, and `unused` (known to be never used), names of the file, which may be any text: see `shown`. `misshapen`
    says which tensor has what shape, and which was expected.
    """

    used: Mapping[str, str]
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every tensor of the network was found, and every tensor of the file used or known."""
        return not (self.missing or self.unknown or self.misshapen)

    def check(self, path: Path, *, what: str, hint: str | None = None) -> None:
        """Refuse a file that does not fit `what`.

        Raises:
            WeightsError: it does not; the message counts and names what is wrong.
        """
        if not self.fits:
            unknown = tuple(map(shown, self.unknown))
            problems = {"missing": self.missing, "unknown": unknown, "misshapen": self.misshapen}
            counts = (_some(names, problem) for problem, names in problems.items() if names)
            raise WeightsError(f"{path}: does not fit {what}: {', '.join(counts)}", hint=hint)


def match_tensors(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    rename: Callable[[str], str | None],
    counters: bool = False,
) -> Match:
    """Lay the tensors of a file over those of a network.

    Args:
        found: the file's.
        expected: the network's; only shapes and kinds of numbers matter.
        rename: gives the network's name for one of the file's, None for a tensor that is never used.
        counters: whether the file must hold the counters of batches as well.
    """
    laid: dict[str, str] = {}
    unused, unknown = [], []
    for name in found:
        ours = rename(name)
        if ours is None:
            unused.append(name)
        elif ours in expected and ours not in laid:
            laid[ours] = name
        else:
            unknown.append(name)
    return Match(
        used={ours: name for ours, name in laid.items() if _alike(found[name], expected[ours])},
        unused=tuple(unused),
        missing=tuple(
            name for name in expected if name not in laid and (counters or not name.endswith(_COUNTER))
        ),
        unknown=tuple(unknown),
        misshapen=tuple(
            f"{shown(name)} is {_kind(found[name])}, expected {_kind(expected[ours])}"
            for ours, name in laid.items()
            if not _alike(found[name], expected[ours])
        ),
    )


def fill(module: nn.Module, found: Mapping[str, Tensor], match: Match, *, path: Path) -> None:
    """Put a file's tensors into a network that they fit, as float32; counters that the file lacks become 0.

    A network on the meta device takes them as they are; one with weights of its own copies them.

    Raises:
        WeightsError: a tensor holds values that are not finite.
    """
    import torch

    tensors = {
        name: torch.zeros((), dtype=torch.int64) for name in module.state_dict() if name.endswith(_COUNTER)
    }
    for ours, name in match.used.items():
        value = found[name].float() if found[name].is_floating_point() else found[name]
        if not value.isfinite().all():
            raise WeightsError(
                f"{path}: tensor {shown(name)} holds values that are not finite in float32",
                hint="the training that made it has failed",
            )
        tensors[ours] = value
    module.load_state_dict(tensors, assign=next(module.parameters()).is_meta)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point()


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _some(names: tuple[str, ...], problem: str) -> str:
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {problem} ({', '.join(names[:3])}{more})"
