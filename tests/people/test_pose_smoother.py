"""PoseBERT for people of single frames: through a real network of random weights, which means over what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.errors import BundleError
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.body_turns import BodyTurns
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople
from humanrt.people.tracking import Identities
from shipped import shipped

K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
SIZE = (640, 480)
RATE = 30.0
BODIES: dict[str, Sequence[str]] = {"anny": ANNY_BONES, "smplx": SMPLX_BONES}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network from body rotations to body rotations, with first weights."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")
    pytest.importorskip("onnxscript", reason="needs humanrt[export]")
    from humanrt_export.conversion.posebert import export_open, open_settings
    from humanrt_export.data.poses.kinds import KINDS
    from humanrt_export.networks.posebert import StreamingPoseBert

    kind = KINDS["smplx22"]
    torch.manual_seed(0)
    network = StreamingPoseBert(replace(kind.config, width=32, depth=2, heads=1, hidden=32)).eval()
    return export_open(
        network,
        tmp_path_factory.mktemp("bundle") / "turns",
        name="turns",
        version="1",
        provenance={},
        settings=open_settings(kind, 30),
        batches=(1,),
        report=lambda line: None,
    )


def people(bones: Sequence[str], number: int, count: int = 1) -> People:
    """People who turn, bend and tremble."""
    rng = np.random.default_rng(number)
    vectors = 0.3 + 0.05 * rng.normal(size=(count, len(bones), 3))
    vectors[:, 0, 1] += 0.03 * number
    translations = np.array([[0.6 * i, -0.2, 3.0] for i in range(count)], np.float32).reshape(-1, 3)
    return People(
        scores=np.full(count, 0.9, np.float32),
        locations=project(translations, K).astype(np.float32),
        translations=translations,
        rotations=matrices_from_vectors(vectors).astype(np.float32),
        shape=np.full((count, 6), 0.5, np.float32),
        expression=np.zeros((count, 0), np.float32),
        intrinsics=K,
    )


def nobody(bones: Sequence[str]) -> People:
    return people(bones, 0, 0)


def trembling(body: NDArray[Any]) -> float:
    steps = vectors_from_matrices(np.swapaxes(body[:-1], -1, -2) @ body[1:])
    return float(np.linalg.norm(np.diff(steps, axis=0), axis=-1).mean())


@pytest.mark.parametrize("body", BODIES)
def test_the_body_is_the_networks_and_everything_else_one_euros(bundle: Path, body: str) -> None:
    bones = BODIES[body]
    turns = BodyTurns(bones, len(bones))
    raw, found = [], []
    with PoseBertPeople(bones, len(bones), bundle) as smoother:
        plain = OneEuroPeople()
        for number in range(40):
            seen, identities = people(bones, number, 2), Identities((3, 8))
            result = smoother(seen, identities, number / RATE, SIZE)
            other = plain(seen, identities, number / RATE, SIZE)
            assert result.ids == (3, 8)
            for name in ("translations", "locations", "shape", "scores", "intrinsics"):
                np.testing.assert_array_equal(getattr(result.people, name), getattr(other.people, name))
            fingers = [k for k, bone in enumerate(bones) if "finger" in bone or "index" in bone]
            np.testing.assert_array_equal(result.people.rotations[:, fingers], other.people.rotations[:, fingers])
            raw.append(turns.read(seen.rotations)[0])
            found.append(turns.read(result.people.rotations)[0])
    assert result.people.rotations.dtype == np.float32
    assert not np.allclose(found[-1], turns.read(other.people.rotations)[0], atol=0.01)
    assert trembling(np.array(found)) < 0.6 * trembling(np.array(raw))


def test_gaps_are_filled_by_the_network_and_predictions_change_nothing(bundle: Path) -> None:
    bones = SMPLX_BONES
    with PoseBertPeople(bones, len(bones), bundle) as smoother:
        for number in range(20):
            last = smoother(people(bones, number), Identities((1,)), number / RATE, SIZE)
        t = 19 / RATE
        now = smoother.predicted(t)
        np.testing.assert_array_equal(now.people.rotations, last.people.rotations)
        ahead = [smoother.predicted(t + seconds).people.rotations for seconds in (0.1, 0.4, 0.9, 0.1)]
        np.testing.assert_array_equal(ahead[0], ahead[3])
        assert not np.array_equal(ahead[0], now.people.rotations)
        np.testing.assert_array_equal(ahead[1][:, :10], ahead[2][:, :10])  # further than that nothing is predicted
        filled = [smoother(nobody(bones), Identities(()), t + k / RATE, SIZE) for k in range(1, 13)]
    assert [one.ids for one in filled] == [(1,)] * 9 + [()] * 3
    assert all(one.filled == {1} for one in filled[:9])
    # 0.1 s on; three frames have left the window.
    np.testing.assert_allclose(filled[2].people.rotations[:, :10], ahead[0][:, :10], atol=3e-3)


def test_a_new_scene_and_a_lost_identity_start_anew(bundle: Path) -> None:
    bones = SMPLX_BONES
    first = people(bones, 30)
    with PoseBertPeople(bones, len(bones), bundle) as smoother:
        fresh = smoother(first, Identities((1,)), 0.0, SIZE).people.rotations
        for number in range(10):
            smoother(people(bones, number), Identities((1,)), (1 + number) / RATE, SIZE)
        again = smoother(first, Identities((1,)), 11 / RATE, SIZE)
        assert not np.allclose(again.people.rotations, fresh, atol=1e-3)
        after = smoother(first, Identities((2,), (1,)), 12 / RATE, SIZE)
        np.testing.assert_allclose(after.people.rotations, fresh, atol=1e-5)
        cut = smoother(first, Identities((2,)), 13 / RATE, SIZE, cut=True)
        np.testing.assert_allclose(cut.people.rotations, fresh, atol=1e-5)
        rewound = smoother(first, Identities((2,)), 0.0, SIZE)
        np.testing.assert_allclose(rewound.people.rotations, fresh, atol=1e-5)


@pytest.mark.parametrize("still", [True, False])
def test_the_weights_that_ship_calm_and_leave_a_still_pose_as_it_is(still: bool) -> None:
    """Its answer is a sum of what was observed, so there is nothing to bend a pose towards."""
    turns, raw, found = BodyTurns(SMPLX_BONES, len(SMPLX_BONES)), [], []
    with PoseBertPeople(SMPLX_BONES, len(SMPLX_BONES)) as smoother:
        for number in range(45):
            seen = people(SMPLX_BONES, 0 if still else number)
            result = smoother(seen, Identities((1,)), number / RATE, SIZE)
            raw.append(turns.read(seen.rotations)[0])
            found.append(turns.read(result.people.rotations)[0])
    if still:
        np.testing.assert_allclose(found[5:], raw[5:], atol=2e-3)
    else:
        assert trembling(np.array(found)) < 0.5 * trembling(np.array(raw))


def test_other_bundles_are_refused() -> None:
    with pytest.raises(BundleError, match="does not fit: it is not from the rotations"):
        PoseBertPeople(SMPLX_BONES, len(SMPLX_BONES), shipped("posebert-body"))


def test_it_can_be_closed_and_is_then_refused(bundle: Path) -> None:
    smoother = PoseBertPeople(SMPLX_BONES, len(SMPLX_BONES), bundle)
    smoother.close()
    smoother.close()
    call: Callable[..., Any] = smoother
    with pytest.raises(ValueError, match="closed"):
        call(people(SMPLX_BONES, 0), Identities((1,)), 0.0, SIZE)
