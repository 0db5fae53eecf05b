"""PoseBERT: refinement and completion of windows of poses. For live streams see `PoseBERTStream`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Array, Backend, Graph
from humanrt.bundle import Bundle
from humanrt.bundle.settings import PoseBertSettings
from humanrt.checks import check_shapes
from humanrt.errors import BundleError
from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.skeleton import MEDIAPIPE_BODY
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.posebert.bones import skeleton_of
from humanrt.posebert.graphs import graphs_of
from humanrt.posebert.rays import directions, rays, turn_to
from humanrt.resource import releasing
from humanrt.timing import Stopwatch

__all__ = ["PoseBERT", "PoseBERTResult"]

Floats = NDArray[np.float32]

_H36M_POINTS = 17


@dataclass(frozen=True)
class PoseBERTResult:
    """Refined windows. If the inputs have no batch dimension B, neither has the result.

    Attributes:
        rotations: [B, T, J, 3, 3], of every frame, observed or not; names of the joints: `PoseBERT.joints`.
        keypoints: [B, T, K, 3] m, smoothed, relative to their mean origin (`PoseBERT.origin`), with bones of the same
            lengths in all frames of a window; None if no keypoints were given, or for published weights.
        ms: milliseconds: ``preprocess``, ``network``, ``decode`` (holding the bones).
    """

    rotations: Floats
    keypoints: Floats | None = None
    ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shapes(self, rotations="float32 ... T J 3 3", keypoints="float32 ... T K 3")


class PoseBERT(Model):
    """Refine windows of poses: smooth observed frames and fill in missing ones.

    >>> poses = PoseBERT("./posebert-smpl")                 # made by `humanrt-export posebert`
    >>> rotations = poses.window(rotations, mask=observed)   # [B, T, 24, 3, 3] and [B, T] -> [B, T, 24, 3, 3]

    The inputs depend on the bundle (`takes` describes them in words):

    - published weights for rotations: ``rotations`` [B, T, 24, 3, 3] of SMPL's joints;
    - published weights for keypoints: ``root`` [B, T, 3, 3] and ``keypoints`` [B, T, 17, 3] of Human3.6M, m, relative
      to the hip (which itself is ignored), with the bone lengths of the weights' mean skeleton;
    - ours: ``keypoints`` [B, T, K, 3] m, camera axes, any origin (or ``rotations``), and ``confidence``.

    Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``posebert``, or a loaded one.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        frames: T, the longest window.
        clock_hz: frame rate of the network's windows.
        joints: [J] names of the joints whose rotations are returned.
        parents: [J] indices of their parents; -1 for the root.
        origin: keypoints whose mean is the origin of the smoothed ones; empty if none are returned.
        takes: the inputs of `window`, human-readable.
        sighted: whether `refine` takes pixels and intrinsics.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("window", "refine")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "posebert", Execution.of(backend, execution))
        specs = graphs_of(self.bundle)
        settings, *_ = [PoseBertSettings.of(self.bundle, spec.name) for spec in specs.values()]
        self.frames, self.clock_hz, self.joints = settings.window, settings.clock_hz, settings.joints
        self.parents, self.origin = settings.parents, settings.origin
        self._graphs = {size: self.own(self.backend.open(spec)) for size, spec in specs.items()}
        self._input = settings.input
        self.sighted = "rays" in {tensor.name for tensor in next(iter(specs.values())).inputs}
        # Shape of a frame in each of the arguments that this bundle takes.
        self._takes = self._arguments()
        smoothed = "smoothed" in {tensor.name for tensor in next(iter(self._graphs.values())).spec.outputs}
        self._skeleton = skeleton_of(settings, self._takes.get("keypoints", ())) if smoothed else None
        self.takes = ", ".join(
            f"{name} [B, {self.frames}{''.join(f', {n}' for n in shape)}]" for name, shape in self._takes.items()
        )

    def _arguments(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of one frame by argument. BundleError for a format unknown to this version."""
        inputs = {tensor.name: tensor.shape for tensor in next(iter(self._graphs.values())).spec.inputs}
        known: dict[tuple[str, ...], dict[str, tuple[int, ...]]] = {
            ("features", "mask"): self._published(inputs),
            ("keypoints", "mask", "confidence"): {"keypoints": inputs.get("keypoints", ())[2:]},
            ("rotations_in", "mask", "confidence"): {"rotations": inputs.get("rotations_in", ())[2:]},
        }
        for names, arguments in known.items():
            if set(inputs) - {"rays"} == set(names) and arguments:
                return arguments
        raise BundleError(
            f"bundle {self.bundle.path}: graphs with inputs {', '.join(inputs)} are not supported; export it again"
        )

    def _published(self, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        values = inputs.get("features", (0,))[-1]
        if values == 6 * len(self.joints):
            return {"rotations": (len(self.joints), 3, 3)}
        if values == 6 + 3 * (_H36M_POINTS - 1):
            return {"root": (3, 3), "keypoints": (_H36M_POINTS, 3)}
        return {}

    def window(
        self,
        rotations: ArrayLike | None = None,
        root: ArrayLike | None = None,
        keypoints: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
    ) -> Floats:
        """Return the rotations of every frame of windows, [B, T, J, 3, 3]; see `refine`."""
        return self.refine(rotations, root, keypoints, mask, confidence).rotations

    def refine(
        self,
        rotations: ArrayLike | None = None,
        root: ArrayLike | None = None,
        keypoints: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
        *,
        pixels: ArrayLike | None = None,
        intrinsics: ArrayLike | None = None,
        hold_bones: bool = True,
    ) -> PoseBERTResult:
        """Refine windows, oldest frame first. All arguments may omit B; then the result omits it too.

        Any B is allowed. T may be less than the window: the result is that of a network of this window, as long as any
        frame is observed.

        Args:
            rotations: required if the bundle takes it, else refused; shapes are in the docstring of the class.
            root: likewise.
            keypoints: likewise.
            mask: bool [B, T], True where the frame was observed; None: all were. A frame that holds NaN or infinity
                counts as missing. Contents of masked frames have no influence.
            confidence: [B, T, K], or [B, T] for whole frames, in 0..1, for our bundles; None: 1.
            pixels: [B, T, K, 2] px of the keypoints in the picture, for bundles that take rays (`sighted`); None, or a
                frame that is not finite: not known.
            intrinsics: [3, 3] px of the camera, with pixels. Answers are then in the camera's axes; without pixels, in
                those of a camera that looks at the person, which the keypoints are in too.
            hold_bones: set bones of the keypoints to the median lengths of their window's observed frames
                (`humanrt.posebert.bones`). False: return the network's raw keypoints, whose bones shrink in fast
                movements.

        Raises:
            ValueError: arguments that this bundle does not take, or of other shapes; T is longer than the window; a
                short window without a single observed frame.
            CameraError: the intrinsics are not valid.
        """
        watch = Stopwatch()
        given = {"rotations": rotations, "root": root, "keypoints": keypoints}
        if {name for name, value in given.items() if value is not None} != set(self._takes):
            named = ", ".join(name for name, value in given.items() if value is not None)
            raise ValueError(f"bundle {self.bundle.name} takes {self.takes}, not {named or 'nothing'}")
        arrays = {name: _numbers(name, given[name]) for name in self._takes}
        leading = self._leading(arrays)
        batched = len(leading) == 2
        batch, frames = leading if batched else (1, *leading)
        arrays = {name: value.reshape(batch, frames, *self._takes[name]) for name, value in arrays.items()}
        if "root" in arrays:
            arrays["keypoints"] = arrays["keypoints"][:, :, 1:]  # all are relative to the hip
        observed = _mask(mask, leading).reshape(batch, frames)
        for value in arrays.values():
            observed &= np.isfinite(value).all(tuple(range(2, value.ndim)))
        feeds = self._feeds(arrays, observed, self._confidence(confidence, leading, (batch, frames)))
        turns = None
        if self.sighted:
            feeds["rays"], turns = self._rays(arrays["keypoints"], observed, pixels, intrinsics, leading)
        elif pixels is not None:
            raise ValueError(f"bundle {self.bundle.name} takes {self.takes}, and no pixels")
        if frames < self.frames:
            if not observed.any(1).all():
                raise ValueError(
                    f"a window shorter than {self.frames} frames needs an observed one; window "
                    f"{int(np.argmin(observed.any(1)))} has none"
                )
            feeds = {name: _padded(value, self.frames) for name, value in feeds.items()}
        watch.lap("preprocess")
        outputs = self._run(feeds, batch)
        watch.lap("network")
        outputs = {name: value[:, :frames] for name, value in outputs.items()}
        if hold_bones and self._skeleton is not None and batch:
            outputs["smoothed"] = self._skeleton.held_windows(outputs["smoothed"], outputs["rotations"], observed)
            watch.lap("decode")
        if turns is not None:
            outputs["smoothed"] = outputs["smoothed"] @ turns[:, None]
            outputs["rotations"][:, :, 0] = np.swapaxes(turns, 1, 2)[:, None] @ outputs["rotations"][:, :, 0]
        results = {name: value if batched else value[0] for name, value in outputs.items()}
        return PoseBERTResult(results["rotations"], results.get("smoothed"), watch.ms)

    def _leading(self, arrays: Mapping[str, Floats]) -> tuple[int, ...]:
        """Return (B, T) or (T,) of the arguments. ValueError if they are not the bundle's."""
        shapes = set()
        for name, value in arrays.items():
            shape = self._takes[name]
            leading = value.shape[: value.ndim - len(shape)]
            if value.shape[len(leading) :] != shape or len(leading) not in (1, 2):
                raise ValueError(
                    f"`{name}` is {list(value.shape)}; bundle {self.bundle.name} takes {self.takes} (B may be left out)"
                )
            shapes.add(leading)
        if len(shapes) > 1:
            raise ValueError(f"{' and '.join(f'`{name}`' for name in arrays)} have different B or T")
        leading = shapes.pop()
        if leading[-1] > self.frames:
            raise ValueError(
                f"{leading[-1]} frames are more than the window of {self.frames}; cut them, or export with --window"
            )
        if leading[-1] == 0:
            raise ValueError("a window needs at least one frame")
        return leading

    def _confidence(
        self, confidence: ArrayLike | None, leading: tuple[int, ...], shape: tuple[int, int]
    ) -> Floats | None:
        """Return confidences [B, T, points], or None if the bundle takes none."""
        graph = next(iter(self._graphs.values()))
        points = next((tensor.shape[2] for tensor in graph.spec.inputs if tensor.name == "confidence"), None)
        if points is None:
            if confidence is not None:
                raise ValueError(f"bundle {self.bundle.name} takes {self.takes}, and no confidence")
            return None
        if confidence is None:
            return np.ones((*shape, points), np.float32)
        values = _numbers("confidence", confidence)
        if values.shape == leading:
            values = np.broadcast_to(values[..., None], (*leading, points))
        if values.shape != (*leading, points):
            wanted = [*leading, points]
            raise ValueError(f"`confidence` is {list(values.shape)}; it must be {wanted} or {list(leading)}")
        values = values.reshape(*shape, points)
        if ((values < 0) | (values > 1)).any():
            raise ValueError("`confidence` has values outside of 0..1")
        # An unknown confidence is no reason to trust a point.
        return np.nan_to_num(values, nan=0.0)

    def _feeds(self, arrays: Mapping[str, Floats], observed: NDArray[np.bool_], confidence: Floats | None) -> Any:
        """Return the graph's inputs for all windows; zeros where nothing was observed."""

        def seen(values: Floats) -> Floats:
            where = observed.reshape(*observed.shape, *([1] * (values.ndim - 2)))
            return np.where(where, values, np.float32(0))

        feeds: dict[str, Array] = {"mask": observed}
        if confidence is not None:
            feeds["confidence"] = seen(confidence)
            name, values = next(iter(arrays.items()))
            feeds["rotations_in" if name == "rotations" else name] = seen(values)
        elif "rotations" in arrays:
            feeds["features"] = seen(_rows(arrays["rotations"]))
        else:
            frame = np.concatenate((_rows(arrays["root"]), _flat(arrays["keypoints"])), axis=-1)
            feeds["features"] = seen(frame)
        return feeds

    def _rays(
        self,
        keypoints: Floats,
        observed: NDArray[np.bool_],
        pixels: ArrayLike | None,
        intrinsics: ArrayLike | None,
        leading: tuple[int, ...],
    ) -> tuple[Floats, Floats | None]:
        """Return rays [B, T, K, 3], 0 where not known, and each window's turn [B, 3, 3] to its gaze, which is fixed."""
        out = np.zeros_like(keypoints)
        if (pixels is None) != (intrinsics is None):
            raise ValueError("pixels and intrinsics belong together; give both or neither")
        if pixels is None or intrinsics is None:
            return out, None
        at = _numbers("pixels", pixels)
        if at.shape != (*leading, keypoints.shape[2], 2):
            raise ValueError(f"`pixels` is {list(at.shape)}; need {[*leading, keypoints.shape[2], 2]}")
        at = at.reshape(*keypoints.shape[:3], 2)
        known = observed & np.isfinite(at).all(axis=(2, 3))
        looks = directions(np.where(known[..., None, None], at, 0), check_intrinsics(intrinsics))
        turns = np.tile(np.eye(3, dtype=np.float32), (len(at), 1, 1))
        body = MEDIAPIPE_BODY if self._input == "mediapipe33" else slice(None)
        for window in np.flatnonzero(known.any(axis=1)):
            seen = looks[window, known[window]][:, list(self.origin) or slice(None)]
            turns[window] = turn_to(seen.mean(axis=(0, 1)))
            for frame in np.flatnonzero(known[window]):
                out[window, frame] = rays(keypoints[window, frame], looks[window, frame], turns[window], body)
        return out, turns

    def _run(self, feeds: Mapping[str, Array], batch: int) -> dict[str, Array]:
        """Run all windows through the available graphs, in few calls without much padding."""
        outputs = {tensor.name: tensor.shape[1:] for tensor in next(iter(self._graphs.values())).spec.outputs}
        results = {name: np.empty((batch, *shape), np.float32) for name, shape in outputs.items()}
        start = 0
        while start < batch:
            graph = self._graph(batch - start)
            size = graph.tensor("mask").shape[0]
            count = min(size, batch - start)
            some = {name: value[start : start + count] for name, value in feeds.items()}
            if count < size:  # shapes are static: the batch is padded, and the padding ignored
                fill = {name: np.zeros((size - count, *value.shape[1:]), value.dtype) for name, value in some.items()}
                some = {name: np.concatenate((value, fill[name])) for name, value in some.items()}
            for name, value in graph.run(some).items():
                results[name][start : start + count] = value[:count]
            start += count
        return results

    def _graph(self, left: int) -> Graph:
        """Return the graph for the next of ``left`` windows: the smallest that takes them all if half of it is used."""
        sizes = list(self._graphs)
        for size in sizes:
            if left <= size <= 2 * left:
                return self._graphs[size]
        return self._graphs[max((size for size in sizes if size <= left), default=sizes[0])]


def _numbers(name: str, values: Any) -> Floats:
    """Convert to float32. ValueError if the values are not numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"`{name}` is not a numeric array ({error})") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"`{name}` must hold numbers, not {array.dtype}")
    with np.errstate(over="ignore"):  # values that overflow become infinite and count as missing
        return array.astype(np.float32, copy=False)


def _mask(mask: ArrayLike | None, leading: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(leading, np.bool_)
    array = np.asarray(mask)
    if array.shape != leading or array.dtype.kind not in "biuf" or not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"`mask` must be bool {list(leading)}, True where observed, not {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.bool_)


def _rows(rotations: Floats) -> Floats:
    """Return the first two columns of [B, T, ..., 3, 3], as 3 x 2 matrices row by row: [B, T, 6 each]."""
    return _flat(rotations[..., :2])


def _flat(values: Floats) -> Floats:
    """Flatten [B, T, ...] to [B, T, values]; B may be 0."""
    return values.reshape(*values.shape[:2], int(np.prod(values.shape[2:])))


def _padded(values: Array, frames: int) -> Array:
    """Pad [B, T, ...] to [B, frames, ...] with zeros at the end, which are masked."""
    zeros = np.zeros((len(values), frames - values.shape[1], *values.shape[2:]), values.dtype)
    return np.concatenate((values, zeros), axis=1)
