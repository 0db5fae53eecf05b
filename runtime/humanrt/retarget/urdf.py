"""Read a robot hand from its URDF and a small JSON file that names the fingertips.

Only ``urdf`` and ``tips`` are required::

    {"urdf": "my_hand.urdf", "side": "right",
     "tips": {"thumb": "thumb_tip_link", "index": "index_tip_link", "middle": "...", "ring": "..."},
     "wrist": "palm_link",                        default: the root link; of an arm, the last link before the fingers
     "joints": {"index": ["J1", "J2", "J3"]},     knuckle, middle and last joint; default: the last three of the chain
     "axes": {"fingers": "+z", "palm": "+x"},     in the root's frame: along fingers, out of the palm; default: found
     "locked": {"wrist_joint": 0.0}, "rest": {"thumb_joint": 0.5},
     "scale": 1.6,                                ratio of the robot's size to the human's; default: found
     "max_speed": 8.0,                            rad/s, max speed of the joints, if less than the default of 15
     "radius": 0.012, "name": "my_hand", "licence": "..."}

A tip without a link of its own is given as the last moving link and a point in its frame, metres:
``{"link": "thumb_2", "xyz": [0, 0, 0.03]}``. If ``side`` is missing, it is inferred from the thumb.

The joints between the wrist and the tips are the hand's. All others, such as an arm's, stay at rest: at their value in
``rest``, else at zero within their limits. Joints that follow one of the hand (mimic) move with it.

``<limit velocity>`` is not read: where the true value was unknown, URDFs hold 0, 1, 100 or 1e6.

Only the kinematics are read, with the standard library. Meshes of ``<visual>`` are found; the viewer alone opens them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.check import mapping, number, number_map, numbers, text
from humanrt.retarget.description import HandDescription, vector_parts
from humanrt.retarget.robot import Point
from humanrt.retarget.urdf_tree import (
    MAX_REACH,
    MOVABLE,
    TURN,
    Edge,
    carrier,
    check_edge,
    fold,
    joints_above,
    read_urdf,
    with_ranges,
)
from humanrt.retarget.visuals import visuals_of
from humanrt.retarget.wrist import palm_template

__all__ = ["hand_from_urdf", "palm_axes", "place_in_urdf"]

Array = NDArray[np.float64]

MIN_HAND_SIZE = 0.03
"""Metres from the wrist to the furthest tip; a smaller hand is not in metres, and would hardly move."""
MAX_FINGER_JOINTS, SHARED = 5, 3
"""Maximum number of joints of one finger, and of joints that carry all fingers; more include an arm's."""
UNCLEAR = 0.05
"""Sideways offset of thumb and knuckles, as a fraction of the hand's length, below which its side is unclear."""
KEYS = {
    "urdf", "name", "side", "tips", "wrist", "joints", "axes", "locked", "rest", "scale", "radius", "vector",
    "max_speed", "licence", "source",
}  # fmt: skip

_POSITIVE = ("scale", "radius", "max_speed")


