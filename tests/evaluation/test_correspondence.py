"""Which joints are compared."""

from __future__ import annotations

import pytest
from cases import ANNY

from humanrt.errors import HumanrtError
from humanrt.evaluation.correspondence import correspond
from humanrt.geometry.limbs import ANNY_LIMBS, LIMB_BONES, LIMBS, limb_indices
from humanrt.geometry.skeleton import COCO_17, MEDIAPIPE_33, SMPL_24, SMPLX_55


def test_bodies_of_one_kind_are_compared_by_all_joints_of_the_body() -> None:
    both = correspond(ANNY, tuple(reversed(ANNY)), "pelvis")
    assert [ANNY[k] for k in both.predicted] == [ANNY[::-1][k] for k in both.true] == list(both.names)
    assert not [name for name in both.names if name.startswith(("finger", "metacarpal"))]
    assert both.root == [ANNY.index("root")]
    assert [len(hand) for hand in both.hands] == [21, 21]
    assert [ANNY[::-1][hand[0]] for hand in both.true_hands] == ["wrist.L", "wrist.R"]


def test_smpl_and_smplx_share_22() -> None:
    both = correspond(SMPLX_55, SMPL_24, "pelvis")
    assert len(both.names) == 22
    assert both.hands == []
    assert len(correspond(SMPL_24, SMPL_24, "pelvis").names) == 24
    assert [len(hand) for hand in correspond(SMPLX_55, SMPLX_55, "hips").hands] == [16, 16]


@pytest.mark.parametrize("truth", [SMPL_24, COCO_17, MEDIAPIPE_33])
def test_bodies_of_two_kinds_are_compared_by_their_limbs_about_the_hips(truth: tuple[str, ...]) -> None:
    both = correspond(ANNY, truth, "pelvis")
    assert both.names == LIMBS
    assert both.root_name == "hips"  # a pelvis of one is not that of the other
    assert [ANNY[k] for k in both.root] == ["upperleg01.L", "upperleg01.R"]
    assert [truth[k] for k in both.true_root] == ["left_hip", "right_hip"]
    assert [truth[k] for k in both.true] == list(LIMBS)


def test_the_hips_are_another_root_of_the_same_joints() -> None:
    both = correspond(ANNY, ANNY, "hips")
    assert [ANNY[k] for k in both.root] == ["upperleg01.L", "upperleg01.R"]


def test_a_body_without_a_limb_is_refused() -> None:
    with pytest.raises(HumanrtError, match="a body without `left_wrist`; twelve limb joints are needed"):
        correspond(ANNY, [name for name in COCO_17 if name != "left_wrist"], "hips")


def test_limbs() -> None:
    assert len(LIMBS) == len(ANNY_LIMBS) == 12
    assert [ANNY[k] for k in limb_indices(ANNY)] == list(ANNY_LIMBS)
    assert len(LIMB_BONES) == len(set(LIMB_BONES)) == 12
    named = {frozenset((LIMBS[a], LIMBS[b])) for a, b in LIMB_BONES}
    assert frozenset(("left_knee", "left_ankle")) in named
    assert frozenset(("left_shoulder", "left_hip")) in named
