"""Compare outputs of a graph with those of the reference, in meaningful units: mm, px, degrees, people and hands.

The kind of a graph is known from the names of its outputs, which are the same in every bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Array, open_backend
from humanrt.bundle import Bundle, GraphSpec
from humanrt.bundle.settings import DetectorSettings, MultiHmrSettings
from humanrt.geometry.camera import project
from humanrt.people.multihmr_networks import BodyMeshes
from humanrt.perception.assignment import assign
from humanrt.perception.ssd import SingleShotDetector

__all__ = ["RAW", "Case", "Comparison", "Detections", "Distances", "compare"]

Outputs = Mapping[str, Array]
Floats = NDArray[np.float64]

RAW = "raw "
"""Prefix of the unit of a distance that is a plain difference of numbers, because nothing was detected to measure."""

_MM_PER_M = 1e3
_SAME_PERSON = 1 / 32  # of the image's side: one token of a 448 px network
_SAME_BOX = 0.5  # of the longer side of the reference's box


@dataclass(frozen=True)
class Case:
    """Outputs to be compared.

    Attributes:
        bundle: the bundle of the graph.
        spec: the FP32 graph.
        feeds: its inputs, one mapping per frame.
        references, outputs: its outputs, and those that are judged, one mapping per frame.
    """

    bundle: Bundle
    spec: GraphSpec
    feeds: Sequence[Outputs]
    references: Sequence[Outputs]
    outputs: Sequence[Outputs]


@dataclass(frozen=True)
class Distances:
    """Distances of one kind, [N], in ``unit``."""

    unit: str
    values: Floats


@dataclass(frozen=True)
class Detections:
    """Number of hands or people that the reference detects, that were detected additionally, and that were missed."""

    reference: int
    gained: int
    lost: int


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`.

    Attributes:
        distances: distances by name of the compared quantity.
        broken: outputs with NaN or infinity where the reference has none.
        detections: None for graphs that detect nothing.
    """

    distances: Mapping[str, Distances]
    broken: tuple[str, ...] = ()
    detections: Detections | None = None


@dataclass
class _Tally:
    """Distances and detections, collected frame by frame."""

    parts: dict[str, tuple[str, list[Floats]]] = field(default_factory=dict)
    reference: int = 0
    gained: int = 0
    lost: int = 0

    def add(self, name: str, unit: str, values: Array) -> None:
        self.parts.setdefault(name, (unit, []))[1].append(np.asarray(values, np.float64).ravel())

    def points(self, name: str, unit: str, a: Array, b: Array, scale: float = 1.0) -> None:
        """Add the distances between points [..., 2 or 3]."""
        self.add(name, unit, scale * np.linalg.norm(a.astype(np.float64) - b.astype(np.float64), axis=-1))

    def seen(self, expected: int, actual: int, both: int) -> None:
        self.reference += expected
        self.gained += actual - both
        self.lost += expected - both

    def gate(self, expected: float, actual: float, threshold: float) -> bool:
        """Count a detection by its probabilities, and return whether the reference has one to compare with."""
        before, after = expected >= threshold, actual >= threshold
        self.seen(int(before), int(after), int(before and after))
        return before

    def comparison(self, broken: tuple[str, ...], detects: bool) -> Comparison:
        distances = {name: Distances(unit, np.concatenate(values)) for name, (unit, values) in self.parts.items()}
        detections = Detections(self.reference, self.gained, self.lost) if detects else None
        return Comparison(distances, broken, detections)


def compare(case: Case) -> Comparison:
    """Compare by the kind of the graph, or by plain numbers if its kind is unknown or nothing was detected."""
    pairs = list(zip(case.references, case.outputs, strict=True))
    broken = tuple(
        tensor.name
        for tensor in case.spec.outputs
        if not all((np.isfinite(f[tensor.name]) | ~np.isfinite(r[tensor.name])).all() for r, f in pairs)
    )
    tally = _Tally()
    names = {tensor.name for tensor in case.spec.outputs}
    for needed, measure, detects in _MEASURES:
        if needed <= names:
            with np.errstate(invalid="ignore", over="ignore"):
                measure(case, tally)
            if tally.parts:
                return tally.comparison(broken, detects)
            break
    else:
        detects = False
    with np.errstate(invalid="ignore", over="ignore"):
        _numbers(case, tally)
    return tally.comparison(broken, detects)


def _people(case: Case, tally: _Tally) -> None:
    """Compare Multi-HMR's meshes of the people that both detect at the same place."""
    settings = MultiHmrSettings.of(case.bundle)
    mesh, side = settings.topologies[0], float(settings.image_size)
    with open_backend("cpu") as cpu:
        bodies = BodyMeshes(case.bundle, cpu, mesh.graph, mesh.graph_one)
        for feed, r, f in zip(case.feeds, case.references, case.outputs, strict=True):
            for image in range(len(r["valid"])):
                there, here = (np.flatnonzero(o["valid"][image]) for o in (r, f))
                before, after = r["locations"][image][there], f["locations"][image][here]
                pairs = _nearest(before, after, np.full(len(there), side * _SAME_PERSON))
                tally.seen(len(there), len(here), len(pairs))
                if not pairs:
                    continue
                slots = [there[[a for a, _ in pairs]], here[[b for _, b in pairs]]]
                meshes = [_posed(bodies, o, image, slot) for o, slot in zip((r, f), slots, strict=True)]
                heads = [o["translation"][image][slot][:, None] for o, slot in zip((r, f), slots, strict=True)]
                K = feed["intrinsics"][image].astype(np.float64)
                if not K[0, 0] > 0:  # the network's own estimate
                    K = r["camera"][image].astype(np.float64)
                for name, a, b in zip(("vertices", "joints"), *meshes, strict=True):
                    tally.points(name, "mm", a, b, _MM_PER_M)
                tally.points(
                    "vertices from the head", "mm", meshes[0][0] - heads[0], meshes[1][0] - heads[1], _MM_PER_M
                )
                joints = [project(joints, K) for _, joints in meshes]
                tally.points("joints_2d", "px", joints[0], joints[1])