def hand_from_urdf(hints: Mapping[str, Any], beside: Path) -> HandDescription:
    """Read a hand. ``hints``: the JSON object described above; ``beside``: its file, to which ``urdf`` is relative."""
    if unknown := set(hints) - KEYS:
        raise HumanrtError(f"{beside}: unknown field {choices(unknown)}; choose one of: {choices(KEYS)}")
    path = beside.parent / text(hints["urdf"], f"{beside}: urdf")
    name = text(hints.get("name", beside.stem), f"{beside}: name")
    size = {key: number(hints[key], f"{beside}: {key}", "be positive") for key in _POSITIVE if key in hints}
    source = mapping(hints.get("source", {}), f"{beside}: source", '{"origin": "..."}')
    tips = hints.get("tips")
    if not isinstance(tips, dict) or not tips:
        raise HumanrtError(f'{beside}: name the fingertip links, such as "tips": {{"thumb": "...", "index": "..."}}')
    if wrong := set(tips) - set(FINGERS):
        raise HumanrtError(f"{beside}: tips: unknown finger {choices(wrong)}; choose one of: {choices(FINGERS)}")
    try:
        content = path.read_bytes()
        robot, edges = read_urdf(content, path)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the URDF ({error.strerror or error})") from None

    by_child = {edge.child: edge for edge in edges}
    links = {edge.parent for edge in edges} | set(by_child)
    roots = sorted(links - set(by_child))
    if not edges:
        raise HumanrtError(f"{path}: this URDF has no <joint>; give that of a robot that moves")
    if len(roots) != 1:
        raise HumanrtError(f"{path}: a hand has one root link; this one has {len(roots)}: {choices(roots)}")

    def known(link: str, field: str) -> str:
        if link not in links:
            raise HumanrtError(f"{beside}: {field}: {path.name} has no link {link!r}; it has {choices(links)}")
        return link

    ends = {finger: _tip(tips[finger], f"{beside}: tips: {finger}") for finger in FINGERS if finger in tips}
    for finger, (link, _) in ends.items():
        known(link, f"tips: {finger}")
        if same := [other for other, end in ends.items() if other != finger and end == ends[finger]]:
            raise HumanrtError(
                f"{beside}: tips: {finger} and {same[0]} are at the same position on link {link}; give each finger "
                "a tip"
            )
    tip_links = {finger: link for finger, (link, _) in ends.items()}
    wrist = known(str(hints["wrist"]), "wrist") if "wrist" in hints else _default_wrist(tip_links, roots[0], by_child)
    if "wrist" not in hints and len(tips) == 1:
        [(finger, link)] = tip_links.items()
        chain = [edge.name for edge in joints_above(link, by_child) if edge.kind != "fixed"]
        if len(chain) > MAX_FINGER_JOINTS:
            raise HumanrtError(
                f"{beside}: {_some(chain)} carry the tip of the {finger}, and no second tip tells which are an arm's; "
                'name the link that carries the finger, such as "wrist": "palm"'
            )
    locked = number_map(hints.get("locked", {}), f"{beside}: locked")
    rest = number_map(hints.get("rest", {}), f"{beside}: rest")
    for field, values in (("locked", locked), ("rest", rest)):
        _check_values(values, edges, f"{beside}: {field}", path.name)
    moving, held = _roles(edges, wrist, tip_links, by_child, f"{beside}")
    for edge in edges:
        check_edge(edge, f"{path}: joint {edge.name}", edge.name in moving - set(locked))
    joints = with_ranges([fold(edge, by_child) for edge in edges if edge.kind in MOVABLE], edges)
    notes = []
    if stay := [name for name in held if name not in locked]:
        notes.append(
            f"{name}: {_some(stay)} {'stays' if len(stay) == 1 else 'stay'} at rest: not between {wrist} and the tips"
        )
    fixed = {
        joint.name: float(np.clip(rest.get(joint.name, 0.0), joint.lower, joint.upper))
        for joint in joints
        if (joint.name in held and (joint.mimic is None or joint.mimic[0] in moving))
        or (joint.name in moving and joint.mimic is None and joint.lower == joint.upper)
    }

    def point(link: str, xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Point:
        joint, pose = carrier(link, by_child)
        x, y, z = (float(v) for v in pose[:3, :3] @ np.array(xyz) + pose[:3, 3])
        return Point(joint, (x, y, z))

    bare = HandDescription(
        name=name,
        side=str(hints.get("side", "right")),
        joints=joints,
        fingers={finger: (tip, tip, tip, tip) for finger, end in ends.items() for tip in [point(*end)]},
        wrist=point(wrist),
        locked={**fixed, **locked},
        rest=rest,
        vector=vector_parts(hints.get("vector", ("tip",)), f"{beside}: vector"),
        licence=str(hints.get("licence", "")),
        source={**source, "urdf": path.name, "sha256": hashlib.sha256(content).hexdigest()},
        visuals=visuals_of(robot, path, lambda link: carrier(link, by_child)),
    )
    bare, shared_note = _without_shared(bare, _default_wrist(tip_links, roots[0], by_child), beside)
    notes += shared_note
    _check_fingers(bare, tip_links, wrist, beside)
    if still := [
        joint.name
        for joint, (leader, _, _) in zip(joints, bare.drives(bare.locked), strict=True)
        if leader is None
        and joint.name in moving
        and joint.name not in {*locked, *(_shared(bare) if bare.gripper else ())}
    ]:
        notes.append(
            f"{name}: {_some(still)} cannot move: lower and upper limit are the same in {path.name}, or what "
            f"{'it follows' if len(still) == 1 else 'they follow'} stays at rest"
        )
    named = mapping(hints.get("joints", {}), f"{beside}: joints", '{"index": ["J1", "J2", "J3"]}')
    if wrong := set(named) - set(tips):
        raise HumanrtError(f"{beside}: joints: {choices(wrong)} has no tip; tips are given for {choices(tips)}")
    fingers = {
        finger: _finger_points(bare, finger, points[3], named.get(finger), beside)
        for finger, points in bare.fingers.items()
    }
    hand = replace(bare, fingers=fingers)
    rotation = _rotation(hand, hints.get("axes"), beside)
    hand = replace(hand, rotation=rotation)
    if not hand.gripper:
        hand, side_note = _with_side(hand, "side" in hints, hints.get("axes") is not None, beside)
        notes += side_note
    hand = replace(hand, notes=tuple(notes))
    return replace(
        hand,
        scale=size["scale"] if "scale" in size else _scale(hand),
        radius=size["radius"] if "radius" in size else _radius(hand),
        max_speed=size.get("max_speed"),
    )


def place_in_urdf(
    path: Path,
) -> tuple[dict[str, Point], dict[str, float | None], Callable[[str, str], bool]]:
    """Return where links are, the values of movable joints at rest, and which link carries which.

    Returns:
        Each link as a point; each movable joint's zero within its limits, None for one that follows another; a function
        that says whether a link is another one or carries it.
    """
    try:
        _, edges = read_urdf(path.read_bytes(), path)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the URDF ({error.strerror or error})") from None
    by_child = {edge.child: edge for edge in edges}

    def point(link: str) -> Point:
        joint, pose = carrier(link, by_child)
        return Point(joint, (float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3])))

    def zero(edge: Edge) -> float | None:
        low, high = -TURN if edge.lower is None else edge.lower, TURN if edge.upper is None else edge.upper
        return None if edge.mimic else min(max(0.0, low), high)

    def carries(link: str, other: str) -> bool:
        return link == other or link in {edge.parent for edge in joints_above(other, by_child)}

    links = dict.fromkeys([edge.parent for edge in edges] + [edge.child for edge in edges])
    joints = {edge.name: zero(edge) for edge in edges if edge.kind in MOVABLE}
    return {link: point(link) for link in links}, joints, carries


