"""Two poses described by a published writer, on small random networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import HumanrtError, PoseCoach
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from posefix_stand_ins import WORDS

Bundles = Callable[[str], Path]
A, B = matrices_from_vectors(0.5 * np.random.default_rng(4).standard_normal((2, 22, 3)))
KINDS = ("writer", pytest.param("writer-prompt", marks=pytest.mark.slow))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_with_a_cache_are_the_whole_pass(kind: str, posefix_bundle: Bundles) -> None:
    import torch

    from humanrt.geometry.rotation import vectors_from_matrices
    from humanrt_export.conversion.posefix_checkpoint import load_posefix
    from humanrt_export.networks.posefix import Writer

    folder = posefix_bundle(kind)
    network = load_posefix(folder.parent / "best_model.pth")
    assert isinstance(network, Writer)
    ids = np.random.default_rng(1).integers(0, len(WORDS), 39)
    vectors = [torch.from_numpy(vectors_from_matrices(pose)).float()[None] for pose in (A, B)]
    with torch.inference_mode():
        expected = network.decoder(torch.from_numpy(ids)[None], network.memory(*vectors))[0][0]
    with PoseCoach(folder, threads=1) as coach:
        assert coach.joint_names[0] == "pelvis"
        logits = coach.logits(A, B, ids)
        assert logits.shape == (39, 13)
        np.testing.assert_allclose(logits, expected, atol=2e-5)
        # Another text in between leaves nothing behind.
        coach.greedy(B, A)
        np.testing.assert_array_equal(coach.logits(A, B, ids[:7]), logits[:7])
        assert np.abs(coach.logits(B, A, ids[:7]) - logits[:7]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_takes_the_most_probable(kind: str, posefix_bundle: Bundles) -> None:
    with PoseCoach(posefix_bundle(kind), threads=1) as coach:
        ids = coach.greedy(A, B, min_tokens=10, max_tokens=30)
        assert (ids.dtype, ids[0]) == (np.int64, 1)
        assert 10 < len(ids) <= 30
        logits = coach.logits(A, B, ids[:-1])
        logits[:9, 2] = -np.inf  # no end yet
        np.testing.assert_array_equal(ids[1:], logits.argmax(-1))
        np.testing.assert_array_equal(coach.greedy(A, B, 10, 5), ids[:5])
        assert len(coach.greedy(A, B, 1, 1)) == 1
        # The table of positions ends before the default of 200.
        assert len(coach.greedy(A, B, 200)) == coach._writer.longest + 1 <= 41  # type: ignore[union-attr]


def test_words(posefix_bundle: Bundles) -> None:
    with PoseCoach(posefix_bundle("writer"), threads=1) as coach:
        ids = coach.greedy(A, B)
        words = coach.describe(A, B)
        assert words == coach._writer.text(ids)  # type: ignore[union-attr]
        assert words.split()[0].lower().strip(".,") in ("", *WORDS)
        short = coach.describe(A, B, sentences=1)
        assert words.startswith(short.removesuffix("."))


@pytest.mark.slow
def test_without_a_word_list(posefix_bundle: Bundles) -> None:
    with (
        PoseCoach(posefix_bundle("writer-prompt"), threads=1) as coach,
        pytest.raises(InvalidInputError, match="holds no word list; export it with --words FILE, or use `greedy`"),
    ):
        coach.describe(A, B)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.logits(A, B[:3], [1]), r"b: expected rotations \[22, 3, 3\]"),
        (lambda c: c.logits(A, B, [1] * 41), "token_ids: 41 tokens; the network takes 40 at most"),
        (lambda c: c.logits(A, B, [13]), "token_ids must be from 0 to 12"),
        (lambda c: c.greedy(A, B, max_tokens=0), "max_tokens must be at least 1"),
        (lambda c: c.greedy(A, B, min_tokens=1.5), "min_tokens must be at least 1"),
        (lambda c: c.describe(A, B, sentences=0), "sentences must be at least 1"),
    ],
)
def test_bad_input_is_one_line(posefix_bundle: Bundles, call: Callable[[Any], object], message: str) -> None:
    with PoseCoach(posefix_bundle("writer"), threads=1) as coach, pytest.raises(InvalidInputError, match=message) as e:
        call(coach)
    assert "\n" not in str(e.value)


def test_the_engine_and_the_writer_are_told_apart(posefix_bundle: Bundles) -> None:
    with pytest.raises(HumanrtError, match=r"greedy is of published writers: PoseCoach\(BUNDLE\)"):
        PoseCoach().greedy(A, B)
    with pytest.raises(HumanrtError, match="has words of its own: leave out language"):
        PoseCoach(posefix_bundle("writer"), numbers=True)
    with PoseCoach(posefix_bundle("writer"), threads=1) as coach, pytest.raises(HumanrtError, match="measures nothing"):
        coach.advise(A, B)
