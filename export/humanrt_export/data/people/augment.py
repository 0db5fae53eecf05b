"""Picture augmentation: rotated and zoomed cameras, mirroring, and other light, colours, sharpness and noise.

The geometry is exact. A camera rotated about its own centre, with another lens, sees the same picture under a
homography, ``K' R K^-1``, whatever the scene; so cropping, zooming and rolling are such rotations here, and the
principal point stays at the centre, as in a photograph. Labels are transformed accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.camera import field_of_view_intrinsics, project
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.skeleton import mirrored
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.face_units import mirrored_units
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.options import Option
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample

__all__ = ["Augmentation", "View", "appearance", "head_index", "mirror_indices", "random_view", "seen_by"]

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_ASPECTS = (1.0, 1.0, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3, 9 / 16)
_GREY = np.full((3, 3), 1 / 3)


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of pictures, in addition to the engine's randomisation. All 0 and ``zoom`` (1, 1): none.

    Attributes:
        mirror: probability of mirroring.
        roll: standard deviation of the roll, degrees.
        person: probability that the camera points at a person (otherwise near its original direction).
        zoom: minimum and maximum factor on the focal length, if it keeps near its original direction.
        span: minimum and maximum fraction of the picture that a person fills, if it points at one.
        enlarge: maximum enlargement; beyond it, pictures would only be blurred.
        bars: probability of black bars, as around a photograph that is not square.
        colour: strength of changes of brightness, contrast and tint, 0..1.
        grey, blur, noise, cutout: probabilities of each.
    """

    mirror: float = 0.5
    roll: float = 6.0
    person: float = 0.7
    zoom: tuple[float, float] = (0.85, 1.3)
    span: Annotated[tuple[float, float], Option(metavar=("LEAST", "MOST"))] = (0.35, 1.1)
    enlarge: float = 3.0
    bars: float = 0.2
    colour: float = 0.7
    grey: float = 0.1
    blur: float = 0.1
    noise: float = 0.2
    cutout: float = 0.2

    @classmethod
    def none(cls) -> Augmentation:
        """Return no augmentation."""
        return cls(
            mirror=0, roll=0, person=0, zoom=(1, 1), bars=0, colour=0, grey=0, blur=0, noise=0, cutout=0
        )  # fmt: skip


@dataclass(frozen=True)
class View:
    """A camera at the position of another.

    Attributes:
        turn: [3, 3] rotation from the other camera's axes to its own.
        intrinsics: [3, 3] px.
        size: side of its square picture, px.
        mirror: the picture is mirrored in x, after the rotation.
    """

    turn: Array
    intrinsics: Array
    size: int
    mirror: bool = False