def _tip(value: Any, where: str) -> tuple[str, tuple[float, float, float]]:
    """Return a tip's link, and its position in that link's frame."""
    if not isinstance(value, dict):
        return str(value), (0.0, 0.0, 0.0)
    if set(value) != {"link", "xyz"}:
        raise HumanrtError(f'{where}: give a link, or such as {{"link": "thumb_2", "xyz": [0, 0, 0.03]}} (metres)')
    x, y, z = numbers(value["xyz"], 3, f"{where}: xyz")
    return str(value["link"]), (x, y, z)


def _default_wrist(tips: Mapping[str, str], root: str, by_child: Mapping[str, Edge]) -> str:
    """Return the last link that carries all tips; the root if no joint lies in between, or for a single tip."""
    if len(tips) < 2:
        return root
    chains = [joints_above(link, by_child) for link in tips.values()]
    wrist, moved = root, False
    for edge, *others in zip(*chains, strict=False):
        if any(other.name != edge.name for other in others):
            break
        wrist, moved = edge.child, moved or edge.kind != "fixed"
    return wrist if moved else root


def _roles(
    edges: Sequence[Edge], wrist: str, tips: Mapping[str, str], by_child: Mapping[str, Edge], beside: str
) -> tuple[set[str], list[str]]:
    """Return the names of the hand's joints, and of all others, which stay at rest."""
    chains = {finger: joints_above(link, by_child) for finger, link in tips.items()}
    above = {edge.name for edge in joints_above(wrist, by_child)}
    kinds = {edge.name: edge.kind for edge in edges}
    rigid = {name for name in above if kinds[name] != "fixed"}
    moving: set[str] = set()
    for finger, edges_above in chains.items():
        chain = [edge.name for edge in edges_above]
        if not rigid <= set(chain):
            root = edges_above[0].parent if edges_above else tips[finger]
            better = _default_wrist({**tips, "wrist": wrist}, root, by_child)
            raise HumanrtError(
                f"{beside}: tips: {finger}: link {tips[finger]} is not carried by the wrist link {wrist}; give as "
                f"wrist the link that carries all fingers, such as {better}"
            )
        moving |= {name for name in chain if name not in above}
    mimics = {edge.name: edge.mimic[0] for edge in edges if edge.mimic}
    for name in [*moving]:  # the leader of a hand's joint is the hand's, wherever it is
        leader = mimics.get(name)
        while leader is not None and leader not in moving | above:
            moving.add(leader)
            leader = mimics.get(leader)
    for name in mimics:  # and so are followers
        chain = [name]
        while (leader := mimics.get(chain[-1])) is not None and leader not in chain:
            if leader in moving:
                moving |= set(chain) - above
                break
            chain.append(leader)
    moving = {name for name in moving if kinds.get(name, "fixed") != "fixed"}
    return moving, [edge.name for edge in edges if edge.kind != "fixed" and edge.name not in moving]


