"""Windows: the model's clock, what is taken away, and that truth moves with what is seen."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from humanrt.errors import HumanrtError  # noqa: E402
from humanrt_export.data.poses.clips import load_clips  # noqa: E402
from humanrt_export.data.poses.dataset import Corruption, PoseBatch, Windows, resampled  # noqa: E402
from humanrt_export.data.poses.kinds import KINDS, h36m_from_mediapipe  # noqa: E402
from humanrt_export.networks.posebert import Refined  # noqa: E402
from humanrt_export.training.tasks.posebert_losses import Weights, forward_kinematics, losses  # noqa: E402

_ORIGIN = tuple(range(21))
_LENGTHS = ((0, 5), (0, 9))


def _clip(t: np.ndarray, seed: int = 0, points: int = 21, joints: int = 16) -> dict[str, Any]:
    """Points that move on straight lines, a turning wrist; seen exactly."""
    generator = np.random.default_rng(seed)
    start, speed = generator.normal(size=(2, points, 3)) * 0.05
    keypoints = (start + speed * t[:, None, None]).astype(np.float32)
    angle = 0.5 * t
    R = np.tile(np.eye(3, dtype=np.float32), (len(t), joints, 1, 1))
    R[:, 0, 0, 0] = R[:, 0, 1, 1] = np.cos(angle)
    R[:, 0, 1, 0], R[:, 0, 0, 1] = np.sin(angle), -np.sin(angle)
    return {
        "t": t,
        "observed": keypoints.copy(),
        "score": np.ones(len(t), np.float32),
        "keypoints": keypoints,
        "rotations": R,
    }


def _windows(clips: list[dict[str, Any]], frames: int = 30, corruption: Corruption | None = None) -> Windows:
    on_clock = [resampled(clip, 30.0) for clip in clips]
    return Windows(on_clock, [], None, frames, _ORIGIN, _LENGTHS, corruption=corruption or Corruption())


@pytest.mark.parametrize("rate", [25.0, 30.0, 50.0, 60.0])
def test_resampling_a_straight_motion_is_exact(rate: float) -> None:
    t = np.arange(int(2 * rate)) / rate
    clip = resampled(_clip(t), 30.0, phase=0.3)
    expected = _clip(clip["t"])
    np.testing.assert_allclose(clip["keypoints"], expected["keypoints"], atol=1e-6)
    np.testing.assert_allclose(clip["rotations"], expected["rotations"], atol=1e-5)
    assert np.isfinite(clip["observed"]).all()
    # A row that takes an observation near it as it is may be up to a quarter of a step off.
    np.testing.assert_allclose(clip["observed"], expected["observed"], atol=0.2 * 0.25 / 30 + 1e-6)


def test_two_thirds_of_the_rate_miss_nothing() -> None:
    """Frames 1.5 steps apart are near enough, whatever their time stamps are rounded to."""
    clip = resampled(_clip(np.arange(60) / 20), 30.0, phase=0.4)
    assert np.isfinite(clip["observed"]).all()


def test_half_the_rate_leaves_every_other_frame_missing() -> None:
    clip = resampled(_clip(np.arange(30) / 15), 30.0)
    seen = np.isfinite(clip["observed"]).all((1, 2))
    assert seen[::2].all()
    assert not seen[1::2].any()
    assert (clip["score"][1::2] == 0).all()


def test_a_gap_stays_a_gap() -> None:
    clip = _clip(np.arange(60) / 30)
    clip["observed"][20:30] = np.nan
    seen = np.isfinite(resampled(clip, 30.0)["observed"]).all((1, 2))
    assert not seen[20:30].any()
    assert seen.sum() == 50


def test_truth_turns_with_what_is_seen() -> None:
    windows = _windows([_clip(np.arange(60) / 30)], corruption=Corruption(bursts=0, singles=0, tilt=0.3))
    batch = windows.batch(0, 0, 6)
    values = batch.values.numpy()
    values = values - values.mean(2, keepdims=True)
    unit = np.linalg.norm(values[:, :, [5, 9]] - values[:, :, :1], axis=-1).mean((1, 2))[:, None, None, None]
    np.testing.assert_allclose(values / unit, batch.keypoints, atol=1e-4)
    # The root's rotation turned too: what it was before is the same turn in every window.
    R = batch.rotations.numpy()[:, :, 0]
    relative = np.swapaxes(R[:, :1], -1, -2) @ R[:, 1:]
    np.testing.assert_allclose(relative[0], relative[3], atol=1e-5)


def test_the_same_step_gives_the_same_batch() -> None:
    windows = _windows([_clip(np.arange(90) / 30, seed) for seed in range(3)])
    first, again, other = windows.batch(1, 5, 4), windows.batch(1, 5, 4), windows.batch(1, 6, 4)
    for name in ("values", "mask", "confidence", "keypoints", "rotations", "rows"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.values, other.values)


def test_frames_long_missing_are_not_judged() -> None:
    clip = _clip(np.arange(60) / 30)
    clip["observed"][10:] = np.nan
    batch = _windows([clip], frames=60, corruption=Corruption(bursts=0, singles=0, longest=12)).batch(0, 0, 1)
    assert batch.rows[0].tolist() == [1.0] * 22 + [0.0] * 38


def test_noise_is_added_to_clean_motion_only() -> None:
    def noise(truth: Any, t: Any, generator: Any) -> tuple[Any, Any, Any]:
        return truth + 1.0, np.ones(len(t)), np.full(truth.shape[:2], 0.5)

    clip = resampled(_clip(np.arange(60) / 30), 30.0)
    windows = Windows([clip], [clip], noise, 30, _ORIGIN, _LENGTHS, corruption=Corruption(bursts=0, singles=0))
    batch = windows.batch(0, 0, 64)
    noisy = batch.confidence[:, 0, 0] == 0.5
    assert 16 < noisy.sum() < 48


def test_what_is_not_judged_has_no_part_in_changes_either() -> None:
    kind = KINDS["hand21"]
    refined = Refined(torch.eye(3).expand(1, 6, 16, 3, 3), torch.zeros(1, 6, 21, 3), torch.ones(1, 1, 1, 1))
    points, rows = torch.zeros(1, 6, 21, 3), torch.ones(1, 6)
    truth = PoseBatch(points, rows > 0, rows, points.clone(), refined.rotations, rows)
    truth.rows[:, :3] = 0
    rest = torch.as_tensor(kind.rest, dtype=torch.float32)

    def found() -> dict[str, float]:
        return {name: float(value) for name, value in losses(refined, truth, kind.parents, rest, Weights()).items()}

    quiet = found()
    refined.keypoints[:, :3] = 5.0
    assert found() == quiet
    refined.keypoints[:, 4] = 5.0
    assert all(found()[name] > quiet[name] + 1 for name in ("keypoints", "velocity", "acceleration"))


def test_a_mirror_image_of_a_body_is_a_body() -> None:
    kind = KINDS["h36m17"]
    generator = np.random.default_rng(0)
    R = np.linalg.qr(generator.normal(size=(1, 24, 3, 3)))[0]
    R *= np.linalg.det(R)[..., None, None]
    places = forward_kinematics(torch.tensor(R), kind.parents, torch.tensor(kind.rest)).numpy()
    assert kind.flips is not None
    F = np.array((-1.0, 1, 1))
    flipped = (F[:, None] * R * F)[:, kind.flips[1]]
    mirrored = forward_kinematics(torch.tensor(flipped), kind.parents, torch.tensor(kind.rest)).numpy()
    np.testing.assert_allclose(mirrored, places[:, kind.flips[1]] * F, atol=1e-9)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_kinds_are_consistent(name: str) -> None:
    kind = KINDS[name]
    assert len(kind.joint_names) == len(kind.parents) == len(kind.rest) == kind.config.joints
    assert all(parent < joint for joint, parent in enumerate(kind.parents))
    if kind.flips:
        assert [len(flip) for flip in kind.flips] == [kind.config.points, kind.config.joints]
        for flip in kind.flips:
            assert [flip[flip[place]] for place in range(len(flip))] == list(range(len(flip)))


def test_h36m_of_a_symmetric_person_is_symmetric() -> None:
    points = np.random.default_rng(0).normal(size=(33, 3))
    flip = KINDS["mediapipe33"].flips
    assert flip is not None
    points = (points + points[list(flip[0])] * (-1, 1, 1)) / 2
    joints = h36m_from_mediapipe(points)
    other = KINDS["h36m17"].flips
    assert other is not None
    np.testing.assert_allclose(joints, joints[list(other[0])] * (-1, 1, 1), atol=1e-12)


def test_files_that_are_no_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="holds no clips"):
        load_clips(tmp_path)
    np.savez(tmp_path / "a.npz", t=np.zeros(3))
    with pytest.raises(HumanrtError, match=r"a\.npz: `observed` is missing"):
        load_clips(tmp_path)
    np.savez_compressed(tmp_path / "a.npz", t=np.random.default_rng(0).normal(size=999))
    whole = (tmp_path / "a.npz").read_bytes()
    middle = len(whole) // 2
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    damaged = whole[:middle] + bytes(99) + whole[middle + 99 :]
    for content in (b"PK nonsense", b"", whole[:middle], damaged, single.getvalue()):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(HumanrtError, match=r"a\.npz: cannot be read"):
            load_clips(tmp_path)
