"""Rotations as observations: windows turn and mirror truth and what is seen alike; noise as the fitted front-end's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices  # noqa: E402
from humanrt_export.cli import main  # noqa: E402
from humanrt_export.data.poses.borrowed import BorrowedErrors  # noqa: E402
from humanrt_export.data.poses.clips import save_clip  # noqa: E402
from humanrt_export.data.poses.dataset import Windows, resampled  # noqa: E402
from humanrt_export.data.poses.kinds import KINDS, as_seen_by  # noqa: E402
from humanrt_export.data.poses.noise_fit import fit  # noqa: E402
from humanrt_export.data.poses.turning import EXTRA, TurnedNoise, as_points, turned  # noqa: E402
from humanrt_export.training.tasks.posebert import TrainPosebert, make_task  # noqa: E402

KIND = KINDS["smplx22"]
JOINTS = 22


def clip(seed: int, frames: int = 90, noise: float = 0.1) -> dict[str, Any]:
    """A person who bends and turns slowly; each joint is seen with a lasting error and one that trembles."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 30
    sway = np.sin(t[:, None, None] * rng.uniform(0.5, 2, (JOINTS, 3)) + rng.uniform(0, 6, (JOINTS, 3)))
    vectors = 0.5 * sway * rng.uniform(0.2, 1, (JOINTS, 3))
    vectors[:, 0] = (0, rng.uniform(0, 6), 0)
    truth = matrices_from_vectors(vectors)
    error = noise * (rng.normal(size=(JOINTS, 3)) + 0.3 * rng.normal(size=vectors.shape))
    observed = truth @ matrices_from_vectors(error)
    observed[40:44] = np.nan
    score = np.where(np.isnan(observed[:, 0, 0, 0]), 0.0, 0.8)
    arrays = {"observed": observed, "score": score, "rotations": truth, "keypoints": np.zeros((frames, 0, 3))}
    return {"t": t, **{name: np.asarray(value, np.float32) for name, value in arrays.items()}}


def angles(a: Any, b: Any) -> Any:
    return np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2).astype(float) @ b), axis=-1)


def test_windows_of_exact_observations_stay_exact_however_they_are_turned_and_mirrored() -> None:
    exact = resampled(KIND.clip(clip(0, noise=0.0)), 30.0)
    windows = Windows([exact], [], None, 30, (), (), KIND.flips, KIND.corruption)
    batch = windows.batch(0, 0, 24)
    assert batch.values.shape == (24, 30, JOINTS, 3, 3)
    assert batch.confidence.shape == (24, 30, JOINTS)
    seen = batch.mask.numpy()
    assert 0.3 < seen.mean() < 1
    np.testing.assert_allclose(batch.values.numpy()[seen], batch.rotations.numpy()[seen], atol=1e-5)
    assert not batch.values.numpy()[~seen].any()
    roots = batch.rotations[:, 0, 0].numpy()
    assert angles(roots[:1], roots[1:]).min() > 1e-3  # no two views are the same
    determinants = np.linalg.det(batch.rotations.numpy())
    np.testing.assert_allclose(determinants, 1, atol=1e-4)


def test_between_two_frames_observations_are_rotations_and_gaps_stay() -> None:
    seen = resampled(KIND.clip(clip(1)), 30.0, phase=0.5)
    lost = np.isnan(seen["observed"]).any(axis=(1, 2, 3))
    assert 3 <= lost.sum() <= 5
    there = seen["observed"][~lost]
    np.testing.assert_allclose(there @ np.swapaxes(there, -1, -2), np.eye(3) + 0 * there, atol=1e-5)


def test_clean_motion_is_its_own_observation() -> None:
    clean = {"t": np.arange(3) / 30, "observed": np.zeros((3, 33, 3)), "score": np.ones(3)}
    clean["rotations"] = np.tile(np.eye(3), (3, 24, 1, 1))
    found = turned(clean, JOINTS)
    assert found["observed"] is found["rotations"]
    assert found["observed"].shape == (3, JOINTS, 3, 3)


def test_points_hold_the_errors() -> None:
    one = clip(2)
    points = as_points(one, JOINTS)
    there = np.isfinite(points["observed"]).all(axis=(1, 2))
    assert (~there).sum() == 4
    off = np.linalg.norm((points["observed"] - points["keypoints"])[there], axis=-1)
    np.testing.assert_allclose(off[:, :JOINTS], angles(one["rotations"], one["observed"])[there], atol=1e-4)
    assert not off[:, JOINTS:].any()


