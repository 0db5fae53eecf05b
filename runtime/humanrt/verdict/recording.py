"""Record real inputs of a bundle's networks: run frames of a source through the real pipelines and keep every feed.

Hands are cropped where the tracker sees them, people are letterboxed as by `MultiHMR`, windows of PoseBERT are those
of a stream: the graphs get the same inputs as in use, including consecutive frames, blur and misses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from humanrt.address import redacted_address
from humanrt.backends import Array, Binding, Buffer, Graph
from humanrt.backends.onnxruntime_cpu import OnnxRuntimeCpu
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, GraphSpec
from humanrt.bundle.settings import HandsSettings
from humanrt.errors import BundleError, SourceError, printable
from humanrt.hands.tracker import HandTracker
from humanrt.inference.variants import base_of, bases
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.sources.opening import Frame, open_source
from humanrt.tasks import HandOptions, PeopleOptions, open_hands, open_people

__all__ = ["CAMERA_FRAMES", "Recorder", "Recording", "record"]

CAMERA_FRAMES = 600  # of a live source: 20 s at 30 frames per second
_MAX_BYTES_PER_GRAPH = 400e6  # of inputs kept for one graph

Feeds = Sequence[Mapping[str, Array]]
Progress = Callable[[int, int | None], object]


@dataclass(frozen=True)
class Recording:
    """Recorded inputs of the graphs.

    Attributes:
        source: name of the source.
        frames: number of images read.
        feeds: graph -> its inputs, evenly spaced over the source.
    """

    source: str
    frames: int
    feeds: Mapping[str, Feeds]


def record(
    bundle: Bundle,
    source: str,
    *,
    max_inputs: int = 500,
    max_frames: int | None = None,
    threshold: float | None = None,
    threads: int = 0,
    progress: Progress = lambda done, total: None,
) -> Recording:
    """Run frames through a bundle's networks in FP32 and keep their inputs.

    Args:
        bundle: a bundle for ``hands``, ``people`` or ``posebert``.
        source: camera index, stream, video, image or folder, as for ``humanrt run``.
        max_inputs: max number of inputs to keep per graph; fewer if they are large.
        max_frames: max number of frames; None is all, or 600 of a camera.
        threshold: for people: min score of a person; None is the bundle's.
        progress: called with the number of frames done and in total.

    Raises:
        SourceError, BundleError: the source or bundle cannot be used, or nothing was detected.
    """
    backend = Recorder(bundle, max_inputs, BackendOptions(threads=threads))
    steps = _steps(bundle, backend, threshold)
    done = 0
    with open_source(source) as frames:
        limit = CAMERA_FRAMES if max_frames is None and frames.live else max_frames
        total = min((n for n in (limit, frames.frame_count) if n is not None), default=None)
        for frame in islice(frames, limit):
            for step in steps:
                step(frame)
            done += 1
            progress(done, total)
    feeds = backend.feeds()
    if not feeds:
        raise SourceError(
            f"{redacted_address(source)}: none of its {done} frames shows what bundle {bundle.name} detects"
        )
    return Recording(name_of(source), done, feeds)


def name_of(source: str) -> str:
    """Return the name under which a manifest keeps a source: without folders, passwords and tokens."""
    shown = printable(redacted_address(source))
    return Path(shown).name or shown


def _steps(bundle: Bundle, backend: Recorder, threshold: float | None) -> list[Callable[[Frame], object]]:
    """Return the functions to call on each frame."""
    if bundle.task == "hands":
        models = HandsSettings.of(bundle).models
        return [open_hands(bundle, backend, HandOptions(smooth="none", model=model)) for model in models]
    if bundle.task == "people":
        return [open_people(bundle, backend, PeopleOptions(threshold=threshold, meshes=False, poses=None))]
    if bundle.task == "posebert":
        return [_poses(bundle, backend)]
    raise BundleError(f"bundle {bundle.name}: unknown task `{bundle.task}`")


def _poses(bundle: Bundle, backend: Recorder) -> Callable[[Frame], object]:
    kind = bundle.settings.get("input")
    if kind == "hand21":
        tracker, stream = HandTracker(), PoseBERTStream(bundle, backend=backend)

        def hands(frame: Frame) -> object:
            seen = tracker(frame.image, frame.t)
            observed = {hand.id: Observation(hand.keypoints_3d, hand.score, hand.side) for hand in seen}
            return stream.update(frame.t, observed, seen.lost)

        return hands
    if kind == "mediapipe33":
        return open_people("landmarks", backend, PeopleOptions(meshes=False, poses=bundle))
    raise BundleError(
        f"bundle {bundle.name} takes {kind or 'the published form'}, which no camera provides; calibrate it with "
        "motion capture (.amc, .bvh, .npz or an archive of them)"
    )


def _batches(bundle: Bundle, feeds: Mapping[str, Feeds]) -> Iterator[tuple[str, Feeds]]:
    """Yield the inputs of graphs for several windows at once, made from those of the graph for one."""
    for name in bases(bundle):
        spec = bundle.graph(name)
        for source, some in feeds.items():
            one = {tensor.name: tensor for tensor in bundle.graph(source).inputs}
            if name in feeds or set(one) != {tensor.name for tensor in spec.inputs}:
                continue
            size = spec.inputs[0].shape[0]
            if all(one[t.name].shape == (1, *t.shape[1:]) and t.shape[0] == size for t in spec.inputs):
                rows = [[some[(start + i) % len(some)] for i in range(size)] for start in range(0, len(some), size)]
                yield name, [{key: np.concatenate([row[key] for row in chosen]) for key in one} for chosen in rows]


@dataclass
class _Kept:
    """Inputs of one graph, evenly spaced: when there are too many, every other one is dropped."""

    max_inputs: int | None
    feeds: list[dict[str, Array]] = field(default_factory=list)
    step: int = 1
    count: int = 0

    def offer(self, feed: Callable[[], dict[str, Array]]) -> None:
        if self.count % self.step == 0:
            if len(self.feeds) == self.max_inputs:
                self.feeds = self.feeds[::2]
                self.step *= 2
            if self.count % self.step == 0:
                self.feeds.append(feed())
        self.count += 1


class Recorder(OnnxRuntimeCpu):
    """CPU backend that keeps the inputs of one bundle's graphs, by the name of the FP32 graph.

    Args:
        bundle: the bundle to record; graphs of other bundles are run without recording.
        max_inputs: max number of inputs to keep per graph, evenly spaced, fewer if they are large; None keeps all.
        options: options of the CPU backend.
    """

    def __init__(self, bundle: Bundle, max_inputs: int | None, options: BackendOptions | None = None) -> None:
        super().__init__(options)
        self._bundle, self._max_inputs = bundle, max_inputs
        self._kept: dict[str, _Kept] = {}

    def open(self, spec: GraphSpec) -> Graph:  # type: ignore[override]
        graph = super().open(spec)
        if spec.path.parent != self._bundle.path:
            return graph
        max_inputs = self._max_inputs
        if max_inputs is not None:
            max_inputs = max(
                min(max_inputs, int(_MAX_BYTES_PER_GRAPH / sum(tensor.nbytes for tensor in spec.inputs))), 2
            )
        return _RecordedGraph(graph, self._kept.setdefault(base_of(self._bundle, spec.name), _Kept(max_inputs)))

    def feeds(self) -> dict[str, Feeds]:
        """Return the inputs by graph; those of PoseBERT graphs for several windows are made from those for one."""
        feeds: dict[str, Feeds] = {name: kept.feeds for name, kept in self._kept.items() if kept.feeds}
        return {**feeds, **dict(_batches(self._bundle, feeds))}


class _RecordedGraph(Graph):
    def __init__(self, graph: Graph, kept: _Kept) -> None:
        self.spec = graph.spec
        self._graph, self._kept = graph, kept

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._kept.offer(lambda: {name: array.copy() for name, array in feeds.items()})
        return self._graph.run(feeds)

    def buffer(self, name: str) -> Buffer:
        return self._graph.buffer(name)

    def bind(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer]) -> Binding:
        return _RecordedBinding(self._graph.bind(inputs, outputs), inputs, self._kept)

    def close(self) -> None:
        self._graph.close()


class _RecordedBinding(Binding):
    def __init__(self, binding: Binding, inputs: Mapping[str, Buffer], kept: _Kept) -> None:
        self._binding, self._inputs, self._kept = binding, inputs, kept

    def run(self) -> None:
        self._kept.offer(lambda: {name: buffer.download() for name, buffer in self._inputs.items()})
        self._binding.run()
