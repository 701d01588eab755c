"""The version, below everything else, since every output records it."""

__version__ = "0.1.0"
