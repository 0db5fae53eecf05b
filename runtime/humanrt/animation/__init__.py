"""Animation: recordings as skinned characters, skeletons in motion and tables that other programs open."""

from humanrt.animation.convert import FORMATS, ConvertOptions, convert, ground_of
from humanrt.animation.ground import find_ground
from humanrt.animation.planting import grounded, planted
from humanrt.animation.soles import Soles, soles_of
from humanrt.animation.take import Take, take_of
from humanrt.geometry.ground import Ground
from humanrt.geometry.humanoid import SKELETONS, Skeleton, SkeletonName, skeleton_of

__all__ = [
    "FORMATS",
    "SKELETONS",
    "ConvertOptions",
    "Ground",
    "Skeleton",
    "SkeletonName",
    "Soles",
    "Take",
    "convert",
    "find_ground",
    "ground_of",
    "grounded",
    "planted",
    "skeleton_of",
    "soles_of",
    "take_of",
]
