"""Fits as films with truth, which ``humanrt evaluate --format films`` reads: one for each camera."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.errors import OutputError
from humanrt.evaluation.calibrated import View
from humanrt.files import folder_atomically
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import LIMB_BONES, limb_indices
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.sources.opening import open_source
from humanrt_export.multiview.acceptance import Verdict
from humanrt_export.multiview.fitting import PersonFit, Views
from humanrt_export.multiview.scene import Scene

__all__ = ["Judged", "check_out", "write_data_set"]

Array = NDArray[np.float64]

_MARKS = limb_indices(MEDIAPIPE_33)
_TALL = 640  # px, of the pictures of the overview


@dataclass(frozen=True)
class Judged:
    """One person: what was seen of them, the fit, and what was said of it."""

    id: int
    views: Views
    fit: PersonFit
    verdict: Verdict


def check_out(out: Path) -> None:
    """Refuse a folder that holds something, or cannot be made. OutputError says so."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: is there already; give --out a new folder")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        # Permission bits do not tell it of every file system.
        Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=above)).rmdir()
    except OSError as error:
        raise OutputError(f"{out}: no folder can be made in {above} ({error.strerror})") from error


def write_data_set(
    out: Path, scene: Scene, people: Sequence[Judged], joint_names: Sequence[str], report: dict[str, Any], about: str
) -> None:
    """Write the videos, their truth, an overview and ``report.json`` to a new folder, all at once or not at all.

    Args:
        out: the folder.
        scene: the cameras.
        people: everybody; those who are rejected are in the report only.
        joint_names: of the fits.
        report: what is written to ``report.json``.
        about: what the truth is and how certain, in a sentence.

    Raises:
        OutputError: it cannot be written.
    """
    check_out(out)
    accepted = [one for one in people if one.verdict.accepted]
    try:
        with folder_atomically(out) as part:
            part.mkdir()
            for numbers in [range(len(scene.views))] if scene.still else [[k] for k in range(len(scene.views))]:
                video = scene.views[numbers[0]].video
                _link(video, part / video.name)
                arrays = _film(scene, list(numbers), accepted, joint_names)
                content = io.BytesIO()
                np.savez_compressed(content, allow_pickle=False, about=np.array(about), **arrays)
                (part / video.name).with_suffix(".npz").write_bytes(content.getvalue())
            (part / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            done, code = cv2.imencode(".jpg", _overview(scene, people)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            if done:
                (part / "overview.jpg").write_bytes(np.asarray(code).tobytes())
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror or error})") from error


def _link(video: Path, there: Path) -> None:
    """Give a video a second name, or copy it where that is not possible. FileExistsError if the name is taken."""
    try:
        os.link(video.resolve(), there)
    except FileExistsError:
        raise  # it is a second name of another video, which a copy would overwrite
    except OSError:
        shutil.copyfile(video, there)


