"""Pictures of one person each, whole, from all sides, with the pose: `Portraits`, rendered into files that resume."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt.geometry.pose_descriptor import describe
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.npz import read_npz
from humanrt_export.synthetic.body_model import sample_phenotypes
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.poses import Pose, PoseSource, anny_rotations
from humanrt_export.synthetic.people.scene import Subject, World, draw_clothes
from humanrt_export.synthetic.people.things import draw_things
from humanrt_export.synthetic.people.view import View, look_at

__all__ = ["LEVEL", "Portraits", "keep_to", "load_portraits", "recorded_poses", "render_portraits"]

Array = NDArray[np.float64]

LEVEL: Array = np.diag([1.0, -1.0, -1.0])
"""From a world with y up to the axes of a level camera in it (y down), and back."""

_SETTINGS = "settings.json"
_POOL = 12  # frames looked at for each pose that is kept
_SHARD = 64
_QUALITY = 90


@dataclass(frozen=True)
class Portraits:
    """N pictures of one person each.

    Attributes:
        images: N JPEG files.
        poses: [N, 22, 3, 3] of SMPL's body joints, the root's to a level camera (y down) that looks the picture's way.
        boxes: [N, 4] px, left, top, right, bottom of the person's joints.
        clips: [N] recording and frame, or `drawn`.
    """

    images: tuple[bytes, ...]
    poses: NDArray[np.float32]
    boxes: NDArray[np.float32]
    clips: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a picture, uint8 RGB [H, W, 3]."""
        decoded = cv2.imdecode(np.frombuffer(self.images[index], np.uint8), cv2.IMREAD_COLOR)
        return np.ascontiguousarray(np.asarray(decoded, np.uint8)[..., ::-1])


def recorded_poses(source: PoseSource, count: int, seed: int) -> list[Pose]:
    """Return poses of recordings that differ most: farthest-point sampling of a pool, so that hardly two are alike."""
    generator = np.random.default_rng([seed, 5])
    chances = np.array([len(motion) for motion in source.motions], np.float64)
    pool: list[tuple[int, float]] = []
    for _ in range(_POOL * count):
        number = int(generator.choice(len(chances), p=chances / chances.sum()))
        pool.append((number, float(generator.integers(0, len(source.motions[number])))))
    bodies = np.stack([source.at(number, frame, False)[: len(SMPLX_BODY)] for number, frame in pool])
    bodies[:, 0] = LEVEL @ bodies[:, 0]
    vectors = describe(bodies)
    chosen, distances = [0], np.full(len(vectors), np.inf)
    for _ in range(count - 1):
        distances = np.minimum(distances, np.linalg.norm(vectors - vectors[chosen[-1]], axis=1))
        chosen.append(int(distances.argmax()))
    poses = []
    for index in generator.permutation(chosen).tolist():
        number, frame = pool[index]
        body = source.at(number, frame, False)
        poses.append(Pose(body, source.hand(generator), source.hand(generator), (number, frame, False)))
    return poses