def _check_values(values: Mapping[str, float], edges: Sequence[Edge], where: str, urdf: str) -> None:
    """Refuse values outside their joints' limits: usually degrees or millimetres, which clipping would hide."""
    for edge in edges:
        low, high = -TURN if edge.lower is None else edge.lower, TURN if edge.upper is None else edge.upper
        value = values.get(edge.name)
        if edge.kind in MOVABLE and value is not None and low <= high and not low - 1e-6 <= value <= high + 1e-6:
            raise HumanrtError(
                f"{where}: {edge.name} is {value:g}, outside its limits {low:g}..{high:g} in {urdf}; "
                "angles are radians, lengths metres"
            )


def _shared(hand: HandDescription) -> list[str]:
    """Return the joints beyond the wrist that carry all tips."""
    above = set(hand.carriers(hand.wrist.joint))
    first, *others = (hand.carriers(points[3].joint) for points in hand.fingers.values())
    return [name for name in first if name not in above and all(name in chain for chain in others)]


def _without_shared(hand: HandDescription, palm: str, beside: Path) -> tuple[HandDescription, list[str]]:
    """Return a gripper with the joints that carry all its jaws at rest, and a note; refuse an arm beyond the wrist."""
    shared = [name for name in _shared(hand) if name not in hand.locked]
    if not shared or len(hand.fingers) < 2:
        return hand, []
    if not hand.gripper:
        if len(shared) > SHARED:
            raise HumanrtError(
                f"{beside}: wrist: {_some(shared)} lie between it and all fingers, as an arm's do; give the link that "
                f'the fingers are on, such as "wrist": "{palm}", or lock them'
            )
        return hand, []
    pose = dict(zip(hand.joint_names, hand.rest_pose, strict=True))
    held = replace(hand, locked={**{name: float(pose[name]) for name in shared}, **hand.locked})
    stays = "stays at rest: it carries" if len(shared) == 1 else "stay at rest: they carry"
    return held, [f"{hand.name}: {_some(shared)} {stays} all jaws of a gripper"]


def _with_side(hand: HandDescription, given: bool, axes: bool, beside: Path) -> tuple[HandDescription, list[str]]:
    """Return the hand with its side, inferred from the thumb unless ``given``, and a note.

    Refuse a side that the thumb contradicts, unless ``axes`` are given too.
    """
    side = _side(hand)
    if given:
        if side not in (None, hand.side) and not axes:
            raise HumanrtError(
                f"{beside}: side is {hand.side}, but the thumb is where a {side} hand has it; give the other side, or "
                'say where the palm faces by "axes": {"fingers": "+z", "palm": "+x"}'
            )
        return hand, []
    if side == "right":
        return replace(hand, side=side), []
    basis = "by where its thumb is" if side else "since nothing tells its sides apart"
    hand = replace(hand, side=side or "right")
    return hand, [f'{hand.name}: taken for a {hand.side} hand, {basis}; "side" in {beside.name} says otherwise']


