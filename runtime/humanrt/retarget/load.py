"""Load a robot hand by name, by the path of its description, or by the path of a JSON file that names a URDF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from humanrt.checks import check_kind
from humanrt.errors import HumanrtError, choices
from humanrt.retarget.description import HandDescription

__all__ = ["load_hand", "robots"]

ROBOTS = Path(__file__).parent / "robots"


def robots() -> list[str]:
    """Return the names of the shipped hands."""
    return sorted(path.stem for path in ROBOTS.glob("*.json"))


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
        if path.suffix in (".urdf", ".xacro"):
            raise HumanrtError(
                f"{path}: a URDF alone does not say which links are fingertips; give a .json beside it such as "
                '{"urdf": "hand.urdf", "side": "right", "tips": {"thumb": "link", "index": "link"}}'
            )
        if path.suffix in (".yml", ".yaml"):
            from humanrt.retarget.dex import hand_from_dex

            return hand_from_dex(path)
        if path.suffix != ".json":
            raise HumanrtError(
                f"unknown robot {str(robot)!r}; choose one of: {choices(robots())}, or give the path of a hand's .json"
            )
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except OSError as error:
        raise HumanrtError(f"{path}: cannot read the hand description ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise HumanrtError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise HumanrtError(f"{path}: a hand description must be a JSON object")
    if "urdf" in data:
        from humanrt.retarget.urdf import hand_from_urdf

        return hand_from_urdf(data, path)
    return HandDescription.from_json(data, str(path))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object with unique, printable keys; json alone keeps the last of two equal keys."""
    members = dict(pairs)
    if len(members) != len(pairs) or not all(key.isprintable() for key in members):
        raise ValueError(f"a field occurs twice or has control characters: {[key for key, _ in pairs]}")
    return members
