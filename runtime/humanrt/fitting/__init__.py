"""Fitting: a person's pose, position and shape to what cameras see of them, in real time."""

from humanrt.fitting.fitter import BodyFit, BodyFitter, FitOptions
from humanrt.fitting.observation import Observation, PosePrior, Seen
from humanrt.fitting.rig import Attached, Rest, Rig
from humanrt.fitting.shape import ShapePrior

__all__ = [
    "Attached",
    "BodyFit",
    "BodyFitter",
    "FitOptions",
    "Observation",
    "PosePrior",
    "Rest",
    "Rig",
    "Seen",
    "ShapePrior",
]
