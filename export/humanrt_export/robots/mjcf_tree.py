"""The tree of links and joints of an MJCF (MuJoCo), as a URDF that the runtime reads.

MuJoCo itself reads the file, with its defaults, classes, includes and units; what moves and what follows what is taken
from the compiled model. Meshes are not needed: where their files are missing, their shapes are left out.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt.geometry.rotation import matrices_from_vectors

__all__ = ["ImportedTree", "urdf_from_mjcf"]

Array = NDArray[np.float64]

_SLIDE, _HINGE, _FREE = 2, 3, 0
_RANGE = 2.0 * np.pi


@dataclass(frozen=True)
class ImportedTree:
    """A robot of MuJoCo's as a URDF.

    Attributes:
        urdf: its text.
        notes: what was left out or assumed, a line each.
        ends: link at the end of a chain -> its furthest place from its origin, m, by its shapes.
    """

    urdf: str
    notes: tuple[str, ...]
    ends: Mapping[str, tuple[float, float, float]]


def urdf_from_mjcf(path: Path) -> ImportedTree:
    """Return an MJCF's bodies and joints as a URDF, with what follows what as ``mimic``.

    Joints that follow: of ``equality joint`` with a linear ``polycoef``. Of a fixed tendon of two joints, such as
    pulls the last two of Shadow's fingers, the second follows the first.

    Args:
        path: of the MJCF; its includes are beside it.

    Raises:
        MissingDependencyError: mujoco is not installed.
        HumanrtError: MuJoCo cannot read the file, or its robot cannot be a URDF.
    """
    mujoco = _import_mujoco()
    notes: list[str] = []
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        missing = _without_meshes(mujoco, spec, path)
        model = spec.compile()
    except (ValueError, OSError) as error:
        raise HumanrtError(f"{path}: MuJoCo cannot read it ({str(error).splitlines()[0]})") from None
    if missing:
        notes.append(f"{missing} shapes are left out, whose mesh files are missing")
    names = [_name(mujoco, model, mujoco.mjtObj.mjOBJ_BODY, i, "body") for i in range(model.nbody)]
    joints = [_name(mujoco, model, mujoco.mjtObj.mjOBJ_JOINT, i, "joint") for i in range(model.njnt)]
    mimics = _couplings(mujoco, model, joints, notes)
    robot = ElementTree.Element("robot", name=path.stem)
    for body in range(1, model.nbody):
        parent, offset = names[model.body_parentid[body]], np.zeros(3)
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        xyz, turn = model.body_pos[body].copy(), _matrix(model.body_quat[body])
        moving = [k for k in range(first, first + count) if count > 0]
        for number, k in enumerate(moving):
            kind = int(model.jnt_type[k])
            if kind not in (_SLIDE, _HINGE):
                if kind == _FREE and number == 0 and model.body_parentid[body] == 0:
                    notes.append(f"free joint {joints[k]} of the base is left out: the base stands still")
                    continue
                raise HumanrtError(
                    f"{path}: joint {joints[k]} is a ball, or floats; only hinges and slides are supported"
                )
            # MuJoCo's joints turn about an anchor in their body; a URDF's about the origin of their link.
            anchor = model.jnt_pos[k] - offset
            before = turn
            start = float(model.qpos0[model.jnt_qposadr[k]])
            if kind == _SLIDE:
                anchor = anchor - start * model.jnt_axis[k]
            else:
                turn = np.asarray(turn @ matrices_from_vectors(-start * model.jnt_axis[k]), np.float64)
            last = number == len(moving) - 1
            child = f"{names[body]}__{joints[k]}"
            _joint(robot, joints[k], kind, parent, child, xyz + before @ anchor, turn, model, k, mimics.get(joints[k]))
            parent, xyz, turn, offset = child, np.zeros(3), np.eye(3), model.jnt_pos[k].copy()
            if last:
                break
        _fixed(robot, f"{names[body]}__frame", parent, names[body], xyz - offset if moving else xyz, turn)
    return ImportedTree(ElementTree.tostring(robot, encoding="unicode"), tuple(notes), _ends(model, names))


def _joint(
    robot: ElementTree.Element, name: str, kind: int, parent: str, child: str, xyz: Array, turn: Array, model: Any,
    row: int, mimic: tuple[str, float, float] | None,
) -> None:  # fmt: skip
    element = ElementTree.SubElement(robot, "joint", name=name, type="prismatic" if kind == _SLIDE else "revolute")
    ElementTree.SubElement(element, "parent", link=parent)
    ElementTree.SubElement(element, "child", link=child)
    ElementTree.SubElement(element, "origin", xyz=_text(xyz), rpy=_text(_rpy(turn)))
    ElementTree.SubElement(element, "axis", xyz=_text(model.jnt_axis[row]))
    if model.jnt_limited[row]:
        low, high = model.jnt_range[row]
        ElementTree.SubElement(element, "limit", lower=repr(float(low)), upper=repr(float(high)))
    elif kind == _HINGE and mimic is None:
        ElementTree.SubElement(element, "limit", lower=repr(-_RANGE), upper=repr(_RANGE))
    if mimic is not None:
        leader, gain, offset = mimic
        ElementTree.SubElement(element, "mimic", joint=leader, multiplier=repr(gain), offset=repr(offset))


def _fixed(robot: ElementTree.Element, name: str, parent: str, child: str, xyz: Array, turn: Array) -> None:
    element = ElementTree.SubElement(robot, "joint", name=name, type="fixed")
    ElementTree.SubElement(element, "parent", link=parent)
    ElementTree.SubElement(element, "child", link=child)
    ElementTree.SubElement(element, "origin", xyz=_text(xyz), rpy=_text(_rpy(turn)))


def _couplings(mujoco: Any, model: Any, joints: list[str], notes: list[str]) -> dict[str, tuple[str, float, float]]:
    """Return joint -> (joint that it follows, multiplier, offset)."""
    mimics: dict[str, tuple[str, float, float]] = {}
    for k in range(model.neq):
        if model.eq_type[k] != mujoco.mjtEq.mjEQ_JOINT or model.eq_obj2id[k] < 0:
            continue
        one, other = joints[model.eq_obj1id[k]], joints[model.eq_obj2id[k]]
        offset, gain, *higher = (float(value) for value in model.eq_data[k][:5])
        if any(higher) or gain == 0.0:
            notes.append(f"{one} follows {other} by a curve, which is left out: it moves by itself")
            continue
        # MuJoCo's polynomial counts from the joints' reference positions.
        start = float(model.qpos0[model.jnt_qposadr[model.eq_obj1id[k]]])
        begin = float(model.qpos0[model.jnt_qposadr[model.eq_obj2id[k]]])
        mimics[one] = (other, gain, start + offset - gain * begin)
    for k in range(model.ntendon):
        wraps = range(int(model.tendon_adr[k]), int(model.tendon_adr[k] + model.tendon_num[k]))
        parts = [(joints[model.wrap_objid[w]], float(model.wrap_prm[w])) for w in wraps
                 if model.wrap_type[w] == mujoco.mjtWrap.mjWRAP_JOINT]  # fmt: skip
        if len(parts) == 2 and len(parts) == len(wraps) and not {name for name, _ in parts} & mimics.keys():
            (leader, a), (follower, b) = parts
            if a == 0.0 or b == 0.0:
                continue
            mimics[follower] = (leader, a / b, 0.0)
            notes.append(f"{follower} follows {leader}: one tendon pulls both")
    return mimics


def _ends(model: Any, names: list[str]) -> dict[str, tuple[float, float, float]]:
    parents = set(model.body_parentid.tolist())
    ends = {}
    for body in range(1, model.nbody):
        places = [
            model.geom_pos[geom]
            + _matrix(model.geom_quat[geom]) @ (model.geom_aabb[geom][:3] + way * model.geom_aabb[geom][3:])
            for geom in range(model.ngeom)
            if model.geom_bodyid[geom] == body
            for way in np.concatenate([np.eye(3), -np.eye(3)])
        ]
        if places and body not in parents:
            x, y, z = (round(float(v), 5) for v in max(places, key=lambda place: float(np.linalg.norm(place))))
            ends[names[body]] = (x, y, z)
    return ends


def _without_meshes(mujoco: Any, spec: Any, path: Path) -> int:
    """Leave out shapes whose mesh files are missing; return how many."""
    folder = path.parent / (spec.meshdir or "")
    gone = {mesh.name or Path(mesh.file).stem for mesh in spec.meshes if not (folder / mesh.file).is_file()}
    if not gone:
        return 0
    shapes = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_MESH or geom.meshname]
    for geom in shapes:
        spec.delete(geom)
    for mesh in list(spec.meshes):
        spec.delete(mesh)
    # What has no shapes has no mass: MuJoCo refuses bodies that move without any.
    spec.compiler.boundmass = max(spec.compiler.boundmass, 1e-6)
    spec.compiler.boundinertia = max(spec.compiler.boundinertia, 1e-9)
    return len(shapes)


def _name(mujoco: Any, model: Any, kind: Any, row: int, what: str) -> str:
    return mujoco.mj_id2name(model, kind, row) or f"{what}_{row}"


def _matrix(quaternion: Array) -> Array:
    w, *v = (float(x) for x in quaternion)
    axis = np.array(v)
    length = float(np.linalg.norm(axis))
    if length < 1e-12:
        return np.eye(3)
    return np.asarray(matrices_from_vectors(axis / length * 2.0 * np.arctan2(length, w)), np.float64)


def _rpy(R: Array) -> Array:
    """Return roll, pitch, yaw of URDF, rad."""
    pitch = np.arctan2(-R[2, 0], np.hypot(R[0, 0], R[1, 0]))
    if np.hypot(R[0, 0], R[1, 0]) < 1e-9:  # gimbal lock: roll is free
        return np.array([0.0, pitch, np.arctan2(-R[0, 1], R[1, 1])])
    return np.array([np.arctan2(R[2, 1], R[2, 2]), pitch, np.arctan2(R[1, 0], R[0, 0])])


def _text(values: Array) -> str:
    return " ".join(repr(float(value)) for value in values)


def _import_mujoco() -> Any:
    try:
        import mujoco
    except ImportError as error:
        raise MissingDependencyError(
            f"MJCF is read by mujoco, which cannot be imported ({error}); run: pip install mujoco"
        ) from None
    return mujoco
