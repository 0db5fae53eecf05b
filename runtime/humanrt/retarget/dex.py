"""Read a robot hand from a configuration of dex-retargeting (YAML), with its URDF.

What it asks for becomes a hand description, an objective and its vectors:

``vector``    as it is: robot vectors between links, human vectors between keypoints, ``scaling_factor``; term for term.
``dexpilot``  as it is, with ``project_dist`` and ``escape_dist``; term for term.
``position``  vectors from the robot's base to the links, with the human's from the wrist: the free joint that
              dex-retargeting adds to the base is the wrist frame here, which is fitted to the palm, and distances are
              minimised instead of each coordinate by itself.

Joints that ``target_joint_names`` leaves out stay at zero, as do those between the URDF's root and the link that
carries the hand. Left out are ``low_pass_alpha`` and ``normal_delta``, filters per call: keypoints are smoothed before,
in real time. dex-retargeting does not look at the limits of followers (mimic joints); here they hold, except where they
would keep their leader from moving at all, which is noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError, MissingDependencyError, choices
from humanrt.geometry.hand import CHAINS, FINGERS, WRIST
from humanrt.retarget.check import number
from humanrt.retarget.description import Configured, HandDescription, Vector
from humanrt.retarget.robot import Point
from humanrt.retarget.urdf import hand_from_urdf, place_in_urdf

__all__ = ["hand_from_dex"]

_KEYS = {
    *("type", "urdf_path", "add_dummy_free_joint", "target_link_human_indices", "wrist_link_name"),
    *("target_link_names", "target_joint_names", "target_origin_link_names", "target_task_link_names"),
    *("finger_tip_link_names", "scaling_factor", "normal_delta", "huber_delta", "project_dist", "escape_dist"),
    *("has_joint_limits", "ignore_mimic_joint", "low_pass_alpha"),
}
_KINDS = ("vector", "dexpilot", "position")
_MAX_BYTES = 1 << 20


def hand_from_dex(path: Path) -> HandDescription:
    """Read a hand. Its ``notes`` say what the configuration became.

    The URDF is looked for from the file's own folder, then from the current one.

    Raises:
        HumanrtError: not such a configuration, or not possible with its URDF.
        MissingDependencyError: PyYAML is not installed.
    """
    given = _read(path)
    kind = str(given.get("type")).lower()
    if kind not in _KINDS:
        raise HumanrtError(f"{path}: type is {given.get('type')!r}; choose one of: {', '.join(_KINDS)}")
    urdf = _urdf(given, path)
    if given.get("ignore_mimic_joint"):
        raise HumanrtError(f"{path}: ignore_mimic_joint is not supported: take the <mimic> out of {urdf.name} instead")
    pairs = _pairs(given, kind, path)
    tips = _fingertips(given, path) if kind == "dexpilot" else _furthest(pairs)
    if not tips:
        raise HumanrtError(f"{path}: target_link_human_indices: no link follows a finger, only the wrist")
    scale = number(given.get("scaling_factor", 1.0), f"{path}: scaling_factor", "be positive")
    hints: dict[str, Any] = {
        "urdf": str(urdf),
        "tips": tips,
        # The frame in which dex-retargeting gives human vectors, as they are, to the robot's base.
        "axes": {"fingers": "+z", "palm": "+x"},
        "scale": 1.0 if kind == "position" else scale,
    }
    links, joints, carries = place_in_urdf(urdf)
    for link in [*tips.values(), *(link for pair in pairs for link in pair[0] if link is not None)]:
        if link not in links:
            raise HumanrtError(f"{path}: {urdf.name} has no link {link!r}; it has {choices(links)}")
    origin = _text(given, "wrist_link_name", path) if kind == "dexpilot" else pairs[0][0][0]
    if origin is not None and all(carries(origin, tip) for tip in tips.values()):
        hints["wrist"] = origin
    wanted = given.get("target_joint_names")
    if wanted is not None:
        names = _texts(given, "target_joint_names", path)
        if unknown := [name for name in names if name not in joints]:
            raise HumanrtError(f"{path}: target_joint_names: no joint {choices(unknown)}; it has {choices(joints)}")
        hints["locked"] = {name: value for name, value in joints.items() if value is not None and name not in names}
    hand = _released(hand_from_urdf(hints, path))
    # A wrist beside the fingers, such as Allegro's, carries none of them; vectors begin there all the same.
    if kind == "dexpilot" and links[str(origin)].joint == hand.wrist.joint:
        hand = replace(hand, wrist=links[str(origin)])
    vectors = tuple(
        Vector(
            Point(None, (0.0, 0.0, 0.0)) if ends[0] is None else links[ends[0]],
            links[str(ends[1])],
            human,
        )
        for ends, human in pairs
    )
    objective = "dexpilot" if kind == "dexpilot" else "vector"
    configured = Configured(
        objective,
        vectors,
        huber=None if kind == "dexpilot" else _length(given, "huber_delta", 0.02, path),  # dexpilot's is its own
        project=_length(given, "project_dist", 0.03, path),
        escape=_length(given, "escape_dist", 0.05, path),
    )
    what = {
        "vector": f"objective vector with {len(vectors)} vectors, scale {scale:g}",
        "dexpilot": f"objective dexpilot with {len(tips)} fingers, scale {scale:g}",
        "position": f"objective vector from the wrist to {len(vectors)} places: its free base is the wrist frame here",
    }[kind]
    note = f"{hand.name}: {kind} of dex-retargeting becomes {what}; low_pass_alpha and normal_delta are left out"
    return replace(hand, configured=configured, notes=(note, *hand.notes))


def _released(hand: HandDescription) -> HandDescription:
    """Return the hand with wider limits of those followers that would keep their leader from moving."""
    limits = {joint.name: (joint.lower, joint.upper) for joint in hand.joints}
    joints, released = [], []
    for joint, (leader, gain, offset) in zip(hand.joints, hand.drives(hand.locked), strict=True):
        if leader not in (None, joint.name):
            low, high = sorted(gain * end + offset for end in limits[str(leader)])
            left = min(high, joint.upper) - max(low, joint.lower)
            if left < 0.01 * (high - low):
                joint = replace(joint, lower=min(low, joint.lower), upper=max(high, joint.upper))
                released.append(joint.name)
        joints.append(joint)
    note = f"{hand.name}: limits of {', '.join(released)} are not kept: they would keep what it follows from moving"
    return replace(hand, joints=tuple(joints), notes=(*hand.notes, note) if released else hand.notes)


_Pair = tuple[tuple[str | None, str], tuple[int, int]]
"""Links between which the robot's vector goes, None is the base; keypoints between which the human's goes."""


def _pairs(given: Mapping[str, Any], kind: str, path: Path) -> list[_Pair]:
    """Return the vectors of ``vector`` and ``position``."""
    if kind == "dexpilot":
        if given.get("target_link_human_indices") is not None:
            raise HumanrtError(f"{path}: target_link_human_indices of a dexpilot are its own; leave them out")
        return []
    if kind == "position":
        links = _texts(given, "target_link_names", path)
        (to,) = _indices(given, path, 1, len(links))
        return [((None, link), (WRIST, human)) for link, human in zip(links, to, strict=True)]
    origins, links = (_texts(given, f"target_{what}_link_names", path) for what in ("origin", "task"))
    if len(origins) != len(links):
        raise HumanrtError(f"{path}: {len(origins)} target_origin_link_names for {len(links)} target_task_link_names")
    begin, end = _indices(given, path, 2, len(links))
    return [((a, b), (c, d)) for a, b, c, d in zip(origins, links, begin, end, strict=True)]


def _furthest(pairs: Sequence[_Pair]) -> dict[str, str]:
    """Return the link of each finger that follows the keypoint nearest to its tip: what moves it is the hand's."""
    ends = sorted(
        (human, link) for links, humans in pairs for link, human in zip(links, humans, strict=True) if link is not None
    )
    found = {finger: [link for human, link in ends if human in CHAINS[k][1:]] for k, finger in enumerate(FINGERS)}
    return {finger: links[-1] for finger, links in found.items() if links}


