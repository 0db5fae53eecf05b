"""Dressed people of known pose: Anny bodies with painted garments, skin and hair, and MediaPipe's landmarks.

Units: metres. Pose is given as rotations of SMPL's 24 joints (`humanrt.geometry.skeleton`), root to the camera's axes
(x right, y down, z forward). Needs torch, and Anny's arrays in humanrt's cache
(`humanrt_export.bodies.anny.model.load_anny`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, world_rotations
from humanrt.people.body_points import STATURE, LandmarkPoints
from humanrt_export.bodies.anny.body import AnnyBody, Rest
from humanrt_export.bodies.anny.model import load_anny

__all__ = [
    "CHILDREN",
    "GARMENTS",
    "BodyModel",
    "Outfit",
    "Person",
    "Posed",
    "load_body",
    "sample_phenotypes",
    "vertex_normals",
]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

GARMENTS = ("skin", "shirt", "trousers", "shoes", "hair")
"""Materials of vertices: `Person.garments` holds indices into this list."""

# Human3.6M's `neck` (the nose) and `head` (its top): m from the head joint in the T-pose (x left, y up, z front), of
# somebody of `STATURE`.
_H36M_HEAD = ((0.0, 0.01, 0.10), (0.0, 0.155, 0.02))

_SMPL_BONES = {
    "pelvis": "root",
    "hip": "upperleg01",
    "spine1": "spine04",
    "knee": "lowerleg01",
    "spine2": "spine02",
    "ankle": "foot",
    "spine3": "spine01",
    "foot": "toe2-1",
    "neck": "neck01",
    "collar": "clavicle",
    "head": "head",
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "hand": "finger3-1",
}


def _bone(joint: str) -> str:
    side, _, name = joint.partition("_")
    return f"{_SMPL_BONES[name]}.{side[0].upper()}" if name else _SMPL_BONES[side]


_SMPL_JOINTS = tuple(_bone(joint) for joint in SMPL_24)


@dataclass(frozen=True)
class Outfit:
    """Clothes, skin and hair of a person: albedos (linear RGB) and lengths.

    Attributes:
        skin, hair, shoes: [3].
        shirt, trousers: [3].
        stripe: [3], the shirt's second colour.
        stripes: period of the stripes, m; 0: none.
        sleeves: 0 none, 1 short, 2 long.
        legs: 0 shorts, 1 long.
        loose: distance of garments from the skin, m.
        hair_length: 0 bald, 1 short, 2 long.
        folds: variation of that distance, 0..1.
    """

    skin: Array
    hair: Array
    shoes: Array
    shirt: Array
    trousers: Array
    stripe: Array
    stripes: float
    sleeves: int
    legs: int
    loose: float
    hair_length: int
    folds: float = 0.0

    @classmethod
    def sample(cls, generator: np.random.Generator, skin: Array) -> Outfit:
        """Sample random clothes for a skin colour."""

        def cloth() -> Array:
            value = generator.uniform(0.02, 0.55)
            tint = 1 + generator.uniform(0, 0.9) * generator.uniform(-1, 1, 3)
            return np.asarray((value * tint).clip(0.01, 0.75))

        hairs = np.array([(0.012, 0.009, 0.007), (0.05, 0.026, 0.013), (0.16, 0.085, 0.035), (0.32, 0.3, 0.28)])
        return cls(
            skin=skin,
            hair=hairs[generator.integers(len(hairs))] * generator.uniform(0.7, 1.4),
            shoes=cloth() * generator.choice([0.3, 1.0]),
            shirt=cloth(),
            trousers=cloth() * 0.7,
            stripe=cloth(),
            stripes=float(generator.choice([0.0, 0.0, generator.uniform(0.03, 0.12)])),
            sleeves=int(generator.choice([0, 1, 1, 2, 2])),
            legs=int(generator.choice([0, 1, 1])),
            loose=float(generator.uniform(0.004, 0.016)),
            hair_length=int(generator.choice([0, 1, 1, 1, 2, 2])),
        )


CHILDREN = (0.25, 0.2)
"""Arguments of `sample_phenotypes` for bodies of every size: fraction of children, and the youngest one's age."""