def keep_to(out: Path, settings: Mapping[str, Any]) -> None:
    """See to it that all pictures of a folder are made with the same settings, which are kept in it.

    Args:
        out: folder, which is made.
        settings: what determines the pictures, besides their numbers; for JSON.

    Raises:
        HumanrtError: those of its pictures are others, or are not known.
    """
    file, text = out / _SETTINGS, json.dumps(settings, indent=1, sort_keys=True) + "\n"
    if file.is_file():
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            assert isinstance(kept, dict)
        except (OSError, ValueError, AssertionError) as error:
            raise HumanrtError(f"{file}: damaged ({error}); give another --out") from None
        changed = sorted(name for name in settings.keys() | kept.keys() if settings.get(name) != kept.get(name))
        if changed:
            was = ", ".join(f"{name} {kept.get(name)}, not {settings.get(name)}" for name in changed)
            raise HumanrtError(f"{out}: its pictures are made with {was}; give the same, or another --out")
        return
    if any(out.glob("*.npz")):
        raise HumanrtError(
            f"{out}: holds pictures, and no {_SETTINGS} that says how they were made; give another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())


def render_portraits(
    engine: PeopleEngine, out: Path, count: int, first: int = 0, poses: Sequence[Pose] | None = None
) -> Iterator[int]:
    """Render pictures into files of 64 in a folder; yields the number of pictures so far.

    Files that are there stay, but for those of fewer pictures than are wanted.

    Args:
        engine: makes square pictures; its seed and the picture's number determine everything.
        out: folder, which is made.
        count: of pictures.
        first: number of the first one, a multiple of 64.
        poses: a pose for each picture, by its number; None: drawn from the engine's source.
    """
    if first % _SHARD:
        raise HumanrtError(f"the first picture is {first}; it must be a multiple of {_SHARD}")
    out.mkdir(parents=True, exist_ok=True)
    for start in range(first, first + count, _SHARD):
        path = out / f"{start:06d}.npz"
        numbers = range(start, min(start + _SHARD, first + count))
        if not path.is_file() or len(load_portraits(path)) < len(numbers):
            path.with_suffix(".looks").unlink(missing_ok=True)  # what was seen in fewer pictures
            made = [_portrait(engine, number, None if poses is None else poses[number]) for number in numbers]
            images, arrays = [one[0] for one in made], [one[1] for one in made]
            content = io.BytesIO()
            np.savez(
                content,
                allow_pickle=False,
                jpeg=np.frombuffer(b"".join(images), np.uint8),
                lengths=np.array([len(image) for image in images]),
                poses=np.stack([one["pose"] for one in arrays]),
                boxes=np.stack([one["box"] for one in arrays]),
                clips=np.array([one["clip"] for one in arrays]),
            )
            write_atomically(path, content.getvalue())
        yield numbers.stop - first


def load_portraits(folder: Path) -> Portraits:
    """Load the pictures of a folder, or of one file. HumanrtError if there are none."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.npz"))
    if not files:
        raise HumanrtError(f"{folder}: no pictures; make some with `humanrt-export data portraits --out {folder}`")
    images: list[bytes] = []
    rows: dict[str, list[NDArray[Any]]] = {"poses": [], "boxes": [], "clips": []}
    for path in files:
        arrays = read_npz(path)
        ends = np.cumsum(arrays["lengths"]).tolist()
        whole = arrays["jpeg"].tobytes()
        images += [whole[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
        for name, values in rows.items():
            values.append(arrays[name])
    return Portraits(
        tuple(images),
        np.concatenate(rows["poses"]),
        np.concatenate(rows["boxes"]),
        tuple(str(clip) for clip in np.concatenate(rows["clips"])),
    )


def _portrait(engine: PeopleEngine, number: int, pose: Pose | None) -> tuple[bytes, dict[str, Any]]:
    """Render a picture; returns it as JPEG, and its row."""
    generator = np.random.default_rng([engine.options.seed, number, 20])
    style, textures = engine.options.style, len(engine.backdrops.textures)
    pose = engine.source.draw(generator) if pose is None else pose
    body = pose.body.copy()
    body[0] = turn_about_vertical(generator.uniform(-np.pi, np.pi)) @ body[0]
    pose = Pose(body, pose.left, pose.right, pose.clip)
    shape = sample_phenotypes(generator)
    rotations = anny_rotations([pose])
    with torch.inference_mode():
        posed = engine.coarse.body(
            torch.from_numpy(rotations.astype(np.float32)), torch.from_numpy(shape)[None], torch.zeros(1, 3)
        )
    vertices = posed.vertices[0].numpy().astype(np.float64)
    head = np.array([0.0, -vertices[:, 1].min(), 0.0])
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2 + head
    radius = float(np.linalg.norm(vertices + head - middle, axis=1).max())
    camera = Camera(engine.options.frame, float(np.radians(generator.uniform(30, 60))))
    distance = radius / np.sin(camera.fov / 2) * generator.uniform(0.95, 1.3)
    elevation = np.radians(np.clip(generator.normal(6, 10), -15, 45))
    position = middle + distance * np.array([0.0, np.sin(elevation), np.cos(elevation)])
    position[1] = max(position[1], 0.12)
    target = middle + 0.08 * radius * generator.standard_normal(3)
    turn = look_at(position, target, np.radians(generator.normal(0, 3)))
    view = View(camera, turn, position, style.light(generator, turn[:, 1]))
    subject = Subject(shape, *draw_clothes(generator, style, textures), pose, rotations[0], head)
    (subject,) = engine.expressing([subject], np.random.default_rng([engine.options.seed, number, 24]))
    (subject,) = engine.dressed([subject], np.random.default_rng([engine.options.seed, number, 23]))
    spots = posed.joints[0].numpy() + head
    things = tuple(draw_things(generator, style, textures, spots, view)) if generator.uniform() < 0.3 else ()
    streams = (np.random.default_rng([engine.options.seed, number, stream]) for stream in (21, 22))
    own = np.random.default_rng([engine.options.seed, number, 25])
    world, view = engine.surrounded(World((subject,), things), view, own)
    sample = engine.shoot(world, view, *streams)
    points = sample.people.joints_2d[0]
    level = body[: len(SMPLX_BODY)].copy()
    level[0] = LEVEL @ level[0]
    done, code = cv2.imencode(".jpg", sample.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    clip = "drawn" if pose.clip is None else f"{engine.source.motions[pose.clip[0]].source}:{pose.clip[1]:.1f}"
    row = {
        "pose": level.astype(np.float32),
        "box": np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32),
        "clip": clip,
    }
    return np.asarray(code).tobytes(), row
