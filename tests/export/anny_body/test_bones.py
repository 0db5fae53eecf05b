"""Names: the rig has the bones that the tables are about."""

from __future__ import annotations

import pytest

from humanrt_export.bodies.anny.bones import ACTIVE, BODY, HAND_KEYPOINTS, HANDS, HEAD, TIPS, BoneError, indices
from humanrt_export.bodies.anny.model import AnnyData


def test_the_tables_are_in_the_rig(coarse: AnnyData) -> None:
    assert len(coarse.names) == 104
    assert len(ACTIVE) == len(set(ACTIVE)) == 74 == len(BODY) + 2 * len(HANDS["L"]) + len(HEAD)
    still = set(coarse.names) - set(ACTIVE)
    assert {name.partition(".")[0].partition("-")[0].rstrip("12345") for name in still} == {"toe", "eye"}
    assert set(TIPS) <= set(coarse.joint_names)


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_hand_is_21_joints_that_hang_together(coarse: AnnyData, side: str) -> None:
    keypoints = HAND_KEYPOINTS[side]
    places = indices(keypoints, coarse.joint_names)
    assert len(set(places)) == 21
    assert keypoints[0] == f"wrist.{side}"
    assert keypoints[4] == f"finger1-tip.{side}"
    for tip in keypoints[4::4]:
        assert coarse.point_weights[coarse.point_names.index(tip)][coarse.names.index(TIPS[tip])] > 0.9
    rest = [*coarse.head_template, *coarse.point_template]
    for finger in range(5):
        length = [
            ((rest[places[4 * finger + k + 1]] - rest[places[4 * finger + k]]) ** 2).sum() ** 0.5 for k in (1, 2, 3)
        ]
        assert all(0.01 < part < 0.06 for part in length)


def test_an_unknown_bone_is_named(coarse: AnnyData) -> None:
    with pytest.raises(BoneError, match=r"no bone tail in the rig; it has: .*wrist\.R"):
        indices(["root", "tail"], coarse.names)
