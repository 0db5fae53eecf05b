"""A robot hand as MJCF, for MuJoCo: the kinematics of its description, capsules for links, a position servo per joint.

The maker's own model (MuJoCo Menagerie) has true shapes, masses and motors; joints have the same names there or can be
mapped. This one needs nothing but the description, so every hand that `Retargeter` takes can be simulated.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.retarget.description import HandDescription
from humanrt.retarget.load import load_hand
from humanrt.retarget.robot import Joint

__all__ = ["ServoOptions", "hand_mjcf"]

Array = NDArray[np.float64]

_POSES = 8  # in which a capsule's ends are looked at, to find the link that carries it


@dataclass(frozen=True)
class ServoOptions:
    """The servos and links of a simulated hand.

    Attributes:
        stiffness: N m/rad (slides: N/m times 100).
        damping: N m s/rad.
        torque: N m, at most (slides: N times 100).
        armature: kg m2 of a motor's rotor.
        density: kg/m3 of the links.
    """

    stiffness: float = 3.0
    damping: float = 0.1
    torque: float = 1.0
    armature: float = 0.002
    density: float = 1500.0


def hand_mjcf(
    robot: str | Path | HandDescription, pose: ArrayLike | None = None, servos: ServoOptions | None = None
) -> str:
    """Return a hand as the text of an MJCF model, to be loaded or attached (``mujoco.MjSpec.from_string``).

    Joints and actuators have the names of the description, in its order; followers are coupled to their leaders and
    have no actuator. Links collide with other things (of contype 2, or conaffinity 1), not with each other.

    Args:
        robot: its name, the path of its description, or the description; see `Retargeter`.
        pose: [4, 4] of the hand's base in the world, m; None: at the origin.
        servos: see `ServoOptions`.
    """
    hand, servos = load_hand(robot), ServoOptions() if servos is None else servos
    root = ET.Element("mujoco", model=hand.name)
    ET.SubElement(root, "compiler", angle="radian", autolimits="true")
    default = ET.SubElement(ET.SubElement(root, "default"), "default", {"class": hand.name})
    ET.SubElement(default, "joint", damping=f"{servos.damping}", armature=f"{servos.armature}")
    solid = {"type": "capsule", "contype": "1", "conaffinity": "2", "condim": "4", "friction": "1 0.02 0.001"}
    ET.SubElement(default, "geom", {**solid, "density": f"{servos.density}", "rgba": "0.75 0.77 0.8 1"})
    place = np.eye(4) if pose is None else np.asarray(pose, np.float64)
    base = ET.SubElement(ET.SubElement(root, "worldbody"), "body", name=hand.name, childclass=hand.name)
    base.attrib |= _pose(place[:3, 3], place[:3, :3])
    bodies: dict[str | None, ET.Element] = {None: base}
    waiting = list(hand.joints)
    while waiting:
        joint = next(one for one in waiting if one.parent in bodies)
        waiting.remove(joint)
        bodies[joint.name] = _body(bodies[joint.parent], joint)
    for link, ends, radius in _capsules(hand):
        if np.linalg.norm(ends[1] - ends[0]) < 1e-4:  # a finger of two joints has its knuckle twice
            continue
        ET.SubElement(bodies[link], "geom", fromto=_text(ends.ravel()), size=_text([radius]))
    for name, body in bodies.items():
        if name is not None and body.find("geom") is None:  # between two joints in one place
            ET.SubElement(body, "inertial", pos="0 0 0", mass="0.002", diaginertia="1e-6 1e-6 1e-6")
    actuators, couplings = ET.SubElement(root, "actuator"), ET.SubElement(root, "equality")
    for joint, (leader, gain, offset) in zip(hand.joints, hand.drives({}), strict=True):
        if leader == joint.name:
            strength = 100.0 if joint.prismatic else 1.0
            limits = {"ctrlrange": _text((joint.lower, joint.upper)), "kp": _text([strength * servos.stiffness])}
            force = {"forcerange": _text((-strength * servos.torque, strength * servos.torque))}
            if not joint.lower < joint.upper:
                limits.pop("ctrlrange")
            ET.SubElement(actuators, "position", {"name": joint.name, "joint": joint.name, **limits, **force})
        else:
            about = {"joint1": joint.name, "polycoef": _text((offset, gain, 0, 0, 0))}
            ET.SubElement(couplings, "joint", about if leader is None else {**about, "joint2": leader})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _body(parent: ET.Element, joint: Joint) -> ET.Element:
    # Names of links are not known: a link is called after the joint that moves it.
    body = ET.SubElement(parent, "body", name=f"{joint.name}_link")
    body.attrib |= _pose(np.array(joint.xyz), np.reshape(joint.rotation, (3, 3)))
    moves = {"name": joint.name, "type": "slide" if joint.prismatic else "hinge", "axis": _text(joint.axis)}
    if joint.lower < joint.upper:
        moves["range"] = _text((joint.lower, joint.upper))
    ET.SubElement(body, "joint", moves)
    return body


def _capsules(hand: HandDescription) -> list[tuple[str | None, Array, float]]:
    """Return the hand's capsules: the joint of the link that carries each, its ends [2, 3] there, its radius.

    A capsule's ends may be given in the frames of two links. The one that carries it is that in which they move least.
    """
    low, high = hand.limits.T
    rng = np.random.default_rng(0)
    poses = low + rng.uniform(size=(_POSES, len(low))) * (high - low)
    for row, (leader, gain, offset) in enumerate(hand.drives({})):
        if leader is None:
            poses[:, row] = offset
        elif leader != hand.joint_names[row]:
            poses[:, row] = offset + gain * poses[:, hand.joint_names.index(leader)]
    drawn = [hand.capsules(q) for q in poses]
    frames = [hand.forward(q) for q in poses]
    radii = drawn[0][1]
    local: dict[str | None, Array] = {}  # [poses, capsules, 2, 3]
    for link in frames[0]:
        moved = [
            (ends - frame[link][:3, 3]) @ frame[link][:3, :3] for (ends, _, _), frame in zip(drawn, frames, strict=True)
        ]
        local[link] = np.array(moved)
    spread = {link: points.std(axis=0).sum(axis=(1, 2)) for link, points in local.items()}
    found = []
    for row, radius in enumerate(radii):
        link = min(spread, key=lambda one: spread[one][row])
        found.append((link, local[link][:, row].mean(axis=0), float(radius)))
    return found


def _pose(xyz: Array, rotation: Array) -> dict[str, str]:
    return {"pos": _text(xyz), "quat": _text(np.roll(quaternions_from_matrices(rotation), 1))}  # w first


def _text(numbers: ArrayLike) -> str:
    return " ".join(f"{number:.9g}" for number in np.asarray(numbers, np.float64))