def _check_fingers(hand: HandDescription, tips: Mapping[str, str], wrist: str, beside: Path) -> None:
    """Refuse fingers that nothing can move, fingers that include an arm, and hands that are not in metres."""
    for finger, own in zip(hand.fingers, hand.own_joints(), strict=True):
        motors = {leader for joint, (leader, _, _) in zip(hand.joints, hand.drives(hand.locked), strict=True)
                  if joint.name in own}  # fmt: skip
        if len(motors) > MAX_FINGER_JOINTS:
            raise HumanrtError(
                f"{beside}: tips: {finger}: {_some(own)} move this tip and not all others, more than a finger has; "
                "give the tips of one hand, or lock the joints that are not its finger's"
            )
    drives = {joint.name: drive[0] for joint, drive in zip(hand.joints, hand.drives(hand.locked), strict=True)}
    above = set(hand.carriers(hand.wrist.joint))
    rest = hand.positions(hand.rest_pose, [hand.wrist, *(points[3] for points in hand.fingers.values())])
    for (finger, points), tip in zip(hand.fingers.items(), rest[1:], strict=True):
        chain = [name for name in hand.carriers(points[3].joint) if name not in above]
        where = f"{beside}: tips: {finger}"
        if not any(drives[name] for name in chain) and not hand.gripper:
            why = f"{_some(chain)} cannot move" if chain else f"none lies between it and {wrist}"
            raise HumanrtError(f"{where}: no joint moves that link, {tips[finger]}: {why}; give a link that one moves")
        if (distance := float(np.linalg.norm(tip - rest[0]))) > MAX_REACH:
            raise HumanrtError(
                f"{where}: the tip is {distance:.3g} m from {wrist}; a URDF's lengths are metres, not millimetres"
            )
    size = float(np.linalg.norm(rest[1:] - rest[0], axis=1).max())
    if size < MIN_HAND_SIZE and not hand.gripper:
        raise HumanrtError(
            f"{beside}: tips: the furthest is {size:.3g} m from {wrist}, too small a hand; a URDF's lengths are metres"
        )


def _some(names: Sequence[str]) -> str:
    """Format names as ``joint a``, ``joints a, b``, or the first and last few of many."""
    listed = names if len(names) <= 8 else [*names[:5], f"{len(names) - 7} more", *names[-2:]]
    return f"{'joint' if len(names) == 1 else 'joints'} {', '.join(listed)}"


def _side(hand: HandDescription) -> str | None:
    """Return the side that the positions of thumb and knuckles indicate; None if they are unclear.

    In the wrist frame y points to a right hand's thumb, which lies further that way than the other fingers, and the
    index further than the little finger.
    """
    names = [finger for finger in hand.fingers if finger != "thumb"]
    rest = hand.rest_pose
    where = {finger: hand.positions(rest, points) @ hand.rotation for finger, points in hand.fingers.items()}
    wrist = hand.positions(rest, [hand.wrist])[0] @ hand.rotation
    length = max(float(np.linalg.norm(points[3] - wrist)) for points in where.values())
    row = float(where[names[0]][0, 1] - where[names[-1]][0, 1]) if len(names) > 1 else 0.0
    thumb = 0.0
    if "thumb" in where and names:
        thumb = float(where["thumb"][:, 1].mean() - np.mean([where[finger][:, 1].mean() for finger in names]))
    both = row + thumb
    return None if abs(both) < UNCLEAR * length else "right" if both > 0 else "left"


def _finger_points(
    hand: HandDescription, finger: str, tip: Point, named: Any, beside: Path
) -> tuple[Point, Point, Point, Point]:
    """Return a finger's knuckle, middle and last joint, and its tip.

    A hinge's frame may lie anywhere along its axis; its point is moved along the axis to face the tip, so that the
    segments of a straight finger are collinear.
    """
    by_name = {joint.name: joint for joint in hand.joints}
    frames = hand.forward(np.zeros(len(hand.joints)))
    end = frames[tip.joint][:3, :3] @ np.array(tip.xyz) + frames[tip.joint][:3, 3]
    above = set(hand.carriers(hand.wrist.joint))
    chain = [joint for joint in hand.carriers(tip.joint) if joint not in above]
    if not chain and named is None:  # the fixed jaw of a gripper
        return tip, tip, tip, tip

    def facing(joint: str) -> tuple[Point, Array]:
        pose = frames[joint]
        axis = pose[:3, :3] @ np.array(by_name[joint].axis)
        arm = end - pose[:3, 3]
        slide = float(axis @ arm)
        # An axis along the finger (abduction drawn as a twist) says nothing about where the finger bends.
        if by_name[joint].prismatic or abs(slide) > 0.6 * float(np.linalg.norm(arm)):
            slide = 0.0
        x, y, z = (slide * v for v in by_name[joint].axis)
        return Point(joint, (x, y, z)), pose[:3, 3] + slide * axis

    if named is not None:
        listed = named if isinstance(named, list) else [named]
        wrong = [joint for joint in listed if joint not in chain]
        if wrong or len(set(listed)) != 3 or sorted(set(listed), key=chain.index) != listed:
            instead = [short(joint).strip("'") for joint in wrong or listed]
            raise HumanrtError(
                f"{beside}: joints: {finger}: give knuckle, middle and last joint, base to tip, out of "
                f"{', '.join(chain)}, not {', '.join(instead)}"
            )
        knuckle, middle, distal = (facing(joint)[0] for joint in named)
        return knuckle, middle, distal, tip
    located: list[tuple[Point, Array]] = []
    for joint in chain:
        here = facing(joint)
        if located and float(np.linalg.norm(located[-1][1] - here[1])) < 5e-3:
            located[-1] = here
        else:
            located.append(here)
    points = [here[0] for here in located][-3:]
    while len(points) < 3:
        points.insert(0, points[0])
    return points[0], points[1], points[2], tip


