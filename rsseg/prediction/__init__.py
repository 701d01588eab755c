"""Rasters to class maps."""
