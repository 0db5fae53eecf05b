"""`PoseEmbedder`: any subset of a picture, a pose and words as one embedding, and what can be read from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import MODALITIES, OPEN_EMBEDDER, PoseEmbroiderSettings, poseembroider_model
from humanrt.checks import check_count, check_points, check_shapes, numbers
from humanrt.embedding.open_encoders import OpenEncoders
from humanrt.embedding.picture import network_picture
from humanrt.errors import HumanrtError, InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.posefix.arguments import pose_vectors
from humanrt.posefix.arguments import token_ids as checked_ids
from humanrt.posefix.text_encoder import TextEncoder
from humanrt.resource import releasing
from humanrt.text.opening import Tokenizer, open_tokenizer

__all__ = ["Embedding", "PoseEmbedder", "UntrainedCombinationWarning"]

Floats = NDArray[np.float32]
_LONGEST_IDS = 1 << 20


class UntrainedCombinationWarning(UserWarning):
    """More kinds of input were combined than the training of a bundle's core ever combined."""


@dataclass(frozen=True)
class Embedding:
    """What was given, as one embedding.

    Attributes:
        token: [D] float32, not normalised; what `PoseEmbedder.regress` and `PoseEmbedder.instruct` read.
        predicted: "image", "pose" and "text" -> unit vector [D]: what to compare `PoseEmbedder.encode_image`,
            `encode_pose` and `encode_text` with (by the dot product) to find pictures, poses and words that fit.
        given: names of what was given.
    """

    token: Floats
    predicted: Mapping[str, Floats]
    given: tuple[str, ...]

    def __post_init__(self) -> None:
        check_shapes(self, token="float32 D")