def _fingertips(given: Mapping[str, Any], path: Path) -> dict[str, str]:
    links = _texts(given, "finger_tip_link_names", path)
    if not 2 <= len(links) <= len(FINGERS):
        raise HumanrtError(f"{path}: finger_tip_link_names: a dexpilot has 2 to 5 fingertips, not {len(links)}")
    return dict(zip(FINGERS, links, strict=False))


def _read(path: Path) -> Mapping[str, Any]:
    """Return the mapping ``retargeting`` of the file."""
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingDependencyError(f"{path}: reading YAML needs PyYAML; pip install 'humanrt[dex]'") from None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError("it is too large")
        data = yaml.load(content, Loader=_plain_loader(yaml))
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the configuration ({error.strerror or error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise HumanrtError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict) or not isinstance(data.get("retargeting"), dict):
        raise HumanrtError(f"{path}: not a configuration of dex-retargeting: it has no mapping `retargeting`")
    given: dict[str, Any] = data["retargeting"]
    if unknown := {str(key) for key in given} - _KEYS:
        raise HumanrtError(f"{path}: unknown field {choices(unknown)}; choose one of: {choices(_KEYS)}")
    return given


def _plain_loader(yaml: Any) -> Any:
    """Return a safe loader that refuses aliases, by which a small file becomes a large one."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases (*name) are not allowed")
            return super().compose_node(parent, index)

    return Loader


def _urdf(given: Mapping[str, Any], path: Path) -> Path:
    name = Path(_text(given, "urdf_path", path).strip())
    places = [name] if name.is_absolute() else [path.parent.absolute() / name, Path.cwd() / name]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(dict.fromkeys(str(place) for place in places))
    raise HumanrtError(f"{path}: urdf_path: there is no {looked}; give its full path, or run where it lies")


def _text(given: Mapping[str, Any], key: str, path: Path) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value.isprintable():
        raise HumanrtError(f"{path}: {key} is missing or not a name")
    return value


def _texts(given: Mapping[str, Any], key: str, path: Path) -> list[str]:
    value = given.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(one, str | int) for one in value):
        raise HumanrtError(f"{path}: {key} is missing or not a list of names")
    return [str(one) for one in value]


def _indices(given: Mapping[str, Any], path: Path, rows: int, count: int) -> list[list[int]]:
    """Return the human keypoints, [rows][count]."""
    value = given.get("target_link_human_indices")
    table: list[Any] = value if isinstance(value, list) and rows > 1 else [value]
    whole = len(table) == rows and all(isinstance(row, list) and len(row) == count for row in table)
    if not whole or not all(type(one) is int and 0 <= one < 21 for row in table for one in row):
        shape = f"[{rows}, {count}]" if rows > 1 else f"[{count}]"
        raise HumanrtError(f"{path}: target_link_human_indices must be {shape} whole numbers from 0 to 20")
    return table


def _length(given: Mapping[str, Any], key: str, default: float, path: Path) -> float:
    return number(given.get(key, default), f"{path}: {key} (m)", "be positive")