def _rotation(hand: HandDescription, axes: Any, beside: Path) -> Array:
    """Return [3, 3] whose columns are, in the base frame: out of the palm, sideways, towards the fingers."""
    if axes is not None:
        return palm_axes(axes, beside)
    # Along: the straight fingers. Out of the palm: where their tips go when every joint begins to close.
    names = [finger for finger in hand.fingers if finger != "thumb"] or list(hand.fingers)
    knuckles = [hand.fingers[finger][0] for finger in names]
    tips = [hand.fingers[finger][3] for finger in names]
    straight = hand.rest_pose
    still = [leader is None for leader, _, _ in hand.drives(hand.locked)]
    middle = np.where(still, straight, hand.limits.mean(axis=1))
    start = hand.positions(straight, tips)
    fingers = start - hand.positions(straight, knuckles)
    along = (fingers / np.maximum(np.linalg.norm(fingers, axis=1, keepdims=True), 1e-9)).mean(axis=0)
    along /= max(float(np.linalg.norm(along)), 1e-9)
    out = (hand.positions(straight + 0.3 * (middle - straight), tips) - start).mean(axis=0)
    out -= along * (along @ out)
    if min(float(np.linalg.norm(out)) / 1e-4, float(np.linalg.norm(along))) < 0.99:
        if hand.gripper:  # its jaws have no palm
            return np.eye(3)
        raise HumanrtError(
            f'{beside}: cannot tell where the palm faces; give "axes": {{"fingers": "+z", "palm": "+x"}}'
        )
    out /= np.linalg.norm(out)
    return np.stack([out, np.cross(along, out), along], axis=1)


def palm_axes(axes: Any, beside: Path) -> Array:
    """Return [3, 3] whose columns are: out of the palm, sideways, towards the fingers, as the field ``axes`` says."""
    try:
        along, out = (_signed_axis(str(axes[key])) for key in ("fingers", "palm"))
    except (LookupError, TypeError, ValueError):
        raise HumanrtError(f'{beside}: axes: give such as {{"fingers": "+z", "palm": "+x"}}') from None
    if abs(float(along @ out)) > 1e-6:
        raise HumanrtError(f"{beside}: axes: fingers and palm must be at right angles")
    return np.stack([out, np.cross(along, out), along], axis=1)


def _signed_axis(text: str) -> Array:
    axis = np.zeros(3)
    axis["xyz".index(text[-1])] = {"": 1.0, "+": 1.0, "-": -1.0}[text[:-1]]
    return axis


def _scale(hand: HandDescription) -> float:
    """Return the straight fingers' wrist-to-tip length over that of the palm template's human hand."""
    if hand.gripper:  # it has its own range, and a jaw may be at the wrist itself
        return 1.0
    names = [finger for finger in hand.fingers if finger != "thumb"] or list(hand.fingers)
    points = hand.positions(hand.rest_pose, [hand.wrist, *(hand.fingers[finger][3] for finger in names)])
    human = 1.85 * float(np.linalg.norm(palm_template("right")[3]))
    return float(np.linalg.norm(points[1:] - points[0], axis=1).mean()) / human


def _radius(hand: HandDescription) -> float:
    points = hand.positions(hand.rest_pose, [p for finger in hand.fingers.values() for p in finger])
    lengths = np.linalg.norm(np.diff(points.reshape(-1, 4, 3), axis=1), axis=2)
    return 0.28 * float(lengths[lengths > 1e-3].mean()) if (lengths > 1e-3).any() else 0.01
