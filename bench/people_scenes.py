"""Scenes that pipelines for people get wrong: who is found in them, drawn and counted.

    python bench/people_scenes.py --bundle holistic:balanced --out sheets

Some scenes are cut from the real pictures of ../shared/media (half of somebody in view, a mirror, a poster, a dark
clip, a phone's photograph that lies on its side), the others are rendered: nobody, a back, seated, lying, two who hug,
a child with an adult. Writes scenes.jpg, one cell a scene (`--full`: each as PNG), and prints one row for each:

- **people**: how many there are, of whom a meaningful part is to be seen (a mirror image and a poster count);
- **found**: how many are found in the last frame; **score**: of each; **filled**: how many of them are filled in;
- **off**: joints in the picture, mean over the twelve limb joints and the people, as a fraction of the height of the
  person's box: against the truth where it is rendered, otherwise against what the same bundle sees in the same frame
  before it was changed (not cut, not darkened, upright). What this leaves out is in neither.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_view import MeshView
from humanrt.evaluation.calibrated import load_views
from humanrt.files import write_atomically
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import ANNY_LIMBS
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24
from humanrt.people.draw import draw_labels
from humanrt.people.pipeline import PeopleResult
from humanrt.sources.opening import Frame, open_source
from humanrt.tasks import AnyPeoplePipeline, open_people
from people_sheet import sheet, write
from people_views import bundle_options
from real_views import VIEWS

Array = NDArray[Any]
Image = NDArray[np.uint8]

_MEDIA = VIEWS.parent
_FRAMES = 20  # of a clip
_CELL = 400  # px, height


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        name: in table and sheet.
        people: how many there are.
        images: frames of a film, 30 a second, or one photograph.
        limbs: [N, 12, 2] px of the last frame, where they are known by rendering.
        before: the same frames before they were changed, and...
        place: ...where in the scene their points [..., 2] px are.
    """

    name: str
    people: int
    images: Sequence[Image]
    limbs: Array | None = None
    before: Sequence[Image] | None = None
    place: Callable[[Array], Array] = lambda points: points


def film(path: Path, count: int = _FRAMES, start: int = 0) -> list[Image]:
    """Return some frames of a video."""
    with open_source(path) as source:
        return [frame.image for frame in islice(source, start, start + count)]


def real_scenes() -> Iterator[Scene]:
    """Yield scenes made of real pictures."""
    view = load_views(VIEWS)[2]  # without the bystander
    whole = film(view.video)
    height, width = whole[0].shape[:2]
    upper = height // 2
    yield Scene("the upper half in view", 1, [one[:upper] for one in whole], None, whole)
    box = _person(whole[-1], view.K)
    left = int(box[0] + box[2]) // 2  # the person's middle is the picture's edge
    yield Scene("one side in view", 1, [one[:, left:] for one in whole], None, whole, lambda points: points - (left, 0))
    x0, x1 = max(int(box[0]) - 60, 0), min(int(box[2]) + 60, width)
    strip = [one[:, x0:x1] for one in whole]
    mirrored = [np.concatenate([one, _frame(one[:, ::-1])], axis=1) for one in strip]
    yield Scene("a mirror", 2, mirrored, None, whole, lambda points: points - (x0, 0))
    wall = np.full_like(whole[0], 150)
    poster = cv2.imread(str(_MEDIA / "people.jpg"))[150:, 500:640, ::-1]
    tall = height // 3
    poster = cv2.resize(poster, (round(poster.shape[1] * tall / poster.shape[0]), tall), interpolation=cv2.INTER_AREA)
    framed = _frame(poster)
    wall[200 : 200 + framed.shape[0], 100 : 100 + framed.shape[1]] = framed
    yield Scene("a poster of a player, a spectator beside", 2, [wall] * _FRAMES)
    random = np.random.default_rng(3)
    dark = [_darkened(one, random) for one in whole]
    yield Scene("a dark clip", 1, dark, None, whole)
    photo = np.ascontiguousarray(cv2.imread(str(_MEDIA / "people.jpg"))[250:, 440:650, ::-1])
    photo = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    yield Scene("a phone's photograph, upright", 3, [_from_phone(photo)], None, [photo])


