"""Create hand descriptions from URDFs: those that ship, and users' own.

    python -m humanrt_export.commands.robot_hand HINTS.json [-o OUT.json]   from a URDF (fields: humanrt.retarget.urdf)
    python -m humanrt_export.commands.robot_hand --shipped FOLDER FOLDER [-o OUT_DIR]   those that ship, from folders of
        dexi-rs 0.4.1, dexi_rs/resources/assets/robots/hands, and dexmate-urdf 0.8.4, dexmate_urdf/robots/hands

Descriptions contain kinematics only, no meshes. Only the standard library and numpy are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.description import HandDescription
from humanrt.retarget.load import ROBOTS, load_hand
from humanrt.retarget.urdf import hand_from_urdf

__all__ = ["SHIPPED", "main", "shipped_hand", "write"]

ORIGIN = "URDF as modified by dex-urdf, from the dexi-rs 0.4.1 package (Python package index)"
DEXMATE = "URDF of the maker, from the dexmate-urdf 0.8.4 package (Python package index)"


def _allegro(side: str) -> dict[str, Any]:
    first = {"right": (0, 4, 8), "left": (8, 4, 0)}[side]  # the left hand's index is the right hand's ring finger
    roots = dict(zip(FINGERS[1:], first, strict=False))
    return {
        "urdf": f"allegro_hand/allegro_hand_{side}.urdf",
        "tips": {"thumb": "link_15.0_tip", **{finger: f"link_{i + 3}.0_tip" for finger, i in roots.items()}},
        "wrist": "wrist",
        "joints": {
            "thumb": ["joint_12.0", "joint_14.0", "joint_15.0"],
            **{finger: [f"joint_{i + k}.0" for k in (1, 2, 3)] for finger, i in roots.items()},
        },
        "axes": {"fingers": "+z", "palm": "+x"},
        "scale": 1.6,
        "radius": 0.0125,
        "licence": "BSD-2-Clause, Copyright (c) 2016 SimLab",
    }


def _leap(side: str) -> dict[str, Any]:
    return {
        "urdf": f"leap_hand/leap_hand_{side}.urdf",
        "tips": {finger: f"{finger}_tip_head" for finger in FINGERS[:4]},
        "wrist": "base",
        "joints": {
            "thumb": ["12", "14", "15"],
            "index": ["1", "2", "3"],
            "middle": ["5", "6", "7"],
            "ring": ["9", "10", "11"],
        },
        "axes": {"fingers": "+z", "palm": "+x"},
        "scale": 1.6,
        "radius": 0.0125,
        "licence": "MIT, Copyright 2023 Ananye Agarwal",
    }


def _shadow(side: str) -> dict[str, Any]:
    prefixes = dict(zip(FINGERS, ("th", "ff", "mf", "rf", "lf"), strict=True))
    return {
        "urdf": f"shadow_hand/shadow_hand_{side}.urdf",
        "tips": {finger: f"{prefix}tip" for finger, prefix in prefixes.items()},
        "wrist": "palm",
        "joints": {
            finger: [f"{prefix.upper()}J{k}" for k in ((4, 2, 1) if finger == "thumb" else (3, 2, 1))]
            for finger, prefix in prefixes.items()
        },
        "axes": {"fingers": "+z", "palm": "+x"},
        "locked": {"WRJ1": 0.0, "WRJ2": 0.0},
        "scale": 1.2,
        "radius": 0.009,
        "vector": ["tip", "middle"],
        "licence": "Apache-2.0, Copyright 2022 Shadow Robot Company Ltd",
    }


def _f5d6(side: str) -> dict[str, Any]:
    first = side[0].upper()
    prefixes = dict(zip(FINGERS, ("th", "ff", "mf", "rf", "lf"), strict=True))
    return {
        "urdf": f"f5d6_hand/f5d6_{side}.urdf",
        "tips": {finger: f"{first}_{prefix}_tip" for finger, prefix in prefixes.items()},
        "axes": {"fingers": "+z", "palm": "+x"},
        "radius": 0.009,
        "licence": "Apache-2.0, Copyright 2025 Dexmate Inc.",
    }


SHIPPED = {
    f"{name}_{side}": {**make(side), "name": f"{name}_{side}", "side": side, "source": {"origin": origin}}
    for name, make, origin in (
        ("allegro", _allegro, ORIGIN),
        ("f5d6", _f5d6, DEXMATE),
        ("leap", _leap, ORIGIN),
        ("shadow", _shadow, ORIGIN),
    )
    for side in ("left", "right")
}
"""Hints for each URDF: tips, wrist and scale as in dex-retargeting's configurations; of the F5D6, which has none, the
scale is found."""


def shipped_hand(name: str, *urdfs: Path) -> HandDescription:
    """Create one of the shipped hands from the first of the folders of URDFs that has it."""
    hints = SHIPPED[name]
    found = [folder for folder in urdfs if (folder / hints["urdf"]).is_file()]
    if not found:
        raise HumanrtError(f"{hints['urdf']} is in none of: {', '.join(map(str, urdfs))}")
    return hand_from_urdf(hints, found[0] / f"{name}.json")


def write(hand: HandDescription, path: Path) -> None:
    """Write a description with one line per joint and finger point, so that changes are visible in a diff."""
    text = json.dumps(hand.to_json(), indent=1, ensure_ascii=False)
    # json cannot limit the depth of indentation: fold the innermost objects and arrays back onto one line.
    lines: list[str] = []
    held = ""
    depth = 0
    for line in text.splitlines():
        level = len(line) - len(line.lstrip())
        if held:
            held += line.strip() + ("" if line.strip()[-1] in "[{" else " ")
            if level == depth and line.strip()[0] in "]}":
                lines.append(held.replace(" ]", "]").replace(" }", "}").rstrip())
                held = ""
        elif (line[-1] in "[{" and level >= 2) or (line.rstrip()[-3:] == '": [' and level == 1 and _flat(line)):
            held, depth = line, level
        else:
            lines.append(line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _flat(line: str) -> bool:
    return line.strip().split('"')[1] in ("rotation", "vector")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="humanrt_export.commands.robot_hand", description="hand description from a URDF"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("hints", nargs="?", type=Path, help="JSON file that names the URDF and its fingertips")
    what.add_argument(
        "--shipped", type=Path, nargs="+", metavar="FOLDER", help="remake the hands that ship from these URDFs"
    )
    parser.add_argument("-o", "--out", type=Path, help="file (or, with --shipped, folder) to write")
    options = parser.parse_args(arguments)
    try:
        if options.shipped:
            for name in SHIPPED:
                write(shipped_hand(name, *options.shipped), (options.out or ROBOTS) / f"{name}.json")
        else:
            hand = load_hand(options.hints)
            for note in hand.notes:
                sys.stderr.write(f"{note}\n")
            write(hand, options.out or options.hints.with_name(f"{hand.name}.hand.json"))
    except HumanrtError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
