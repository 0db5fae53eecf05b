"""URDFs of made-up robots, for the tests of retargeting."""

from __future__ import annotations

RANGE = 'lower="0" upper="1.6"'
NO_RANGE = 'effort="1" velocity="1"'
FINGERS = ("thumb", "index", "middle")


def joint(
    name: str, parent: str, child: str, xyz: str = "0 0 0", *, kind: str = "revolute", rpy: str = "0 0 0",
    axis: str = "0 1 0", limit: str | None = RANGE, mimic: str = "",
) -> str:  # fmt: skip
    return (
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="{xyz}" rpy="{rpy}"/><axis xyz="{axis}"/>'
        + ("" if limit is None else f"<limit {limit}/>")
        + (f"<mimic {mimic}/>" if mimic else "")
        + "</joint>\n"
    )


def fixed(parent: str, child: str, xyz: str = "0 0 0", rpy: str = "0 0 0") -> str:
    return joint(f"to_{child}", parent, child, xyz, kind="fixed", rpy=rpy, limit=None)


def finger(name: str, xyz: str) -> str:
    """Three hinges and a tip link, on the palm."""
    return (
        joint(f"{name}_j1", "palm", f"{name}_1", xyz)
        + joint(f"{name}_j2", f"{name}_1", f"{name}_2", "0 0 0.045")
        + joint(f"{name}_j3", f"{name}_2", f"{name}_3", "0 0 0.03")
        + fixed(f"{name}_3", f"{name}_tip", "0 0 0.025")
    )


def thumb(side: int = 1) -> str:
    bend = 'lower="-0.3" upper="1.5"'
    return (
        joint("thumb_j0", "palm", "thumb_0", f"0.01 {0.03 * side} 0.03", rpy=f"{-side} 0 0", axis="0 0 1",
              limit='lower="-1.6" upper="1.6"')
        + joint("thumb_j1", "thumb_0", "thumb_1", "0 0 0.01", limit=bend)
        + joint("thumb_j2", "thumb_1", "thumb_2", "0 0 0.04", limit=bend)
        + fixed("thumb_2", "thumb_tip", "0 0 0.03")
    )  # fmt: skip


HAND = thumb() + finger("index", "0 0.026 0.095") + finger("middle", "0 0 0.096")
LEFT = thumb(-1) + finger("index", "0 -0.026 0.095") + finger("middle", "0 0 0.096")
TIPS = {name: f"{name}_tip" for name in FINGERS}


# An arm to mount it on


WIDE = 'lower="-2.9" upper="2.9"'
ARM = (
    joint("rail", "world", "a0", "0 0 0.2", kind="prismatic", axis="1 0 0", limit='lower="0" upper="1.5"')
    + joint("shoulder", "a0", "a1", "0 0 0.2", axis="0 0 1", limit=WIDE)
    + joint("elbow", "a1", "a2", "0 0 0.2", limit='lower="-2.9" upper="-0.1"')  # zero is outside
    + joint("linkage", "a2", "a3", limit=NO_RANGE, mimic='joint="elbow" multiplier="-1"')
    + joint("forearm", "a3", "a4", "0 0 0.2", kind="continuous", limit=None)
    + joint("wrist_roll", "a4", "a5", axis="0 0 1", limit=NO_RANGE)
    + joint("wrist_lift", "a5", "a6", axis="1 0 0", limit=None)
    + fixed("a6", "palm", "0 0 0.05", rpy="0.1 0.2 0.3")
)
ARM_JOINTS = ("rail", "shoulder", "elbow", "linkage", "forearm", "wrist_roll", "wrist_lift")


# Grippers


SLIDE = 'lower="0" upper="0.04"'


def jaws(first: dict[str, str], second: dict[str, str], tips: str = "0 0 0.05") -> str:
    """Two sliding jaws with tip links."""
    return (
        joint("left", "hand", "left_jaw", **{"xyz": "0 0 0.06", "kind": "prismatic", "limit": SLIDE, **first})
        + joint("right", "hand", "right_jaw", **{"xyz": "0 0 0.06", "kind": "prismatic", "limit": SLIDE, **second})
        + fixed("left_jaw", "left_tip", tips)
        + fixed("right_jaw", "right_tip", tips)
    )


def linkage(sign: int) -> str:
    """A jaw on a parallelogram: one hinge, and one that turns it back; the right jaw's follow the left's."""
    side = {1: "left", -1: "right"}[sign]
    lead = "" if sign > 0 else 'joint="left" multiplier="-1"'
    return (
        joint(side, "hand", f"{side}_arm", f"0 {0.03 * sign} 0.02", axis="1 0 0", mimic=lead,
              limit='lower="0" upper="0.8"' if sign > 0 else NO_RANGE)
        + joint(f"{side}_back", f"{side}_arm", f"{side}_pad", f"0 {0.012 * sign} 0.06", axis="1 0 0", limit=NO_RANGE,
                mimic=f'joint="left" multiplier="{-sign}"')
        + fixed(f"{side}_pad", f"{side}_tip", "0 0 0.04")
    )  # fmt: skip


