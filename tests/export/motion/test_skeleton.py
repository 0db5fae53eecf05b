"""The trees, and the conversion between SMPL's rotations and Anny's bones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, anny_from_smpl, hand_from_anny, smpl_from_anny
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import (
    HAND_16,
    HAND_16_PARENTS,
    SMPL_24,
    SMPL_PARENTS,
    SMPL_REST,
    SMPLX_55,
    SMPLX_BODY,
    SkeletonError,
    local_rotations,
    mirrored,
    shortest_arc,
    world_rotations,
)
from humanrt_export.motion.augment import SWAPPED, mirror_rotations
from humanrt_export.motion.clip import Motion

MOVING = [place for place, name in enumerate(SMPL_24) if name[-4:] not in ("foot", "hand")]


def random_rotations(seed: int, *shape: int, angle: float = 1.0) -> np.ndarray:
    return matrices_from_vectors(angle * np.random.default_rng(seed).standard_normal((*shape, 3)))


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between rotations, rad."""
    return 2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=(-2, -1)) / np.sqrt(8), 0, 1))


def test_trees_are_ordered() -> None:
    for parents in (SMPL_PARENTS, HAND_16_PARENTS, ANNY_PARENTS):
        assert parents[0] == -1
        assert all(0 <= parent < place for place, parent in enumerate(parents) if place)
    assert (len(SMPL_24), len(SMPLX_BODY), len(SMPLX_55), len(HAND_16), len(ANNY_BONES)) == (24, 22, 55, 16, 74)
    assert HAND_16[1:4] == ("index1", "index2", "index3")
    assert HAND_16_PARENTS == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)


def test_bones_are_those_of_the_network() -> None:
    pytest.importorskip("torch")  # the package `anny` of humanrt_export imports it
    from humanrt_export.bodies.anny.bones import ACTIVE

    assert ANNY_BONES == ACTIVE


def test_rest_is_a_symmetric_t_pose() -> None:
    np.testing.assert_allclose(SMPL_REST[list(SWAPPED)] * (-1, 1, 1), SMPL_REST, atol=1e-12)
    at = dict(zip(SMPL_24, SMPL_REST, strict=True))
    assert at["left_wrist"][0] > at["left_elbow"][0] > at["left_shoulder"][0] > 0
    assert at["left_wrist"][1] == pytest.approx(at["left_shoulder"][1])
    assert at["head"][1] > at["neck"][1] > at["spine3"][1] > 0 > at["left_knee"][1] > at["left_ankle"][1]
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.1


@given(st.integers(0, 10**6), st.sampled_from([22, 24]))
def test_to_anny_and_back(seed: int, joints: int) -> None:
    """World orientations return; toes and hands' bases, which Anny's bones do not show, keep still."""
    rotations = random_rotations(seed, 3, joints)
    back = smpl_from_anny(anny_from_smpl(rotations))
    wanted, got = world_rotations(rotations, SMPL_PARENTS[:joints]), world_rotations(back, SMPL_PARENTS)
    np.testing.assert_allclose(got[:, MOVING], wanted[:, MOVING], atol=1e-9)
    np.testing.assert_allclose(back[:, [10, 11, 22, 23]], np.broadcast_to(np.eye(3), (3, 4, 3, 3)), atol=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["left", "right"]), st.sampled_from([15, 16]))
def test_hands_to_anny_and_back(seed: int, side: str, count: int) -> None:
    body, hand = random_rotations(seed, 2, 24), random_rotations(seed + 1, 2, count)
    anny = anny_from_smpl(body, {side: hand})
    back = hand_from_anny(anny, side)
    np.testing.assert_allclose(back[:, -count:], hand, atol=1e-9)
    # Nothing else moves for a hand, but what leads to its wrist.
    other = hand_from_anny(anny, "left" if side == "right" else "right")
    np.testing.assert_allclose(other[:, 1:], np.broadcast_to(np.eye(3), (2, 15, 3, 3)), atol=1e-9)
    if count == 15:
        np.testing.assert_allclose(smpl_from_anny(anny), smpl_from_anny(anny_from_smpl(body)), atol=1e-9)


