"""Rasters and vectors in, class maps and images out: the only package that knows GDAL."""

from rsseg.raster.class_map import ClassMapWriter
from rsseg.raster.env import CACHE_BYTES, gdal_env
from rsseg.raster.grid import ControlPoint, Grid, check_same_grid, north_up_grid
from rsseg.raster.image_writer import ImageWriter
from rsseg.raster.labels import LabelRaster, LabelSource, open_label_raster
from rsseg.raster.pixels import Pixels
from rsseg.raster.png import write_png
from rsseg.raster.reader import RasterSource, open_raster
from rsseg.raster.staging import check_output
from rsseg.raster.vectors import LabelVector, open_label_vector

__all__ = [
    "CACHE_BYTES",
    "ClassMapWriter",
    "ControlPoint",
    "Grid",
    "ImageWriter",
    "LabelRaster",
    "LabelSource",
    "LabelVector",
    "Pixels",
    "RasterSource",
    "check_output",
    "check_same_grid",
    "gdal_env",
    "north_up_grid",
    "open_label_raster",
    "open_label_vector",
    "open_raster",
    "write_png",
]
