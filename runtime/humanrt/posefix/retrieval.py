"""`PoseRetrieval`: texts, and poses or pairs of poses, as unit vectors whose products say how well they go together."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import RetrievalSettings
from humanrt.errors import InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.posefix.arguments import pose_vectors
from humanrt.posefix.text_encoder import TextEncoder
from humanrt.resource import releasing

__all__ = ["PoseRetrieval"]

Floats = NDArray[np.float32]


class PoseRetrieval(Model):
    """Find poses, or pairs of poses, by words, and words by poses.

    >>> model = PoseRetrieval("./posefix-retrieval")  # made by `humanrt-export posefix`
    >>> scores = np.stack([model.encode_pose(pose) for pose in poses]) @ model.encode_text("both arms are raised")

    Poses are as for `PoseEditor`. Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``posefix``, or a loaded one.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        joint_names: of a pose.
        pairs: whether it is for pairs of poses (`encode_pair`) rather than for poses (`encode_pose`).
        width: D, numbers of a vector.
        temperature: of the training: softmax(temperature * products) are its probabilities of each candidate.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("encode_text", "encode_pose", "encode_pair")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "posefix", Execution.of(backend, execution))
        settings = RetrievalSettings.of(self.bundle)
        self.joint_names, self.pairs, self.temperature = settings.joints, settings.pairs, settings.temperature
        self.width = settings.text.width
        self._text = self.own(TextEncoder(self.bundle, settings.text, self.backend))
        self._poses = self.own(BoundGraph(self.backend, self.bundle.graph("pair" if self.pairs else "pose")))

    def encode_text(self, words: str | None = None, *, token_ids: ArrayLike | None = None) -> Floats:
        """Return the unit vector [D] of words, or of their token ids [L] with the marks of start and end."""
        return self._text.encode(words, token_ids)

    def encode_pose(self, pose: ArrayLike) -> Floats:
        """Return the unit vector [D] of a pose [J, 3, 3]."""
        if self.pairs:
            raise InvalidInputError("this bundle is for pairs of poses; use encode_pair")
        return self._encoded(pose=pose)

    def encode_pair(self, pose_a: ArrayLike, pose_b: ArrayLike) -> Floats:
        """Return the unit vector [D] of the change from a pose [J, 3, 3] to another."""
        if not self.pairs:
            raise InvalidInputError("this bundle is for single poses; use encode_pose")
        return self._encoded(pose_a=pose_a, pose_b=pose_b)

    def _encoded(self, **poses: ArrayLike) -> Floats:
        given = {name: pose_vectors(pose, len(self.joint_names), name) for name, pose in poses.items()}
        for name, vectors in given.items():
            self._poses.arrays[name][:] = vectors
        self._poses.run()
        vector: Floats = self._poses.arrays["vector"][0].copy()
        return vector