@given(st.integers(0, 10**6))
def test_conversion_commutes_with_the_mirror(seed: int) -> None:
    """Anny's axes have x to the left too, so a mirrored body is a mirrored Anny with its sides swapped."""
    rotations = random_rotations(seed, 24, angle=0.6)
    swapped = [
        ANNY_BONES.index(bone[:-1] + {"L": "R", "R": "L"}[bone[-1]] if bone[-2:] in (".L", ".R") else bone)
        for bone in ANNY_BONES
    ]
    wanted = mirrored(anny_from_smpl(rotations)[swapped])
    np.testing.assert_allclose(anny_from_smpl(mirror_rotations(rotations)), wanted, atol=1e-9)
    hand = random_rotations(seed, 16, angle=0.6)
    left = anny_from_smpl(mirror_rotations(rotations), {"left": mirrored(hand)})
    np.testing.assert_allclose(left, mirrored(anny_from_smpl(rotations, {"right": hand})[swapped]), atol=1e-9)


def test_shared_parts_share() -> None:
    """A turned head bends the neck between, a turned hand twists half of the forearm, a bent elbow nothing else."""
    still = anny_from_smpl(np.broadcast_to(np.eye(3), (24, 3, 3)))
    turned = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    turned[SMPL_24.index("left_wrist")] = matrices_from_vectors(np.array([1.0, 0, 0]))  # about the forearm
    moved = angles(still, anny_from_smpl(turned))
    by_bone = {bone: angle for bone, angle in zip(ANNY_BONES, moved, strict=True) if angle > 1e-6}
    assert set(by_bone) == {"lowerarm02.L", "wrist.L"}
    assert by_bone["lowerarm02.L"] == pytest.approx(0.5, abs=0.02)
    turned = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    turned[SMPL_24.index("head")] = matrices_from_vectors(np.array([0, 0.8, 0]))
    moved = angles(still, anny_from_smpl(turned))
    assert {bone for bone, angle in zip(ANNY_BONES, moved, strict=True) if angle > 1e-6} == {"neck03", "head"}


