"""Clips with pixels, made-up motion, and weights that a training begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.errors import BundleError
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.body_points import HIPS, rest_landmarks
from humanrt.posebert.graphs import graphs_of
from humanrt_export.conversion.parity import opened
from humanrt_export.conversion.posebert_weights import begin_with, bundle_weights
from humanrt_export.data.poses.dataset import Windows, resampled
from humanrt_export.data.poses.kinds import KINDS, as_seen_by
from humanrt_export.data.poses.noise_fit import fit
from humanrt_export.data.poses.sight import SightedNoise, sighted, stacked
from humanrt_export.networks.posebert import StreamingPoseBert

Array = NDArray[Any]

K = np.array([[420.0, 0, 240], [0, 420, 180], [0, 0, 1]])
KIND = KINDS["mediapipe33rays"]


def clip(seed: int, frames: int = 60, noise: float = 0.03) -> dict[str, Any]:
    """Somebody who turns and sways beside the optical axis, as `pairs_body` writes it; metres err a little."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 30
    turns = matrices_from_vectors(
        np.stack([0.1 * np.sin(3 * t), np.pi + t + seed, np.full(frames, np.pi)], axis=1) * (0, 1, 0)
    )
    upright = np.diag([1.0, -1.0, -1.0])
    body = rest_landmarks() + rng.normal(0, 0.02, (33, 3))
    body = body + 0.1 * np.sin(2 * t + rng.uniform(0, 6))[:, None, None] * rng.normal(0, 1, (33, 3))
    keypoints = np.einsum("ij,tjk,tpk->tpi", upright, turns, body)
    keypoints -= keypoints[:, HIPS].mean(axis=1, keepdims=True)
    place = np.array([0.9, 0.1, 3.2]) + 0.2 * np.sin(t)[:, None]
    seen = keypoints + rng.normal(0, noise, keypoints.shape)
    rotations = np.tile(np.eye(3), (frames, 24, 1, 1))
    rotations[:, 0] = upright @ turns
    made = {
        "t": t,
        "observed": seen,
        "score": np.ones(frames),
        "confidence": rng.uniform(0.5, 1, (frames, 33)),
        "keypoints": keypoints,
        "rotations": rotations,
        "observed_2d": project(keypoints + place[:, None], K) + rng.normal(0, 1, (frames, 33, 2)),
        "keypoints_2d": project(keypoints + place[:, None], K),
        "intrinsics": K,
    }
    made["observed"][20:24] = made["observed_2d"][20:24] = np.nan
    made["confidence"][20:24] = made["score"][20:24] = 0
    return {name: value if name == "t" else np.asarray(value, np.float32) for name, value in made.items()}


def test_truth_is_turned_to_the_gaze_and_rays_meet_it() -> None:
    seen = sighted(clip(0))
    lost = np.isnan(seen["observed"]).any(axis=(1, 2))
    assert lost.sum() == 4
    assert not seen["rays"][lost].any()
    # Turned by the angle at which they stand beside the axis, about 16 degrees.
    angle = np.degrees(np.arccos((np.trace(seen["gaze"], axis1=1, axis2=2) - 1) / 2))
    assert (np.abs(angle - 16) < 3).all()
    np.testing.assert_allclose(
        np.einsum("tij,tkj->tki", seen["gaze"], clip(0)["keypoints"]), seen["keypoints"], atol=1e-6
    )
    np.testing.assert_allclose(seen["rotations"][:, 0], seen["gaze"] @ clip(0)["rotations"][:, 0], atol=1e-6)
    true = seen["true_rays"]
    at = true[..., :2] * (1 + true[..., 2:] * seen["keypoints"][..., 2:])
    at -= at[:, HIPS].mean(axis=1, keepdims=True)
    assert np.abs(at - seen["keypoints"][..., :2]).max() < 0.06  # their scale is by spread: near parts look larger
    assert np.abs(seen["rays"][~lost] - true[~lost]).mean() < 0.02


def test_a_clip_without_pictures_stays_as_it_is() -> None:
    plain = {name: value for name, value in clip(1).items() if "2d" not in name}
    assert sighted(plain).keys() == plain.keys()


def test_rays_turn_with_the_picture_and_are_mirrored() -> None:
    kind = replace(KIND.corruption, bursts=0.0, singles=0.0, sightless=0.0, lens=0.0, turn=np.pi)
    windows = Windows(
        [resampled(sighted(clip(2)), 30.0)], [], None, 30, KIND.config.origin, KIND.config.lengths, KIND.flips, kind
    )
    batch = windows.batch(0, 0, 12)
    assert batch.rays is not None
    metres = batch.values - batch.values[:, :, HIPS].mean(dim=2, keepdim=True)
    at = batch.rays[..., :2] * (1 + batch.rays[..., 2:] * metres[..., 2:])
    at = at - at[:, :, HIPS].mean(dim=2, keepdim=True)
    off = (at - metres[..., :2]).norm(dim=-1).mean(dim=-1) * batch.mask
    assert off.max() < 0.12  # noise of 30 mm on either; turned or mirrored otherwise it would be half a metre
    lost = replace(kind, sightless=1.0)
    windows.corruption = lost
    found = windows.batch(0, 0, 2).rays
    assert found is not None
    assert not found.any()


