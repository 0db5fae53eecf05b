"""ASF skeletons and AMC motions (Acclaim), as the CMU Graphics Lab Motion Capture Database has them.

Written from the format's description. A bone's motion is given in its own axes C (Euler angles of the skeleton file):
its rotation from the rest pose is ``X = X_parent C R C^-1``, and it ends at ``start + X (length direction)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt_export.motion.clip import MotionError, about

__all__ = ["CMU_FPS", "CMU_UNIT", "Amc", "Bone", "Skeleton", "euler", "parse_amc", "parse_asf"]

Array = NDArray[np.float64]

CMU_FPS = 120.0
"""The database's rate; AMC files do not say theirs."""

CMU_UNIT = 0.0254
"""m per unit of length once divided by the file's `length` (0.45): an inch."""


@dataclass(frozen=True)
class Bone:
    """One bone of an ASF skeleton.

    Attributes:
        name, parent: parent is None for the root.
        offset: [3] m, from the bone's start to its end in the rest pose (zero for the root).
        axes: [3, 3] C, the bone's axes in the rest pose.
        order: letters of the Euler angles in the order of application, such as `xyz`.
        channels: the values of an AMC line, in order: from `tx ty tz rx ry rz l`.
    """

    name: str
    parent: str | None
    offset: Array
    axes: Array
    order: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Skeleton:
    """An ASF file: bones by name, parents first; `degrees` for its angles, `unit` metres per unit of length."""

    bones: dict[str, Bone]
    degrees: bool
    unit: float
    source: str

    def pose(self, motion: Amc) -> tuple[Array, dict[str, Array]]:
        """Return root position [T, 3] m, and bone -> rotations [T, 3, 3] from the rest pose, in the file's world."""
        return self._place(motion), self._turns(motion)

    def joints(self, place: Array, turns: dict[str, Array]) -> dict[str, Array]:
        """Return bone -> end position [T, 3] m; for the root, its position."""
        ends: dict[str, Array] = {}
        for bone in self.bones.values():
            ends[bone.name] = place if bone.parent is None else ends[bone.parent] + turns[bone.name] @ bone.offset
        return ends

    def _place(self, motion: Amc) -> Array:
        root = next(iter(self.bones.values()))
        columns = [motion.column(root.name, channel) for channel in ("tx", "ty", "tz")]
        return self.unit * np.stack(columns, axis=-1)

    def _turns(self, motion: Amc) -> dict[str, Array]:
        turns: dict[str, Array] = {}
        for bone in self.bones.values():
            angles = {axis: motion.column(bone.name, f"r{axis}") for axis in "xyz" if f"r{axis}" in bone.channels}
            if self.degrees:
                angles = {axis: np.radians(values) for axis, values in angles.items()}
            turn = np.broadcast_to(np.eye(3), (len(motion), 3, 3))
            for axis in bone.order:
                if axis in angles:
                    turn = about(axis, angles[axis]) @ turn
            turn = bone.axes @ turn @ bone.axes.T
            turns[bone.name] = turn if bone.parent is None else turns[bone.parent] @ turn
        return turns


@dataclass(frozen=True)
class Amc:
    """An AMC file: bone -> values [T, channels], in the order of the skeleton's channels."""

    values: dict[str, Array]
    channels: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def column(self, bone: str, channel: str) -> Array:
        """Return a channel's values [T]; zero for a bone that the motion omits."""
        if bone not in self.values:
            return np.zeros(len(self))
        return self.values[bone][:, self.channels[bone].index(channel)]


def euler(order: str, angles: Sequence[float]) -> Array:
    """Return the rotation [3, 3] of angles [rad] about the axes ``order``, applied in that order about fixed axes."""
    turn = np.eye(3)
    for axis, angle in zip(order, angles, strict=True):
        turn = about(axis, np.asarray(angle)) @ turn
    return turn


# --------------------------------------------------------------------------------------------- ASF


@dataclass
class _Line:
    number: int
    words: list[str]


