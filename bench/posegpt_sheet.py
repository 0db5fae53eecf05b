"""Contact sheets of generated motion, to be looked at: a row of poses for each sample, one sheet for each label.

    python bench/posegpt_sheet.py --out sheets
    python bench/posegpt_sheet.py --out sheets --data cmu.tar.xz --labels labels.json      real clips, likewise

Poses of a row are equally far apart in time, and drawn beside one another wherever the body went; the line is the
floor. The number under a row is how far the body went, m.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt import Motion, PoseGPT
from humanrt.animation.motion import take_of_motion
from humanrt.bundle import load_bundle
from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_view import MeshView
from humanrt.files import write_atomically
from humanrt.people.rig import BodyRig, open_rig
from humanrt_export.data.poses.labelled import load_labelled, read_labels
from posegpt_motion import motion_of

__all__ = ["row_of", "sheet"]

Image = NDArray[np.uint8]

_COLUMNS = 10
_PITCH = 0.95  # m from pose to pose
_FAR = 14.0  # m, the camera from the row
_UP = 1.1  # m, the camera above the floor
_WIDTH, _HEIGHT = 1500, 330  # px of a row
_PAPER, _LINE = (250, 250, 250), (150, 150, 150)
_TURN = np.deg2rad(55)  # between where the first pose looks and the camera


def row_of(motion: Motion, rig: BodyRig, view: MeshView, colour: int = 1) -> Image:
    """Draw poses of a motion side by side, RGB."""
    take = take_of_motion(motion.turned("y"), rig, placed=True)
    focal = _WIDTH * _FAR / (_PITCH * (_COLUMNS + 0.3))
    K = np.array([[focal, 0, _WIDTH / 2], [0, focal, _HEIGHT * 0.47], [0, 0, 1]])
    ahead = take.local[0, 0] @ np.array([0.0, 0.0, 1.0])
    turn = _about_y(_TURN - np.arctan2(ahead[0], -ahead[2]))
    meshes = []
    for column, frame in enumerate(np.linspace(0, len(motion) - 1, _COLUMNS).round().astype(int)):
        vertices, joints = rig.pose(take.shape, take.local[frame])
        body = (vertices - rig.bone_heads(joints)[0]) @ turn.T
        body += [(column - (_COLUMNS - 1) / 2) * _PITCH, take.root[frame, 1] + _UP, _FAR]
        meshes.append(body.astype(np.float32))
    image = np.full((_HEIGHT, _WIDTH, 3), _PAPER, np.uint8)
    floor = round(K[1, 2] + focal * _UP / _FAR)
    cv2.line(image, (0, floor), (_WIDTH, floor), _LINE, 2)
    drawn = view.draw(image, meshes, rig.faces, K, [colour_of(colour)] * len(meshes), alpha=1.0)
    way = np.linalg.norm(np.diff(take.root[:, [0, 2]], axis=0), axis=1).sum()
    cv2.putText(drawn, f"{way:.1f} m", (8, _HEIGHT - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA)
    return drawn


def sheet(motions: Sequence[Motion], rig: BodyRig, view: MeshView, title: str) -> Image:
    """Draw motions one below the other, under a title."""
    head = np.full((36, _WIDTH, 3), _PAPER, np.uint8)
    cv2.putText(head, title, (8, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate((head, *(row_of(one, rig, view, number + 1) for number, one in enumerate(motions))))


def _about_y(angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", nargs="?", default="posegpt", help="default: the one that ships")
    parser.add_argument("--out", required=True, type=Path, help="folder of the sheets")
    parser.add_argument("--names", nargs="+", help="labels (default: all)")
    parser.add_argument("--samples", type=int, default=3, help="rows of a sheet (default: 3)")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--data", nargs="+", type=Path, help="draw these recordings instead")
    parser.add_argument("--labels", type=Path, help="JSON: name of a recording -> label and subject")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    clips = load_labelled(given.data, read_labels(given.labels)) if given.data else []
    frames = round(30 * given.seconds)
    with (
        PoseGPT(given.bundle, threads=1) as gpt,
        open_rig(load_bundle("landmarks", task="people")) as rig,
        MeshView() as view,
    ):
        for name in given.names or gpt.labels:
            if clips:
                long = [motion_of(clip) for clip in clips if clip.label == name and len(clip.frames) >= frames]
                motions = [one.cut(0, frames) for one in long[: given.samples]]
            else:
                more = {"temperature": given.temperature, "top_p": given.top_p}
                motions = gpt.generate_several(given.samples, name, given.seconds, seed=given.seed, **more)
            if motions:
                picture = sheet(
                    motions, rig, view, f"{name}: {'recorded' if clips else 'generated'}, {given.seconds:g} s"
                )
                _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
                write_atomically(given.out / f"{name}.jpg", data.tobytes())


if __name__ == "__main__":
    main()
