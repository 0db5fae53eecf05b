"""PoseGPT through checkpoint file -> exporter -> ONNX -> runtime, on small random networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import Motion, PoseGPT
from humanrt.errors import BundleError, ClosedError, HumanrtError, InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.motion.seam import Seam

Bundles = Callable[[str], Path]


@pytest.fixture(scope="module")
def gpt(posegpt_bundle: Bundles) -> Iterator[PoseGPT]:
    with PoseGPT(posegpt_bundle("causal"), threads=1) as model:
        yield model


def a_motion(frames: int, joints: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    vectors = 0.3 * random.standard_normal((1, joints, 3)) + 0.03 * random.standard_normal((frames, joints, 3)).cumsum(
        0
    )
    return matrices_from_vectors(vectors), 0.02 * random.standard_normal((frames, 3)).cumsum(0)


def test_sizes_are_the_checkpoint_s(gpt: PoseGPT) -> None:
    assert (gpt.books, gpt.codes, gpt.factor, gpt.window, len(gpt.joint_names)) == (4, 8, 2, 24, 24)
    assert (gpt.durations, gpt.fps, gpt.up, gpt.variant, len(gpt.labels)) == ((16, 48), 30.0, "-y", "causal", 60)


def test_tokens_of_a_prefix_are_the_prefix_of_the_tokens(gpt: PoseGPT) -> None:
    rotations, translation = a_motion(48)
    whole = gpt.encode(rotations, translation)
    assert whole.shape == (24, 4)
    assert len(np.unique(whole[:, 0])) > 1
    for frames in (2, 9, 10, 31):
        np.testing.assert_array_equal(gpt.encode(rotations[:frames], translation[:frames]), whole[: frames // 2])
    # Where somebody walked before does not count.
    np.testing.assert_array_equal(gpt.encode(rotations, translation + np.array([5.0, -1.0, 2.0])), whole)


@pytest.mark.slow
def test_a_causal_decoder_keeps_all_frames_but_the_last(posegpt_bundle: Bundles) -> None:
    with PoseGPT(posegpt_bundle("online"), threads=1) as model:
        assert (model.factor, model.tail, model.window) == (4, 3, 8)
        tokens = model.encode(*a_motion(32))
        whole = model.decode(tokens)
        for count in range(1, 8):
            part = model.decode(tokens[:count])
            final = len(part) - model.tail
            np.testing.assert_allclose(part.rotations[:final], whole.rotations[:final], atol=1e-5)
            assert not np.allclose(part.rotations[final:], whole.rotations[final : len(part)], atol=1e-4)


def test_steps_with_a_cache_are_the_whole_pass(gpt: PoseGPT) -> None:
    frames, label = 40, "action_03"
    tokens = gpt.sample(20, label=label, frames=frames, temperature=0)
    logits = gpt.logits(tokens, label, frames)
    assert logits.shape == (21, 4, 8)
    np.testing.assert_array_equal(logits[:20].argmax(-1), tokens)
    np.testing.assert_array_equal(gpt.sample(12, tokens[:8], label, frames, top_k=1), tokens)
    np.testing.assert_allclose(gpt.logits(tokens[:5], label, frames), logits[:6], atol=1e-5)
    other = gpt.logits(tokens, "action_04", frames)
    assert np.abs(other - logits).max() > 1e-3
    k_hot = np.zeros(60)
    k_hot[[3, 4]] = 1
    both = gpt.logits(tokens, k_hot, frames)
    np.testing.assert_array_equal(gpt.logits(tokens, ["action_04", "action_03"], frames), both)
    assert np.abs(gpt.logits(tokens, label, 30) - logits).max() > 1e-3


def test_seeds_repeat_and_differ(gpt: PoseGPT) -> None:
    first, again, other = (gpt.generate("action_01", 1.0, seed=seed) for seed in (1, 1, 2))
    assert isinstance(first, Motion)
    assert (len(first), first.joint_names[0]) == (30, "pelvis")
    np.testing.assert_array_equal(first.rotations, again.rotations)
    assert not np.array_equal(first.rotations, other.rotations)
    several = gpt.generate_several(3, "action_01", 1.0, seed=1)
    np.testing.assert_array_equal(several[0].translation, first.translation)
    assert not np.array_equal(several[1].rotations, several[2].rotations)


def test_what_was_seen_goes_on_where_it_ended(gpt: PoseGPT) -> None:
    rotations, translation = a_motion(20)
    seen = Motion(*(a.astype(np.float32) for a in (rotations, translation)), 30.0, gpt.joint_names, gpt.parents, gpt.up)
    made = gpt.generate(seconds=0.5, observed=seen)
    assert len(made) == 15
    expected = gpt.sample(8, gpt.encode(rotations, translation), frames=35)
    whole = gpt.decode(expected)
    np.testing.assert_allclose(made.rotations[8:], whole.rotations[28:35], atol=1e-5)
    steps = np.diff(whole.translation.astype(float), axis=0)[19:34].cumsum(0) + seen.translation[-1]
    np.testing.assert_allclose(made.translation, steps, atol=1e-4)
    # Joints are found by name, whatever their order; those of the body must be there.
    order = [0, *range(23, 0, -1)]
    turned = Motion(
        seen.rotations[:, order], seen.translation, 30.0, tuple(seen.joint_names[i] for i in order), (-1,) * 24, gpt.up
    )
    np.testing.assert_array_equal(gpt.generate(seconds=0.5, observed=turned).rotations, made.rotations)
    with pytest.raises(InvalidInputError, match=r"has no joints head, pelvis; its joints are"):
        gpt.generate(
            observed=replace(seen, joint_names=("head_", *seen.joint_names[1:15], "x", *seen.joint_names[16:]))
        )
    for change, message in (({"up": "z"}, "z up"), ({"fps": 60.0}, "resample it to 30")):
        with pytest.raises(InvalidInputError, match=message):
            gpt.generate(seconds=0.5, observed=replace(seen, **change))


def test_poses_pass_on_from_the_one_that_was_seen() -> None:
    """And not from the network's version of it: the difference of the two fades."""
    seen, version = a_motion(2)[0]
    turned = version @ matrices_from_vectors(np.array([0.0, 0.0, 0.9]))
    out = Seam(seen, turned).apply(np.repeat(turned[None], 12, axis=0))
    angles = np.arccos(np.clip((np.einsum("fjab,jab->fj", out, seen) - 1) / 2, -1, 1))
    whole = np.arccos(np.clip((np.einsum("jab,jab->j", turned, seen) - 1) / 2, -1, 1))
    np.testing.assert_allclose(angles[:8], whole * np.arange(1, 9)[:, None] / 9, atol=2e-3)
    np.testing.assert_allclose(out[8:], np.repeat(turned[None], 4, axis=0), atol=1e-6)


