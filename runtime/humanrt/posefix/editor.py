"""`PoseEditor`: a pose and words to another pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import EditorSettings
from humanrt.checks import check_count
from humanrt.errors import BundleError, InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.motion.arguments import numbers_of
from humanrt.posefix.arguments import pose_vectors
from humanrt.posefix.text_encoder import TextEncoder
from humanrt.resource import releasing

__all__ = ["PoseEditor"]

Floats = NDArray[np.float32]


class PoseEditor(Model):
    """Change a pose as words say.

    >>> editor = PoseEditor("./posefix-editor")       # made by `humanrt-export posefix`
    >>> pose_b = editor.edit(pose_a, "raise your left arm")

    Poses are rotations [J, 3, 3] of the bundle's joints (`joint_names`), each relative to its parent's, in the axes of
    its training (AMASS: z up, the heading taken out of the root); axis-angle vectors [J, 3] are taken too. Nothing is
    turned or normalised. A text can be encoded once, and used for every frame of a stream. Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``posefix``, or a loaded one. None ships yet.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        joint_names: of a pose.
        code: numbers of the latent code that stands for the edited pose.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("edit", "sample", "distribution", "reconstruct", "encode_text", "tokens")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        if bundle is None:
            raise BundleError("no editor ships: give PoseEditor a bundle of `humanrt-export posefix`")
        super().__init__(bundle, "posefix", Execution.of(backend, execution))
        settings = EditorSettings.of(self.bundle)
        self.joint_names, self.code = settings.joints, settings.code
        self._text_width = settings.text.width
        self._text = self.own(TextEncoder(self.bundle, settings.text, self.backend))
        self._edit = self.own(BoundGraph(self.backend, self.bundle.graph("edit")))
        self._reconstruct: BoundGraph | None = None

    def encode_text(self, words: str | None = None, *, token_ids: ArrayLike | None = None) -> Floats:
        """Return the vector of a text, for `edit(pose, text=...)`; see there."""
        return self._text.encode(words, token_ids)

    def tokens(self, words: str) -> list[int]:
        """Return the token ids of words."""
        return [int(index) for index in self._text.tokens(words)]

    def edit(
        self,
        pose: ArrayLike,
        words: str | None = None,
        *,
        token_ids: ArrayLike | None = None,
        text: ArrayLike | None = None,
        noise: ArrayLike | None = None,
    ) -> Floats:
        """Return the most probable pose [J, 3, 3] after an edit.

        Args:
            pose: rotations [J, 3, 3].
            words: what to change; "" changes what the network changes without being told to.
            token_ids: the words' ids [L], with the marks of start and end, instead of words.
            text: the words' vector of `encode_text`, instead of both.
            noise: [code] in standard deviations, to get another pose than the most probable one.

        Raises:
            InvalidInputError: a pose of other joints, no or several texts, a text that is too long.
        """
        self._run(pose, words, token_ids, text, noise)
        edited: Floats = self._edit.arrays["rotations"][0].copy()
        return edited

    def sample(
        self,
        pose: ArrayLike,
        words: str | None = None,
        *,
        count: int = 1,
        seed: int = 0,
        token_ids: ArrayLike | None = None,
        text: ArrayLike | None = None,
    ) -> Floats:
        """Return several poses [count, J, 3, 3] that an edit may mean, at random. See `edit`."""
        check_count(count, "count", 10_000)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InvalidInputError(f"seed must be a whole number from 0 on, not {str(seed)[:40]!r}")
        random = np.random.default_rng(int(seed))
        vector = self._vector(words, token_ids, text)
        noises = random.standard_normal((count, self.code))
        return np.stack([self.edit(pose, text=vector, noise=noise) for noise in noises])

    def distribution(
        self,
        pose: ArrayLike,
        words: str | None = None,
        *,
        token_ids: ArrayLike | None = None,
        text: ArrayLike | None = None,
    ) -> tuple[Floats, Floats]:
        """Return mean and standard deviation [code] of the latent code after an edit. See `edit`."""
        self._run(pose, words, token_ids, text, None)
        return self._edit.arrays["mean"][0].copy(), self._edit.arrays["scale"][0].copy()

    def reconstruct(self, pose: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return a pose as the latent code holds it: rotations [J, 3, 3], mean and standard deviation of the code."""
        given = pose_vectors(pose, len(self.joint_names))
        if self._reconstruct is None:
            self._reconstruct = self.own(BoundGraph(self.backend, self.bundle.graph("reconstruct")))
        arrays = self._reconstruct.arrays
        arrays["pose"][:] = given
        self._reconstruct.run()
        return arrays["rotations"][0].copy(), arrays["mean"][0].copy(), arrays["scale"][0].copy()

    def _run(self, pose: ArrayLike, words: str | None, token_ids: Any, text: Any, noise: Any) -> None:
        arrays = self._edit.arrays
        given = pose_vectors(pose, len(self.joint_names))
        random = np.zeros(self.code) if noise is None else numbers_of(noise, "noise", (self.code,))
        arrays["text"][0] = self._vector(words, token_ids, text)
        arrays["pose"][:], arrays["noise"][0] = given, random
        self._edit.run()

    def _vector(self, words: str | None, token_ids: Any, text: Any) -> Floats:
        if text is None:
            return self._text.encode(words, token_ids)
        if words is not None or token_ids is not None:
            raise InvalidInputError("give either words, token_ids or text")
        return numbers_of(text, "text", (self._text_width,))
