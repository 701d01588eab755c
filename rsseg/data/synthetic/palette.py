"""The classes of a synthetic scene and the colours of its surfaces."""

from __future__ import annotations

from typing import Final, NamedTuple

from rsseg.classes import ClassInfo, ClassTable

BARE: Final = 0
BUILDING: Final = 1
ROAD: Final = 2
LOW_VEGETATION: Final = 3
TREE: Final = 4
WATER: Final = 5
CAR: Final = 6

LANDCOVER: Final = ClassTable(
    (
        ClassInfo(BARE, "bare land", "#C8AA78"),
        ClassInfo(BUILDING, "building", "#3C1098"),
        ClassInfo(ROAD, "road", "#6E6E6E"),
        ClassInfo(LOW_VEGETATION, "low vegetation", "#9BD24B"),
        ClassInfo(TREE, "tree", "#1E7832"),
        ClassInfo(WATER, "water", "#3C8CDC"),
        ClassInfo(CAR, "car", "#F0C800"),
    )
)
"""Everything a scene shows."""

BUILDINGS: Final = ClassTable(
    (ClassInfo(0, "background", "#000000"), ClassInfo(1, "building", "#3C1098")),
)
"""The same scene for a network that only knows buildings; building is 1 in both tables."""

Color = tuple[float, float, float]
"""Red, green, blue, 0 to 255, in full sun."""


class Stripes(NamedTuple):
    """Furrows, corrugated sheet, rows of tiles: a wave across the unit vector (`x`, `y`)."""

    x: float
    y: float
    period_m: float
    strength: float


class Paint(NamedTuple):
    """What a surface looks like and what it is called.

    `cover` is the share of it, in patches, that low vegetation has taken; `rough` scales its texture.
    """

    color: Color
    label: int
    cover: float = 0.0
    rough: float = 0.08
    stripes: Stripes | None = None


def shaded(color: Color, factor: float) -> Color:
    """The colour in `factor` times as much light."""
    return color[0] * factor, color[1] * factor, color[2] * factor


CONCRETE: Final[tuple[Color, ...]] = (
    (152, 147, 140),
    (140, 133, 124),
    (168, 163, 155),
    (190, 186, 179),
    (126, 121, 115),
    (148, 132, 116),
    (214, 211, 204),
    (164, 148, 130),
    (112, 108, 105),
    (178, 168, 152),
)
SHEET: Final[tuple[Color, ...]] = (
    (52, 120, 176),
    (78, 142, 190),
    (48, 98, 152),
    (112, 78, 62),
    (134, 98, 80),
    (150, 156, 160),
    (176, 182, 186),
    (150, 58, 58),
    (78, 138, 138),
    (214, 218, 220),
    (120, 128, 130),
)
TILE: Final[tuple[Color, ...]] = ((150, 84, 66), (136, 78, 64), (162, 98, 76), (122, 82, 70), (156, 114, 94))
CLUTTER: Final[tuple[Color, ...]] = (
    (60, 60, 64),
    (210, 208, 202),
    (48, 104, 176),
    (168, 70, 58),
    (196, 170, 120),
    (96, 90, 84),
    (230, 228, 224),
    (84, 110, 64),
    (136, 120, 104),
)
TANK: Final[tuple[Color, ...]] = ((38, 40, 44), (42, 44, 48), (36, 128, 98), (52, 116, 186), (222, 222, 220))
CARS: Final[tuple[Color, ...]] = (
    (226, 227, 228),
    (210, 212, 214),
    (52, 54, 60),
    (150, 153, 156),
    (170, 40, 42),
    (44, 76, 140),
    (96, 98, 102),
    (222, 184, 60),
)
GRASS: Final[Color] = (98, 118, 58)
DRY_GRASS: Final[Color] = (142, 138, 84)
SOIL: Final[tuple[Color, ...]] = ((164, 146, 120), (148, 128, 104), (178, 162, 136), (136, 112, 88))
EARTH: Final[tuple[Color, ...]] = ((120, 94, 70), (138, 110, 82), (104, 84, 66), (150, 126, 98))
CROPS: Final[tuple[Color, ...]] = (
    (96, 128, 56),
    (120, 142, 70),
    (78, 108, 50),
    (150, 150, 84),
    (108, 136, 84),
)
LEAVES: Final[tuple[Color, ...]] = ((62, 88, 44), (74, 102, 50), (54, 76, 42), (90, 112, 58), (70, 84, 52))
STREAM: Final[Color] = (84, 96, 84)
POND: Final[Color] = (62, 84, 80)
ASPHALT: Final[Color] = (132, 129, 124)
PAVEMENT: Final[Color] = (164, 156, 146)
DIRT: Final[Color] = (176, 158, 132)
MARKING: Final[Color] = (216, 214, 208)
