"""Results for the people in one image: `People`, as arrays; `Person`, one with an identity; `Forecast`, their next."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes

__all__ = ["Forecast", "People", "Person"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class People:
    """The people in one image, highest score first. If there are none, N is 0 and all other sizes are unchanged.

    Pixels: of the source image (of the network's input, from `MultiHMR.infer`), origin at its top left corner. Metres:
    camera space, x right, y down, z forward.

    Attributes:
        scores: [N] 0..1.
        locations: [N, 2] px, the head as the network saw it.
        translations: [N, 3] m, the head joint.
        rotations: [N, R, 3, 3]: the root's relative to the camera, all others to their parent joint.
        shape: [N, S] shape coefficients of the body model.
        expression: [N, E] expression coefficients; E is 0 where the body model has none.
        intrinsics: [3, 3] px, the camera that all results refer to: the user's, or the assumed one.
        vertices: [N, V, 3] m, or None where meshes were not asked for.
        joints: [N, J, 3] m, or None likewise.
        joints_2d: [N, J, 2] px, `joints` in the image, or None likewise. Meaningless where the joint's z is not
            above 0: it is behind the camera.
        unconfirmed: [N] bool: people whom the landmark network does not confirm, with the body that the single-shot
            network sees (`humanrt.people.unconfirmed`); None where there is no such difference.
        ms: milliseconds by stage (`humanrt.timing.Stage`): of `MultiHMR` ``preprocess`` (images that it letterboxes
            itself), ``network``, ``body`` (if meshes were computed), ``decode``; of `LandmarkPeople` ``landmarks``,
            ``detect`` (where the detector ran), ``smooth`` (PoseBERT, or inverse kinematics), ``body``, ``decode``.
    """

    scores: Floats
    locations: Floats
    translations: Floats
    rotations: Floats
    shape: Floats
    expression: Floats
    intrinsics: NDArray[np.float64]
    vertices: Floats | None = None
    joints: Floats | None = None
    joints_2d: Floats | None = None
    unconfirmed: NDArray[np.bool_] | None = None
    ms: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shapes(
            self,
            scores="float32 N",
            locations="float32 N 2",
            translations="float32 N 3",
            rotations="float32 N R 3 3",
            shape="float32 N S",
            expression="float32 N E",
            intrinsics="float64 3 3",
            vertices="float32 N V 3",
            joints="float32 N J 3",
            joints_2d="float32 N J 2",
            unconfirmed="bool N",
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        scores = ", ".join(f"{score:.2f}" for score in self.scores)
        meshes = "no meshes" if self.vertices is None else f"{self.vertices.shape[1]} vertices each"
        return f"<{len(self)} people{f' ({scores})' if scores else ''}, {meshes}>"

    def chosen(self, mask: NDArray[np.bool_]) -> People:
        """Return some of the people, in their order: those of ``mask`` [N]."""
        names = [one.name for one in fields(self) if one.name not in ("intrinsics", "ms")]
        rows: dict[str, Any] = {name: value[mask] for name in names if (value := getattr(self, name)) is not None}
        return replace(self, **rows)

    def person(self, index: int, id: int, *, filled: bool = False) -> Person:
        """Return one of the people, with the identity that a tracker assigned."""

        def row(array: Floats | None) -> Floats | None:
            return None if array is None else array[index]

        return Person(
            id,
            float(self.scores[index]),
            self.locations[index],
            self.translations[index],
            self.rotations[index],
            self.shape[index],
            self.expression[index],
            row(self.joints),
            row(self.joints_2d),
            row(self.vertices),
            filled,
            self.unconfirmed is not None and bool(self.unconfirmed[index]),
        )


@dataclass(frozen=True)
class Person:
    """One person in one frame, as `humanrt.Hand` is one hand. Arrays are views of those of `People`, without N.

    Attributes:
        id: identity, from 1; never reused within a tracker's life.
        score: 0..1.
        head_2d: [2] px, the head as the network saw it.
        translation: [3] m, the head joint.
        rotations: [R, 3, 3]: the root's relative to the camera, all others to their parent joint.
        shape: [S] shape coefficients of the body model.
        expression: [E] expression coefficients.
        joints: [J, 3] m, or None where meshes were not asked for.
        joints_2d: [J, 2] px, or None likewise.
        vertices: [V, 3] m, or None likewise.
        filled: the person was not found in this frame; their pose is filled in.
        unconfirmed: see `People.unconfirmed`.
    """

    id: int
    score: float
    head_2d: Floats = field(repr=False)
    translation: Floats = field(repr=False)
    rotations: Floats = field(repr=False)
    shape: Floats = field(repr=False)
    expression: Floats = field(repr=False)
    joints: Floats | None = field(default=None, repr=False)
    joints_2d: Floats | None = field(default=None, repr=False)
    vertices: Floats | None = field(default=None, repr=False)
    filled: bool = False
    unconfirmed: bool = False


@dataclass(frozen=True)
class Forecast:
    """What a person may do next, several times.

    Attributes:
        id: identity of the person.
        t: s, time of the frame from which it is made, on the source's clock.
        seconds: times after that frame.
        joints: [S, T, 22, 3] m, camera space: S samples, the joints of `SMPLX_BODY` at each of the T times.
    """

    id: int
    t: float
    seconds: tuple[float, ...]
    joints: Floats = field(repr=False)

    def __post_init__(self) -> None:
        check_shapes(self, joints="float32 S T 22 3")

    def record(self) -> dict[str, Any]:
        """Return it as a recording holds it."""
        return {"id": self.id, "t": self.t, "seconds": list(self.seconds), "joints_3d": self.joints}
