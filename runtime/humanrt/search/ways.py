"""Ways from a pose to the vector that an index holds: our own descriptor, or a bundle's embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt.embedding.embedder import PoseEmbedder
from humanrt.errors import HumanrtError
from humanrt.files import file_sha256
from humanrt.resource import Owner, releasing
from humanrt.search.coarse import COARSE
from humanrt.search.descriptor import GROUPS, NAME, describe
from humanrt.search.embedded import EmbeddedSpace, kept_embeddings
from humanrt.search.frame import training_frame
from humanrt.search.nearest import Space, VectorSpace
from humanrt.search.store import PoseIndex

__all__ = ["Embedded", "Points", "Way", "Worded", "name_of"]

Floats = NDArray[np.float32]


def _quiet(_: str) -> None:
    """Say nothing."""


class Way(Protocol):
    """From poses to vectors.

    Attributes:
        name: an index says by which it was made.
        groups: [D] of the vectors' numbers, see `humanrt.search.coarse`.
    """

    @property
    def name(self) -> str: ...
    @property
    def groups(self) -> Sequence[int]: ...
    def describe(self, poses: NDArray[Any]) -> Floats:
        """Return vectors [N, D] of poses [N, 22, 3, 3] of SMPL's body joints, the root's to the camera."""
        ...

    def space(self, index: PoseIndex, query: Floats, say: Callable[[str], object] = _quiet) -> Space:
        """Return how far an index's poses are from a query; ``say`` is called with a line if that takes a while."""
        ...

    def score(self, distance: float) -> float:
        """Return how good a distance is, 1 for the best."""
        ...


class Points:
    """`humanrt.search.descriptor`: needs no weights."""

    name = NAME
    groups: Sequence[int] = GROUPS

    def describe(self, poses: NDArray[Any]) -> Floats:
        return describe(poses)

    def space(self, index: PoseIndex, query: Floats, say: Callable[[str], object] = _quiet) -> Space:
        return VectorSpace(index, query)

    def score(self, distance: float) -> float:
        return 1 / (1 + distance / 0.1)


def name_of(bundle: Path) -> str:
    """Return the name of the way of a bundle, by its folder."""
    return f"poseembroider:{file_sha256(bundle / 'manifest.json')[:16]}"


class Embedded(Owner):
    """The embeddings of poses by a bundle: an index of them is searched by words and pictures too.

    Args:
        bundle: name or folder of a bundle for the task ``poseembroider``.

    Attributes:
        embedder: the open bundle.

    Raises:
        HumanrtError: the bundle has no encoder of poses, or one of other poses than SMPL-X's 22 joints.
    """

    NEEDS_OPEN = ("describe", "query", "space")

    @releasing
    def __init__(self, bundle: str | Path) -> None:
        self.embedder = self.own(PoseEmbedder(bundle))
        path = self.embedder.bundle.path
        if len(self.embedder.joint_names) != 22:
            raise HumanrtError(
                f"bundle {path} has no encoder of poses of 22 joints; export it again with the file posevae_... too"
            )
        self.name = name_of(path)
        width = self.embedder.width
        self.groups: Sequence[int] = tuple(place * (COARSE - 1) // width for place in range(width))

    def describe(self, poses: NDArray[Any]) -> Floats:
        if self.embedder.open:
            return self.embedder.encode_descriptors(describe(poses).reshape(-1, len(GROUPS)))
        return np.stack([self.embedder.encode_pose(pose) for pose in training_frame(poses)])

    def space(self, index: PoseIndex, query: Floats, say: Callable[[str], object] = _quiet) -> Space:
        return VectorSpace(index, query)

    def score(self, distance: float) -> float:
        return 1 - distance**2 / 2  # of unit vectors: their product

    def query(
        self,
        pose: NDArray[Any] | None = None,
        image: NDArray[Any] | None = None,
        words: str | None = None,
        box: Sequence[float] | None = None,
    ) -> Floats:
        """Return what to look for: the space of poses as it is seen from any subset of the three.

        Args:
            pose: [22, 3, 3], as for `describe`.
            image: uint8 RGB [H, W, 3].
            words: a description.
            box: (left, top, right, bottom) px, tight around the person in ``image``; None: it is that person's picture.
        """
        turned = pose if pose is None or self.embedder.open else training_frame(pose)
        return self.embedder.embed(pose=turned, image=image, text=words, box=box).predicted["pose"]


class Worded(Embedded):
    """An index of `Points` searched by words and pictures: its descriptors are embedded once, and kept beside it.

    Args:
        bundle: name or folder of an embedder of the kind that ships.

    Raises:
        HumanrtError: the bundle reads rotations, which such an index does not hold.
    """

    @releasing
    def __init__(self, bundle: str | Path) -> None:
        super().__init__(bundle)
        if not self.embedder.open:
            raise HumanrtError(
                f"an index made without --embedder holds `{NAME}`, which bundle {self.embedder.bundle.path} does not "
                "read; make another index with that embedder, or search without it, by the embedder that ships"
            )
        self._of, self.name, self.groups = self.name, NAME, GROUPS

    def describe(self, poses: NDArray[Any]) -> Floats:
        return describe(poses)

    def space(self, index: PoseIndex, query: Floats, say: Callable[[str], object] = _quiet) -> Space:
        width, encode = self.embedder.width, self.embedder.encode_descriptors
        return EmbeddedSpace(kept_embeddings(index, self._of, width, encode, say), query)
