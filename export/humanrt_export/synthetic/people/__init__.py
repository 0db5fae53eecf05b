"""Pictures of several people with exact truth, for training Multi-HMR on Anny: `PeopleEngine`, `Shards`.

sample    what a sample is
shards    samples in files
"""

from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample
from humanrt_export.synthetic.people.shards import Shards, ShardWriter

__all__ = ["PeopleLabels", "PeopleSample", "ShardWriter", "Shards"]
