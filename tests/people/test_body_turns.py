"""The body's rotations among those of Anny and of SMPL-X: what was read is put back, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_BODY, SkeletonError
from humanrt.people.body_turns import BodyTurns

BODIES = {"anny": ANNY_BONES, "smplx": SMPLX_BONES}
TOES = [SMPLX_BODY.index(name) for name in ("left_foot", "right_foot")]
OTHERS = [k for k in range(len(SMPLX_BODY)) if k not in TOES]


def turns(count: int, *leading: int, seed: int = 0) -> NDArray[np.float64]:
    return matrices_from_vectors(np.random.default_rng(seed).normal(0, 0.4, (*leading, count, 3)))


@pytest.mark.parametrize("body", BODIES)
def test_a_body_put_back_changes_nothing(body: str) -> None:
    bones = BODIES[body]
    some = BodyTurns(bones, len(bones))
    rotations = turns(len(bones), 3)
    np.testing.assert_allclose(some.replaced(rotations, some.read(rotations)), rotations, atol=1e-12)


@pytest.mark.parametrize("body", BODIES)
def test_another_body_is_read_back_and_fingers_stay(body: str) -> None:
    bones = BODIES[body]
    some = BodyTurns(bones, len(bones))
    rotations, other = turns(len(bones), 2), turns(len(SMPLX_BODY), 2, seed=1)
    if body == "anny":
        other[:, TOES] = np.eye(3)
    result = some.replaced(rotations, other)
    np.testing.assert_allclose(some.read(result)[:, OTHERS], other[:, OTHERS], atol=1e-12)
    np.testing.assert_allclose(some.read(result)[:, TOES], some.read(rotations)[:, TOES], atol=1e-12)
    fingers = [k for k, bone in enumerate(bones) if bone.startswith(("finger", "metacarpal"))]
    fingers += [k for k, bone in enumerate(bones) if bone[-1].isdigit() and bone.startswith(("left", "right"))]
    assert len(fingers) in (30, 38)
    np.testing.assert_array_equal(result[:, fingers], rotations[:, fingers])
    np.testing.assert_allclose(result @ np.swapaxes(result, -1, -2), np.eye(3) + 0 * result, atol=1e-12)


@pytest.mark.parametrize("body", BODIES)
def test_a_share_goes_a_part_of_the_way(body: str) -> None:
    bones = BODIES[body]
    some = BodyTurns(bones, len(bones))
    rotations, other = turns(len(bones), 2), turns(len(SMPLX_BODY), 2, seed=1)
    before = some.read(rotations)
    np.testing.assert_allclose(some.replaced(rotations, other, 0.0), rotations, atol=1e-12)
    half = some.read(some.replaced(rotations, other, 0.5))[:, OTHERS]
    apart = [
        np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2) @ b))
        for a, b in ((before[:, OTHERS], half), (half, other[:, OTHERS]))
    ]
    assert apart[0] == pytest.approx(apart[1], rel=1e-9)


def test_other_bones_are_refused() -> None:
    with pytest.raises(SkeletonError, match="neither the 74 of Anny nor the 53 of SMPL-X"):
        BodyTurns(("root", "tail"), 2)
