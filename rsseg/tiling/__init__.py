"""Windows and plans: pure geometry, without torch and without GDAL."""

from rsseg.tiling.plan import BLOCK, ChosenTiles, Tile, TilePlan, choose_tiles, plan_blocks, plan_tiles
from rsseg.tiling.window import Window

__all__ = ["BLOCK", "ChosenTiles", "Tile", "TilePlan", "Window", "choose_tiles", "plan_blocks", "plan_tiles"]
