"""Load a robot hand or arm by name, by the path of its description, or by the path of a file that names a URDF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from humanrt.checks import check_kind
from humanrt.errors import HumanrtError, choices
from humanrt.retarget.arm import ArmDescription
from humanrt.retarget.check import one_of, text
from humanrt.retarget.description import HandDescription
from humanrt.retarget.naming import renamed

__all__ = ["SIDES", "arms", "load_arm", "load_hand", "load_robot", "robots"]

ROBOTS = Path(__file__).parent / "robots"
ARMS = Path(__file__).parent / "arms"
SIDES = ("right", "left")
"""Of a person's arms."""


def robots() -> list[str]:
    """Return the names of the shipped hands."""
    return sorted(path.stem for path in ROBOTS.glob("*.json"))


def arms() -> list[str]:
    """Return the names of the shipped arms."""
    return sorted(path.stem for path in ARMS.glob("*.json"))


def _shipped_arm(name: str) -> tuple[str, str | None] | None:
    """Return the shipped arm that a name is of, and the person's arm if it says it: ``ur5e``, ``ur5e_left``."""
    base, _, side = name.rpartition("_")
    if name in arms():
        return name, None
    return (base, side) if base in arms() and side in SIDES else None


def load_robot(
    robot: str | Path | HandDescription | ArmDescription, arm: str | None = None
) -> HandDescription | ArmDescription:
    """Load a hand, as `load_hand`, or an arm, as `load_arm`: a file says which it is, and a URDF alone is an arm.

    ``arm``: the person's arm that moves those arms that do not say it themselves, by their names (``ur5e_left``), files
    or descriptions; it is one for all, and no contradiction to them. None: a URDF alone is refused, and the right one
    moves all others.
    """
    if isinstance(robot, HandDescription):
        return robot
    check_kind(robot, (str, Path, ArmDescription), "robot", "the name of a robot, or the path of its description")
    if isinstance(robot, ArmDescription) or _shipped_arm(str(robot)):
        return _arm(robot, arm)
    path = Path(robot)
    if path.suffix == ".urdf" and arm is not None:
        return _arm(path, arm)
    if path.suffix == ".json" and str(robot) not in robots():
        data = _read(path)
        if "robot" in data:
            return _with_names(data, path, arm)
        if "arm" in data:
            return _arm(path, arm)
    elif not path.suffix and str(robot) not in robots():
        raise HumanrtError(
            f"unknown robot {str(robot)!r}; choose one of: {choices([*robots(), *arms()])}, or give the path of a "
            "hand's .json or of an arm's .urdf"
        )
    return load_hand(robot)


def _with_names(data: dict[str, Any], path: Path, arm: str | None) -> HandDescription | ArmDescription:
    """Return the robot of a file that only gives another one its driver's names: {"robot": ..., "names": {...}}."""
    if unknown := set(data) - {"robot", "names"}:
        raise HumanrtError(f"{path}: unknown field {choices(unknown)}; choose one of: names, robot")
    given = text(data["robot"], f"{path}: robot")
    named = given if given in robots() or _shipped_arm(given) else path.parent / given
    if isinstance(named, Path) and named.suffix == ".json" and "robot" in _read(named):
        raise HumanrtError(f"{path}: robot: {given} only names another robot's joints; name that robot itself")
    base = load_robot(named, arm)
    names = data.get("names", {})
    if isinstance(base, ArmDescription):
        return renamed(base, names)
    return renamed(base, names)


def load_arm(robot: str | Path | ArmDescription, side: str | None = None) -> ArmDescription:
    """Load an arm by name, by the path of its URDF, or of a JSON file (`humanrt.retarget.arm_urdf`).

    ``ur5e_left`` and ``ur5e_right`` are the arm ``ur5e`` under that name, moved by that arm of a person. A description
    is returned as it is.

    Args:
        robot: name, path, or description.
        side: the person's arm that moves it, left or right. None: as its name or file says; right if neither does.

    Raises:
        HumanrtError: there is no such arm, or ``side`` contradicts its name, its file or its description.
    """
    arm = _arm(robot, side)
    if side not in (None, arm.side):
        raise HumanrtError(
            f"{arm.name} is moved by a person's {arm.side} arm, as its name or description says, not by "
            f"the {side} one; leave {side!r} out, or give another arm"
        )
    return arm