class _Reader:
    """Lines of a text file, and errors with their location."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.lines = [
            _Line(number, words)
            for number, line in enumerate(text.splitlines(), 1)
            if (words := line.split("#")[0].split())
        ]

    def error(self, line: _Line | None, what: str) -> MotionError:
        where = f"{self.source}: line {line.number}" if line else self.source
        return MotionError(f"{where}: {what}")

    def numbers(self, line: _Line, words: Sequence[str], count: int) -> list[float]:
        if len(words) != count:
            raise self.error(line, f"`{line.words[0]}` needs {count} numbers, got {len(words)}")
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.error(line, f"`{' '.join(words)[:60]}` is not {count} numbers") from None
        if not all(math.isfinite(value) for value in values):
            raise self.error(line, f"`{' '.join(words)[:60]}`: numbers must be finite")
        return values

    def sections(self) -> Iterator[tuple[_Line, list[_Line]]]:
        """Yield the lines under each `:keyword`."""
        head: _Line | None = None
        body: list[_Line] = []
        for line in self.lines:
            if line.words[0].startswith(":"):
                if head:
                    yield head, body
                head, body = line, []
            elif head is None:
                raise self.error(
                    line, "not an ASF file: it must begin with a `:version` line; give the skeleton's file"
                )
            else:
                body.append(line)
        if head:
            yield head, body


def parse_asf(text: str, source: str = "skeleton") -> Skeleton:
    """Read a skeleton. MotionError states the problem and its location."""
    reader = _Reader(text, source)
    sections = {head.words[0].lower(): (head, body) for head, body in reader.sections()}
    for needed in (":root", ":bonedata", ":hierarchy"):
        if needed not in sections:
            raise reader.error(None, f"not an ASF skeleton: it has no `{needed}` section")
    unit, degrees = CMU_UNIT, True
    for line in sections.get(":units", (None, []))[1]:
        key = line.words[0].lower()
        if key == "length":
            (scale,) = reader.numbers(line, line.words[1:], 1)
            if scale <= 0:
                raise reader.error(line, "the unit of length must be above 0")
            unit = CMU_UNIT / scale
        elif key == "angle":
            degrees = _is_degrees(reader, line)
    root = _root(reader, sections[":root"][1], degrees)
    loose = _bones(reader, sections[":bonedata"][1], degrees, unit)
    bones = {root.name: root}
    for line in sections[":hierarchy"][1]:
        parent, *children = line.words
        if parent.lower() in ("begin", "end"):
            continue
        if parent not in bones:
            raise reader.error(line, f"`{parent}` is not a bone that comes before this line")
        for child in children:
            if child not in loose or child in bones:
                why = "occurs twice in the hierarchy" if child in bones else "is not in :bonedata"
                raise reader.error(line, f"bone `{child}` {why}")
            bone = loose[child]
            bones[child] = Bone(child, parent, bone.offset, bone.axes, bone.order, bone.channels)
    if missing := [name for name in loose if name not in bones]:
        raise reader.error(None, f"bones without a parent; `:hierarchy` lacks: {', '.join(missing)}")
    return Skeleton(bones, degrees, unit, source)


def _is_degrees(reader: _Reader, line: _Line) -> bool:
    word = line.words[1].lower() if len(line.words) == 2 else ""
    if word not in ("deg", "rad"):
        raise reader.error(line, "`angle` must be `deg` or `rad`")
    return word == "deg"


def _order(reader: _Reader, line: _Line, word: str) -> str:
    if sorted(word.lower()) != ["x", "y", "z"]:
        raise reader.error(line, f"`{word}` is not an order of axes such as XYZ")
    return word.lower()


def _channels(reader: _Reader, line: _Line) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in line.words[1:])
    known = ("tx", "ty", "tz", "rx", "ry", "rz", "l")
    if any(channel not in known for channel in channels) or len(set(channels)) != len(channels):
        raise reader.error(line, f"`{line.words[0]}` takes each of {', '.join(known)} at most once")
    return channels


def _axes(order: str, values: Sequence[float], degrees: bool) -> Array:
    return euler(order, np.radians(values).tolist() if degrees else values)


def _root(reader: _Reader, body: list[_Line], degrees: bool) -> Bone:
    channels: tuple[str, ...] = ("tx", "ty", "tz", "rx", "ry", "rz")
    order, orientation = "xyz", [0.0, 0.0, 0.0]
    for line in body:
        key, words = line.words[0].lower(), line.words[1:]
        if key == "order":
            channels = _channels(reader, line)
        elif key == "axis":
            order = _order(reader, line, words[0] if len(words) == 1 else " ".join(words))
        elif key == "orientation":
            orientation = reader.numbers(line, words, 3)
    if missing := {"tx", "ty", "tz", "rx", "ry", "rz"} - set(channels):
        raise reader.error(body[0] if body else None, f"the root's `order` lacks {', '.join(sorted(missing))}")
    return Bone("root", None, np.zeros(3), _axes(order, orientation, degrees), _applied(order, channels), channels)


def _applied(order: str, channels: Sequence[str]) -> str:
    """Return the axes in the order of application: that of the channels, missing ones at the end."""
    given = [channel[1] for channel in channels if channel.startswith("r")]
    return "".join([*given, *(axis for axis in order if axis not in given)])


def _bones(reader: _Reader, body: list[_Line], degrees: bool, unit: float) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    name, direction, length, axes, order = "", np.zeros(3), 0.0, np.eye(3), "xyz"
    channels: tuple[str, ...] = ()
    start: _Line | None = None
    for line in body:
        key, words = line.words[0].lower(), line.words[1:]
        if key == "begin":
            name, direction, length, axes, order, channels, start = "", np.zeros(3), 0.0, np.eye(3), "xyz", (), line
        elif key == "name":
            if len(words) != 1:
                raise reader.error(line, "`name` takes one word")
            name = words[0]
        elif key == "direction":
            direction = np.array(reader.numbers(line, words, 3))
        elif key == "length":
            (length,) = reader.numbers(line, words, 1)
        elif key == "axis":
            if len(words) != 4:
                raise reader.error(line, "`axis` takes three angles and their order, such as `0 0 20 XYZ`")
            order = _order(reader, line, words[3])
            axes = _axes(order, reader.numbers(line, words[:3], 3), degrees)
        elif key == "dof":
            channels = _channels(reader, line)
        elif key == "end":
            size = float(np.linalg.norm(direction))
            if start is None or not name or name in bones or name == "root":
                raise reader.error(start or line, f"a bone needs a unique name, got `{name}`")
            if size < 1e-9 or length < 0:
                raise reader.error(start, f"bone `{name}` needs a direction and a length")
            offset = direction / size * length * unit
            bones[name] = Bone(name, None, offset, axes, _applied(order, channels), channels)
            start = None
    if start is not None:
        raise reader.error(start, "this bone has no `end`: the file is truncated; copy it again")
    return bones


# --------------------------------------------------------------------------------------------- AMC


def parse_amc(text: str, skeleton: Skeleton, source: str = "motion") -> Amc:
    """Read a motion of ``skeleton``. MotionError states the problem and its location."""
    return _quick(text, skeleton) or _careful(text, skeleton, source)


def _quick(text: str, skeleton: Skeleton) -> Amc | None:
    """Parse all frames at once if they have the same structure (as nearly always); None otherwise."""
    if ":DEGREES" not in text[:4000].upper() or not skeleton.degrees:
        return None
    start = text.upper().index(":DEGREES") + len(":DEGREES")
    tokens = text[start:].split()
    if not tokens or tokens[0] != "1" or max(map(len, tokens)) > 40:  # arrays pad words to the longest
        return None
    words, bones = np.array(tokens), skeleton.bones
    names, place = {}, 1
    while place < len(words) and (word := str(words[place])) in bones:
        if word in names:
            return None
        names[word] = place
        place += 1 + len(bones[word].channels)
    if not names or len(words) % place:
        return None
    table = words.reshape(-1, place)
    if not all((table[:, column] == name).all() for name, column in names.items()):
        return None
    try:
        if not (table[:, 0].astype(np.int64) == np.arange(1, len(table) + 1)).all():
            return None
        values = {
            name: table[:, column + 1 : column + 1 + len(bones[name].channels)].astype(np.float64)
            for name, column in names.items()
        }
    except ValueError:
        return None
    if "root" not in values or not all(np.isfinite(array).all() for array in values.values()):
        return None
    return Amc(values, {name: bones[name].channels for name in values})


def _careful(text: str, skeleton: Skeleton, source: str) -> Amc:
    """Parse line by line: for files of other structure, and to report errors in damaged ones."""
    reader = _Reader(text, source)
    frames: list[dict[str, list[float]]] = []
    degrees = skeleton.degrees
    start: _Line | None = None
    for line in reader.lines:
        first = line.words[0]
        if first.startswith(":"):
            if first.upper() in (":DEGREES", ":RADIANS"):
                degrees = first.upper() == ":DEGREES"
        elif len(line.words) == 1 and first.isdecimal():
            _check_frame(reader, start, frames)
            frames.append({})
            start = line
        elif first not in skeleton.bones:
            raise reader.error(
                line, f"bone `{first[:40]}` is not in the skeleton {skeleton.source}; give the skeleton of this subject"
            )
        elif not frames:
            raise reader.error(line, "a frame's number must come first; this is not an AMC motion")
        elif first in frames[-1]:
            raise reader.error(line, f"bone `{first}` occurs twice in one frame")
        else:
            frames[-1][first] = reader.numbers(line, line.words[1:], len(skeleton.bones[first].channels))
    _check_frame(reader, start, frames)
    if not frames:
        raise reader.error(None, "it has no frames; is it a complete AMC motion?")
    if "root" not in frames[0]:
        raise reader.error(start, "frames without `root`")
    names = list(frames[0])
    values = {name: np.array([frame[name] for frame in frames], np.float64) for name in names}
    if degrees != skeleton.degrees:
        scale = math.pi / 180 if degrees else 180 / math.pi
        for name, array in values.items():
            turning = [channel.startswith("r") for channel in skeleton.bones[name].channels]
            array[:, turning] *= scale
    return Amc(values, {name: skeleton.bones[name].channels for name in names})


def _check_frame(reader: _Reader, start: _Line | None, frames: list[dict[str, list[float]]]) -> None:
    """Check that the frame that just ended has the same bones as the first."""
    if frames and (missing := frames[0].keys() ^ frames[-1].keys()):
        names = ", ".join(sorted(missing))
        raise reader.error(start, f"this frame and the first have different bones: {names}; is the file complete?")
