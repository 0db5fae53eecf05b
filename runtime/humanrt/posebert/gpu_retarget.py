"""PoseBERT and retargeting for windows of many hands in one launch on a GPU: one robot hand's joint angles per hand.

For batches: hands of several people, or a recording. The live loop of one or two hands solves on the CPU, where one
hand takes some 0.1 ms; on a GPU each hand is processed by one warp, which pays off for many hands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends.cuda import CudaBackend
from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BundleError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.pick import GpuPick
from humanrt.kernels.retarget import GpuRetarget
from humanrt.posebert.graphs import graphs_of
from humanrt.resource import Owner, releasing
from humanrt.retarget import Retargeter

__all__ = ["GpuPoseRetarget"]


class GpuPoseRetarget(Owner):
    """Smooth and fill windows of hands, and solve for the robot's joints at one of their frames.

    Neither keypoints nor poses are copied to the host in between. Each hand keeps its index in the batch from call to
    call: the search starts from its last solution, as in `Retargeter`. The solver uses the network's raw keypoints,
    whose bones may shrink in fast movements: only `PoseBERTStream` and `PoseBERT.refine` hold bone lengths constant.

    Args:
        bundle: ``posebert-hand`` or similar: ``keypoints`` [B, T, 21, 3] m in, ``smoothed`` out.
        backend: a GPU backend.
        robot: the robot hand and its options; its own state is not touched.
        hands: number of hands, at most the batch of the bundle's largest graph.
        row: frame of the window that is solved for; -1 is the newest.

    Raises:
        BundleError: the bundle has no graph for this many hands, or is not for hands.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: CudaBackend, robot: Retargeter, hands: int, row: float = -1) -> None:
        self.hands, self.joint_names = hands, robot.hand.joint_names
        self._side = robot.hand.side
        self._network = self.own(BoundGraph(backend, _graph(bundle, hands)))
        smoothed = self._network.buffers["smoothed"].gpu
        assert smoothed is not None
        frames = smoothed.spec.shape[1]
        pick = self._network.own(GpuPick(smoothed, frames - 1 if row == -1 else row))
        self._solver = self._network.own(GpuRetarget(backend.device, pick.out, robot._problem))
        self._network.follow(pick.step)
        self._network.follow(self._solver.step, q=self._solver.q, evaluations=self._solver.evaluations)
        self._last: tuple[str, ...] | None = None
        for name in ("keypoints", "mask", "confidence"):
            self._network.arrays[name][...] = 0
        self._network.run()  # capture the graph here: the capture's own run would be an empty frame
        self.reset()

    def __call__(
        self,
        keypoints: ArrayLike,
        mask: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
        sides: Sequence[str] | None = None,
    ) -> NDArray[np.float64]:
        """Return joint angles [B, dof] rad, in the order of `joint_names`, clipped to the limits.

        Args:
            keypoints: [B, T, 21, 3] m, camera axes, of ``hands`` hands; contents of masked frames have no influence.
            mask: bool [B, T], True where the frame was observed; None: all were.
            confidence: [B, T, 21] in 0..1; None: 1.
            sides: ``left`` or ``right`` of each human hand; None: the robot's. Left ones are mirrored for the network.

        Raises:
            ValueError: other shapes; an unknown side; observed keypoints that are not finite.
        """
        arrays, count = self._network.arrays, self.hands
        shape = (count, *arrays["keypoints"].shape[1:])
        points = np.asarray(keypoints, np.float32)
        if points.shape != shape:
            raise ValueError(f"keypoints must be {list(shape)}, not {list(points.shape)}")
        observed = np.broadcast_to(np.asarray(True if mask is None else mask, bool), shape[:2])
        sides = tuple(sides or (self._side,) * count)
        if len(sides) != count or set(sides) - {"left", "right"}:
            raise ValueError(f"sides must be {count} times left or right, not {', '.join(sides)}")
        if not np.isfinite(points[observed]).all():
            raise ValueError("an observed keypoint is not a finite number")
        left = np.array([side == "left" for side in sides])
        seen = np.where(observed[..., None, None], points, np.float32(0))
        seen[left, ..., 0] *= -1
        arrays["keypoints"][:count] = seen
        arrays["mask"][:count] = observed
        arrays["confidence"][:count] = np.where(observed[..., None], 1.0 if confidence is None else confidence, 0.0)
        if sides != self._last:  # the network's outputs are right hands
            mirror = np.zeros(len(arrays["mask"]), np.int32)
            mirror[:count] = self._side != "right"
            self._solver.mirror.upload(mirror)
            self._last = sides
        self._network.run()
        return np.array(arrays["q"][:count])

    def reset(self) -> None:
        """Drop the last solutions: the next call starts from the rest pose."""
        self._solver.reset()


def _graph(bundle: Bundle, hands: int) -> GraphSpec:
    """Return the bundle's smallest graph that takes this many windows."""
    sizes = graphs_of(bundle)
    shapes = {tensor.name: tensor.shape for spec in sizes.values() for tensor in (*spec.inputs, *spec.outputs)}
    if shapes.get("keypoints", ())[2:] != (21, 3) or "smoothed" not in shapes or "confidence" not in shapes:
        raise BundleError(f"bundle {bundle.path} is not for hands: use posebert-hand")
    fitting = [size for size in sizes if size >= hands >= 1]
    if not fitting:
        raise BundleError(
            f"bundle {bundle.name} has graphs for {', '.join(map(str, sizes))} hands, not for {hands}; "
            "solve them in parts, or export it with a larger --batch"
        )
    return sizes[min(fitting)]