def test_a_stream_never_ends_and_is_continuous(gpt: PoseGPT) -> None:
    stream = gpt.stream(label="action_02", seed=4)
    frames = [frame for frame, _ in zip(stream, range(200), strict=False)]
    assert [frame.index for frame in frames] == list(range(200))
    assert frames[30].t == pytest.approx(1.0)
    again = gpt.stream(label="action_02", seed=4)
    np.testing.assert_array_equal(np.stack([next(again).rotations for _ in range(200)]), [f.rotations for f in frames])
    # No window begins at the origin again.
    steps = np.linalg.norm(np.diff([frame.translation for frame in frames], axis=0), axis=1)
    assert steps.max() < 4 * np.quantile(steps, 0.9)
    # Within a window, tokens go on as `sample` draws them, however many at a time.
    few = gpt.stream(label="action_02", seed=4, ahead=2)
    for _ in range(30):
        next(few)
    tokens = few._tokens  # type: ignore[union-attr]
    assert 15 < len(tokens) <= 24
    np.testing.assert_array_equal(gpt.sample(len(tokens), label="action_02", frames=48, seed=4), tokens)
    held = len(stream._rotations)
    for _ in range(300):
        next(stream)
    assert len(stream._rotations) == held <= gpt.window * gpt.factor
    stream.label = "action_09"
    with pytest.raises(InvalidInputError, match="no label `moonwalk`; labels: action_00"):
        stream.label = "moonwalk"
    assert stream.label == "action_09"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.generate(seconds=5.0), r"outside of the trained window of 0\.53\d* to 1\.6 s \(16 to 48 frames\)"),
        (lambda g: g.generate(seconds=0.1), r"outside of the trained window of 0\.53"),
        (lambda g: g.generate(seconds=float("nan")), "seconds must be a number"),
        (lambda g: g.generate("run"), "no label `run`; labels: action_00, action_01"),
        (lambda g: g.generate(np.ones(3)), r"must be numbers \[60\], not float64 \[3\]"),
        (lambda g: g.generate(temperature=-1.0), "temperature must be a number from 0"),
        (lambda g: g.generate(top_k=0), "top_k must be at least 1"),
        (lambda g: g.generate(top_p=0.0), "top_p must be a number above 0"),
        (lambda g: g.generate(seed=-1), "seed must be a whole number from 0 on"),
        (lambda g: g.generate_several(0), "samples must be a whole number from 1"),
        (lambda g: g.sample(25), r"0 tokens and 25 more are beyond the window of 24 tokens"),
        (lambda g: g.logits(np.zeros((24, 4), int)), "24 tokens are outside of the window of 0 to 23 tokens"),
        (lambda g: g.logits(np.zeros((2, 4), int), frames=500), "trained for 16 to 48 frames"),
        (lambda g: g.decode(np.zeros((3, 2), int)), r"must be whole numbers \[N, 4\], not int64 \[3, 2\]"),
        (lambda g: g.decode(np.full((3, 4), 8)), "must be from 0 to 7"),
        (lambda g: g.decode(np.zeros((3, 4))), "must be whole numbers"),
        (
            lambda g: g.encode(*a_motion(8, 22)),
            r"rotations must be numbers \[T, 24, 3, 3\], not float64 \[8, 22, 3, 3\]",
        ),
        (lambda g: g.encode(*a_motion(64)), "outside of the window of 2 to 48 frames"),
        (lambda g: g.encode(np.full((4, 24, 3, 3), np.nan), np.zeros((4, 3))), "not finite"),
        (lambda g: g.generate(observed=np.zeros(3)), "observed must be a Motion"),
        (lambda g: g.stream(ahead=0), "ahead must be a whole number from 1 to 22"),
    ],
)
def test_bad_input_is_one_line(gpt: PoseGPT, call: Callable[[Any], object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        call(gpt)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_an_auto_encoder_alone_says_so(posegpt_bundle: Bundles) -> None:
    with PoseGPT(posegpt_bundle("online"), threads=1) as model:
        assert not model.generates
        for call in (model.generate, model.stream, lambda: model.sample(1), lambda: model.logits([])):
            with pytest.raises(HumanrtError, match="holds an auto-encoder without a GPT"):
                call()
    for call in (model.generate, lambda: model.encode(*a_motion(8)), model.stream):
        with pytest.raises(ClosedError):
            call()


def test_a_bundle_of_another_task_is_refused() -> None:
    with pytest.raises(BundleError, match="is for task `posebert`, not `posegpt`"):
        PoseGPT("posebert-body")