def mirror_indices(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the index of each of Anny's bones on the other side (``.L`` and ``.R``)."""
    swap = {".L": ".R", ".R": ".L"}
    return np.array([names.index(name[:-2] + swap.get(name[-2:], name[-2:])) for name in names], np.intp)


def random_view(sample: PeopleSample, size: int, options: Augmentation, generator: np.random.Generator) -> View:
    """Sample a camera for a picture of ``size`` px; it may point at a person, according to the labels of ``sample``."""
    height, width = sample.image.shape[:2]
    focal = float(sample.intrinsics[0, 0])
    min_focal = focal * size / max(height, width)  # the focal length that shows the whole picture
    look, zoom = np.array([0.0, 0.0, 1.0]), generator.uniform(*np.log(options.zoom))
    f = min_focal * np.exp(zoom)
    people = np.flatnonzero((sample.people.visible > 0.3) & (sample.people.joints[..., 2].min(-1, initial=9) > 0.2))
    if len(people) and generator.uniform() < options.person:
        joints = np.asarray(sample.people.joints[generator.choice(people)], np.float64)
        low, high = joints.min(0), joints.max(0)
        middle = (low + high) / 2
        extent = float(np.linalg.norm(high - low)) / middle[2]
        f = size * generator.uniform(*options.span) / extent
        f = float(np.clip(f, 0.85 * min_focal, options.enlarge * focal))
        look = middle + generator.normal(0, 0.15, 3) * (high - low)
    elif options.zoom != (1, 1):
        look = np.array([*generator.normal(0, 0.06, 2), 1.0])
    # The field of view stays within the range of real cameras: 15 to 110 degrees.
    f = float(np.clip(f, 0.35 * size, 3.8 * size))
    roll = np.deg2rad(generator.normal(0, options.roll)) if options.roll else 0.0
    intrinsics = field_of_view_intrinsics((size, size), 2 * np.rad2deg(np.arctan(size / (2 * f))))
    return View(_looking(look, roll), intrinsics, size, bool(generator.uniform() < options.mirror))


def _looking(at: Array, roll: float) -> Array:
    """Return the smallest rotation that brings a direction to the centre, followed by a roll about it (rad)."""
    z = at / np.linalg.norm(at)
    axis = np.array([z[1], -z[0], 0.0])  # z x (0, 0, 1)
    cross = np.array([[0, 0, axis[1]], [0, 0, -axis[0]], [-axis[1], axis[0], 0.0]])
    turn = np.eye(3) + cross + cross @ cross / (1 + z[2])
    c, s = np.cos(roll), np.sin(roll)
    return np.asarray(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]) @ turn)


def seen_by(sample: PeopleSample, view: View) -> PeopleSample:
    """Return the picture of ``view`` and its labels, without depth and mask, which are empty.

    The new picture is black outside the old one. `visible` is reduced by the fraction of joints that left the picture.
    """
    flip = np.eye(3) * (MIRROR if view.mirror else 1)
    turn = flip @ view.turn
    size = view.size
    old = np.asarray(sample.intrinsics, np.float64)
    warp = view.intrinsics @ turn @ np.linalg.inv(old)
    corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV's origin is the centre of the first pixel
    inside = np.linalg.inv(corner) @ warp @ corner
    shrinks = view.intrinsics[0, 0] < 0.6 * old[0, 0]
    image = sample.image
    if shrinks:  # before every second pixel is skipped
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * old[0, 0] / view.intrinsics[0, 0])
    image = np.asarray(cv2.warpPerspective(image, inside, (size, size), flags=cv2.INTER_LINEAR), np.uint8)

    people = sample.people
    rotations = np.array(people.rotations, np.float64)
    joints, translation = (np.asarray(x, np.float64) @ turn.T for x in (people.joints, people.translation))
    if view.mirror:
        # R_root -> F T R F: `mirrored` conjugates, so the rotation comes first.
        rotations[:, 0] = view.turn @ rotations[:, 0]
        rotations = mirrored(rotations[:, mirror_indices(ACTIVE)])
        joints = joints[:, _joint_mirror()]
    else:
        rotations[:, 0] = turn @ rotations[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        points = project(joints, view.intrinsics) if len(joints) else np.zeros((*joints.shape[:2], 2))
    before = _within(people.joints_2d, people.joints[..., 2], (0, 0), sample.image.shape[1::-1]).mean(-1)
    after = _within(points, joints[..., 2], (0, 0), (size, size)).mean(-1)
    visible = people.visible * np.minimum(1, after / np.maximum(before, 1e-6))
    labels = PeopleLabels(
        rotations=rotations.astype(np.float32),
        shape=people.shape.astype(np.float32),
        translation=translation.astype(np.float32),
        joints=joints.astype(np.float32),
        joints_2d=points.astype(np.float32),
        visible=visible.astype(np.float32),
        expression=people.expression[:, mirrored_units()] if view.mirror else people.expression,
    )
    return PeopleSample(
        image, view.intrinsics.astype(np.float32), labels, np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float16)
    )