def _film(scene: Scene, numbers: list[int], people: Sequence[Judged], joint_names: Sequence[str]) -> dict[str, Any]:
    """Return the arrays of one video: T frames, N people, camera space; joints without those of fingers."""
    first = scene.views[numbers[0]]
    kept = [k for k, name in enumerate(joint_names) if not name.startswith(("finger", "metacarpal"))]
    joint_names = [joint_names[k] for k in kept]
    frames = list(scene.frames) if scene.frames is not None else list(range(scene.count))
    count, size = frames[-1] + 1, len(people)
    joints = np.zeros((count, size, len(joint_names), 3), np.float32)
    turns = np.tile(np.eye(3, dtype=np.float32), (count, size, 74, 1, 1))
    shape, heads = np.zeros((count, size, 6), np.float32), np.zeros((count, size, 3), np.float32)
    visible, known = np.zeros((count, size), np.float32), np.zeros((count, size), bool)
    uncertainty = np.full((count, size), np.nan, np.float32)
    intrinsics, to_world = np.tile(first.K, (count, 1, 1)), np.full((count, 4, 4), np.nan)
    head = joint_names.index("head")
    for row, frame in enumerate(frames):
        k, t = (numbers[row], 0) if scene.still else (numbers[0], row)
        view = scene.views[k]
        intrinsics[frame] = view.K
        to_world[frame] = _to_world(view)
        for n, one in enumerate(people):
            fit = one.fit
            joints[frame, n] = view.camera(fit.joints[t, kept])
            turns[frame, n] = fit.rotations[t]
            turns[frame, n, 0] = view.R @ fit.rotations[t, 0]
            shape[frame, n], heads[frame, n] = fit.shape, joints[frame, n, head]
            visible[frame, n] = float((one.views.weight[k, t, _MARKS] > 0.5).mean())
            known[frame, n] = bool(one.verdict.times[t]) and bool((joints[frame, n, :, 2] > 0.05).all())
            uncertainty[frame, n] = one.verdict.uncertainty[t]
    same = bool((intrinsics == intrinsics[0]).all())
    arrays = {
        "t": np.arange(count) / scene.fps,
        "fps": np.float64(scene.fps),
        "intrinsics": intrinsics[0] if same else intrinsics,
        "size": np.array(first.size),
        "joint_names": np.array(joint_names),
        "ids": np.array([one.id for one in people], np.int32),
        "rotations": turns,
        "shape": shape,
        "translation": heads,
        "joints": joints,
        "visible": visible,
        "known": known,
        "uncertainty": uncertainty,
    }
    return arrays | ({"to_world": to_world} if scene.still else {})


def _to_world(view: View) -> Array:
    """Return [4, 4] from the camera to the world."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = view.R.T, view.centre
    return out


def _overview(scene: Scene, people: Sequence[Judged]) -> NDArray[np.uint8]:
    """Return pictures of three times in up to four views with everybody's limbs; of who is rejected, grey."""
    count = len(scene.views)
    if scene.frames is not None:
        cells = [(k, 0, scene.frames[k]) for k in np.linspace(0, count - 1, min(count, 8)).round().astype(int)]
        columns = 4
    else:
        some = np.linspace(0, count - 1, min(count, 4)).round().astype(int)
        times = np.linspace(0, scene.count - 1, min(scene.count, 3)).round().astype(int)
        cells = [(int(k), int(t), int(t)) for t in times for k in some]
        columns = len(some)
    pictures: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for video in {scene.views[k].video for k, _, _ in cells}:
        wanted = [(k, t, frame) for k, t, frame in cells if scene.views[k].video == video]
        with open_source(video) as source:
            for picture in source:
                for k, t, frame in wanted:
                    if picture.index == frame:
                        pictures[k, t] = _drawn(picture.image, scene.views[k], people, t)
                if picture.index >= max(frame for _, _, frame in wanted):
                    break
    shown = [pictures[k, t] for k, t, _ in cells]
    width = max(one.shape[1] for one in shown)
    padded = [np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in shown]
    padded += [np.zeros_like(padded[0])] * (-len(padded) % columns)
    rows = [np.concatenate(padded[k : k + columns], 1) for k in range(0, len(padded), columns)]
    return np.asarray(np.concatenate(rows))


def _drawn(image: NDArray[np.uint8], view: View, people: Sequence[Judged], t: int) -> NDArray[np.uint8]:
    picture = image.copy()
    thick = max(2, round(max(view.size) / 400))
    for one in people:
        colour = colour_of(one.id) if one.verdict.accepted and one.verdict.times[t] else (140, 140, 140)
        limbs = view.camera(one.fit.joints[t])[limb_indices(one.fit.joint_names)]
        if (limbs[:, 2] < 0.05).any():
            continue
        flat = project(limbs, view.K).round().astype(int).tolist()
        for a, b in LIMB_BONES:
            cv2.line(picture, flat[a], flat[b], colour, thick, cv2.LINE_AA)
    scale = _TALL / picture.shape[0]
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