def test_noise_of_metres_and_rays_belongs_together() -> None:
    clips = [clip(seed) for seed in range(8)]
    model = fit(as_seen_by("mediapipe33rays", clips))
    assert model.points == 66 == KIND.noise_points
    assert stacked(clips[0])["observed"].shape == (60, 66, 3)
    truth = sighted(clip(9))["keypoints"]
    observed, score, confidence, rays = SightedNoise(model, 0.15)(truth, clip(9)["t"], np.random.default_rng(0))
    assert observed.shape == truth.shape == rays.shape
    assert (score.shape, confidence.shape) == (truth.shape[:1], truth.shape[:2])
    there = np.isfinite(observed).all(axis=(1, 2))
    assert there.mean() > 0.5
    assert not rays[~there].any()
    at = rays[..., :2] * (1 + rays[..., 2:] * observed[..., 2:])
    at -= at[:, HIPS].mean(axis=1, keepdims=True)
    assert 0.01 < np.abs(at - observed[..., :2])[there].mean() < 0.1
    assert ((1 / rays[there, 0, 2] > 0.8) & (1 / rays[there, 0, 2] < 12)).all()  # m


# --------------------------------------------------------------------------------------------- weights


def test_a_training_begins_where_a_bundle_ends() -> None:
    try:
        bundle = load_bundle("posebert-hand", task="posebert")
    except BundleError:
        pytest.skip("bundle posebert-hand is not here")
    network = StreamingPoseBert(KINDS["hand21"].config).eval()
    begin_with(network, bundle_weights("posebert-hand"))
    run = opened(graphs_of(bundle)[1].source)
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(1, 40, generator=random) > 0.2
    values = 0.1 * torch.randn(1, 1, 21, 3, generator=random) + 0.01 * torch.randn(1, 40, 21, 3, generator=random)
    confidence = torch.rand(1, 40, 21, generator=random) * mask[..., None]
    given = {"keypoints": values * mask[..., None, None], "mask": mask, "confidence": confidence}
    expected = run({name: value.numpy() for name, value in given.items()})
    with torch.inference_mode():
        found = network(*given.values())
    np.testing.assert_allclose(found.rotations, expected["rotations"], atol=1e-5)
    np.testing.assert_allclose(found.keypoints, expected["smoothed"], atol=1e-5)


def test_new_inputs_and_heads_begin_without_influence() -> None:
    torch.manual_seed(0)
    sizes = {"width": 32, "depth": 2, "heads": 1, "hidden": 32}
    old = StreamingPoseBert(replace(KINDS["mediapipe33"].config, **sizes)).eval()
    plain = replace(KIND.config, rest=(), **sizes)
    new, kinematic = StreamingPoseBert(plain).eval(), StreamingPoseBert(replace(plain, rest=KIND.config.rest)).eval()
    for network in (new, kinematic):
        begin_with(network, old.state_dict())
    values = torch.randn(2, 12, 33, 3)
    inputs = (values, torch.ones(2, 12, dtype=torch.bool), torch.rand(2, 12, 33))
    with torch.inference_mode():
        expected, found, by_ik = old(*inputs), new(*inputs), kinematic(*inputs)
    torch.testing.assert_close(found.rotations, expected.rotations)
    torch.testing.assert_close(found.keypoints, expected.keypoints)
    torch.testing.assert_close(by_ik.keypoints, expected.keypoints, atol=5e-3, rtol=0)
    # Trunk and limbs begin as inverse kinematics of the answer says, the other joints as the weights do.
    ik = kinematic.ik(by_ik.keypoints)
    torch.testing.assert_close(by_ik.rotations[..., 16, :, :], ik[..., 16, :, :], atol=1e-3, rtol=0)  # a shoulder
    torch.testing.assert_close(by_ik.rotations[..., 20, :, :], expected.rotations[..., 20, :, :], atol=5e-3, rtol=0)


def test_weights_of_another_width_are_refused() -> None:
    network = StreamingPoseBert(replace(KIND.config, width=32, depth=2, heads=1, hidden=32))
    other = StreamingPoseBert(replace(KIND.config, width=64, depth=2, heads=2, hidden=32))
    with pytest.raises(BundleError, match="train with its settings"):
        begin_with(network, other.state_dict())