def _within(points: NDArray[Any], z: NDArray[Any], bars: tuple[int, ...], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which joints [N, J] are in the picture and not behind black bars."""
    low, high = np.array(bars), np.array(size) - bars
    return np.asarray(((points >= low) & (points < high)).all(-1) & (z > 0))


@cache
def _joint_mirror() -> NDArray[np.intp]:
    return mirror_indices(load_anny("10pc").joint_names)


def appearance(sample: PeopleSample, options: Augmentation, generator: np.random.Generator) -> PeopleSample:
    """Change light, colours, sharpness and noise of a picture, and put occluders in front of it."""
    image, visible = sample.image, sample.people.visible
    if generator.uniform() < options.cutout:
        image, visible = _cut_out(image, sample.people, generator)
    if options.colour:
        tint = np.eye(3) + options.colour * generator.normal(0, 0.06, (3, 3))
        mix = generator.uniform(0, 1) * options.colour * 0.5
        tint = (1 - mix) * tint + mix * _GREY if generator.uniform() < 0.5 else tint
        if generator.uniform() < options.grey:
            tint = _GREY
        image = cv2.transform(image, tint)
        gain = np.exp(options.colour * generator.normal(0, 0.12, 3) + options.colour * generator.normal(0, 0.25))
        gamma = np.exp(options.colour * generator.normal(0, 0.2))
        levels = 255 * (np.arange(256) / 255) ** gamma
        table = (levels[:, None] * gain + options.colour * generator.normal(0, 8)).clip(0, 255)
        image = cv2.LUT(image, table.astype(np.uint8)[None])
    if generator.uniform() < options.blur:
        image = cv2.GaussianBlur(image, (0, 0), float(generator.uniform(0.3, 1.6)))
    if generator.uniform() < options.noise:
        noise = np.empty(image.shape, np.int16)
        cv2.setRNGSeed(int(generator.integers(2**31)))
        cv2.randn(noise, 0, float(generator.uniform(1, 12)))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    changed = replace(sample, image=np.asarray(image, np.uint8), people=replace(sample.people, visible=visible))
    if generator.uniform() < options.bars:
        aspect = _ASPECTS[generator.integers(len(_ASPECTS))]
        return _barred(changed, aspect)
    return changed


def _barred(sample: PeopleSample, aspect: float) -> PeopleSample:
    """Add black bars, as around a photograph of width / height ``aspect``; covered heads count as not visible."""
    image, people, size = sample.image.copy(), sample.people, sample.image.shape[0]
    left, above = bars = tuple(round(size * (1 - min(part, 1)) / 2) for part in (aspect, 1 / aspect))
    image[:above], image[size - above :] = 0, 0
    image[:, :left], image[:, size - left :] = 0, 0
    inside = _within(people.joints_2d, people.joints[..., 2], bars, (size, size))
    head = inside[np.arange(len(people)), head_index(people)]
    visible = people.visible * inside.mean(-1) * head
    return replace(sample, image=image, people=replace(people, visible=visible.astype(np.float32)))


def head_index(people: PeopleLabels) -> int:
    """Return the index of the joint `head`, whose position is the translation."""
    if not len(people):
        return 0
    return int(np.linalg.norm(people.joints[0] - people.translation[0], axis=-1).argmin())


def _cut_out(image: Image, people: PeopleLabels, generator: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
    """Draw rectangles of one colour; `visible` is reduced by the fraction of joints behind them."""
    image, size = image.copy(), image.shape[0]
    hidden = np.zeros(people.joints_2d.shape[:2], bool)
    for _ in range(int(generator.integers(1, 4))):
        width, height = np.exp(generator.uniform(np.log(0.04), np.log(0.35), 2)) * size
        x, y = generator.uniform(-0.1, 1.0, 2) * size
        left, above, right, below = (round(max(v, 0)) for v in (x, y, x + width, y + height))
        image[above:below, left:right] = generator.integers(0, 256, 3)
        at = people.joints_2d
        hidden |= (at[..., 0] >= left) & (at[..., 0] < right) & (at[..., 1] >= above) & (at[..., 1] < below)
    return image, (people.visible * (1 - hidden.mean(-1))).astype(np.float32)