def sample_phenotypes(
    generator: np.random.Generator, children: float = 0.1, youngest: float = 0.3
) -> NDArray[np.float32]:
    """Sample phenotypes [6] (`humanrt_export.bodies.anny.phenotypes`): mostly adults, some children, all builds.

    Args:
        generator: source of all randomness.
        children: fraction of children, 0..1; youngest: minimum of their phenotype ``age``.
    """
    age = generator.uniform(youngest, 0.5) if generator.uniform() < children else generator.uniform(0.55, 0.95)
    gender = generator.uniform(0, 0.25) if generator.uniform() < 0.5 else generator.uniform(0.75, 1)
    muscle, weight = generator.uniform(0.25, 0.8, 2)
    height = np.clip(generator.normal(0.36, 0.07), 0.2, 0.52)  # adults of 1.5 to 1.9 m
    return np.array([gender, age, muscle, weight, height, generator.uniform(0.1, 0.7)], np.float32)


@dataclass(frozen=True)
class Person:
    """A dressed person in the rest pose.

    Attributes:
        phenotypes: [6].
        rest: of `AnnyBody`.
        colours: [V, 3] linear albedo.
        garments: uint8 [V], indices into `GARMENTS`.
        stature: m.
    """

    phenotypes: Floats
    rest: Rest
    colours: Floats
    garments: NDArray[np.uint8]
    stature: float


@dataclass(frozen=True)
class Posed:
    """A person at T instants, in camera axes, metres.

    Attributes:
        vertices: [T, V, 3].
        joints: [T, J, 3] of `BodyModel.joint_names`.
        landmarks: [T, 33, 3] MediaPipe's landmarks.
        h36m: [T, 17, 3] joints of Human3.6M.
    """

    vertices: Floats
    joints: Floats
    landmarks: Array
    h36m: Array


