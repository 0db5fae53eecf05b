"""The streaming network: what a row may depend on, and what must not matter."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from humanrt_export.networks.posebert import (  # noqa: E402
    PublishedConfig,
    PublishedPoseBert,
    Refined,
    StreamingConfig,
    StreamingPoseBert,
    _deviations,
)

_SMALL = StreamingConfig(width=32, depth=3, heads=2, hidden=32)
_FRAMES = 20


def _network(config: StreamingConfig = _SMALL) -> StreamingPoseBert:
    torch.manual_seed(0)
    network = StreamingPoseBert(config).eval()
    # As initialised, corrections are so small that a leak from the future would hide in rounding.
    torch.nn.init.normal_(network.regressor.out.weight, std=0.2)
    return network


def _window(seed: int = 1, frames: int = _FRAMES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, frames, 21, 3, generator=generator) * 0.08
    mask = torch.rand(2, frames, generator=generator) > 0.2
    mask[:, :2] = True
    return values, mask, torch.rand(2, frames, 21, generator=generator)


@pytest.mark.parametrize("lookahead", [0, 1, 4])
def test_a_row_depends_on_no_frame_beyond_its_lookahead(lookahead: int) -> None:
    network = _network()
    values, mask, confidence = _window()
    row, mask[:, 10:] = 9, True
    # Turned upside down, so that the unit of length, which is the window's mean, stays.
    changed = values.clone()
    changed[:, row + lookahead + 1 :] *= torch.tensor((1.0, -1.0, -1.0))
    with torch.inference_mode():
        a: Refined = network(values, mask, confidence, lookahead)
        b: Refined = network(changed, mask, confidence, lookahead)
    np.testing.assert_allclose(a.rotations[:, : row + 1], b.rotations[:, : row + 1], atol=2e-5)
    assert a.keypoints is not None
    assert b.keypoints is not None
    np.testing.assert_allclose(a.keypoints[:, : row + 1], b.keypoints[:, : row + 1], atol=2e-6)
    assert (a.rotations - b.rotations)[:, row + 1 + lookahead :].abs().max() > 1e-3  # it does look at what it may


def test_the_last_row_is_the_answer_without_delay_whatever_the_lookahead() -> None:
    network = _network()
    values, mask, confidence = _window()
    with torch.inference_mode():
        causal = network(values, mask, confidence, 0).rotations[:, -1]
        whole = network(values, mask, confidence, None).rotations[:, -1]
    np.testing.assert_allclose(causal, whole, atol=1e-6)


def test_what_a_masked_frame_holds_does_not_matter() -> None:
    network = _network()
    values, mask, confidence = _window()
    other = torch.where(mask[..., None, None], values, torch.nan)
    with torch.inference_mode():
        a, b = network(values, mask, confidence), network(other, mask, confidence)
    assert torch.isfinite(b.rotations).all()
    torch.testing.assert_close(a.rotations, b.rotations)


def test_place_does_not_matter_and_size_only_scales() -> None:
    network = _network()
    values, mask, confidence = _window()
    with torch.inference_mode():
        a = network(values, mask, confidence)
        b = network(3 * values + torch.tensor((0.3, -2.0, 1.0)), mask, confidence)
    torch.testing.assert_close(a.rotations, b.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(3 * a.keypoints, b.keypoints, atol=1e-5, rtol=1e-4)


def test_keypoints_come_out_about_their_origin() -> None:
    config = StreamingConfig(points=33, joints=24, origin=(23, 24), lengths=((11, 23), (12, 24)), width=32, heads=2)
    network = _network(config)
    with torch.inference_mode():
        out = network(torch.randn(1, 8, 33, 3), torch.ones(1, 8, dtype=torch.bool), torch.ones(1, 8, 33))
    assert out.keypoints[:, :, 23:25].mean(2).abs().max() < 1e-6


def test_nothing_seen_gives_finite_numbers() -> None:
    values, mask, confidence = _window()
    with torch.inference_mode():
        out = _network()(values, torch.zeros_like(mask), confidence)
    assert all(torch.isfinite(value).all() for value in (out.rotations, out.keypoints))


def test_rotations_may_go_in() -> None:
    config = StreamingConfig(source="rotations", points=0, joints=5, width=32, depth=2, heads=2, hidden=32)
    R = torch.linalg.qr(torch.randn(2, 12, 5, 3, 3))[0]
    R = R * torch.linalg.det(R)[..., None, None]
    with torch.inference_mode():
        out = _network(config)(R, torch.ones(2, 12, dtype=torch.bool), torch.ones(2, 12, 5))
    assert out.keypoints is None
    torch.testing.assert_close(out.rotations @ out.rotations.mT, torch.eye(3).expand_as(R), atol=1e-5, rtol=0)


def test_a_blend_leaves_what_does_not_move_as_it_is_whatever_its_weights() -> None:
    config = StreamingConfig(
        source="rotations", points=0, joints=5, width=32, depth=2, heads=2, hidden=32, readers=6, blend=True
    )
    torch.manual_seed(3)
    network = StreamingPoseBert(config).eval()
    torch.nn.init.normal_(network.reader_now.weight, std=0.5)
    torch.nn.init.normal_(network.reader_trend)
    pose = torch.linalg.qr(torch.randn(1, 1, 5, 3, 3))[0]
    pose = pose * torch.linalg.det(pose)[..., None, None]
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[:, [4, 5, 10, 11]] = False  # filled in, and predicted
    still = pose.expand(1, 12, 5, 3, 3)
    moving = still.clone()
    moving[:, 6:] = moving[:, 6:].flip(2)
    with torch.inference_mode():
        out = network(
            torch.where(mask[..., None, None, None], still, 0.0), mask, mask[..., None].expand(1, 12, 5) * 1.0
        )
        other = network(moving, mask, mask[..., None].expand(1, 12, 5) * 1.0)
    torch.testing.assert_close(out.rotations, still, atol=1e-5, rtol=0)
    assert (other.rotations - moving).abs().max() > 0.1


def test_published_masked_frames_are_filled_from_the_others_only() -> None:
    torch.manual_seed(0)
    network = PublishedPoseBert(PublishedConfig(width=32, heads=4, hidden=32, frames=64)).eval()
    torch.nn.init.normal_(network.regressor.out.weight, std=0.2)
    torch.nn.init.normal_(network.positions)
    features, mask = torch.randn(1, 10, 144), torch.ones(1, 10, dtype=torch.bool)
    mask[:, 4:6] = False
    other = features.clone()
    other[:, 4:6] = torch.nan
    with torch.inference_mode():
        torch.testing.assert_close(network(features, mask), network(other, mask))
        moved = network(torch.cat((features[:, :6], features[:, 6:].flip(1)), 1), mask)
        assert (moved - network(features, mask))[:, 4:6].abs().max() > 1e-3


def test_a_blend_can_begin_as_a_filter_and_holds_what_is_missing() -> None:
    cutoff = 3.0
    config = StreamingConfig(
        source="rotations", points=0, joints=2, width=32, heads=2, hidden=32, depth=2, blend=True, begins=cutoff
    )
    torch.manual_seed(0)
    network = StreamingPoseBert(config).eval()
    generator = torch.Generator().manual_seed(2)
    angles = 0.05 * torch.randn(1, 30, 2, generator=generator)
    turns = torch.zeros(1, 30, 2, 3, 3)  # about z, so that filtering rotations is filtering angles, nearly
    turns[..., 0, 0] = turns[..., 1, 1] = angles.cos()
    turns[..., 1, 0], turns[..., 0, 1], turns[..., 2, 2] = angles.sin(), -angles.sin(), 1.0
    mask = torch.ones(1, 30, dtype=torch.bool)
    mask[:, 25:] = False
    with torch.inference_mode():
        found = network(turns, mask, torch.ones(1, 30, 2), 0).rotations
    answers = torch.atan2(found[..., 1, 0], found[..., 0, 0])
    step = 1 / config.rate
    share = step / (step + 1 / (2 * np.pi * cutoff))
    expected = angles[:, 0]
    for frame in range(25):
        expected = expected + share * (angles[:, frame] - expected)
        if frame > 10:
            np.testing.assert_allclose(answers[:, frame], expected, atol=0.01)
    np.testing.assert_allclose(answers[:, 25:], answers[:, 24:25].expand(1, 5, 2), atol=0.01)
    assert (angles[:, 10:25] - answers[:, 10:25]).abs().max() > 0.05  # it does filter


def test_deviations_are_from_the_mean_of_what_was_seen_until_then() -> None:
    y = torch.tensor([[[1.0], [3.0], [0.0], [8.0], [-2.0]]])  # 0 where nothing was seen
    mask = torch.tensor([[True, True, False, True, True]])
    found = _deviations(y, mask)[0, :, 0]
    torch.testing.assert_close(found, 2 * torch.tensor([0.0, 3 - 2.0, 0.0, 8 - 4.0, -2 - 2.5]))
    assert not _deviations(y, torch.zeros_like(mask)).isnan().any()


@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_blend_by_deviations_looks_no_farther_ahead_than_it_may(lookahead: int) -> None:
    sizes = {"source": "rotations", "points": 0, "joints": 5, "width": 32, "depth": 2, "heads": 2, "hidden": 32}
    relative = StreamingConfig(**sizes, readers=6, blend=True, relative=True)
    torch.manual_seed(3)
    network = StreamingPoseBert(relative).eval()
    for weight in (network.reader_now.weight, network.reader_query.weight, network.reader_key.weight):
        torch.nn.init.normal_(weight, std=0.5)
    R = torch.linalg.qr(torch.randn(1, 16, 5, 3, 3))[0]
    R = R * torch.linalg.det(R)[..., None, None]
    row, mask = 9, torch.ones(1, 16, dtype=torch.bool)
    mask[:, 4] = False
    changed = R.clone()
    changed[:, row + lookahead + 1 :] = R[:, row + lookahead + 1 :].flip(2)
    with torch.inference_mode():
        a, b = (network(values, mask, torch.ones(1, 16, 5), lookahead).rotations for values in (R, changed))
        absolute = StreamingPoseBert(replace(relative, relative=False)).eval()
        absolute.load_state_dict(network.state_dict())
        by_poses = absolute(R, mask, torch.ones(1, 16, 5), lookahead).rotations
    torch.testing.assert_close(a[:, : row + 1], b[:, : row + 1], atol=2e-5, rtol=0)
    assert (a - b)[:, row + 1 + lookahead :].abs().max() > 1e-3  # it does look at what it may
    assert (a - by_poses).abs().max() > 1e-3