def _arm(robot: str | Path | ArmDescription, side: str | None) -> ArmDescription:
    """Load an arm; ``side`` moves it if neither its name nor its file nor its description says so."""
    if side not in (None, *SIDES):
        raise HumanrtError(f"arm is {side!r}; give right or left: the person's arm that moves the robot's")
    if isinstance(robot, ArmDescription):
        return robot
    check_kind(robot, (str, Path), "robot", "the name of a robot arm, or the path of its URDF")
    if shipped := _shipped_arm(str(robot)):
        base, own = shipped
        path = ARMS / f"{base}.json"
        return ArmDescription.from_json({**_read(path), "arm": str(robot)}, str(path), own or side or SIDES[0])
    path = Path(robot)
    if path.suffix not in (".urdf", ".json"):
        raise HumanrtError(f"unknown arm {str(robot)!r}; choose one of: {choices(arms())}, or give an arm's .urdf")
    data = {"urdf": path.name, "arm": path.stem} if path.suffix == ".urdf" else _read(path)
    if "arm" not in data:
        raise HumanrtError(f"{path}: not an arm's file; it needs the field \"arm\", the arm's name")
    side = one_of(data.pop("side"), SIDES, f"{path}: side") if "side" in data else side or SIDES[0]
    if "urdf" not in data:
        return ArmDescription.from_json(data, str(path), side)
    from humanrt.retarget.arm_urdf import arm_from_urdf

    return arm_from_urdf(data, path, side)


def load_hand(robot: str | Path | HandDescription) -> HandDescription:
    """Load a hand by name, by the path of its description, of a JSON file that names a URDF and its tips, or of a
    configuration of dex-retargeting (.yml, .yaml).
    """
    if isinstance(robot, HandDescription):
        return robot
    check_kind(robot, (str, Path), "robot", "the name of a robot hand, or the path of its description")
    path = ROBOTS / f"{robot}.json"
    if str(robot) not in robots():
        path = Path(robot)
        if _shipped_arm(str(robot)):
            raise HumanrtError(f"{robot} is an arm, not a hand; people's arms move it: --task people, or ArmRetargeter")
        if path.suffix in (".urdf", ".xacro"):
            raise HumanrtError(
                f"{path}: a URDF alone does not say which links are fingertips; give a .json beside it such as "
                '{"urdf": "hand.urdf", "side": "right", "tips": {"thumb": "link", "index": "link"}}, or, if it is an '
                "arm, --arm right"
            )
        if path.suffix in (".yml", ".yaml"):
            from humanrt.retarget.dex import hand_from_dex

            return hand_from_dex(path)
        if path.suffix != ".json":
            raise HumanrtError(
                f"unknown robot {str(robot)!r}; choose one of: {choices(robots())}, or give the path of a hand's .json"
            )
    data = _read(path)
    if "robot" in data:
        named = _with_names(data, path, None)
        if not isinstance(named, HandDescription):
            raise HumanrtError(f"{path}: {named.name} is an arm, not a hand")
        return named
    if "urdf" in data:
        from humanrt.retarget.urdf import hand_from_urdf

        return hand_from_urdf(data, path)
    return HandDescription.from_json(data, str(path))


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object. HumanrtError: there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the robot's description ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise HumanrtError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise HumanrtError(f"{path}: a robot's description must be a JSON object")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object with unique, printable keys; json alone keeps the last of two equal keys."""
    members = dict(pairs)
    if len(members) != len(pairs) or not all(key.isprintable() for key in members):
        raise ValueError(f"a field occurs twice or has control characters: {[key for key, _ in pairs]}")
    return members
