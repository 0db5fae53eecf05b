"""Contact sheets of generated motion, to be looked at: a row of poses for each sample, one sheet for each label.

    python bench/posegpt_sheet.py --out sheets
    python bench/posegpt_sheet.py --out sheets --data cmu.tar.xz --labels labels.json      real clips, likewise

Poses of a row are equally far apart in time, and drawn beside one another wherever the body went; the line is the
floor. The number under a row is how far the body went, m. ``--video FILE.mp4``: a film of a motion of each label too.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
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
from humanrt.motion.features import Heading
from humanrt.outputs.video import open_sink
from humanrt.people.rig import BodyRig, open_rig
from humanrt_export.data.poses.labelled import load_labelled, read_labels
from posegpt_motion import motion_of

__all__ = ["film", "row_of", "sheet"]

Image = NDArray[np.uint8]

_COLUMNS = 10
_PITCH = 0.95  # m from pose to pose
_FAR = 14.0  # m, the camera from the row
_UP = 1.1  # m, the camera above the floor
_WIDTH, _HEIGHT = 1500, 330  # px of a row
_PAPER, _LINE = (250, 250, 250), (150, 150, 150)
_HIGH = 1.2  # m, what is higher than this in a whole motion is drawn lower
_TURN = np.deg2rad(55)  # between where the first pose looks and the camera


class _Posed:
    """Bodies of a motion at their height above the floor, but always at one place, the first seen from its side."""

    def __init__(self, motion: Motion, rig: BodyRig) -> None:
        upright = motion.turned("y")
        self._rig, self._take = rig, take_of_motion(upright, rig, placed=True)
        self.raised = max(0.0, -float(self._take.root[:, 1].max()) - _HIGH)
        self._turn = _about_y(Heading.of(upright.rotations[0, 0], np.zeros(3)).angle - _TURN)

    def body(self, frame: int) -> NDArray[np.float64]:
        """Return the vertices, m, camera axes, the floor at height 0."""
        vertices, joints = self._rig.pose(self._take.shape, self._take.local[frame])
        body = (vertices - self._rig.bone_heads(joints)[0]) @ self._turn.T
        return np.asarray(body + np.array([0, self._take.root[frame, 1] + self.raised, 0]), np.float64)


def _side_by_side(
    bodies: Sequence[NDArray[np.float64]], rig: BodyRig, view: MeshView, colours: Sequence[int], columns: int
) -> Image:
    focal = _WIDTH * _FAR / (_PITCH * (_COLUMNS + 0.3))
    width = _WIDTH * columns // _COLUMNS
    K = np.array([[focal, 0, width / 2], [0, focal, _HEIGHT * 0.47], [0, 0, 1]])
    image = np.full((_HEIGHT, width, 3), _PAPER, np.uint8)
    floor = round(K[1, 2] + focal * _UP / _FAR)
    cv2.line(image, (0, floor), (width, floor), _LINE, 2)
    meshes = [
        (body + np.array([(column - (columns - 1) / 2) * _PITCH, _UP, _FAR])).astype(np.float32)
        for column, body in enumerate(bodies)
    ]
    return view.draw(image, meshes, rig.faces, K, [colour_of(colour) for colour in colours], alpha=1.0)


def film(motions: Mapping[str, Motion], rig: BodyRig, view: MeshView, path: Path, columns: int = 5) -> None:
    """Write a film of motions of equal length, each by its name, in rows."""
    names = list(motions)
    posed = [_Posed(motion, rig) for motion in motions.values()]
    with open_sink(path, 15.0) as sink:
        for frame in range(0, min(map(len, motions.values())), 2):
            rows = []
            for start in range(0, len(names), columns):
                bodies = [one.body(frame) for one in posed[start : start + columns]]
                row = _side_by_side(bodies, rig, view, range(start + 1, start + 1 + len(bodies)), columns)
                for column, name in enumerate(names[start : start + columns]):
                    at = (round((column + 0.05) * row.shape[1] / columns), 18)
                    cv2.putText(row, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
                rows.append(row)
            sink.write(cv2.resize(np.concatenate(rows), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))


def row_of(motion: Motion, rig: BodyRig, view: MeshView, colour: int = 1) -> Image:
    """Draw poses of a motion side by side, RGB."""
    posed = _Posed(motion, rig)
    frames = np.linspace(0, len(motion) - 1, _COLUMNS).round().astype(int)
    drawn = _side_by_side([posed.body(int(frame)) for frame in frames], rig, view, [colour] * _COLUMNS, _COLUMNS)
    way = np.linalg.norm(np.diff(motion.turned("y").translation[:, [0, 2]], axis=0), axis=1).sum()
    words = f"{way:.1f} m" + (f", drawn {posed.raised:.1f} m lower" if posed.raised else "")
    cv2.putText(drawn, words, (8, _HEIGHT - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA)
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
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="a film of one motion of each label")
    parser.add_argument("--data", nargs="+", type=Path, help="draw these recordings instead")
    parser.add_argument("--labels", type=Path, help="JSON: name of a recording -> label and subject")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    clips = load_labelled(given.data, read_labels(given.labels)) if given.data else []
    frames = round(30 * given.seconds)
    filmed: dict[str, Motion] = {}
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
            filmed |= {name: motions[0]} if motions else {}
            if motions:
                picture = sheet(
                    motions, rig, view, f"{name}: {'recorded' if clips else 'generated'}, {given.seconds:g} s"
                )
                _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
                write_atomically(given.out / f"{name}.jpg", data.tobytes())
        if given.video:
            film(filmed, rig, view, given.video)


if __name__ == "__main__":
    main()