def _posed(bodies: BodyMeshes, outputs: Outputs, image: int, slots: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return vertices and joints of the people in ``slots`` of one image."""
    nobody = [slots[:0]] * len(outputs["valid"])
    return bodies(outputs, [*nobody[:image], slots, *nobody[image + 1 :]])[image]


def _nearest(a: Array, b: Array, limits: Array) -> list[tuple[int, int]]:
    """Return index pairs of points [N, 2] and [M, 2] that are closer than the limit of the first."""
    if not (len(a) and len(b)):
        return []
    gaps = np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=-1)
    costs = np.where(gaps < np.asarray(limits)[:, None], gaps, inf)
    owners = assign(costs.tolist(), float(np.max(limits)))
    return [(row, owner) for row, owner in enumerate(owners) if owner is not None]


def _hand(case: Case, tally: _Tally) -> None:
    threshold = case.bundle.number("landmarks", "presence_threshold")
    for r, f in zip(case.references, case.outputs, strict=True):
        if tally.gate(r["presence"].item(), f["presence"].item(), threshold):
            tally.points("keypoints_2d", "px", r["keypoints_2d"][..., :2], f["keypoints_2d"][..., :2])
            tally.points("keypoints_3d", "mm", r["keypoints_3d"], f["keypoints_3d"], _MM_PER_M)


def _body_landmarks(case: Case, tally: _Tally) -> None:
    threshold = case.bundle.number("landmarks", "presence_threshold")
    for r, f in zip(case.references, case.outputs, strict=True):
        if tally.gate(r["presence"].item(), f["presence"].item(), threshold):
            tally.points("landmarks_2d", "px", r["landmarks"][..., :2], f["landmarks"][..., :2])
            tally.points("landmarks_3d", "mm", r["landmarks_3d"], f["landmarks_3d"], _MM_PER_M)


def _detections(case: Case, tally: _Tally) -> None:
    """Compare boxes after suppression by their points, which determine the crop of the landmark network."""
    settings = case.spec.name.removesuffix("_detector")
    with open_backend("cpu") as cpu:
        decode = SingleShotDetector(case.bundle, cpu, case.spec.name, settings).decode
    own = DetectorSettings.of(case.bundle, case.spec.name, settings)
    side, threshold = own.input_size, own.score_threshold
    for r, f in zip(case.references, case.outputs, strict=True):
        there, here = (side * decode(o["boxes"][0], o["scores"][0], threshold)[0].astype(np.float64) for o in (r, f))
        pairs = _nearest(there[:, 2:4], here[:, 2:4], _SAME_BOX * there[:, :2].max(axis=1, initial=0))
        tally.seen(len(there), len(here), len(pairs))
        for a, b in pairs:
            tally.points("points_2d", "px", there[a][2:].reshape(-1, 2), here[b][2:].reshape(-1, 2))


def _poses(case: Case, tally: _Tally) -> None:
    """Compare poses from the first observed frame of a window to the last, including gaps between them.

    Predictions outside that range are arbitrary, and nothing uses them.
    """
    for feed, r, f in zip(case.feeds, case.references, case.outputs, strict=True):
        shown = _between(feed["mask"]) if "mask" in feed else np.ones(r["rotations"].shape[:2], bool)
        r, f = ({name: value[shown] for name, value in o.items()} for o in (r, f))
        gap = np.linalg.norm(r["rotations"].astype(np.float64) - f["rotations"], axis=(-2, -1))
        # For rotations |A - B| = 2 sqrt(2) sin(angle / 2), which is exact at small angles, where arccos is not.
        tally.add("rotations", "degrees", np.degrees(2 * np.arcsin(np.minimum(gap / 8**0.5, 1.0))))
        if "smoothed" in r:
            tally.points("keypoints", "mm", r["smoothed"], f["smoothed"], _MM_PER_M)


def _between(mask: Array) -> NDArray[np.bool_]:
    """Return a mask [B, T] that is True from the first True of each row to its last."""
    return np.asarray(np.maximum.accumulate(mask, axis=1) & np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1])


def _mesh(case: Case, tally: _Tally) -> None:
    for r, f in zip(case.references, case.outputs, strict=True):
        for name in ("vertices", "joints"):
            tally.points(name, "mm", r[name], f[name], _MM_PER_M)


def _numbers(case: Case, tally: _Tally) -> None:
    """Compare plain numbers, in the units that the bundle's parity entry names."""
    known = case.bundle.manifest.get("parity", {}).get(case.spec.name, {}).get("outputs", {})
    for tensor in case.spec.outputs:
        unit = str(known.get(tensor.name, {}).get("unit", ""))
        scale = _MM_PER_M if unit == "m" else 1.0
        for r, f in zip(case.references, case.outputs, strict=True):
            gap = np.abs(r[tensor.name].astype(np.float64) - f[tensor.name])
            tally.add(tensor.name, RAW + ("mm" if unit == "m" else unit), scale * gap)


_MEASURES: tuple[tuple[set[str], Callable[[Case, _Tally], None], bool], ...] = (
    ({"valid", "locations", "translation", "rotations"}, _people, True),
    ({"keypoints_2d", "keypoints_3d", "presence"}, _hand, True),
    ({"landmarks", "landmarks_3d", "presence"}, _body_landmarks, True),
    ({"boxes", "scores"}, _detections, True),
    ({"vertices", "joints"}, _mesh, False),
    ({"rotations"}, _poses, False),
)
