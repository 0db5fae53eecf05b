"""Poses edited by words through checkpoint file -> exporter -> ONNX -> runtime, on small random networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import PoseEditor, PoseRetrieval
from humanrt.errors import BundleError, ClosedError, InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from posefix_stand_ins import PIECES

Bundles = Callable[[str], Path]
VECTORS = 0.5 * np.random.default_rng(3).standard_normal((22, 3))
POSE = matrices_from_vectors(VECTORS)


@pytest.fixture(scope="module")
def editor(posefix_bundle: Bundles) -> Iterator[PoseEditor]:
    with PoseEditor(posefix_bundle("editor"), threads=1) as model:
        yield model


def test_what_the_bundle_says(editor: PoseEditor) -> None:
    assert (len(editor.joint_names), editor.joint_names[0], editor.code) == (22, "pelvis", 8)
    assert editor.bundle.manifest["licence"] == "CC-BY-NC-SA-4.0"
    assert len(editor.bundle.manifest["provenance"]["files"]["words.txt"]["sha256"]) == 64
    assert "words.txt" in editor.bundle.manifest["files"]


def test_words_change_a_pose(editor: PoseEditor) -> None:
    edited = editor.edit(POSE, "Bending your left knee.")
    assert edited.shape == (22, 3, 3)
    np.testing.assert_allclose(edited @ edited.swapaxes(-1, -2), np.broadcast_to(np.eye(3), edited.shape), atol=1e-5)
    np.testing.assert_array_equal(editor.edit(POSE, "bending YOUR left knee."), edited)
    assert np.abs(editor.edit(POSE, "raise your right knee") - edited).max() > 1e-3
    assert np.abs(editor.edit(np.broadcast_to(np.eye(3), (22, 3, 3)), "bending your left knee.") - edited).max() > 1e-3


def test_texts_as_words_ids_and_vectors(editor: PoseEditor) -> None:
    ids = editor.tokens("bending your left knee.")
    assert [PIECES[index] for index in ids] == ["[CLS]", "bend", "##ing", "your", "left", "knee", ".", "[SEP]"]
    text = editor.encode_text(token_ids=ids)
    assert text.shape == (12,)
    edited = editor.edit(POSE, "bending your left knee.")
    np.testing.assert_array_equal(editor.edit(POSE, token_ids=np.array(ids)), edited)
    np.testing.assert_array_equal(editor.edit(POSE, text=text), edited)


def test_padding_has_no_influence(editor: PoseEditor) -> None:
    """Texts of 16 and of 20 tokens go through different graphs; what was there before leaves nothing."""
    random = np.random.default_rng(0)
    short, long = random.integers(0, 13, 16), random.integers(0, 13, 20)
    before = editor.encode_text(token_ids=short[:5])
    editor.encode_text(token_ids=long)
    editor.encode_text(token_ids=short)
    np.testing.assert_array_equal(editor.encode_text(token_ids=short[:5]), before)
    assert np.abs(editor.encode_text(token_ids=short[:6]) - before).max() > 1e-4


def test_axis_angle_is_taken_too(editor: PoseEditor) -> None:
    edited = editor.edit(POSE, "raise")
    np.testing.assert_allclose(editor.edit(VECTORS, "raise"), edited, atol=1e-5)
    turned = VECTORS * (1 + 2 * np.pi / np.linalg.norm(VECTORS, axis=-1, keepdims=True))  # a whole turn further
    np.testing.assert_allclose(editor.edit(turned, "raise"), edited, atol=1e-4)
    np.testing.assert_allclose(vectors_from_matrices(POSE), VECTORS, atol=1e-6)


def test_samples_are_of_the_distribution(editor: PoseEditor) -> None:
    mean, scale = editor.distribution(POSE, "raise your left knee")
    assert mean.shape == scale.shape == (8,)
    assert (scale > 0).all()
    some = editor.sample(POSE, "raise your left knee", count=3, seed=5)
    np.testing.assert_array_equal(some, editor.sample(POSE, "raise your left knee", count=3, seed=5))
    noise = np.random.default_rng(5).standard_normal((3, 8))
    np.testing.assert_array_equal(some[1], editor.edit(POSE, "raise your left knee", noise=noise[1]))
    assert np.abs(some[0] - some[1]).max() > 1e-3
    likely = editor.edit(POSE, "raise your left knee")
    np.testing.assert_array_equal(editor.edit(POSE, "raise your left knee", noise=np.zeros(8)), likely)


def test_a_pose_is_reconstructed(editor: PoseEditor) -> None:
    rotations, mean, scale = editor.reconstruct(POSE)
    assert (rotations.shape, mean.shape, scale.shape) == ((22, 3, 3), (8,), (8,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.edit(POSE[:21], "raise"), r"pose: expected rotations \[22, 3, 3\] .* got \[21, 3, 3\]"),
        (lambda e: e.edit(POSE[None], "raise"), r"got \[1, 22, 3, 3\]"),
        (lambda e: e.edit(2 * POSE, "raise"), "pose: these matrices are not rotations"),
        (lambda e: e.edit(POSE * [[[1], [1], [-1]]], "raise"), "not rotations"),
        (lambda e: e.edit(np.full((22, 3, 3), np.nan), "raise"), "not finite"),
        (lambda e: e.edit(np.full((22, 3), np.inf), "raise"), "not finite"),
        (lambda e: e.edit("pose", "raise"), "pose must be an array of numbers"),
        (lambda e: e.edit(POSE), "give either words or token_ids"),
        (lambda e: e.edit(POSE, "raise", token_ids=[2, 3]), "give either words or token_ids"),
        (lambda e: e.edit(POSE, "raise", text=np.zeros(12)), "give either words, token_ids or text"),
        (lambda e: e.edit(POSE, text=np.zeros(11)), r"text must be numbers \[12\]"),
        (lambda e: e.edit(POSE, 3), "words must be text, not int"),
        (lambda e: e.edit(POSE, "raise " * 19), "words: 21 tokens; the network takes 20 at most"),
        (lambda e: e.edit(POSE, token_ids=[]), r"token_ids must be whole numbers \[L\]"),
        (lambda e: e.edit(POSE, token_ids=[2.0]), "whole numbers"),
        (lambda e: e.edit(POSE, token_ids=[[2], [3]]), "whole numbers"),
        (lambda e: e.edit(POSE, token_ids=[13]), "token_ids must be from 0 to 12"),
        (lambda e: e.edit(POSE, token_ids=[-1]), "from 0 to 12"),
        (lambda e: e.edit(POSE, "raise", noise=np.zeros(7)), r"noise must be numbers \[8\]"),
        (lambda e: e.sample(POSE, "raise", count=0), "count must be at least 1"),
        (lambda e: e.sample(POSE, "raise", seed=-1), "seed must be a whole number from 0 on"),
    ],
)
def test_bad_input_is_one_line(editor: PoseEditor, call: Callable[[Any], object], message: str) -> None:
    before = editor.edit(POSE, "raise")
    with pytest.raises(InvalidInputError, match=message) as caught:
        call(editor)
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(editor.edit(POSE, "raise"), before)


@pytest.mark.slow
def test_word_vectors_and_a_gru_without_a_word_list(posefix_bundle: Bundles) -> None:
    """ONNX's GRU stops at the end of each text, as PyTorch's does."""
    import torch

    from humanrt_export.conversion.posefix_checkpoint import load_posefix
    from humanrt_export.networks.posefix import Editor

    folder = posefix_bundle("editor-gru")
    network = load_posefix(folder.parent / "best_model.pth")
    assert isinstance(network, Editor)
    with PoseEditor(folder, threads=1) as editor:
        for text in ([1, 6, 8, 9, 11, 5, 7, 4, 2], [1, 2], [6]):
            ids = torch.tensor([text])
            with torch.inference_mode():
                expected = network.text(ids, torch.ones_like(ids, dtype=torch.bool))[0]
            np.testing.assert_allclose(editor.encode_text(token_ids=text), expected, atol=1e-5)
        assert editor.edit(POSE, token_ids=[1, 6, 2]).shape == (22, 3, 3)
        with pytest.raises(InvalidInputError, match=r"holds no word list; export it with --words FILE, or give"):
            editor.edit(POSE, "bend")


def test_a_closed_editor_and_other_bundles(posefix_bundle: Bundles) -> None:
    editor = PoseEditor(posefix_bundle("editor"), threads=1)
    editor.close()
    with pytest.raises(ClosedError):
        editor.edit(POSE, token_ids=[1, 2])
    with pytest.raises(BundleError, match="is PoseFix's editor, not its retrieval; PoseEditor opens it"):
        PoseRetrieval(posefix_bundle("editor"))
    with pytest.raises(BundleError, match="is for task `hands`, not `posefix`"):
        PoseEditor("hands")
    with (
        PoseEditor(posefix_bundle("editor"), threads=1) as editor,
        pytest.raises(InvalidInputError, match="that ships"),
    ):
        editor.changes(POSE, "raise")
