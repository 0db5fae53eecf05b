"""`PoseEditor`: a pose and words to another pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import EditorSettings, posefix_model
from humanrt.checks import check_count, numbers
from humanrt.editing.changes import Edit
from humanrt.editing.editor import WordEditor
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.motion.arguments import numbers_of
from humanrt.posefix.arguments import pose_vectors
from humanrt.posefix.text_encoder import TextEncoder
from humanrt.resource import releasing

__all__ = ["PoseEditor"]

Floats = NDArray[np.float32]


WORD_EDITOR = "word-editor"
"""The editor that ships."""
_COUNTS = (22, 24, 52, 53, 55)
"""Rotations of SMPL's body, SMPL, SMPL-H, SMPL-X (without and with eyes): all begin with the same 22."""
_BODY = len(SMPLX_BODY)


class PoseEditor(Model):
    """Change a pose as words say.

    >>> editor = PoseEditor()
    >>> pose_b = editor.edit(pose_a, "raise your left arm a little and look to the right")

    The editor that ships takes rotations [22, 3, 3] of SMPL's body joints, each relative to its parent's, the root's to
    the camera (y down); of SMPL's 24, SMPL-H's 52 and SMPL-X's 53 or 55 the first 22 are edited, the others stay. It
    changes what is spoken of, inside limits (`humanrt.editing`), and refuses what it does not understand.

    With a bundle of a published editor, poses are rotations [J, 3, 3] of the bundle's joints (`joint_names`), in the
    axes of its training (AMASS: z up, the heading taken out of the root); axis-angle vectors [J, 3] are taken too.
    Nothing is turned or normalised. `tokens`, `sample`, `distribution` and `reconstruct`, ids and noise are of these.

    A text can be encoded once, and used for every frame of a stream. Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``posefix``, or a loaded one. None: the editor that ships.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        joint_names: of a pose.
        code: numbers of the latent code that stands for the edited pose; 0 for the editor that ships.
        camera: whether poses are in a camera's axes.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("edit", "changes", "sample", "distribution", "reconstruct", "encode_text", "tokens")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(WORD_EDITOR if bundle is None else bundle, "posefix", Execution.of(backend, execution))
        self._ours: WordEditor | None = None
        self._reconstruct: BoundGraph | None = None
        if posefix_model(self.bundle) == "word-editor":
            self._ours = self.own(WordEditor(self.bundle, self.backend))
            self.joint_names, self.code, self.camera = self._ours.settings.joints, 0, True
            return
        settings = EditorSettings.of(self.bundle)
        self.joint_names, self.code, self.camera = settings.joints, settings.code, False
        self._text_width = settings.text.width
        self._text = self.own(TextEncoder(self.bundle, settings.text, self.backend))
        self._edit = self.own(BoundGraph(self.backend, self.bundle.graph("edit")))

    def encode_text(self, words: str | None = None, *, token_ids: ArrayLike | None = None) -> Floats:
        """Return the vector of a text, for `edit(pose, text=...)`; see there.

        Of the editor that ships, vectors [n, width] where the text asks for n changes one by one.
        """
        if self._ours is None:
            return self._text.encode(words, token_ids)
        if token_ids is not None:
            raise _published("token_ids")
        if not isinstance(words, str):
            raise InvalidInputError(f"words must be text, not {type(words).__name__}")
        return self._ours.encode(words)

    def tokens(self, words: str) -> list[int]:
        """Return the token ids of words. Of published editors."""
        if self._ours is not None:
            raise _published("tokens")
        return [int(index) for index in self._text.tokens(words)]

    def changes(self, pose: ArrayLike, words: str | None = None, *, text: ArrayLike | None = None) -> Edit:
        """Return what words ask of a pose; of the editor that ships. See `edit`."""
        if self._ours is None:
            raise InvalidInputError("changes are of the editor that ships: PoseEditor() without a bundle")
        return self._ours.changes(self._our_text(words, None, text), _body_of(pose)[:_BODY])

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
            words: what to change. Of a published editor "" changes what the network changes without being told to.
            token_ids: the words' ids [L], with the marks of start and end, instead of words.
            text: the words' vector of `encode_text`, instead of both.
            noise: [code] in standard deviations, to get another pose than the most probable one.

        Raises:
            InvalidInputError: a pose of other joints, no or several texts, a text that is too long; for the editor
                that ships, a text that asks for no change of a pose. The message says what it understands.
        """
        if self._ours is not None:
            if noise is not None:
                raise _published("noise")
            given = _body_of(pose)
            edited_body = self._ours.edit(self._our_text(words, token_ids, text), given[:_BODY], words or "")
            return np.concatenate((edited_body, given[_BODY:])).astype(np.float32)
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
        if self._ours is not None:
            raise _published("sample")
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
        if self._ours is not None:
            raise _published("distribution")
        self._run(pose, words, token_ids, text, None)
        return self._edit.arrays["mean"][0].copy(), self._edit.arrays["scale"][0].copy()

    def reconstruct(self, pose: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return a pose as the latent code holds it: rotations [J, 3, 3], mean and standard deviation of the code."""
        if self._ours is not None:
            raise _published("reconstruct")
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

    def _our_text(self, words: str | None, token_ids: Any, text: Any) -> Floats:
        assert self._ours is not None
        if text is None:
            return self.encode_text(words, token_ids=token_ids)
        if words is not None or token_ids is not None:
            raise InvalidInputError("give either words or text")
        given = np.asarray(text)
        # One vector for each change that is asked for.
        several = given.shape[:1] if given.ndim == 2 and len(given) else ()
        return numbers_of(text, "text", (*several, self._ours.width))


def _published(what: str) -> InvalidInputError:
    return InvalidInputError(f"{what}: of published editors only, PoseEditor(BUNDLE) of `humanrt-export posefix`")


def _body_of(pose: ArrayLike) -> NDArray[np.float64]:
    """Return a pose's rotations [J, 3, 3], of which the first 22 are SMPL's body."""
    array = np.asarray(numbers(pose, "pose"))
    count = len(array) if array.ndim in (2, 3) else 0
    if count not in _COUNTS:
        raise InvalidInputError(
            f"pose: expected rotations [22, 3, 3] of SMPL's body joints (or 24, 52, 53 or 55), got {list(array.shape)}"
        )
    return matrices_from_vectors(pose_vectors(array, count)[0].astype(np.float64))