class BodyModel:
    """Creates and poses people.

    Attributes:
        body: the body model used for posing.
        faces: int32 [F, 3].
        joint_names: of `AnnyData`.
        points: the landmarks.
    """

    def __init__(self, topology: str = "full") -> None:
        self._data = load_anny(topology)
        self.body = AnnyBody(self._data).eval()
        self.faces: NDArray[np.int32] = self._data.faces
        self.joint_names = self._data.joint_names
        self._index = {name: index for index, name in enumerate(self.joint_names)}
        main = [self._data.names[k].split(".")[0] for k in self._data.weights.argmax(axis=1)]
        self._main = np.array(main)
        self._triangles = torch.from_numpy(self.faces.astype(np.int64))
        self._moved: dict[tuple[str, ...], NDArray[np.bool_]] = {}
        self.points = LandmarkPoints(self.joint_names)

    # ----------------------------------------------------------------------------------------- people

    def person(self, phenotypes: NDArray[np.floating[Any]], outfit: Outfit) -> Person:
        """Create a person of this shape in these clothes."""
        with torch.inference_mode():
            rest = self.body.rest(torch.from_numpy(np.asarray(phenotypes, np.float32))[None])
        surface = rest.surface[0, :, : len(self._main)].numpy().T.astype(np.float64)  # [V, 3] in Anny's frame
        stature = float(np.ptp(surface[:, 2]))
        colours, worn, garments = self._dress(surface, rest.heads[0].numpy(), stature / STATURE, outfit)
        if outfit.loose > 0:
            if outfit.folds:
                worn = worn * (1 + outfit.folds * _waves(surface))
            surface = surface + (worn * outfit.loose)[:, None] * self.normals(torch.from_numpy(surface)).numpy()
            moved = rest.surface.clone()
            moved[0, :, : len(self._main)] = torch.from_numpy(surface.T.astype(np.float32))
            rest = rest._replace(surface=moved)
        return Person(np.asarray(phenotypes, np.float32), rest, colours.astype(np.float32), garments, stature)

    def vertices_of(self, *bones: str) -> NDArray[np.bool_]:
        """Return a mask [V] of the vertices of bones with these names (without the side)."""
        return np.isin(self._main, bones)

    def normals(self, vertices: torch.Tensor) -> torch.Tensor:
        """Return unit normals of vertices [V, 3]."""
        return vertex_normals(vertices, self._triangles)

    def _dress(
        self, surface: Array, heads: Floats, scale: float, outfit: Outfit
    ) -> tuple[Array, Array, NDArray[np.uint8]]:
        """Return each vertex's albedo [V, 3], offset from the skin [V], 0..1, and garment [V]."""
        colours = np.tile(outfit.skin, (len(surface), 1))
        worn = np.zeros(len(surface))
        garments = np.zeros(len(surface), np.uint8)

        def bones(*starts: str) -> NDArray[np.bool_]:
            """Return a mask of the vertices attached to bones whose names start like this."""
            if starts not in self._moved:
                self._moved[starts] = np.any([np.char.startswith(self._main, start) for start in starts], axis=0)
            return self._moved[starts]

        z = surface[:, 2]
        waist = heads[self._index["spine05"], 2] + 0.02 * scale
        trousers = (bones("root", "pelvis", "spine") & (z < waist)) | bones("upperleg")
        if outfit.legs:
            trousers |= bones("lowerleg")
        shirt = (bones("spine", "clavicle", "shoulder", "root", "pelvis") & (z >= waist)) | (
            bones("neck01") & (z < heads[self._index["neck01"], 2] + 0.02 * scale)
        )
        if outfit.sleeves >= 1:
            shirt |= bones("upperarm01") if outfit.sleeves == 1 else bones("upperarm", "lowerarm")
        shoes = bones("foot", "toe")
        colours[trousers], colours[shirt], colours[shoes] = outfit.trousers, outfit.shirt, outfit.shoes
        if outfit.stripes:
            striped = shirt & (np.sin(2 * np.pi * z / outfit.stripes) > 0)
            colours[striped] = outfit.stripe
        worn[trousers | shirt] = 1.0
        worn[shoes] = 0.5
        for name, part in (("trousers", trousers), ("shirt", shirt), ("shoes", shoes)):
            garments[part] = GARMENTS.index(name)

        eye = (heads[self._index["eye.L"]] + heads[self._index["eye.R"]]) / 2
        apart = float(np.linalg.norm(heads[self._index["eye.L"]] - heads[self._index["eye.R"]]))
        unit = apart / 0.063  # faces scale with the distance of the eyes
        at = (surface - eye) / unit  # x left, y back, z up
        head = bones("head", "neck")
        if outfit.hair_length:
            scalp = (
                (at[:, 2] > 0.062)
                | ((at[:, 1] > 0.075) & (at[:, 2] > -0.035))
                | ((at[:, 1] > 0.045) & (at[:, 2] > 0.02))
            )
            if outfit.hair_length == 2:
                scalp |= (at[:, 1] > 0.06) & (at[:, 2] > -0.16)
            scalp &= head
            colours[scalp] = outfit.hair
            worn[scalp] = 1.2
            garments[scalp] = GARMENTS.index("hair")
        eyes = bones("eye")
        colours[eyes] = 0.62
        for side in (-1, 1):
            centre = np.array([side * 0.0315, 0.0, 0.0])
            iris = eyes & (np.linalg.norm((at - centre)[:, [0, 2]], axis=1) < 0.0065) & (at[:, 1] < 0)
            colours[iris] = 0.02
            brow = head & (abs(at[:, 0] - side * 0.034) < 0.02) & (abs(at[:, 2] - 0.021) < 0.005) & (at[:, 1] < 0.01)
            colours[brow] = 0.4 * outfit.skin + 0.6 * outfit.hair
        lips = head & (abs(at[:, 0]) < 0.024) & (abs(at[:, 2] + 0.068) < 0.0085) & (at[:, 1] < 0.005)
        colours[lips] = outfit.skin * (0.95, 0.6, 0.6)
        return colours, worn, garments

    # ----------------------------------------------------------------------------------------- pose

    def pose(self, person: Person, rotations: NDArray[np.floating[Any]], root: NDArray[np.floating[Any]]) -> Posed:
        """Pose a person.

        Args:
            person: the person.
            rotations: [T, 24, 3, 3] SMPL's, the root's to camera axes.
            root: [T, 3] m, position of the pelvis.
        """
        turns = torch.from_numpy(anny_from_smpl(rotations).astype(np.float32))
        rest = Rest(*(value.expand(1, *value.shape[1:]) for value in person.rest))
        vertices, joints = [], []
        with torch.inference_mode():
            for turn, position in zip(turns, root, strict=True):
                posed = self.body.pose(rest, turn[None], torch.zeros(1, 3))
                move = np.asarray(position, np.float32) - posed.joints[0, 0].numpy()
                vertices.append(posed.vertices[0].numpy() + move)
                joints.append(posed.joints[0].numpy() + move)
        placed = np.stack(joints).astype(np.float64)
        return Posed(
            np.stack(vertices),
            np.stack(joints),
            self.points(placed, rotations, person.stature),
            self.h36m(placed, rotations, person.stature),
        )

    def h36m(self, joints: Array, rotations: NDArray[np.floating[Any]], stature: float) -> Array:
        """Return Human3.6M's joints [T, 17, 3] m."""

        def at(name: str) -> Array:
            return joints[:, self._index[name]]

        world = world_rotations(np.asarray(rotations, np.float64), SMPL_PARENTS)[:, SMPL_24.index("head")]
        head, size = at("head"), stature / STATURE
        return np.stack(
            [
                (at("upperleg01.L") + at("upperleg01.R")) / 2,
                *(at(f"{bone}.{side}") for side in "RL" for bone in ("upperleg01", "lowerleg01", "foot")),
                at("spine02"),
                at("neck01"),
                *(head + size * (world @ np.array(offset)) for offset in _H36M_HEAD),
                *(at(f"{bone}.{side}") for side in "LR" for bone in ("upperarm01", "lowerarm01", "wrist")),
            ],
            axis=1,
        )

    def smpl(self, joints: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Select SMPL's joints [T, 24, 3] from posed joints [T, J, 3]."""
        return np.asarray(joints[:, [self._index[bone] for bone in _SMPL_JOINTS]])

    def rest(self, person: Person) -> Array:
        """Return SMPL's joints [24, 3] m of a person in the T-pose, from the pelvis; x left, y up, z to the front."""
        still = np.broadcast_to(np.eye(3), (1, len(SMPL_24), 3, 3))
        return np.asarray(self.smpl(self.pose(person, still, np.zeros((1, 3))).joints)[0], np.float64)


@cache
def load_body(topology: str = "full") -> BodyModel:
    """Load the body model; cached."""
    return BodyModel(topology)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Return unit normals [V, 3] of vertices [V, 3] and triangles int64 [F, 3]."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    across = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for k in range(3):
        total.index_add_(0, faces[:, k], across)
    return total / torch.linalg.vector_norm(total, dim=1, keepdim=True).clamp_min(1e-12)


def _waves(surface: Array) -> Array:
    """Return folds of cloth [V], -1..1, a few centimetres long, for a surface [V, 3] m."""
    x, y, z = 45 * surface.T
    return np.asarray(np.sin(x + 2 * np.sin(0.6 * z)) * np.sin(0.7 * y + 1.7 * np.sin(0.4 * x) + 0.5 * z))
