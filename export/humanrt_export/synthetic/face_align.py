"""Find the vertices of Anny's face that MediaPipe's face landmarks show (`conversion/face_points.json`).

Faces of random people, expressions, light and cameras are rendered; for each landmark the vertex is chosen that lies
nearest to it on average. Run where moderngl and torch are installed::

    python -m humanrt_export.synthetic.face_align --faces 600 --out export/humanrt_export/conversion/face_points.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.files import write_atomically
from humanrt.geometry.camera import project
from humanrt.geometry.region import Region
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.face import FaceNetwork
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.face_units import FaceUnits, load_face_units
from humanrt_export.entry import run_module
from humanrt_export.synthetic.body_model import BodyModel, Outfit, Person, load_body, sample_phenotypes
from humanrt_export.synthetic.body_render import BodyRenderer
from humanrt_export.synthetic.hand_scene import Camera, Look

__all__ = ["FACING", "SEED", "RenderedFace", "draw_face", "nearest_vertices", "observe", "rendered_faces"]

Array = NDArray[Any]

SEED = 7001
"""Seed of the faces used for the fit; never use them for anything else."""

_SIZE = 320  # px
FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Anny's axes to those of a camera that looks at the face."""

_MAX_ERROR = 25.0  # mm: a landmark further off than this counts as this far off


@dataclass(frozen=True)
class RenderedFace:
    """A picture of one face, with its ground truth.

    Attributes:
        picture: uint8 [H, W, 3].
        phenotypes: [6].
        amounts: [E] of the face units.
        rotation: [3, 3] from Anny's axes to the camera's.
        vertices: [V, 3] m, camera space.
        intrinsics: [3, 3] px.
    """

    picture: NDArray[np.uint8]
    phenotypes: Array
    amounts: Array
    rotation: Array
    vertices: Array
    intrinsics: Array


def rendered_faces(count: int, seed: int) -> Iterator[RenderedFace]:
    """Yield faces; one in four is neutral."""
    model, units = load_body("full"), load_face_units()
    for index in range(count):
        yield _face(model, units, np.random.default_rng((seed, index)))


def sample_amounts(generator: np.random.Generator, names: Sequence[str]) -> Array:
    """Sample an expression: a few units, mostly symmetric."""
    amounts = np.zeros(len(names))
    if generator.uniform() < 0.25:
        return amounts
    for unit in generator.choice(len(names), generator.integers(1, 6), replace=False):
        amounts[unit] = generator.uniform(0.2, 1)
        name = names[unit]
        other = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
        if generator.uniform() < 0.7:
            amounts[names.index(other)] = amounts[unit]
    amounts[names.index("tongueOut")] = 0.0  # the landmarks do not show it
    return amounts


def _face(model: BodyModel, units: FaceUnits, generator: np.random.Generator) -> RenderedFace:
    look = Look.sample(generator)
    phenotypes = sample_phenotypes(generator)
    person = model.person(phenotypes, Outfit.sample(generator, look.skin))
    amounts = sample_amounts(generator, units.names)
    rotation = matrices_from_vectors(generator.normal(0, (0.18, 0.4, 0.12))) @ FACING
    camera = Camera((_SIZE, _SIZE), float(generator.uniform(0.35, 0.9)))
    height = float(generator.uniform(90, 220))
    place = generator.normal(0, 0.02, 2)
    behind = generator.uniform(0, 0.6, (6, 6, 3))
    return draw_face(model, units, person, look, amounts, rotation, camera, height, place, behind)


