"""Animation: recordings as skinned characters, skeletons in motion and tables that other programs open."""

from humanrt.animation.convert import FORMATS, ConvertOptions, convert
from humanrt.animation.take import Take, take_of
from humanrt.geometry.humanoid import SKELETONS, Skeleton, SkeletonName, skeleton_of

__all__ = [
    "FORMATS",
    "SKELETONS",
    "ConvertOptions",
    "Skeleton",
    "SkeletonName",
    "Take",
    "convert",
    "skeleton_of",
    "take_of",
]