class PoseEmbedder(Model):
    """Embed a picture, a pose, words, or any subset of them.

    >>> embedder = PoseEmbedder()                               # or a bundle of `humanrt-export poseembroider`
    >>> e = embedder.embed(image=crop, text="the left arm is raised")
    >>> scores = poses @ e.predicted["pose"]                    # poses [N, D]: `encode_pose` of each

    The embedder that ships takes SMPL's 22 body joints as people have them, the root's rotation to a level camera (y
    down), and takes the heading out itself. With a bundle of published files, poses are in the axes and with the joints
    of those files, nothing turned or normalised (docs/use/poseembroider.md). Networks are opened when they are first
    needed. Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``poseembroider``, or a loaded one. None: the one that ships.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        modalities: what the bundle has encoders of, of "image", "pose", "text".
        width: D, numbers of an embedding.
        joint_names: of a pose; empty without an encoder of poses.
        body_joint_names: of the rotations that `regress` gives; empty without that head.
        image_size: (height, width) px of the network's picture; (0, 0) for the embedder that ships, which looks at a
            person in a picture of any size.
        open: whether it is of the kind that ships.
        together: how many modalities the training combined at most; `embed` warns beyond.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = (
        "encode_image", "encode_pose", "encode_text", "encode_descriptors", "heading", "embed", "fuse", "regress",
        "instruct", "instruction_logits", "memory", "words",
    )  # fmt: skip

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path | None = None,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        execution_ = Execution.of(backend, execution)
        super().__init__(OPEN_EMBEDDER if bundle is None else bundle, "poseembroider", execution_)
        self._opened: dict[str, BoundGraph] = {}
        self._ours: OpenEncoders | None = None
        self._texts: TextEncoder | None = None
        self._tokenizer: Tokenizer | None = None
        self._settings: PoseEmbroiderSettings | None = None
        self.open = poseembroider_model(self.bundle) == OPEN_EMBEDDER
        if self.open:
            self._ours = self.own(OpenEncoders(self.bundle, self.backend))
            ours = self._ours.settings
            self.modalities: tuple[str, ...] = MODALITIES
            self.width, self.together = ours.width, len(MODALITIES)
            self.joint_names, self.body_joint_names, self.image_size = ours.joints, ours.body_joints, (0, 0)
            self._core = self._graph("core")
            return
        self._settings = settings = PoseEmbroiderSettings.of(self.bundle)
        self.modalities, self.width, self.together = settings.modalities, settings.width, settings.together
        self.joint_names, self.body_joint_names = settings.joints, settings.body_joints
        self.image_size = settings.image_size
        self._tokenizer = open_tokenizer(self.bundle)
        self._texts = self.own(TextEncoder(self.bundle, settings.text, self.backend)) if settings.text else None
        self._core = self._graph("core")

    # ----------------------------------------------------------------------------------------- encoders

    def encode_image(self, image: NDArray[Any], box: Sequence[float] | None = None) -> Floats:
        """Return the unit vector [D] of a person's picture.

        Args:
            image: uint8 RGB [H, W, 3]; or, of published bundles, float32 [3, H, W] of `image_size` in 0..1.
            box: (left, top, right, bottom) px, tight around the person; None: the whole picture is that person's.

        Raises:
            InvalidInputError: another kind of picture, or a box that is outside of it.
        """
        if self._ours is not None:
            return self._ours.image(image, box)[0]
        self._need("image")
        network = self._graph("image")
        network.arrays["image"][0] = network_picture(image, self.image_size, box)
        return self._embedding(network)

    def encode_pose(self, pose: ArrayLike) -> Floats:
        """Return the unit vector [D] of a pose.

        Args:
            pose: rotations [J, 3, 3] of `joint_names`, each against its parent's, or axis-angle [J, 3] rad.

        Raises:
            InvalidInputError: another number of joints, or matrices that are no rotations.
        """
        if self._ours is not None:
            return self._ours.pose(pose)
        self._need("pose")
        network = self._graph("pose")
        network.arrays["axis_angle"][...] = pose_vectors(pose, len(self.joint_names))
        return self._embedding(network)

    def encode_text(self, text: str | None = None, token_ids: ArrayLike | None = None) -> Floats:
        """Return the unit vector [D] of words.

        Args:
            text: words; the bundle must hold its tokenizer's list.
            token_ids: [L] in place of words, marks of start and end included; padding at the end is left out.

        Raises:
            InvalidInputError: neither or both are given, a text that is too long, or ids that do not exist.
        """
        if self._ours is not None:
            if token_ids is not None:
                raise InvalidInputError("token_ids are of published bundles; give text")
            return self._ours.text(text)
        if self._texts is None:
            raise self._without("text")
        if token_ids is not None:
            ids = self._known_ids(token_ids)
            # The mark of the start is never padding, so something is left of any text.
            assert self._settings is not None
            token_ids = ids[: int(np.flatnonzero(ids != self._settings.padding).max(initial=0)) + 1]
        elif text is not None and self._tokenizer is None:
            raise InvalidInputError(self._without_list("reads no words"))
        return self._texts.encode(text, token_ids)

    def encode_descriptors(self, descriptors: ArrayLike) -> Floats:
        """Return the unit vectors [N, D] of descriptors [N, 57] of poses, which an index without an embedder holds.

        Of the embedder that ships: it reads of a pose what `humanrt.geometry.pose_descriptor.describe` returns.

        Raises:
            InvalidInputError: another shape, or numbers that are not finite.
            HumanrtError: of a published bundle.
        """
        if self._ours is None:
            raise HumanrtError(f"bundle {self.bundle.path} reads rotations, not descriptors; use encode_pose")
        array = np.asarray(numbers(descriptors, "descriptors"), np.float32)
        if array.ndim != 2 or array.shape[1] != self._ours.settings.pose_numbers or not np.isfinite(array).all():
            raise InvalidInputError(
                f"descriptors must be [N, {self._ours.settings.pose_numbers}] finite numbers, not {list(array.shape)}"
            )
        return self._ours.described(array)

    def heading(self, image: NDArray[Any], box: Sequence[float] | None = None) -> float:
        """Return which way a person in a picture faces, degrees: 0 to the camera, 90 to the picture's right.

        Of the embedder that ships: its embeddings have no heading, so that poses are found from all sides.

        Args:
            image, box: as for `encode_image`.
        """
        if self._ours is None:
            raise HumanrtError(f"bundle {self.bundle.path} does not know the heading; use the embedder that ships")
        sine, cosine = self._ours.image(image, box)[1].tolist()
        return float(np.degrees(np.arctan2(sine, cosine)))

    # ----------------------------------------------------------------------------------------- the token

    def embed(
        self,
        pose: ArrayLike | None = None,
        image: NDArray[Any] | None = None,
        text: str | None = None,
        token_ids: ArrayLike | None = None,
        *,
        box: Sequence[float] | None = None,
    ) -> Embedding:
        """Embed what is given: see `encode_pose`, `encode_image` (``image``, ``box``), `encode_text` (the others).

        Warns with `UntrainedCombinationWarning` if the training never combined so many: the result is computed all the
        same; measure it on your own data before relying on it.
        """
        if box is not None and image is None:
            raise InvalidInputError("box belongs to an image; give both, or neither")
        return self.fuse(
            image=None if image is None else self.encode_image(image, box),
            pose=None if pose is None else self.encode_pose(pose),
            text=None if text is None and token_ids is None else self.encode_text(text, token_ids),
        )

    def fuse(
        self, *, image: ArrayLike | None = None, pose: ArrayLike | None = None, text: ArrayLike | None = None
    ) -> Embedding:
        """Embed what the encoders gave before, unit vectors [D]: encoders are slow, and this is not."""
        vectors = {name: v for name, v in zip(MODALITIES, (image, pose, text), strict=True) if v is not None}
        if not vectors:
            raise InvalidInputError("nothing is given to embed; give at least one of: image, pose, text")
        arrays = self._core.arrays
        arrays["embeddings"][0] = 0
        for name, values in vectors.items():
            arrays["embeddings"][0, MODALITIES.index(name)] = self._checked(values, name)
        arrays["given"][0] = [name in vectors for name in MODALITIES]
        if len(vectors) > self.together:
            warnings.warn(
                f"{len(vectors)} kinds of input are combined, and the training of bundle {self.bundle.name} never "
                f"combined more than {self.together}: nobody has measured what comes out; leave one out, or measure it",
                UntrainedCombinationWarning,
                stacklevel=2,
            )
        self._core.run()
        predicted = {name: arrays["predicted"][0, index].copy() for index, name in enumerate(MODALITIES)}
        return Embedding(arrays["token"][0].copy(), predicted, tuple(vectors))

    # ----------------------------------------------------------------------------------------- heads

    def regress(self, token: ArrayLike) -> tuple[Floats, Floats]:
        """Return the body of a token: rotations [J, 3, 3] of `body_joint_names`, and shape [S].

        The body is in the frame of the training's poses: without position, camera or true heading. The shape means
        something only if a picture was given.

        Args:
            token: [D], `Embedding.token`.
        """
        network = self._head("body", "hpsestimator")
        network.arrays["token"][0] = self._checked(token, "token")
        network.run()
        arrays = network.arrays
        shape: Floats = arrays["shape"][0].copy() if "shape" in arrays else np.zeros(0, np.float32)
        return arrays["rotations"][0].copy(), shape

    def instruct(
        self, token_a: ArrayLike, token_b: ArrayLike, *, min_tokens: int = 10, max_tokens: int | None = None
    ) -> list[int]:
        """Return ids of the words that say how to go from A to B, from the mark of the start on; see `words`.

        The most probable word is taken at every step, until the mark of the end, which is written too.

        Args:
            token_a, token_b: [D], `Embedding.token`.
            min_tokens: the end is not written before there are as many.
            max_tokens: the text ends there at the latest. None: the longest that the bundle allows.
        """
        longest = self._limit(max_tokens)
        assert self._settings is not None  # `_limit`
        start, end = self._settings.start, self._settings.end
        check_count(min_tokens, "min_tokens", self._settings.longest)
        write = self._compared(token_a, token_b)
        ids = [start]
        while len(ids) < longest and (ids[-1] != end or len(ids) == 1):
            logits = self._next(write, ids[-1], len(ids) - 1)
            if len(ids) < min_tokens:
                logits[end] = -np.inf
            ids.append(int(logits.argmax()))
        return ids

    def instruction_logits(self, token_a: ArrayLike, token_b: ArrayLike, token_ids: ArrayLike) -> Floats:
        """Return logits [L, words]: row i is of the word behind ``token_ids[: i + 1]`` [L]."""
        write = self._compared(token_a, token_b)
        ids = self._known_ids(token_ids)
        assert self._settings is not None  # `_compared`
        if len(ids) > self._settings.longest:
            raise InvalidInputError(f"{len(ids)} tokens are more than the {self._settings.longest} of the longest text")
        return np.stack([self._next(write, word, place) for place, word in enumerate(ids.tolist())])

    def memory(self, token_a: ArrayLike, token_b: ArrayLike) -> Floats:
        """Return the vector [W] that instructions from A to B are written from."""
        self._compared(token_a, token_b)
        memory: Floats = self._graph("compare").arrays["memory"][0, 0].copy()
        return memory

    def words(self, token_ids: ArrayLike) -> str:
        """Return the text of ids. InvalidInputError if the bundle holds no tokenizer's list."""
        if self._tokenizer is None:
            raise InvalidInputError(self._without_list("turns no ids into words"))
        return self._tokenizer.decode(self._known_ids(token_ids).tolist())

    # ----------------------------------------------------------------------------------------- parts

    def _graph(self, name: str) -> BoundGraph:
        if name not in self._opened:
            self._opened[name] = self.own(BoundGraph(self.backend, self.bundle.graph(name)))
        return self._opened[name]

    def _head(self, graph: str, file: str) -> BoundGraph:
        if graph not in self.bundle.graphs:
            if self.open:
                raise HumanrtError(
                    "the embedder that ships writes no instructions; `humanrt coach A.jpg --reference B.jpg` has them "
                    "from two pictures, PoseCoach from two poses"
                )
            raise HumanrtError(
                f"bundle {self.bundle.path} has no such head; export it again with the file {file}_... too"
            )
        return self._graph(graph)

    def _need(self, modality: str) -> None:
        if modality not in self.modalities:
            raise self._without(modality)

    def _without(self, modality: str) -> HumanrtError:
        return HumanrtError(
            f"bundle {self.bundle.path} has no encoder of {modality}; it has: "
            f"{', '.join(self.modalities) or 'none'}; export it again with that encoder's file too"
        )

    @staticmethod
    def _embedding(network: BoundGraph) -> Floats:
        network.run()
        vector: Floats = network.arrays["vector"][0].copy()
        return vector

    def _checked(self, values: ArrayLike, name: str) -> NDArray[np.float64]:
        vector = numbers(values, name)
        if vector.shape != (self.width,):
            raise InvalidInputError(f"{name} must be [{self.width}] numbers, not {list(vector.shape)}")
        check_points(vector, name)
        return vector

    def _known_ids(self, token_ids: ArrayLike) -> NDArray[np.int64]:
        return checked_ids(token_ids, 0 if self._settings is None else self._settings.words, _LONGEST_IDS)

    def _without_list(self, what: str) -> str:
        return (
            f"bundle {self.bundle.path} {what}: it holds no tokenizer's list; export it with --tokenizer VOCAB.txt, or "
            "use ids of tokens"
        )

    def _limit(self, max_tokens: int | None) -> int:
        self._head("write", "instructgen")
        assert self._settings is not None  # bundles of ours have no such graph
        longest = self._settings.longest
        if max_tokens is not None:
            check_count(max_tokens, "max_tokens", longest)
        return longest if max_tokens is None else max_tokens

    def _compared(self, token_a: ArrayLike, token_b: ArrayLike) -> BoundGraph:
        """Compare two tokens; returns the network that writes, ready for its first word."""
        write, compare = self._head("write", "instructgen"), self._graph("compare")
        compare.arrays["token_a"][0] = self._checked(token_a, "token_a")
        compare.arrays["token_b"][0] = self._checked(token_b, "token_b")
        compare.run()
        write.arrays["cache"][...] = 0  # what was never written is multiplied by 0, which must not meet NaN
        write.arrays["constants"][...] = compare.arrays["constants"]
        return write

    @staticmethod
    def _next(write: BoundGraph, word: int, place: int) -> Floats:
        """Return the logits [words] of the word behind ``word``, which stands at ``place``."""
        arrays = write.arrays
        arrays["token"][0], arrays["place"][0] = word, place
        write.run()
        arrays["cache"][..., place : place + 1, :] = arrays["row"]
        logits: Floats = arrays["logits"][0].copy()
        return logits
