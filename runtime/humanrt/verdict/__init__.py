"""Verdicts: how far a graph of lower precision, or an engine, is from the FP32 graph on ONNX Runtime's CPU.

Inputs are real frames as they reach the networks (`recording`); outputs are compared in mm, px and degrees
(`measures`), against limits from the bundle (`limits`). `judge` makes the verdict, which is stored in a manifest or a
list of engines.
"""

from humanrt.verdict.judge import case_of, judge, reference
from humanrt.verdict.limits import Limit, limits_of
from humanrt.verdict.measures import Case, Comparison, Detections, Distances, compare
from humanrt.verdict.recording import Recording, record

__all__ = [
    "Case", "Comparison", "Detections", "Distances", "Limit", "Recording", "case_of", "compare", "judge", "limits_of",
    "record", "reference",
]  # fmt: skip
