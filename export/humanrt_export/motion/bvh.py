"""BVH motions (Biovision): a tree of offsets, and Euler angles of every joint in every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from humanrt_export.motion.clip import Motion, MotionError, about
from humanrt_export.motion.retarget import Source, find_naming, retarget

__all__ = ["Bvh", "Joint", "bvh_motion", "parse_bvh"]

Array = NDArray[np.float64]

_CHANNELS = ("xposition", "yposition", "zposition", "xrotation", "yrotation", "zrotation")


@dataclass
class Joint:
    """One joint: its rest offset from its parent (the file's unit), and its channels in order."""

    name: str
    parent: str | None
    offset: Array = field(default_factory=lambda: np.zeros(3))
    channels: tuple[str, ...] = ()
    end: Array | None = None


@dataclass(frozen=True)
class Bvh:
    """A BVH file: joints by name, parents first; values [T, C] of all channels, angles in degrees."""

    joints: dict[str, Joint]
    values: Array
    fps: float

    def pose(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return joint -> rotations [T, 3, 3] from the rest pose, and joint -> positions [T, 3] in the file's unit."""
        turns: dict[str, Array] = {}
        places: dict[str, Array] = {}
        column = 0
        for joint in self.joints.values():
            turn = np.broadcast_to(np.eye(3), (len(self.values), 3, 3))
            offset = np.broadcast_to(joint.offset, (len(self.values), 3)).copy()
            for channel in joint.channels:
                value, axis = self.values[:, column], channel[0]
                column += 1
                if channel.endswith("rotation"):
                    turn = turn @ about(axis, np.radians(value))
                elif joint.parent is None:  # positions of other joints repeat their offsets
                    offset[:, "xyz".index(axis)] = value
            if joint.parent is None:
                turns[joint.name], places[joint.name] = turn, offset
            else:
                turns[joint.name] = turns[joint.parent] @ turn
                places[joint.name] = places[joint.parent] + (turns[joint.parent] @ offset[..., None])[..., 0]
        return turns, places


def bvh_motion(text: str, source: str, subject: str = "") -> Motion:
    """Read a BVH motion on SMPL's tree. The file's unit does not matter: lengths are scaled by the legs."""
    bvh = parse_bvh(text, source)
    naming = find_naming(list(bvh.joints), source)
    turns, places = bvh.pose()
    heads: dict[str, Array] = {}
    for joint in bvh.joints.values():
        heads[joint.name] = joint.offset + heads[joint.parent] if joint.parent else np.zeros(3)
    ends = {}
    for name, joint in bvh.joints.items():
        children = [child for child in bvh.joints.values() if child.parent == name]
        named = [child for child in children if any(child.name in bones for bones in naming.values())]
        if named or children:  # of several children, such as fingers, the first that is a body part
            ends[name] = heads[(named or children)[0].name]
        else:
            ends[name] = heads[name] + (joint.end if joint.end is not None else np.zeros(3))
    return retarget(
        Source(heads, ends, turns, places, title=source),
        naming,
        lambda translation, rotations: Motion(
            bvh.fps, translation, rotations, source, PurePosixPath(source).stem, subject
        ),
    )


def parse_bvh(text: str, source: str = "motion") -> Bvh:
    """Read a BVH file. MotionError states the problem and its location."""
    lines = text.splitlines()

    def error(number: int, what: str) -> MotionError:
        return MotionError(f"{source}: line {number + 1}: {what}")

    def numbers(number: int, words: list[str], count: int) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(words) != count or len(values) != count or not all(map(math.isfinite, values)):
            raise error(number, f"expected {count} numbers, got `{' '.join(words)[:60]}`")
        return values

    joints: dict[str, Joint] = {}
    stack: list[Joint] = []
    ending, pending, begun = False, False, False
    for number, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        key = words[0].upper()
        if not begun:
            if key != "HIERARCHY":
                raise error(number, "not a BVH file: it must begin with HIERARCHY")
            begun = True
        elif key in ("ROOT", "JOINT"):
            name = " ".join(words[1:])
            if not name or name in joints or (key == "ROOT") != (not stack) or (key == "ROOT" and joints):
                raise error(
                    number, f"`{line.strip()[:60]}` is misplaced or occurs twice; expected one root, then its joints"
                )
            joints[name] = Joint(name, stack[-1].name if stack else None)
            stack.append(joints[name])
            pending = True
        elif key == "END" and stack:
            ending = True
        elif key == "{":
            pending = False
        elif key == "OFFSET" and stack:
            offset = np.array(numbers(number, words[1:], 3))
            if ending:
                stack[-1].end = offset
            else:
                stack[-1].offset = offset
        elif key == "CHANNELS" and stack and not ending:
            channels = tuple(word.lower() for word in words[2:])
            known = all(channel in _CHANNELS for channel in channels) and len(set(channels)) == len(channels)
            if len(words) < 2 or words[1] != str(len(channels)) or not known:
                raise error(number, f"`{line.strip()[:60]}`: channels are a count, then names such as Zrotation")
            stack[-1].channels = channels
        elif key == "}" and (stack or ending):
            if ending:
                ending = False
            else:
                stack.pop()
        elif key == "MOTION" and not stack and joints and not pending:
            return _motion(source, lines, number + 1, joints)
        else:
            raise error(number, f"`{line.strip()[:60]}` is not expected here")
    raise MotionError(f"{source}: it ends before its MOTION; the file is truncated, copy it again")


def _motion(source: str, lines: list[str], start: int, joints: dict[str, Joint]) -> Bvh:
    rows = [(number + 1, line) for number, line in enumerate(lines[start:], start) if line.strip()]
    head = [line.replace(":", " : ").split() for _, line in rows[:2]]
    try:
        if [word.lower() for word in head[0][:2]] != ["frames", ":"]:
            raise ValueError
        if [word.lower() for word in head[1][:3]] != ["frame", "time", ":"]:
            raise ValueError
        frames, seconds = int(head[0][2]), float(head[1][3])
    except (ValueError, IndexError):
        raise MotionError(f"{source}: line {start + 1}: expected `Frames: N`, then `Frame Time: S`") from None
    if not (frames > 0 and math.isfinite(seconds) and seconds > 0):
        raise MotionError(f"{source}: line {start + 1}: {frames} frames of {seconds} s; both must be above 0")
    count = sum(len(joint.channels) for joint in joints.values())
    rows = rows[2:]
    if len(rows) < frames:
        raise MotionError(f"{source}: it has {len(rows)} of the {frames} frames that it declares; copy it again")
    values = []
    for number, line in rows[:frames]:
        try:
            row = np.array(line.split(), np.float64)
        except ValueError:
            row = np.zeros(0)
        if len(row) != count or not np.isfinite(row).all():
            raise MotionError(f"{source}: line {number}: expected {count} numbers, one per channel")
        values.append(row)
    return Bvh(joints, np.stack(values), 1.0 / seconds)
