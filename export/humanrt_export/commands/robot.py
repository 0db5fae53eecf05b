"""``humanrt-export robot``: propose a description of a robot from its URDF or MJCF, with a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np

from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt.hands.robot_view import RobotView
from humanrt.retarget import ArmDescription, load_robot
from humanrt_export.options import Option
from humanrt_export.robots.mjcf_tree import urdf_from_mjcf
from humanrt_export.robots.proposal import propose

__all__ = ["CONFIG", "RobotConfig", "run"]

_SIZE = (480, 480)


@dataclass(frozen=True, kw_only=True)
class RobotConfig:
    """Propose the description of a robot hand, gripper or arm: fingers, tips, and what follows what.

    Attributes:
        robot: URDF, or MJCF of MuJoCo (.xml), which becomes a URDF.
        out: folder for NAME.json, NAME.png and, of an MJCF, NAME.urdf. Default: the robot's.
    """

    robot: Annotated[Path, Option(positional=True, metavar="URDF|MJCF")]
    out: Annotated[Path | None, Option(metavar="DIR")] = None


CONFIG = RobotConfig


def run(config: RobotConfig) -> int:
    """Write the files; returns the exit status."""
    source = config.robot
    if not source.is_file():
        raise HumanrtError(f"{source}: no such file; give a robot's URDF, or MJCF (.xml)")
    folder = source.parent if config.out is None else config.out
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{source.stem}.json"
    if file.exists():
        raise HumanrtError(f"{file}: is there already; remove it, or give another folder: --out DIR")
    notes: list[str] = []
    ends: dict[str, tuple[float, float, float]] = {}
    urdf = source
    if source.suffix.lower() in (".xml", ".mjcf"):
        tree = urdf_from_mjcf(source)
        notes += tree.notes
        ends |= tree.ends
        urdf = folder / f"{source.stem}.urdf"
        if urdf.exists():
            raise HumanrtError(f"{urdf}: is there already; remove it, or give another folder: --out DIR")
        write_atomically(urdf, tree.urdf.encode())
    try:
        fields, more = propose(urdf, ends)
    except HumanrtError:
        if urdf is not source:
            urdf.unlink()
        raise
    if urdf.parent.resolve() != folder.resolve():
        fields["urdf"] = str(urdf.resolve())
    write_atomically(file, (json.dumps(fields, indent=1) + "\n").encode())
    for note in (*notes, *more):
        print(f"humanrt-export robot: {note}")
    try:
        robot = load_robot(file)
    except HumanrtError as error:
        raise HumanrtError(f"{error} (the proposal is written to {file}: correct it there)") from None
    for note in robot.notes:
        print(f"humanrt-export robot: {note}")
    picture = file.with_suffix(".png")
    _draw(robot, picture)
    print(f"wrote {file} and {picture}: look whether each finger is what it is said to be, and correct the file")
    task = "people" if isinstance(robot, ArmDescription) else "hands"
    print(f"then: humanrt run 0 --task {task} --robot {file}")
    return 0


def _draw(robot: Any, path: Path) -> None:
    """Draw the robot at rest and half closed."""
    pictures = []
    middle = robot.limits.mean(axis=1)
    drives = robot.drives(robot.locked)
    rows = {name: row for row, name in enumerate(robot.joint_names)}
    closed = robot.rest_pose.copy()
    for row, (leader, gain, offset) in enumerate(drives):
        if leader is not None:
            closed[row] = gain * (0.4 * robot.rest_pose[rows[leader]] + 0.6 * middle[rows[leader]]) + offset
    for note, q in (("at rest", robot.rest_pose), ("half closed", closed)):
        around = None
        if isinstance(robot, ArmDescription):
            around = robot.positions(robot.rest_pose, [robot.shoulder])[0], robot.length()
        turn = robot.placement.rotation if isinstance(robot, ArmDescription) else robot.rotation
        view = RobotView(robot.name, turn, _SIZE, around)
        pictures.append(view.draw(*robot.capsules(q), angles=q, limits=robot.limits, note=note))
    ok, png = cv2.imencode(".png", np.hstack(pictures)[..., ::-1])
    if not ok:
        raise HumanrtError(f"{path}: OpenCV cannot write PNG files here")
    write_atomically(path, png.tobytes())
