"""What a person wears, chosen at random so that it makes sense: `draw_attire`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.synthetic.garments.wardrobe import Piece, Wardrobe

__all__ = ["Attire", "draw_attire"]

_GENDER = [phenotype.name for phenotype in PHENOTYPES].index("gender")
_OTHER = 0.35  # chance that a woman's piece, upper and lower each, is drawn from women's and men's alike
_WHOLE = 0.12  # fraction of people in one piece, where there is one for them
_SHOES, _HAT = 0.9, 0.05
_HAIR = {"female": 0.95, "male": 0.75}  # of those without a hat; the others have the painted cap, or none
_WIDE = {"upper": (0.002, 0.012), "whole": (0.002, 0.012), "lower": (0.0, 0.006)}  # m, wider than the piece was made


@dataclass(frozen=True)
class Attire:
    """What a person wears; P pieces.

    Attributes:
        pieces: the pieces.
        loose: [P] m, by how much each is wider than it was made.
    """

    pieces: tuple[Piece, ...]
    loose: tuple[float, ...]


def draw_attire(generator: np.random.Generator, wardrobe: Wardrobe, phenotypes: NDArray[np.float32]) -> Attire:
    """Sample what a person wears: upper and lower or one piece for both, usually shoes and hair, seldom a hat.

    Args:
        generator: source of all randomness.
        wardrobe: the pieces to choose from.
        phenotypes: [6]; who is rather female wears pieces for women, sometimes for men.
    """
    sex = "female" if phenotypes[_GENDER] > 0.5 else "male"
    chosen: list[Piece] = []

    def add(pieces: Sequence[Piece]) -> None:
        number = int(generator.integers(max(len(pieces), 1)))
        if pieces:
            chosen.append(pieces[number])

    def some(kind: str) -> list[Piece]:
        other = generator.uniform() < _OTHER
        return wardrobe.of(kind, "" if sex == "female" and other else sex)  # type: ignore[arg-type]

    if generator.uniform() < _WHOLE and wardrobe.of("whole", sex):
        add(wardrobe.of("whole", sex))
        # What was made to be worn under it: the shirt of an overall.
        chosen += [piece for piece in wardrobe.of("upper") if piece.garment.name == chosen[-1].garment.name]
    else:
        add(some("lower"))
        add(some("upper"))
    if generator.uniform() < _SHOES:
        add(wardrobe.of("shoes"))
    if generator.uniform() < _HAT:
        add(wardrobe.of("hat"))
    elif generator.uniform() < _HAIR[sex]:
        add(wardrobe.of("hair", sex))
    loose = [float(generator.uniform(*_WIDE.get(piece.kind, (0.0, 0.0)))) for piece in chosen]
    return Attire(tuple(chosen), tuple(loose))