def rendered_scenes() -> Iterator[Scene]:
    """Yield scenes that are rendered."""
    from humanrt_export.synthetic.body_model import Outfit, load_body
    from humanrt_export.synthetic.body_render import BodyRenderer
    from humanrt_export.synthetic.hand_scene import Camera, Look, room

    model = load_body("full")
    camera = Camera((640, 640), 0.9)
    limbs = [model.joint_names.index(name) for name in ANNY_LIMBS]
    adult, child = np.array([0.2, 0.67, 0.5, 0.5, 0.4, 0.4]), np.array([0.6, 0.3, 0.5, 0.5, 0.4, 0.4])

    def scene(name: str, seed: int, *people: tuple[Array, dict[str, Sequence[float]], Array, Sequence[float]]) -> Scene:
        random = np.random.default_rng((77, seed))
        look = Look.sample(random)
        drawn, joints = [], []
        for shape, turns, root, place in people:
            person = model.person(shape, Outfit.sample(random, look.skin))
            rotations = np.tile(np.eye(3), (24, 1, 1))
            for bone, vector in turns.items():
                rotations[SMPL_24.index(bone)] = matrices_from_vectors(np.array(vector, np.float64))
            rotations[0] = root
            posed = model.pose(person, rotations[None], np.array([place]))
            drawn.append((posed.vertices[0], person.colours))
            joints.append(posed.joints[0][limbs])
        behind = room(camera.size, random, bright_side=1.0, blur=0.002)
        with BodyRenderer(camera) as renderer:
            picture = renderer.draw(drawn, model.faces, look)
        linear = picture[..., :3] + behind * (1 - picture[..., 3:])
        image = np.ascontiguousarray((linear.clip(0, 1) ** (1 / 2.2) * 255).astype(np.uint8))
        flat = np.array([project(one.astype(np.float64), camera.intrinsics) for one in joints])
        return Scene(name, len(people), [image], flat.reshape(-1, len(limbs), 2))

    down = {"left_shoulder": (0, 0, -1.25), "right_shoulder": (0, 0, 1.25)}
    sitting = {
        "left_hip": (-1.5, 0, 0.1),
        "right_hip": (-1.5, 0, -0.1),
        "left_knee": (1.5, 0, 0),
        "right_knee": (1.5, 0, 0),
    }
    hugging = {
        **{f"left_{bone}": vector for bone, vector in {"shoulder": (0, -1.1, 0), "elbow": (0, -0.9, 0)}.items()},
        **{f"right_{bone}": vector for bone, vector in {"shoulder": (0, 1.1, 0), "elbow": (0, 0.9, 0)}.items()},
    }
    facing = np.diag([1.0, -1, -1])

    def turned(angle: float) -> Array:
        return np.asarray(facing @ matrices_from_vectors(np.array([0, angle, 0])))

    lying = matrices_from_vectors(np.array([0.7, 0, 0])) @ np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    yield scene("nobody", 1)
    yield scene("nobody, another room", 8)
    yield scene("a back", 2, (adult, down, turned(np.pi - 0.3), (0, 0, 2.6)))
    yield scene("seated", 3, (adult, down | sitting, turned(0.7), (0, 0.1, 2.3)))
    yield scene("lying", 4, (adult, down, lying, (0, 0.3, 2.8)))
    yield scene(
        "two who hug",
        5,
        (adult, hugging, turned(np.pi / 2), (-0.16, 0, 2.8)),
        (adult, hugging, turned(-np.pi / 2), (0.16, 0, 2.8)),
    )
    yield scene("a child", 6, (child, down, turned(0.2), (0, 0.2, 1.8)))
    yield scene(
        "a child and an adult",
        7,
        (child, down, turned(-0.2), (-0.4, 0.35, 2.6)),
        (adult, down, turned(0.2), (0.4, 0, 2.8)),
    )


def _person(image: Image, K: Array) -> tuple[float, float, float, float]:
    """Return the box x0, y0, x1, y1 px of the largest person, as `holistic` sees them."""
    bundle, options = bundle_options("holistic:best", intrinsics=K)
    with open_people(bundle, "cpu", options) as pipeline:
        points = _limbs(pipeline(Frame(image, 0.0, 0, cut=True)), pipeline)
    largest = max(points, key=lambda one: float(np.ptp(one[:, 1])))
    return (*largest.min(axis=0).tolist(), *largest.max(axis=0).tolist())


