"""`WordEditor`: our own editor's networks, from a text to what is changed, and done to a pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import WordEditorSettings
from humanrt.editing.apply import apply
from humanrt.editing.body import Body, readings
from humanrt.editing.changes import CHANNELS, PLACES, SCALES, Edit, merged
from humanrt.editing.clauses import clauses
from humanrt.editing.plain import plain
from humanrt.editing.words import encode, objection, read_word_ids
from humanrt.errors import BundleError, InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.resource import Owner, releasing

__all__ = ["UNDERSTOOD", "WordEditor"]

Floats = NDArray[np.float32]

UNDERSTOOD = (
    "say in English what to move and where: arms, elbows, hands, legs, knees, feet, toes, trunk, shoulders or head; "
    'such as "raise your left arm a little", "bend both knees by 30 degrees", "hands on your hips", "sit lower"'
)
"""What can be said, for messages."""
_HARDLY = -3.0  # log odds; of texts that ask to stand taller they are below -5
_SHOWN = 60  # characters of a text in a message


class WordEditor(Owner):
    """Our own editor.

    Args:
        bundle: whose ``settings.model`` is ``word-editor``.
        backend: where the graphs run.

    Attributes:
        settings: of the bundle.

    Raises:
        BundleError: the bundle is of another version.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.settings = settings = WordEditorSettings.of(bundle)
        if (settings.channels, settings.places) != (CHANNELS, PLACES):
            raise BundleError(f"bundle {bundle.path} changes other things than this version does; export it again")
        self._ids = read_word_ids(bundle.path / settings.file, settings.count)
        self._text = self.own(BoundGraph(backend, bundle.graph("text")))
        self._edit = self.own(BoundGraph(backend, bundle.graph("edit")))

    @property
    def width(self) -> int:
        """Numbers of a text's vector."""
        return int(self._edit.arrays["text"].shape[-1])

    def encode(self, words: str) -> Floats:
        """Return the vector [width] of a text; vectors [n, width] of n changes that it asks for one by one.

        Raises:
            InvalidInputError: it does not ask for a change that can be made to a pose.
        """
        if why := objection(words):
            raise InvalidInputError(f"not understood: {_shown(words)}; {why}")
        whole = self._vector(words)
        if whole is None:
            raise _not_understood(words)
        said = clauses(plain(words))
        vectors = [self._vector(one) for one in said] if len(said) > 1 else []
        known = [one for one in vectors if one is not None]
        return np.stack(known) if vectors and len(known) == len(vectors) else whole

    def _vector(self, words: str) -> Floats | None:
        """Return the vector [width] of a text; None if it asks for no change of a pose."""
        text = encode(words, self._ids)
        arrays, count = self._text.arrays, min(len(text.words), self.settings.longest)
        for name, values in (("words", text.words), ("letters", text.letters), ("numbers", text.numbers)):
            arrays[name][:] = 0
            arrays[name][0, :count] = values[:count]
        arrays["present"][0] = np.arange(self.settings.longest) < max(count, 1)
        self._text.run()
        vector: Floats = arrays["vector"][0].copy()
        sure = 1 / (1 + np.exp(-float(vector[-1])))
        if not count or text.unknown > self.settings.unknown or sure < self.settings.sure:
            return None
        return vector

    def changes(self, text: Floats, rotations: NDArray[np.float64]) -> Edit:
        """Return what a text, by its vector or vectors, asks of a pose [22, 3, 3].

        Of two changes of the same channel the later one holds.
        """
        return merged([self._asked(one, rotations) for one in np.atleast_2d(text)])

    def _asked(self, text: Floats, rotations: NDArray[np.float64]) -> Edit:
        arrays = self._edit.arrays
        arrays["text"][0] = text
        arrays["seen"][0] = readings(Body(rotations))
        self._edit.run()
        way = arrays["way"][0].astype(np.float64)
        absolute = arrays["absolute"][0] > 0
        # "Sit lower" lies between "sit down" (a height) and "go lower" (a change): where it gives a height and hardly
        # thinks that it is a change, a change by so much would be upward.
        height = CHANNELS.index("height")
        absolute[height] |= arrays["value"][0, height] > 0 and arrays["absolute"][0, height] > _HARDLY
        return Edit(
            said=arrays["said"][0] > 0,
            absolute=absolute,
            value=arrays["value"][0].astype(np.float64) * SCALES,
            way=way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9),
            place=arrays["place"][0].argmax(axis=1),
            sure=float(1 / (1 + np.exp(-arrays["sure"][0]))),
        )

    def edit(self, text: Floats, rotations: NDArray[np.float64], words: str = "") -> NDArray[np.float64]:
        """Return a pose [22, 3, 3] after what a text asks for.

        Raises:
            InvalidInputError: the text asks for nothing; ``words`` are quoted.
        """
        edit = self.changes(text, rotations)
        if not edit.said.any():
            raise _not_understood(words)
        return apply(rotations, edit)


def _not_understood(words: str) -> InvalidInputError:
    return InvalidInputError(f"not understood: {_shown(words)}; {UNDERSTOOD}")


def _shown(words: str) -> str:
    shown = " ".join(words.split())
    return repr(shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "...")
