"""Verdicts: how far a graph of lower precision, or an engine, is from the FP32 graph on ONNX Runtime's CPU.

On real frames, as they reach the networks (`recording`); in mm, px and degrees of what comes out (`measures`); against
limits that stand in the bundle (`limits`). `judge` makes the verdict, which a manifest or a list of engines keeps.
"""

from humanrt.verdict.judge import case_of, judge, reference
from humanrt.verdict.limits import Limit, limits_of
from humanrt.verdict.measures import Case, Comparison, Detections, Distances, compare
from humanrt.verdict.recording import Recording, record

__all__ = [
    "Case", "Comparison", "Detections", "Distances", "Limit", "Recording", "case_of", "compare", "judge", "limits_of",
    "record", "reference",
]  # fmt: skip