TURNED = {"rpy": "0 0 3.14159265"}
FOLLOWS = {"mimic": 'joint="left"'}
JAWS = {"thumb": "left_tip", "index": "right_tip"}
GRIPPERS: dict[str, tuple[str, dict[str, str]]] = {
    "one follows, turned about": (jaws({}, {**TURNED, **FOLLOWS}), JAWS),
    "one follows, axis reversed": (jaws({}, {"axis": "0 -1 0", **FOLLOWS}), JAWS),
    "one follows the other way": (
        jaws({}, {"limit": 'lower="-0.04" upper="0"', "mimic": 'joint="left" multiplier="-1"'}), JAWS),
    "follower without a range": (jaws({}, {"axis": "0 -1 0", "limit": NO_RANGE, **FOLLOWS}), JAWS),
    "two motors": (jaws({}, {"axis": "0 -1 0"}), JAWS),
    "two motors, one the other way": (jaws({}, {"limit": 'lower="-0.04" upper="0"'}), JAWS),
    "zero is open": (
        jaws({"xyz": "0 0.04 0.06", "axis": "0 -1 0"}, {"xyz": "0 -0.04 0.06", **FOLLOWS}), JAWS),
    "tips are the moving links": (
        jaws({}, {"axis": "0 -1 0", **FOLLOWS}), {"thumb": "left_jaw", "index": "right_jaw"}),
    "jaws that could pass each other": (
        jaws({"limit": 'lower="-0.01" upper="0.04"'}, {"axis": "0 -1 0", "limit": NO_RANGE, **FOLLOWS}), JAWS),
    "index and middle": (jaws({}, {**TURNED, **FOLLOWS}), {"index": "left_tip", "middle": "right_tip"}),
    "one jaw is fixed": (
        joint("jaw", "hand", "moving", "0 0.02 0.03", axis="1 0 0", limit='lower="-1.5" upper="0.2"')
        + fixed("moving", "left_tip", "0 -0.02 0.08") + fixed("hand", "right_tip", "0 -0.01 0.11"), JAWS),
    "parallelograms": (linkage(1) + linkage(-1), JAWS),
    "two hinges": (
        joint("left", "hand", "left_jaw", "0 0.01 0.03", axis="-1 0 0", limit='lower="0" upper="0.6"')
        + joint("right", "hand", "right_jaw", "0 -0.01 0.03", axis="1 0 0", limit='lower="0" upper="0.6"')
        + fixed("left_jaw", "left_tip", "0 -0.01 0.08") + fixed("right_jaw", "right_tip", "0 0.01 0.08"), JAWS),
    "two hinges that could cross": (
        joint("left", "hand", "left_jaw", "0 0.03 0.03", axis="1 0 0")
        + joint("right", "hand", "right_jaw", "0 -0.03 0.03", axis="-1 0 0")
        + fixed("left_jaw", "left_tip", "0 0 0.08") + fixed("right_jaw", "right_tip", "0 0 0.08"), JAWS),
    "fingers of two hinges": (
        "".join(
            joint(f"{name}_root", "hand", f"{name}_arm", f"0 {0.05 * sign} 0.03", axis=f"{sign} 0 0")
            + joint(f"{name}_bend", f"{name}_arm", f"{name}_jaw", "0 0 0.06", axis=f"{sign} 0 0")
            + fixed(f"{name}_jaw", f"{name}_tip", "0 0 0.05")
            for name, sign in (("left", 1), ("right", -1))
        ), JAWS),
    "three jaws": (
        "".join(
            joint(f"slide_{i}", "hand", f"jaw_{i}", "0 0 0.06", kind="prismatic", rpy=f"0 0 {2.0943951 * i}",
                  limit=SLIDE, mimic=(FOLLOWS["mimic"].replace("left", "slide_0") if i else ""))
            for i in range(3)
        ), {"thumb": "jaw_0", "index": "jaw_1", "middle": "jaw_2"}),
    "three motors": (
        "".join(
            joint(f"slide_{i}", "hand", f"jaw_{i}", "0 0 0.06", kind="prismatic", rpy=f"0 0 {2.0943951 * i}",
                  limit=SLIDE)
            for i in range(3)
        ), {"thumb": "jaw_0", "index": "jaw_1", "middle": "jaw_2"}),
}  # fmt: skip
ON_AN_ARM = joint("swing", "world", "a1", axis="0 0 1", limit=WIDE) + joint("lift", "a1", "hand", "0 0 0.4", limit=WIDE)
