"""Exact ground truth of a rendered film of people, and errors of results: numpy only, for ``humanrt demo``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt.geometry.camera import project
from humanrt.people.metrics import Bodies, PeopleMetrics, true_bodies
from humanrt.people.pipeline import PeopleResult

__all__ = ["PeopleTruth", "measure"]

_ANCHOR = "head"


@dataclass(frozen=True)
class PeopleTruth:
    """Ground truth of T frames with N people.

    Attributes:
        intrinsics: [3, 3] px.
        size: (width, height) px.
        joint_names: [J], Anny's.
        joints: [T, N, J, 3] m, camera space.
        visible: [T, N], visible fraction of each person.
    """

    intrinsics: NDArray[np.float64]
    size: tuple[int, int]
    joint_names: tuple[str, ...]
    joints: NDArray[np.float64]
    visible: NDArray[np.float64]

    @classmethod
    def load(cls, path: Path) -> PeopleTruth:
        """Load the `.npz` beside a film of ``humanrt-export data film``, as written by that command or by `save`.

        Raises:
            SourceError: it is not a ground-truth file.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                joints = np.asarray(arrays["joints"], np.float64)
                if "translation" in arrays and arrays["joints"].dtype == np.float16:
                    joints = joints + np.asarray(arrays["translation"], np.float64)[:, :, None]
                width, height = (int(value) for value in arrays["size"])
                names = tuple(str(name) for name in arrays["joint_names"])
                return cls(
                    np.asarray(arrays["intrinsics"], np.float64), (width, height), names, joints, arrays["visible"]
                )
        except (OSError, ValueError, KeyError) as error:
            raise SourceError(f"{path}: not a ground-truth file of a film of people ({error})") from error

    def save(self, path: Path) -> None:
        """Save only what is needed here, a tenth of the size: joints relative to the head, to half a millimetre."""
        translation = self.joints[:, :, self.joint_names.index(_ANCHOR)]
        arrays: dict[str, NDArray[Any]] = {
            "intrinsics": self.intrinsics,
            "size": np.array(self.size),
            "joint_names": np.array(self.joint_names),
            "joints": (self.joints - translation[:, :, None]).astype(np.float16),
            "translation": translation.astype(np.float32),
            "visible": np.asarray(self.visible, np.float16),
        }
        np.savez_compressed(path, allow_pickle=False, **arrays)

    def __len__(self) -> int:
        return len(self.joints)

    def bodies(self, frame: int) -> Bodies:
        """Return the ground-truth bodies of a frame."""
        joints = self.joints[frame]
        points = project(joints, self.intrinsics)
        return true_bodies(joints, points, self.joint_names.index(_ANCHOR), self.visible[frame], self.size)


def measure(results: Iterable[PeopleResult], truth: PeopleTruth) -> PeopleMetrics:
    """Measure results, frame by frame in the film's order; they need joints (`MultiHMR(meshes=True)`)."""
    metrics = PeopleMetrics(truth.joint_names)
    for frame, result in enumerate(results):
        people = result.people
        assert people.joints is not None
        metrics.add(Bodies(people.joints, people.locations), truth.bodies(frame))
    return metrics
