"""Expressions: how much of each face unit is found again in rendered faces, and how much of others with it.

    python bench/face_units.py --people 12 --out results

Every person is another build, skin and light; first they look ahead with a neutral face for 1.5 s, so that their own
face becomes known, then they make one expression after the other: to 0.8 within 0.2 s, held for 0.4 s, and back, while
the head turns a little. The landmark network sees the pictures, 10 a second; the expression solver gets its landmarks
and the face of an average adult, as in `holistic`. Columns, of the last frame that is held, mean over people:

- **found**: amount of the unit (of 0.8; both sides' mean), **at rest**: the same in the neutral frame before it;
- **others**: sum of the amounts of all other units, less that of the neutral frame before;
- **error**: sum over all 52 units of how far their amounts are off the true ones;
- **moved**: how far those landmarks moved that the unit moves most (ten of them), from the neutral frame to the held
  one, relative to how far the vertices did, with the head's pose taken out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import HolisticSettings
from humanrt.files import write_atomically
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.body_mesh import BodyMesh, FaceOnBody
from humanrt.people.expression import ExpressionOptions, ExpressionSolver, FaceModel, unit_spreads
from humanrt.people.face import FaceNetwork
from humanrt.stats import machine, write_report
from humanrt_export.bodies.anny.face_units import load_face_units
from humanrt_export.synthetic.body_model import Outfit, load_body, sample_phenotypes
from humanrt_export.synthetic.face_align import FACING, draw_face, observe
from humanrt_export.synthetic.hand_scene import Camera, Look

Array = NDArray[Any]

EXPRESSIONS = {
    "browDown": ("browDownLeft", "browDownRight"),
    "browInnerUp": ("browInnerUp",),
    "browOuterUp": ("browOuterUpLeft", "browOuterUpRight"),
    "brows up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "jawOpen": ("jawOpen",),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
}
_LEVEL, _RATE = 0.8, 10.0
_SIZE = 320  # px
_SEED = 9101  # not `face_align.SEED`, with which the points were chosen


@dataclass(frozen=True)
class Clip:
    """What the landmark network saw of one person, frame by frame.

    Attributes:
        landmarks: [T, 478, 2] px.
        amounts: [T, E] the truth.
        rotations: [T, 3, 3] from Anny's axes to the camera's.
        heads: [T, 3] m, the middle of the head's vertices.
        points: [T, 478, 3] m, the vertices that the landmarks show.
        K: [3, 3] px.
        held: by expression, the neutral frame before it and the last frame in which it is held.
    """

    landmarks: Array
    amounts: Array
    rotations: Array
    heads: Array
    points: Array
    K: Array
    held: dict[str, tuple[int, int]]


def script(names: Sequence[str]) -> tuple[Array, dict[str, tuple[int, int]]]:
    """Return the amounts [T, E] of all frames, and which frames are measured (`Clip.held`)."""
    rows = [np.zeros(len(names))] * round(1.5 * _RATE)
    held = {}
    for name, units in EXPRESSIONS.items():
        shown = np.isin(names, units).astype(float) * _LEVEL
        before = len(rows) - 1
        rows += [0.5 * shown, shown, shown, shown, shown]
        held[name] = before, len(rows) - 1
        rows += [0.5 * shown, 0 * shown, 0 * shown, 0 * shown]
    return np.array(rows), held


def clips(people: int, bundle: Bundle, vertices: Array, seed: int = _SEED) -> Iterator[Clip]:
    """Yield a clip of each person whose face is seen in all its frames."""
    model, units = load_body("full"), load_face_units()
    network = FaceNetwork(bundle, open_backend("cpu", BackendOptions(threads=1)))
    head = model.vertices_of("head", "eye")
    amounts, held = script(units.names)
    for index in range(people):
        generator = np.random.default_rng((seed, index))
        look = Look.sample(generator)
        person = model.person(sample_phenotypes(generator), Outfit.sample(generator, look.skin))
        camera = Camera((_SIZE, _SIZE), float(generator.uniform(0.4, 0.8)))
        height, behind = float(generator.uniform(120, 220)), generator.uniform(0, 0.6, (6, 6, 3))
        towards, swing = generator.normal(0, (0.1, 0.2, 0.05)), generator.normal(0, 0.08, (2, 3))
        rows: list[tuple[Array, ...]] = []
        for frame, shown in enumerate(amounts):
            t = frame / _RATE
            rotation = matrices_from_vectors(towards + swing[0] * np.sin(1.3 * t) + swing[1] * np.sin(0.7 * t)) @ FACING
            face = draw_face(model, units, person, look, shown, rotation, camera, height, np.zeros(2), behind)
            seen = observe(network, face, head)
            if seen is None:
                break
            middle = face.vertices[head].mean(axis=0)
            rows.append((seen, shown, rotation, middle, face.vertices[vertices]))
        if len(rows) == len(amounts):
            yield Clip(*(np.array(one) for one in zip(*rows, strict=True)), camera.intrinsics, held)


def solve(clip: Clip, face: FaceModel, options: ExpressionOptions | None = None) -> Array:
    """Return the amounts [T, E] that the solver finds."""
    solver, found = ExpressionSolver(options), []
    for frame, seen in enumerate(clip.landmarks):
        args = clip.K, clip.rotations[frame], clip.heads[frame], frame / _RATE
        found.append(solver(face, seen, *args)[0])
    return np.array(found)


def moved(clip: Clip, name: str, units: Sequence[int], face: FaceModel) -> float:
    """Return how far the landmarks moved along the way of the vertices, relative to these."""
    before, after = clip.held[name]
    size = np.linalg.norm(face.units[list(units)].sum(axis=0), axis=0)
    most = np.argsort(-size)[:10]
    still = np.argsort(size)[:200]
    way, true = [], []
    for flat in (True, False):
        shapes = []
        for frame in (before, after):
            points = clip.points[frame] - clip.heads[frame]
            if flat:
                depth = clip.points[frame][:, 2:]
                seen = (clip.landmarks[frame] - clip.K[:2, 2]) / clip.K[[0, 1], [0, 1]] * depth
                points = np.concatenate([seen - clip.heads[frame][:2], points[:, 2:]], axis=1)
            local = points @ clip.rotations[frame]  # Anny's axes
            shapes.append(local - local[still].mean(axis=0))
        (way if flat else true).append((shapes[1] - shapes[0])[most][:, [0, 2]])
    return float((way[0] * true[0]).sum() / (true[0] ** 2).sum())


def report(
    seen: Sequence[Clip], face: FaceModel, names: Sequence[str], options: ExpressionOptions | None = None
) -> Any:
    """Return the table's rows by expression."""
    found = [solve(clip, face, options) for clip in seen]
    rows = {}
    for name, units in EXPRESSIONS.items():
        own = [names.index(unit) for unit in units]
        other = [k for k in range(len(names)) if k not in own]
        pairs = [(one[clip.held[name][0]], one[clip.held[name][1]]) for clip, one in zip(seen, found, strict=True)]
        rows[name] = {
            "found": float(np.mean([after[own].mean() for _, after in pairs])),
            "rest": float(np.mean([before[own].mean() for before, _ in pairs])),
            "error": float(
                np.mean(
                    [
                        np.abs(one[clip.held[name][1]] - clip.amounts[clip.held[name][1]]).sum()
                        for clip, one in zip(seen, found, strict=True)
                    ]
                )
            ),
            "others": float(np.mean([(after - before)[other].sum() for before, after in pairs])),
            "moved": float(np.mean([moved(clip, name, own, face) for clip in seen])),
        }
    return rows