def draw_face(
    model: BodyModel,
    units: FaceUnits,
    person: Person,
    look: Look,
    amounts: Array,
    rotation: Array,
    camera: Camera,
    height: float,
    place: Array,
    behind: Array,
) -> RenderedFace:
    """Return a picture of a face.

    Args:
        model, units, person, look: who it is.
        amounts: [E] of the face units.
        rotation: [3, 3] from Anny's axes to the camera's.
        camera: square.
        height: px, of a face of 20 cm.
        place: [2] m, of the head's middle beside the camera's axis.
        behind: [N, N, 3] linear light, the background, which is enlarged.
    """
    surface = person.rest.surface.clone()
    moved = np.einsum("e,evd->dv", amounts, units.deltas).astype(np.float32)
    surface[0, :, : moved.shape[1]] += torch.from_numpy(moved)
    pose = torch.eye(3).repeat(1, len(ACTIVE), 1, 1)
    pose[0, 0] = torch.from_numpy(rotation.astype(np.float32))
    with torch.inference_mode():
        vertices = model.body.pose(person.rest._replace(surface=surface), pose, torch.zeros(1, 3)).vertices[0].numpy()
    K = camera.intrinsics
    head = vertices[model.vertices_of("head")]
    middle = (head.min(axis=0) + head.max(axis=0)) / 2
    vertices = vertices + np.append(place - middle[:2], K[0, 0] * 0.2 / height)
    with BodyRenderer(camera) as renderer:
        drawn = renderer.draw([(vertices.astype(np.float32), person.colours)], model.faces, look)
    background = cv2.resize(behind.astype(np.float32), camera.size)
    linear = drawn[..., :3] + background * (1 - drawn[..., 3:])
    picture = np.ascontiguousarray((linear.clip(0, 1) ** (1 / 2.2) * 255).astype(np.uint8))
    return RenderedFace(picture, person.phenotypes, amounts, rotation, vertices, K)


def observe(network: FaceNetwork, face: RenderedFace, head: NDArray[np.bool_]) -> Array | None:
    """Return the landmarks [P, 2] px that the network detects in a rendered face, or None if it detects none."""
    points = project(face.vertices[head], face.intrinsics)
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = ((low + high) / 2).tolist()
    region = Region(x, y, float((high - low).max()) * 1.25)
    for _ in range(3):  # starting from the network's own output, as in tracking
        landmarks = network(face.picture, region)
        region = landmarks.region
    return landmarks.landmarks_2d if landmarks.score > 0.5 else None


def nearest_vertices(points: Array, landmarks: Array, per_mm: Array) -> tuple[NDArray[np.intp], Array]:
    """Choose for each landmark the vertex that is nearest to it on average.

    Args:
        points: [N, V, 2] px, the candidate vertices in N pictures.
        landmarks: [N, P, 2] px.
        per_mm: [N] px.

    Returns:
        [P] indices of candidates, and their median distances [P], mm.
    """
    chosen, errors = [], []
    for landmark in range(landmarks.shape[1]):
        error = np.linalg.norm(points - landmarks[:, landmark, None], axis=-1) / per_mm[:, None]
        best = int(np.minimum(error, _MAX_ERROR).mean(axis=0).argmin())
        chosen.append(best)
        errors.append(float(np.median(error[:, best])))
    return np.array(chosen), np.array(errors)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.synthetic.face_align")
    parser.add_argument("--faces", type=int, default=600)
    parser.add_argument("--bundle", default="holistic")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = load_body("full")
    network = FaceNetwork(load_bundle(options.bundle, task="people"), open_backend("cpu", BackendOptions(threads=1)))
    head = model.vertices_of("head", "eye")
    still = model.person(
        np.array([0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]), Outfit.sample(np.random.default_rng(0), np.ones(3))
    )
    surface = still.rest.surface[0, :, : len(head)].T
    candidates = np.flatnonzero(head & (model.normals(surface)[:, 1].numpy() < 0.3))  # y is backwards
    points, landmarks, per_mm = [], [], []
    for face in rendered_faces(options.faces, SEED):
        seen = observe(network, face, head)
        if seen is not None:
            points.append(project(face.vertices[candidates], face.intrinsics).astype(np.float32))
            landmarks.append(seen)
            per_mm.append(face.intrinsics[0, 0] / face.vertices[candidates, 2].mean() / 1000)
    chosen, errors = nearest_vertices(np.array(points), np.array(landmarks), np.array(per_mm))
    table = {"vertices": candidates[chosen].tolist(), "error_mm": np.round(errors, 2).tolist()}
    write_atomically(options.out, (json.dumps(table) + "\n").encode())
    sys.stdout.write(f"{len(points)} faces; median error {np.median(errors):.2f} mm, worst {errors.max():.2f} mm\n")


if __name__ == "__main__":
    run_module(main)