def _frame(image: Image) -> Image:
    return np.asarray(cv2.copyMakeBorder(image, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(70, 50, 30)))[12:-12]


def _darkened(image: Image, random: np.random.Generator) -> Image:
    """Return the picture of a camera with a 25th of the light, with its noise, brightened by nobody."""
    linear = (image / 255.0) ** 2.2 / 25
    noisy = linear + random.normal(0, 0.002, image.shape) + random.normal(0, 1, image.shape) * np.sqrt(linear) * 0.01
    return np.asarray(noisy.clip(0, 1) ** (1 / 2.2) * 255, np.uint8)


def _from_phone(image: Image) -> Image:
    """Return what is read of a file that holds the picture on its side and says so, as phones write it."""
    from PIL import Image as Pillow

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        exif = Pillow.Exif()
        exif[0x0112] = 6  # turn right to see it
        Pillow.fromarray(np.ascontiguousarray(np.rot90(image))).save(path, quality=95, exif=exif)
        with open_source(path) as source:
            return next(iter(source)).image


def _limbs(result: PeopleResult, pipeline: AnyPeoplePipeline) -> Array:
    limbs = [pipeline.model.joint_names.index(name) for name in ANNY_LIMBS]
    flat = result.people.joints_2d
    assert flat is not None
    return flat[:, limbs].astype(np.float64)


def follow(pipeline: AnyPeoplePipeline, images: Sequence[Image]) -> PeopleResult:
    """Return the last frame's result."""
    pipeline.reset()
    for index, image in enumerate(images):
        frame = Frame(np.ascontiguousarray(image), index / 30, index, cut=len(images) == 1)
        result = pipeline(frame)
    return result


def off(found: Array, true: Array) -> float:
    """Return the mean distance of each true person's limbs [N, 12, 2] from the nearest find's, of their height."""
    if not len(found) or not len(true):
        return float("nan")
    apart = np.linalg.norm(found[None] - true[:, None], axis=-1).mean(axis=-1).min(axis=1)
    return float(np.mean(apart / np.ptp(true, axis=1).max(axis=1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="holistic", metavar="NAME|PATH[:QUALITY]")
    parser.add_argument("--part", choices=("rendered", "real"), help="only these scenes")
    parser.add_argument("--full", action="store_true", help="also every scene at its own size, as PNG")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = ["| scene | people | found | score | filled | off |", "| --- | --- | --- | --- | --- | --- |"]
    cells = []
    bundle, options = bundle_options(arguments.bundle)
    parts = {"rendered": rendered_scenes, "real": real_scenes}
    scenes = (scene for name, made in parts.items() if arguments.part in (None, name) for scene in made())
    with open_people(bundle, "cpu", options, threads=arguments.threads) as pipeline, MeshView() as view:
        for scene in scenes:
            result = follow(pipeline, scene.images)
            people, found = result.people, _limbs(result, pipeline)
            true = scene.limbs
            if scene.before is not None:
                whole = _limbs(follow(pipeline, scene.before), pipeline)
                size = np.ptp(whole, axis=1).max(axis=1)
                true = scene.place(whole[size > 0.5 * size.max(initial=0.0)])
            wrong = float("nan") if true is None else off(found, true)
            scores = ", ".join(f"{score:.2f}" for score in people.scores)
            error = "" if np.isnan(wrong) else f"{wrong:.0%}"
            lines.append(
                f"| {scene.name} | {scene.people} | {len(people)} | {scores} | {len(result.filled)} | {error} |"
            )
            print(lines[-1], flush=True)
            vertices: Any = [] if people.vertices is None else list(people.vertices)
            colours = [colour_of(identity) for identity in result.ids]
            image = np.ascontiguousarray(scene.images[-1])
            drawn = view.draw(image, vertices, pipeline.model.faces, people.intrinsics, colours, alpha=0.6)
            draw_labels(drawn, people, result.ids, result.filled)
            if arguments.full:
                write(arguments.out / f"{scene.name.replace(' ', '_').replace(',', '')}.png", drawn, 0)
            scale = _CELL / drawn.shape[0]
            small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cv2.putText(small, scene.name, (8, _CELL - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.putText(
                small, scene.name, (8, _CELL - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA
            )
            cells.append(small)
    write(arguments.out / "scenes.jpg", sheet(cells, 6, 0), 75)
    write_atomically(arguments.out / "scenes.md", ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
