"""Our own PoseGPT in the runtime, on small random networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs humanrt[export]")
pytest.importorskip("onnxscript", reason="needs humanrt[export]")

import torch

from humanrt import Motion, PoseGPT
from humanrt.errors import InvalidInputError
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS
from humanrt.motion.features import Heading, frames_from_motion
from humanrt.motion.streaming import Join, Start, StreamingNetworks
from humanrt_export.conversion.posegpt_streaming import export_streaming
from humanrt_export.networks.streaming_gpt import MotionCoder, StreamingGpt
from streaming_stand_ins import STREAMING_LABELS, STREAMING_WINDOW, streaming_networks


@pytest.fixture(scope="module")
def networks() -> tuple[MotionCoder, StreamingGpt]:
    return streaming_networks()


@pytest.fixture(scope="module")
def model(networks: tuple[MotionCoder, StreamingGpt], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoseGPT]:
    folder: Path = tmp_path_factory.mktemp("streaming") / "bundle"
    with PoseGPT(export_streaming(*networks, STREAMING_LABELS, folder, provenance={}), threads=1) as opened:
        yield opened


def test_any_length_is_computed_in_pieces(model: PoseGPT, networks: tuple[MotionCoder, StreamingGpt]) -> None:
    coder, gpt = networks
    motion = model.generate("walk", seconds=5.0, seed=3)
    assert (len(motion), motion.up, model.window, model.variant) == (150, "y", None, "streaming")
    tokens = model.encode(motion.rotations, motion.translation)
    assert tokens.shape == (37, 4)
    for frames in (4, 23, 60):
        np.testing.assert_array_equal(
            model.encode(motion.rotations[:frames], motion.translation[:frames]), tokens[: frames // 4]
        )
    with torch.inference_mode():
        frames_of = coder.decode(torch.from_numpy(tokens)[None])[0].numpy()
        labels = torch.eye(3)[[2]].expand(1, len(tokens), -1)
        logits = gpt(torch.from_numpy(tokens)[None], labels)[0].numpy()
    np.testing.assert_allclose(model._networks.frames_of(tokens), frames_of, atol=1e-4)  # type: ignore[union-attr]
    assert len(tokens) > 4 * STREAMING_WINDOW  # the ring of the cache went round
    found = model.logits(tokens, "walk")
    assert found.shape == (38, 4, 16)
    np.testing.assert_allclose(found[:-1], logits, atol=1e-4)
    assert np.abs(model.logits(tokens, "run")[:-1] - logits).max() > 1e-2
    whole, part = model.decode(tokens), model.decode(tokens[:11])
    np.testing.assert_allclose(part.rotations, whole.rotations[:44], atol=1e-5)
    np.testing.assert_allclose(part.translation, whole.translation[:44], atol=1e-5)


def test_greedy_tokens_are_the_most_probable(model: PoseGPT) -> None:
    tokens = model.sample(9, label="jump", temperature=0)
    logits = model.logits(tokens[:8], "jump")
    np.testing.assert_array_equal(logits.argmax(-1), tokens)
    np.testing.assert_array_equal(model.sample(3, tokens[:6], "jump", top_k=1), tokens)


def test_streams_do_not_disturb_one_another_and_do_not_grow(model: PoseGPT) -> None:
    one, other = model.stream(seed=1), model.stream(label="run", seed=2)
    pairs = [(next(one), next(other)) for _ in range(60)]
    again = list(itertools.islice(model.stream(seed=1), 60))
    for (frame, _), same in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(frame.rotations, same.rotations)
        np.testing.assert_array_equal(frame.translation, same.translation)
    held = len(one._tokens), one._memory.cache.nbytes  # type: ignore[union-attr]
    for _ in range(200):
        next(one)
    assert (len(one._tokens), one._memory.cache.nbytes) == held  # type: ignore[union-attr]
    one.label = "jump"
    with pytest.raises(InvalidInputError, match="no label `swim`; labels: jump, run, walk"):
        one.label = "swim"


def test_what_was_seen_goes_on_from_where_it_was(model: PoseGPT) -> None:
    seen = model.generate("run", seconds=2.0, seed=5)
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)  # somewhere else, looking elsewhere
    rotations = seen.rotations.copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    moved = Motion(
        rotations, seen.translation @ turn.T + np.float32([4, 0, 1]), seen.fps, seen.joint_names, seen.parents, seen.up
    )
    made, other = (model.generate("run", seconds=1.0, observed=one, seed=7) for one in (seen, moved))
    np.testing.assert_allclose(other.rotations[:, 0], turn @ made.rotations[:, 0], atol=1e-4)
    np.testing.assert_allclose(other.translation, made.translation @ turn.T + np.float32([4, 0, 1]), atol=1e-3)
    # With SMPL's two hands, which are left out.
    wide = np.tile(np.eye(3, dtype=np.float32), (len(seen), 24, 1, 1))
    wide[:, :22] = seen.rotations
    with_hands = Motion(wide, seen.translation, seen.fps, SMPL_24, SMPL_PARENTS, seen.up)
    np.testing.assert_array_equal(model.generate("run", 1.0, with_hands, seed=7).rotations, made.rotations)
    # From a camera's axes, by way of `turned`.
    camera = seen.turned("-y")
    with pytest.raises(InvalidInputError, match=r"observed\.turned\('y'\)"):
        model.generate("run", 1.0, camera)
    back = camera.turned("y")
    np.testing.assert_allclose(back.rotations, seen.rotations, atol=1e-6)


def test_what_only_published_bundles_take_is_refused(model: PoseGPT) -> None:
    motion = model.generate(seconds=1.0)
    for call, message in (
        (lambda: model.logits(np.zeros((1, 4), int), frames=30), "takes no duration"),
        (lambda: model.stream(ahead=3), "leave `ahead` out"),
        (lambda: model.encode(motion.rotations, motion.translation, np.ones(30)), "takes no `valid`"),
        (lambda: model.generate(seconds=1e6), "seconds must be a number above 0 and at most 3600"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            call()


def test_several_at_once_are_those_of_their_seeds(model: PoseGPT) -> None:
    seen = model.generate("walk", seconds=3.0, seed=2)
    for observed in (None, seen):
        one = model.generate("walk", 1.1, observed, seed=5)
        several = model.generate_several(13, "walk", 1.1, observed, seed=5)  # more than are drawn at once
        np.testing.assert_allclose(several[0].rotations, one.rotations, atol=1e-4)
        np.testing.assert_allclose(several[0].translation, one.translation, atol=1e-4)
        again = model.generate_several(13, "walk", 1.1, observed, seed=5)
        for motion, same in zip(several, again, strict=True):
            np.testing.assert_array_equal(motion.rotations, same.rotations)
        assert len({motion.rotations.tobytes() for motion in several}) == 13
        few = model.generate_several(3, "walk", 1.1, observed, seed=5)
        np.testing.assert_allclose(few[2].rotations, several[2].rotations, atol=1e-4)
        # A stream gives the same as a whole motion.
        stream = model.stream(observed, "walk", seed=5)
        frames = [next(stream) for _ in range(33)]
        np.testing.assert_allclose([frame.rotations for frame in frames], one.rotations, atol=1e-4)
        np.testing.assert_allclose([frame.translation for frame in frames], one.translation, atol=1e-3)


def test_what_was_seen_fades_into_the_networks_own(model: PoseGPT) -> None:
    network = model._networks
    assert isinstance(network, StreamingNetworks)
    seen = model.generate("run", seconds=1.0, seed=5)
    frames = frames_from_motion(seen.rotations, seen.translation, seen.fps).astype(np.float64)
    still = frames[9] + np.concatenate((np.zeros(frames.shape[1] - 4), [0.1, 0.5, 1.5, 0.3]))
    start = Start(network.gpt.memory(), np.zeros((0, 4), np.int64), Heading(), still, frames[20])
    whole = Join(start).apply(np.tile(frames[20], (12, 1)).astype(np.float32))
    pieces = Join(start)
    parts = np.concatenate([pieces.apply(np.tile(frames[20], (3, 1)).astype(np.float32)) for _ in range(4)])
    np.testing.assert_allclose(parts, whole, atol=1e-12)
    far = [np.abs(row[-4:] - frames[20][-4:]) / np.abs(still[-4:] - frames[20][-4:]) for row in whole]
    np.testing.assert_allclose(far[0], 8 / 9, rtol=1e-5)
    np.testing.assert_allclose(far[3], 5 / 9, rtol=1e-5)
    np.testing.assert_allclose(whole[8:, -4:], np.tile(frames[20][-4:], (4, 1)), atol=1e-6)
    assert np.abs(whole[0, :-4] - still[:-4]).max() < np.abs(frames[20][:-4] - still[:-4]).max() / 3
    np.testing.assert_allclose(whole[8:, :-4], np.tile(frames[20][:-4], (4, 1)), atol=1e-5)