def test_anny_stands_where_the_skeleton_says(cmu: dict[str, Motion]) -> None:
    """AnnyBody posed through the conversion has its joints at those of forward kinematics."""
    torch = pytest.importorskip("torch")
    from humanrt_export.bodies.anny.body import AnnyBody
    from humanrt_export.bodies.anny.model import cached_file, load_anny
    from humanrt_export.motion.body_fk import forward

    if not cached_file("10pc").is_file():
        pytest.skip("Anny's arrays are not cached here, and building them takes a minute")
    data = load_anny("10pc")
    frames = np.concatenate([cmu[name].rotations[::400] for name in ("01_02", "01_08", "02_05", "03_04")])
    frames = np.concatenate((np.broadcast_to(np.eye(3), (1, 24, 3, 3)), frames))
    shape = torch.tensor([[0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]]).expand(len(frames), 6)
    rotations = torch.from_numpy(anny_from_smpl(frames).astype(np.float32))
    with torch.inference_mode():
        joints = AnnyBody(data)(rotations, shape, torch.zeros(len(frames), 3)).joints.numpy()
    joints = joints - joints[:, :1]
    expected, _ = forward(frames)
    pairs = {"hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "foot": "toe2-1", "shoulder": "upperarm01"}
    pairs |= {"elbow": "lowerarm01", "wrist": "wrist", "hand": "finger3-1"}
    for side in ("left", "right"):
        for joint, bone in pairs.items():
            bone = f"{bone}.{side[0].upper()}"
            gap = np.linalg.norm(
                joints[:, data.names.index(bone)] - expected[:, SMPL_24.index(f"{side}_{joint}")], axis=1
            )
            legs = joint in ("hip", "knee", "ankle", "foot")
            assert gap[0] < 0.004, (joint, "T-pose")
            assert gap.max() < (0.004 if legs else 0.05), joint  # the spine shares its bending among more bones
            assert gap.mean() < (0.004 if legs else 0.02), joint


@pytest.mark.parametrize("side", ["left", "right"])
def test_hands_are_those_of_the_rendered_arm(side: str) -> None:
    """The synthetic hand's rotations, given to Anny's body: finger joints where the synthetic hand has them."""
    torch = pytest.importorskip("torch")
    from humanrt_export.bodies.anny.body import AnnyBody
    from humanrt_export.bodies.anny.model import cached_file, load_anny
    from humanrt_export.synthetic.hand_model import load_arm, pose

    if not cached_file("10pc").is_file():
        pytest.skip("Anny's arrays are not cached here, and building them takes a minute")
    arm, data = load_arm(side, aligned=False), load_anny("10pc")  # type: ignore[arg-type]
    bends = {"thumb_cmc_flexion": 20, "thumb_mcp_flexion": 30, "index_mcp_flexion": 40, "index_pip_flexion": 60}
    bends |= {"middle_mcp_abduction": 15, "middle_dip_flexion": 30, "pinky_pip_flexion": 50, "ring_pip_flexion": -10}
    q = pose(None, bends)
    number = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
    bones = ["wrist", *(f"finger{number[name[:-1]]}-{name[-1]}" for name in HAND_16[1:])]
    turns = arm.transforms(q)[[arm.names.index(bone) for bone in bones], :, :3]
    if side == "left":  # its linear part holds the mirror image
        turns = turns * np.array([-1.0, 1, 1])[:, None]
    hand = local_rotations(turns, HAND_16_PARENTS)
    hand = mirrored(hand) if side == "left" else hand
    anny = anny_from_smpl(np.broadcast_to(np.eye(3), (24, 3, 3)), {side: hand})
    shape = torch.tensor([[0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]])
    with torch.inference_mode():
        joints = AnnyBody(data)(torch.from_numpy(anny[None]).float(), shape, torch.zeros(1, 3)).joints[0].numpy()
    order = ["wrist", *(f"finger{finger}-{k}" for finger in range(1, 6) for k in (1, 2, 3))]
    places = joints[[data.joint_names.index(f"{bone}.{side[0].upper()}") for bone in order]]
    wanted = arm.keypoints(q)[[0, *(1 + 4 * finger + k for finger in range(5) for k in range(3))]]
    places, wanted = places - places[0], wanted - wanted[0]
    size = np.linalg.norm(wanted[4]) / np.linalg.norm(places[4])  # another person's hand
    np.testing.assert_allclose(places * size, wanted, atol=1e-3)


def test_world_and_local_are_inverse() -> None:
    rotations = random_rotations(1, 5, 24)
    np.testing.assert_allclose(local_rotations(world_rotations(rotations, SMPL_PARENTS), SMPL_PARENTS), rotations)


@given(st.integers(0, 10**6))
def test_shortest_arc(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((2, 4, 3))
    b[0], b[1] = a[0] * 2, -a[1]  # along, and opposite
    turn = shortest_arc(a, b)
    moved = (turn @ a[..., None])[..., 0]
    np.testing.assert_allclose(
        moved / np.linalg.norm(moved, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True), atol=1e-9
    )
    np.testing.assert_allclose(turn @ turn.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-12)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(SkeletonError, match="24, 3, 3"):
        anny_from_smpl(np.zeros((5, 23, 3, 3)))
    with pytest.raises(SkeletonError, match=r"15 or 16"):
        anny_from_smpl(random_rotations(0, 24), {"left": np.zeros((14, 3, 3))})
    with pytest.raises(SkeletonError, match="unknown hand `foot`"):
        anny_from_smpl(random_rotations(0, 24), {"foot": np.zeros((15, 3, 3))})  # type: ignore[dict-item]
    with pytest.raises(SkeletonError, match="need `root` among their bones; got: head"):
        smpl_from_anny(np.zeros((1, 3, 3)), ["head"])


def test_bones_left_out_keep_still() -> None:
    """A network may turn fewer bones; a rig may have more."""
    anny = anny_from_smpl(random_rotations(7, 24))
    body = [place for place, bone in enumerate(ANNY_BONES) if "finger" not in bone and "metacarpal" not in bone]
    names = [ANNY_BONES[place] for place in body]
    more = np.concatenate((anny[body], random_rotations(8, 1)))
    np.testing.assert_allclose(smpl_from_anny(more, [*names, "toe1-1.L"]), smpl_from_anny(anny), atol=1e-12)
