"""The published writer: two poses to the words that say how to go from the first to the second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings import WriterSettings
from humanrt.checks import check_count
from humanrt.errors import InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution
from humanrt.inference.model import Model
from humanrt.posefix.arguments import pose_vectors, token_ids
from humanrt.resource import releasing
from humanrt.text.opening import open_tokenizer

__all__ = ["PublishedWriter"]

Floats = NDArray[np.float32]
_MOST = 1_000_000  # tokens that may be asked for; the network's own limit is far below


class PublishedWriter(Model):
    """Opens a bundle of a published writer; `PoseCoach` is what users open.

    Words are computed one after the other with a cache of those before. The most probable word is taken each time: the
    same poses give the same words.
    """

    @releasing
    def __init__(self, bundle: Bundle, execution: Execution) -> None:
        super().__init__(bundle, "posefix", execution)
        self.settings = WriterSettings.of(self.bundle)
        self.joint_names, self.longest = self.settings.joints, self.settings.longest
        self.tokenizer = open_tokenizer(self.bundle, self.settings.words)
        self._compare = self.own(BoundGraph(self.backend, self.bundle.graph("compare")))
        self._step = self.own(BoundGraph(self.backend, self.bundle.graph("step")))
        # What was never written is multiplied by 0, which must not meet NaN.
        self._step.arrays["cache"][:] = 0
        self._begin: BoundGraph | None = None
        if self.settings.mode == "prompt":
            self._begin = self.own(BoundGraph(self.backend, self.bundle.graph("begin")))
        self._written = 0

    def logits(self, pose_a: ArrayLike, pose_b: ArrayLike, ids: Any) -> Floats:
        """Return the logits [L, words] of what follows each of the ids [L], given those before it and the poses."""
        tokens = token_ids(ids, self.settings.words, self.longest)
        self._look(pose_a, pose_b)
        return np.stack([self._next(int(token)) for token in tokens])

    def greedy(
        self, pose_a: ArrayLike, pose_b: ArrayLike, min_tokens: int = 10, max_tokens: int = 200
    ) -> tuple[NDArray[np.int64], float]:
        """Return the most probable words, one after the other, and their score.

        Args:
            pose_a, pose_b: rotations [J, 3, 3].
            min_tokens: the end is not taken before there are so many, the start included.
            max_tokens: at most so many, the start included, and at most one more than `longest`.

        Returns:
            Ids [n] from that of the start to that of the end, or until there are ``max_tokens``; and the mean over them
            of the logarithms of the probabilities with which the words were taken.
        """
        check_count(min_tokens, "min_tokens", _MOST)
        check_count(max_tokens, "max_tokens", _MOST)
        max_tokens = min(max_tokens, self.longest + 1)
        start, end = self.settings.start, self.settings.end
        self._look(pose_a, pose_b)
        ids, score = [start], 0.0
        while len(ids) < max_tokens and (len(ids) == 1 or ids[-1] != end):
            chances = _log_softmax(self._next(ids[-1]))
            allowed = chances.copy()
            if len(ids) < min_tokens:
                allowed[end] = -np.inf
            ids.append(int(allowed.argmax()))
            score += float(chances[ids[-1]])
        return np.array(ids, np.int64), score / len(ids)

    def text(self, ids: ArrayLike) -> str:
        """Return the words of ids. InvalidInputError if the bundle holds no word list."""
        if self.tokenizer is None:
            raise InvalidInputError(
                f"bundle {self.bundle.name} holds no word list; export it with --words FILE, or use `greedy`"
            )
        return self.tokenizer.decode([int(index) for index in np.asarray(ids)])

    def _look(self, pose_a: ArrayLike, pose_b: ArrayLike) -> None:
        """Compare two poses, and begin a new text about them."""
        a, b = (pose_vectors(pose, len(self.joint_names), name) for pose, name in ((pose_a, "a"), (pose_b, "b")))
        arrays = self._compare.arrays
        arrays["pose_a"][:], arrays["pose_b"][:] = a, b
        self._compare.run()
        if self._begin is None:
            self._step.arrays["constants"][:] = arrays["constants"]
        self._written = 0

    def _next(self, token: int) -> Floats:
        """Return the logits [words] of what follows one more token."""
        cache = self._step.arrays["cache"]
        if self._begin is not None and not self._written:
            arrays = self._begin.arrays
            arrays["token"][0], arrays["memory"][:] = token, self._compare.arrays["memory"]
            self._begin.run()
            cache[..., :2, :] = arrays["rows"]
            self._written = 2
        else:
            arrays = self._step.arrays
            arrays["token"][0], arrays["place"][0] = token, self._written
            self._step.run()
            cache[..., self._written, :] = arrays["row"][..., 0, :]
            self._written += 1
        logits: Floats = arrays["logits"][0].copy()
        return logits


def _log_softmax(logits: Floats) -> NDArray[np.float64]:
    exact = logits.astype(np.float64)
    shifted = exact - exact.max()
    chances: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return chances