def average_face(bundle: Bundle) -> FaceModel:
    """Return the face of an average adult."""
    body = HolisticSettings.of(bundle).body
    with BodyMesh(bundle, open_backend("cpu", BackendOptions(threads=1))) as mesh:
        return FaceOnBody(bundle, body.head_joint)(mesh.at_rest(np.array(body.sizes[-3])))


def as_markdown(rows: Any) -> str:
    """Return the table."""
    lines = [
        "| expression | found (of 0.8) | at rest | others | error | landmarks moved |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        amounts = " | ".join(f"{row[key]:.2f}" for key in ("found", "rest", "others", "error"))
        lines.append(f"| {name} | {amounts} | {row['moved']:.0%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--bundle", default="holistic")
    parser.add_argument("--out", type=Path, help="folder for face_units.json and face_units.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(arguments.bundle, task="people")
    names = list(HolisticSettings.of(bundle).expression_units)
    seen = list(clips(arguments.people, bundle, bundle.array("face_units")["vertices"]))
    rows = report(seen, average_face(bundle), names, ExpressionOptions(unit_spread=unit_spreads(names)))
    text = as_markdown(rows)
    print(f"{len(seen)} people\n{text}")
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_report(arguments.out / "face_units.json", {"machine": machine(), "people": len(seen), "rows": rows})
        write_atomically(arguments.out / "face_units.md", text.encode())


if __name__ == "__main__":
    main()
