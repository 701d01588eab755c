"""Windows and plans: pure geometry, without torch and without GDAL."""

from rsseg.tiling.plan import BLOCK, Tile, plan_blocks, plan_tiles
from rsseg.tiling.window import Window

__all__ = ["BLOCK", "Tile", "Window", "plan_blocks", "plan_tiles"]
