"""Rasters and vectors in, class maps and images out: the only package that knows GDAL."""

from rsseg.raster.area import Area, empty_area, open_area
from rsseg.raster.class_map import ClassMapWriter
from rsseg.raster.collar import CollarSource
from rsseg.raster.env import CACHE_BYTES, gdal_env, is_remote
from rsseg.raster.grid import ControlPoint, Grid, check_same_grid, north_up_grid
from rsseg.raster.image_writer import ImageWriter
from rsseg.raster.labels import LabelRaster, LabelSource, open_label_raster
from rsseg.raster.pixels import Pixels
from rsseg.raster.png import write_png
from rsseg.raster.reader import open_raster
from rsseg.raster.resampled import ResampledSource
from rsseg.raster.sample import checksum_pixels, sample_pixels
from rsseg.raster.source import RasterSource
from rsseg.raster.stacked import StackedSource, open_stacked
from rsseg.raster.staging import check_output
from rsseg.raster.vectors import LabelVector, open_label_vector

__all__ = [
    "CACHE_BYTES",
    "Area",
    "ClassMapWriter",
    "CollarSource",
    "ControlPoint",
    "Grid",
    "ImageWriter",
    "LabelRaster",
    "LabelSource",
    "LabelVector",
    "Pixels",
    "RasterSource",
    "ResampledSource",
    "StackedSource",
    "check_output",
    "check_same_grid",
    "checksum_pixels",
    "empty_area",
    "gdal_env",
    "is_remote",
    "north_up_grid",
    "open_area",
    "open_label_raster",
    "open_label_vector",
    "open_raster",
    "open_stacked",
    "sample_pixels",
    "write_png",
]
