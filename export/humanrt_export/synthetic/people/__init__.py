"""Pictures of several people with exact truth, for training Multi-HMR on Anny: `PeopleEngine`, `Shards`.

sample    what a sample is
shards    samples in files
options   what an engine is asked for; style: what pictures look like
poses     recordings, joint limits, hands
scene     who stands where, in which clothes; things: among what; view: seen from where
backdrop  what is behind, and textures
render    the rasteriser (moderngl, EGL)
engine    all of it together
"""

from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.options import EngineOptions
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample
from humanrt_export.synthetic.people.shards import Shards, ShardWriter
from humanrt_export.synthetic.people.style import STYLES, Style

__all__ = [
    "STYLES",
    "EngineOptions",
    "PeopleEngine",
    "PeopleLabels",
    "PeopleSample",
    "ShardWriter",
    "Shards",
    "Style",
]
