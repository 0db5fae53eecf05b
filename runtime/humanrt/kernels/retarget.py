"""Retargeting on the GPU for a batch of hands: retarget.cu. It uses the CPU solver's problem data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends.cuda import CudaBuffer, CudaDevice, CudaStream, Kernel, cuda_call
from humanrt.bundle import TensorSpec
from humanrt.errors import HumanrtError
from humanrt.kernels.loader import load_kernel
from humanrt.resource import Resource
from humanrt.retarget.layout import CONSTANTS, Layout, arrays
from humanrt.retarget.problem import Problem

__all__ = ["LANES", "GpuRetarget", "problem_arrays", "shared_bytes", "state_arrays"]

LANES = 32
"""Threads per block: one warp per hand."""


def problem_arrays(problem: Problem) -> dict[str, NDArray[Any]]:
    """Return the constants by their names in the layout, contiguous. HumanrtError: more joints than bits in a mask."""
    p = problem
    if len(p.collision_reach):
        raise HumanrtError("the GPU does not keep fingers apart; leave out collisions=True, or use the CPU's solver")
    if len(p.parent) > 63:
        raise HumanrtError(f"the GPU retargets hands of up to 63 joints, not {len(p.parent)}; use the CPU's solver")
    moving = [j for j in np.argsort(p.variable, kind="stable") if p.variable[j] >= 0]
    counts = np.bincount(p.variable[moving], minlength=len(p.x))
    above = np.zeros(len(p.parent), np.int64)
    for j, parent in enumerate(p.parent.tolist()):  # parents come first
        above[j] = (above[parent] if parent >= 0 else 0) | (1 << j)
    derived = {
        "driven": np.array(moving, np.int32),
        "driven_from": np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        "above": above,
    }
    return {name: np.ascontiguousarray(array) for name, array in {**arrays(p, CONSTANTS), **derived}.items()}


def state_arrays(problem: Problem, hands: int) -> dict[str, NDArray[Any]]:
    """Return the initial state of ``hands`` hands: they start from the rest pose."""
    p = problem
    return {
        "frame": np.tile(np.eye(3).ravel(), (hands, 1)),
        "has_frame": np.zeros(hands, np.int32),
        "projected": np.zeros((hands, len(p.tasks.kind)), np.int32),
        "x": np.tile(p.rest, (hands, 1)),
        "q": np.tile(p.rest_q, (hands, 1)),
        "cost": np.zeros(hands),
        "evaluations": np.zeros(hands, np.int32),
    }


def shared_bytes(problem: Problem) -> int:
    """Return the bytes of shared memory per block, as `lay_out` of retarget.cu needs them."""
    J, N, P, K = (len(a) for a in (problem.parent, problem.x, problem.point_joint, problem.tasks.kind))
    doubles = 63 + 10 * K + 31 * J + 6 * P + 4 * K * N + N * N + 5 * N + 1
    doubles += 2 * (2 * N + N * N + 1) + 2 * ((N + 1) // 2)  # two models; two lists of integers
    return 8 * doubles


class GpuRetarget(Resource):
    """Solves for the joint angles of a batch of hands on the device, each from its own last solution.

    Args:
        device: the GPU.
        keypoints: float32 [B, 21, 3] m, MediaPipe order, camera axes, filled by a network or `GpuOneEuro`.
        problem: the problem of a `Retargeter` of this robot; its state is not modified.
        local: whether the keypoints are in the wrist frame.

    Attributes:
        mirror: int32 [B], to be uploaded: 1 if the keypoints are of the opposite hand to the robot's.
        smoothing: float64 [B], weight of the distance to the last solution.
        q: float64 [B, dof] rad, in the order of the robot's joints.
        evaluations: int32 [B]; -1 if a keypoint was not finite.
        step: the binding to run.
    """

    def __init__(self, device: CudaDevice, keypoints: CudaBuffer, problem: Problem, local: bool = False) -> None:
        hands = keypoints.spec.shape[0]
        if keypoints.spec.shape != (hands, 21, 3) or keypoints.spec.dtype != "float32":
            raise ValueError(f"keypoints are float32 [B, 21, 3], not {keypoints.spec.dtype} {keypoints.spec.shape}")
        self._device, self._problem, self._hands = device, problem, hands

        def put(name: str, array: NDArray[Any]) -> CudaBuffer:
            array = array if array.size else np.zeros(1, array.dtype)  # even without starts, an address is needed
            buffer = CudaBuffer(TensorSpec(name, array.shape, array.dtype.name), device)
            buffer.upload(array)
            return buffer

        self._constants = {name: put(name, array) for name, array in problem_arrays(problem).items()}
        self._state = {name: put(name, array) for name, array in state_arrays(problem, hands).items()}
        self.mirror, self.smoothing = put("mirror", np.zeros(hands, np.int32)), put("smoothing", np.zeros(hands))
        self.q, self.evaluations = self._state["q"], self._state["evaluations"]
        robot = Layout.of(problem, {name: b.address for name, b in {**self._constants, **self._state}.items()})
        self._robot = put("robot", np.frombuffer(bytes(robot), np.uint8))
        function = load_kernel("retarget", device)
        shared = shared_bytes(problem)
        with cuda_call(f"give a block {shared / 1024:.0f} KB of shared memory"):
            function.set_attribute(device.drv.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
        function.prepare("PPPPi")

        def give(stream: CudaStream) -> None:
            function.prepared_async_call(
                (hands, 1), (LANES, 1, 1), stream.stream, self._robot.address, keypoints.address, self.mirror.address,
                self.smoothing.address, int(local), shared_size=shared,
            )  # fmt: skip

        self.step = Kernel(device, give, [*self._state.values()])

    def reset(self) -> None:
        """Forget all hands: the next frame starts from the rest pose."""
        for name, array in state_arrays(self._problem, self._hands).items():
            self._state[name].upload(array)

    def close(self) -> None:
        """Free the device memory."""
        for buffer in (*self._constants.values(), *self._state.values(), self.mirror, self.smoothing, self._robot):
            buffer.close()
