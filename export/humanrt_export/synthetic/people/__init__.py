"""Pictures of several people with exact ground truth, for training Multi-HMR on Anny: `PeopleEngine`, `Shards`.

sample    the contents of a sample
shards    samples in files
options   options of an engine; style: the appearance of pictures
poses     recordings, joint limits, hands
scene     people, their positions and clothes; things: objects around them; view: cameras
backdrop  backgrounds and textures
render    the rasteriser (moderngl, EGL)
engine    everything together
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
