"""`OpenEncoders`: from pictures, poses and words to vectors, by our own networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import OpenEmbedderSettings
from humanrt.checks import numbers
from humanrt.editing.words import encode, read_word_ids
from humanrt.embedding.inputs import PICTURE_NUMBERS, POSE_NUMBERS, PersonReader, pose_numbers
from humanrt.embedding.words import words_of
from humanrt.errors import BundleError, InvalidInputError
from humanrt.geometry.camera import check_image
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.inference.bound_graph import BoundGraph
from humanrt.posefix.arguments import pose_vectors
from humanrt.resource import Owner, releasing

__all__ = ["OpenEncoders"]

Floats = NDArray[np.float32]

_SHOWN = 60  # characters of a text in a message
_DENIED = re.compile(
    r"\b(?:not(?! (?:bent|quite))|never|without|neither|nor|no|cannot|isnt|arent|dont|doesnt|\w+n't)\b", re.IGNORECASE
)
UNDERSTOOD = (
    "describe in English what a body looks like: arms, elbows, hands, legs, knees, feet, trunk or head; such as "
    '"the left arm is raised", "sitting with hands on the knees", "leaning forward"'
)


class OpenEncoders(Owner):
    """Our own encoders. Networks are opened when they are first needed.

    Args:
        bundle: whose ``settings.model`` is ``pose-embedder``.
        backend: where the graphs run.

    Attributes:
        settings: of the bundle.

    Raises:
        BundleError: the bundle is of another version.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.settings = settings = OpenEmbedderSettings.of(bundle)
        self._bundle, self._backend = bundle, backend
        if (settings.picture_numbers, settings.pose_numbers) != (PICTURE_NUMBERS, POSE_NUMBERS):
            raise BundleError(f"bundle {bundle.path} reads other numbers than this version makes; export it again")
        self._ids = read_word_ids(bundle.path / settings.file, settings.count)
        self._graphs: dict[str, BoundGraph] = {}
        self._reader: PersonReader | None = None

    def image(self, image: NDArray[Any], box: Sequence[float] | None) -> tuple[Floats, Floats]:
        """Return the unit vector [D] of a person's picture, and (sine, cosine) of the heading [2].

        Args:
            image: uint8 RGB [H, W, 3].
            box: (left, top, right, bottom) px; None: the whole picture.
        """
        if not isinstance(image, np.ndarray):
            raise InvalidInputError(f"image must be an array, uint8 [H, W, 3], not a {type(image).__name__}")
        try:
            check_image(image)
        except ValueError as error:
            raise InvalidInputError(f"{error}; this bundle takes no pictures made ready for a network") from None
        height, width = image.shape[:2]
        edges = np.array([0, 0, width, height], np.float64) if box is None else numbers(box, "box")
        if edges.shape != (4,) or not np.isfinite(edges).all() or not (edges[2:] > edges[:2]).all():
            raise InvalidInputError("box must be (left, top, right, bottom) px with left < right and top < bottom")
        if edges[0] >= width or edges[1] >= height or (edges[2:] <= 0).any():
            raise InvalidInputError(f"box {edges.round(1).tolist()} lies outside of the image of {width} x {height} px")
        if self._reader is None:
            landmarks = load_bundle(self.settings.landmarks, task="people")
            self._reader = self.own(PersonReader(landmarks, self._backend))
        network = self._graph("picture")
        network.arrays["numbers"][0] = self._reader(image, edges.tolist())
        network.run()
        return network.arrays["vector"][0].copy(), network.arrays["heading"][0].copy()

    def pose(self, pose: ArrayLike) -> Floats:
        """Return the unit vector [D] of a pose [22, 3, 3], the root's to a level camera (y down); or axis-angle."""
        rotations = matrices_from_vectors(pose_vectors(pose, len(self.settings.joints))[0])
        vector: Floats = self.described(pose_numbers(rotations)[None])[0]
        return vector

    def described(self, descriptors: Floats) -> Floats:
        """Return unit vectors [N, D] of descriptors [N, F] of poses (`humanrt.geometry.pose_descriptor`)."""
        network, size = self._graph("pose"), self.settings.poses
        found = np.empty((len(descriptors), self.settings.width), np.float32)
        for first in range(0, len(descriptors), size):
            some = descriptors[first : first + size]
            network.arrays["numbers"][: len(some)] = some
            network.run()
            found[first : first + size] = network.arrays["vectors"][: len(some)]
        return found

    def text(self, text: str | None) -> Floats:
        """Return the unit vector [D] of words.

        Raises:
            InvalidInputError: nothing in them is known, or they say what is not so.
        """
        if not isinstance(text, str):
            raise InvalidInputError(
                f"text must be words, not {type(text).__name__}; token_ids are of published bundles"
            )
        if _DENIED.search(text.replace("\u2019", "'")):
            raise InvalidInputError(f"not understood: {_shown(text)}; it says what is not so, so say what is")
        encoded = encode(words_of(text), self._ids)
        network, count = self._graph("text"), min(len(encoded.words), self.settings.longest)
        if not count or encoded.unknown > self.settings.unknown:
            raise InvalidInputError(f"not understood: {_shown(text)}; {UNDERSTOOD}")
        arrays = network.arrays
        for name, values in (("words", encoded.words), ("letters", encoded.letters)):
            arrays[name][:] = 0
            arrays[name][0, :count] = values[:count]
        arrays["present"][0] = np.arange(self.settings.longest) < count
        network.run()
        return np.asarray(arrays["vector"][0].copy())

    def _graph(self, name: str) -> BoundGraph:
        if name not in self._graphs:
            self._graphs[name] = self.own(BoundGraph(self._backend, self._bundle.graph(name)))
        return self._graphs[name]


def _shown(words: str) -> str:
    shown = " ".join(words.split())
    return repr(shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "...")
