"""What humanrt computes on this machine, in one file of arrays: run by `tests/arm_check.py` on Arm and on x86-64.

    python tests/arm_probe.py --pictures PICTURES.npz                 # decode the clips
    python tests/arm_probe.py PICTURES.npz OUT.npz [part ...]

Needs the lean runtime only. Every array's name is ``part/quantity [unit]``. Pictures are decoded once, on one of the
machines, as decoders differ by a grey level or two; by how much is one of the quantities.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import humanrt
from humanrt import native
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.data import CLIP, PEOPLE_CLIP, TRUTH
from humanrt.geometry.letterbox import Preprocessor
from humanrt.geometry.region import Region
from humanrt.hands.truth import Truth
from humanrt.perception.crop import NativeCrop, make_crop
from humanrt.retarget import Retargeter
from humanrt.sources.opening import Frame
from humanrt.tasks import HandOptions, PeopleOptions, open_hands, open_people

HAND_FRAMES, PEOPLE_FRAMES = 40, 4
ROBOTS = tuple(f"{robot}_{side}" for robot in ("allegro", "leap", "shadow") for side in ("right", "left"))

Arrays = dict[str, NDArray[Any]]


def decoded(clip: Path, count: int) -> NDArray[np.uint8]:
    with humanrt.open_source(clip) as source:
        return np.stack([frame.image for frame in islice(source, count)])


def frames(images: NDArray[np.uint8]) -> Iterator[Frame]:
    for index, image in enumerate(images):
        yield Frame(image, index / 30, index)


def library(pictures: Arrays) -> Arrays:
    """The compiled library by itself: crop and letterbox of noise; and what OpenCV does before and beside it."""
    if (reason := native.problem()) is not None:
        raise SystemExit(reason)
    noise = np.random.default_rng(0).integers(0, 256, (333, 471, 3), np.uint8)
    square = np.zeros((1, 3, 224, 224), np.float32)
    crop = make_crop(square)
    assert isinstance(crop, NativeCrop)
    crop(noise, Region(200.0, 150.0, 260.0, 0.4))
    boxed = np.zeros((3, 448, 448), np.float32)
    Preprocessor(448, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(noise, boxed)
    first = pictures["hands"][0]
    return {
        "library/crop [grey levels]": 255 * square,
        "library/letterbox [grey levels]": 255 * 0.229 * boxed,
        "library/video decoded by OpenCV [grey levels]": decoded(CLIP, 1),
        "library/colours by OpenCV [grey levels]": cv2.cvtColor(first, cv2.COLOR_RGB2GRAY),
    }


def retargeting(pictures: Arrays) -> Arrays:
    """Joint angles for the same keypoints, those of the clip's truth."""
    keypoints = np.asarray(Truth.load(TRUTH).keypoints_3d, np.float64).reshape(-1, 21, 3)[::8]
    out = {}
    for robot in ROBOTS:
        retargeter = Retargeter(robot)
        assert retargeter.kernel == "native"
        angles = [retargeter.solve(points, dt=8 / 30, side="right") for points in keypoints]
        out[f"retargeting/{robot} [rad]"] = np.array(angles)
    return out


def posebert(pictures: Arrays) -> Arrays:
    """Smoothed windows of seeded keypoints."""
    rng = np.random.default_rng(1)
    out = {}
    truth = Truth.load(TRUTH).keypoints_3d.reshape(-1, 21, 3)[:64].astype(np.float32)
    model = humanrt.PoseBERT("posebert-hand")
    window = truth[None, : model.frames] + rng.normal(0, 0.003, (1, model.frames, 21, 3)).astype(np.float32)
    seen = rng.random((1, model.frames)) > 0.2
    result = model.refine(keypoints=window, mask=seen)
    out["PoseBERT/hand, rotations [rad]"] = result.rotations
    assert result.keypoints is not None
    out["PoseBERT/hand, keypoints [mm]"] = 1e3 * result.keypoints
    return out


def hands(pictures: Arrays) -> Arrays:
    """The hand path: tracker, PoseBERT, robots."""
    pixels, places, angles = [], [], []
    with open_hands(backend="cpu", options=HandOptions(ROBOTS[::2], smooth="posebert"), threads=1) as pipeline:
        for frame in frames(pictures["hands"]):
            result = pipeline(frame)
            (hand,) = result.hands
            pixels.append(hand.keypoints_2d)
            places.append(hand.keypoints_3d)
            angles.append(np.concatenate([result.robots[hand.id][robot] for robot in ROBOTS[::2]]))
    return {
        "hands/keypoints [px]": np.array(pixels),
        "hands/keypoints in space [mm]": 1e3 * np.array(places),
        "hands/robots' joints [rad]": np.array(angles),
    }


def whole_bodies(pictures: Arrays) -> Arrays:
    """People with hands and face, followed."""
    out: dict[str, list[NDArray[Any]]] = {"pixels": [], "rotations": [], "joints": []}
    with open_people("holistic", "cpu", PeopleOptions(), threads=1) as pipeline:
        for frame in frames(pictures["people"]):
            people = pipeline(frame).people
            assert people.joints_2d is not None
            assert people.joints is not None
            out["pixels"].append(people.joints_2d)
            out["rotations"].append(people.rotations)
            out["joints"].append(1e3 * people.joints)
    names = {"pixels": "joints [px]", "rotations": "rotations [rad]", "joints": "joints in space [mm]"}
    return {f"whole bodies/{names[key]}": np.concatenate(values) for key, values in out.items()}


def multihmr(pictures: Arrays) -> Arrays:
    """People in single pictures by the shipped Multi-HMR, whose training images OpenCV scaled: both machines are given
    pictures that one of them scaled, and then the whole ones."""
    with humanrt.MultiHMR(backend="cpu", threads=1) as model:
        people = model.infer(pictures["scaled"])
        whole = [model(image) for image in pictures["people"][::2]]
    return {
        "Multi-HMR/joints [px]": np.concatenate([one.joints_2d for one in people]),
        "Multi-HMR/rotations [rad]": np.concatenate([one.rotations for one in people]),
        "Multi-HMR/vertices [mm]": 1e3 * np.concatenate([one.vertices for one in people]),
        "Multi-HMR/vertices, pictures scaled by OpenCV [mm]": 1e3 * np.concatenate([one.vertices for one in whole]),
    }


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pictures as the shipped Multi-HMR's network gets them, [N, 3, S, S]."""
    settings = MultiHmrSettings.of(load_bundle("multihmr-anny", task="people"))
    prepare = Preprocessor(settings.input_size, settings.mean, settings.std, settings.resize)
    out = np.zeros((len(images), 3, *settings.input_size[::-1]), np.float32)
    for image, into in zip(images, out, strict=True):
        prepare(image, into)
    return out


PARTS: dict[str, Callable[[Arrays], Arrays]] = {
    "library": library,
    "retargeting": retargeting,
    "posebert": posebert,
    "hands": hands,
    "multihmr": multihmr,
    "people": whole_bodies,
}


def main(words: list[str]) -> None:
    if words[0] == "--pictures":
        people = decoded(PEOPLE_CLIP, PEOPLE_FRAMES)
        np.savez(words[1], hands=decoded(CLIP, HAND_FRAMES), people=people, scaled=scaled(people[::2]))
        return
    with np.load(words[0]) as stored:
        pictures = dict(stored)
    arrays: Arrays = {}
    for part in words[2:] or PARTS:
        arrays |= PARTS[part](pictures)
    np.savez_compressed(words[1], **arrays)


if __name__ == "__main__":
    main(sys.argv[1:])
