"""A procedural town seen from the air, with exact labels: for the demo, the tests, the benchmarks, and training."""

from rsseg.data.synthetic.files import DatasetFiles, SceneFiles, write_dataset, write_scene
from rsseg.data.synthetic.palette import BUILDINGS, LANDCOVER
from rsseg.data.synthetic.render import Rendering, Scene, render_window

__all__ = [
    "BUILDINGS",
    "LANDCOVER",
    "DatasetFiles",
    "Rendering",
    "Scene",
    "SceneFiles",
    "render_window",
    "write_dataset",
    "write_scene",
]