def test_noise_is_as_large_and_trembles_as_much_as_what_it_was_fitted_to() -> None:
    clips = [clip(seed) for seed in range(12)]
    model = fit(as_seen_by("smplx22", clips))
    assert model.points == KIND.noise_points == JOINTS + EXTRA
    noise, rng = TurnedNoise(model, strengths=(1, 1), fasts=(1, 1)), np.random.default_rng(0)
    real, made, real_steps, made_steps, lost = [], [], [], [], []
    for one in clips:
        observed, score, confidence = noise(one["rotations"], one["t"], rng)
        there = np.isfinite(observed).all(axis=(1, 2, 3))
        assert ((score == 0) == ~there).all()
        assert (confidence == score[:, None]).all()
        lost.append(~there)
        for some, errors, steps in ((one["observed"], real, real_steps), (observed, made, made_steps)):
            good = np.isfinite(some).all(axis=(1, 2, 3))
            error = vectors_from_matrices(np.swapaxes(one["rotations"], -1, -2)[good].astype(float) @ some[good])[:, 1:]
            errors.append(np.linalg.norm(error, axis=-1).ravel())
            steps.append(np.linalg.norm(np.diff(error, axis=0), axis=-1).ravel())
    for truly, found in ((real, made), (real_steps, made_steps)):
        ratio = np.median(np.concatenate(found)) / np.median(np.concatenate(truly))
        assert 0.7 < ratio < 1.4
    assert 0 < np.concatenate(lost).mean() < 0.2


def _unasked(truth: Any, t: Any, generator: np.random.Generator) -> tuple[Any, ...]:
    raise AssertionError("this clip was to get errors of pairs")


def test_errors_of_pairs_are_those_of_the_pairs_on_other_motion() -> None:
    pairs, other = [clip(seed) for seed in range(3)], clip(9, frames=300)
    borrowed = BorrowedErrors(pairs, JOINTS, _unasked, share=1.0, strengths=(1, 1))
    observed, score, confidence = borrowed(other["rotations"], other["t"], np.random.default_rng(0))
    there = np.isfinite(observed).all(axis=(1, 2, 3))
    assert ((score == 0) == ~there).all()
    assert 0 < (~there).mean() < 0.2  # frames that were lost are lost
    assert (confidence == score[:, None]).all()
    found = angles(other["rotations"], observed)[there]
    real = np.concatenate([angles(pair["rotations"], pair["observed"])[pair["score"] > 0] for pair in pairs])
    assert np.median(found) == pytest.approx(np.median(real), rel=0.15)
    # Joints are wrong together: but for frames between two pairs, each has the errors of one frame of a pair.
    some = np.concatenate([angles(pair["rotations"], pair["observed"])[pair["score"] > 0] for pair in pairs])
    apart = np.abs(some[None] - found[:, None]).max(axis=2).min(axis=1)
    assert (apart < 1e-3).mean() > 0.85


def test_other_clips_get_the_other_noise() -> None:
    def exact(truth: Any, t: Any, generator: np.random.Generator) -> tuple[Any, ...]:
        return truth, np.ones(len(t)), np.ones(truth.shape[:2])

    other, rng = clip(9), np.random.default_rng(0)
    half = BorrowedErrors([clip(0)], JOINTS, exact, share=0.5)
    untouched = [half(other["rotations"], other["t"], rng)[0] is other["rotations"] for _ in range(40)]
    assert 10 < sum(untouched) < 30


def test_without_a_share_clips_are_those_of_the_other_noise_alone() -> None:
    def drawn(truth: Any, t: Any, generator: np.random.Generator) -> tuple[Any, ...]:
        return truth, generator.uniform(size=len(t)), np.ones(truth.shape[:2])

    other = clip(9)
    _, score, _ = BorrowedErrors([clip(0)], JOINTS, drawn, share=0.0)(
        other["rotations"], other["t"], np.random.default_rng(4)
    )
    np.testing.assert_array_equal(score, np.random.default_rng(4).uniform(size=len(other["t"])))


def test_the_record_has_what_matters_and_no_defaults_that_were_added(tmp_path: Path) -> None:
    for part in ("train", "val"):
        save_clip(tmp_path / part / "one.npz", clip(0))

    def record(**more: Any) -> Mapping[str, Any]:
        config = TrainPosebert(variant="smplx22", data=tmp_path, out=tmp_path / "run", width=32, **more)
        return make_task(config).config()

    plain = record()
    assert "borrowed" not in plain
    assert not {"begins", "relative"} & plain["settings"].keys()
    assert plain["settings"]["blend"] is True
    changed = record(borrowed=0.25, begins=2.0, relative=True)
    assert changed["borrowed"] == 0.25
    assert (changed["settings"]["begins"], changed["settings"]["relative"]) == (2.0, True)


def test_a_training_of_a_few_steps_learns(tmp_path: Path) -> None:
    for part, seeds in (("train", range(6)), ("val", range(20, 22))):
        for seed in seeds:
            save_clip(tmp_path / part / f"{seed}.npz", clip(seed))
    words = ["train", "posebert", "smplx22", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--width", "32"]
    words += ["--depth", "2", "--hidden", "32", "--frames", "16", "--batch", "8", "--steps", "30", "--warmup", "2"]
    words += ["--rate", "3e-3", "--report-every", "10", "--validate-every", "30", "--threads", "1"]
    assert main(words) == 0
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert '"raw_error"' in log
    assert '"now_degrees"' in log
    assert main(["posebert", str(tmp_path / "run"), "--out", str(tmp_path / "bundle"), "--window", "24"]) == 0
    assert '"posebert-people"' in (tmp_path / "bundle" / "manifest.json").read_text()
