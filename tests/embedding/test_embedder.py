"""`PoseEmbedder`: subsets, heads, words, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import PoseEmbedder
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import PoseEmbroiderSettings
from humanrt.embedding.embedder import UntrainedCombinationWarning
from humanrt.errors import BundleError, HumanrtError, InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors

POSE = 0.4 * np.random.default_rng(1).standard_normal((22, 3))
PICTURE = np.random.default_rng(2).integers(0, 256, (300, 200, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def embedder(poseembroider_bundle: Path) -> Any:
    with PoseEmbedder(poseembroider_bundle, threads=1) as opened:
        yield opened


def test_encoders_give_unit_vectors_of_what_the_bundle_says(embedder: PoseEmbedder) -> None:
    assert (embedder.modalities, embedder.width, embedder.image_size) == (("image", "pose", "text"), 16, (256, 192))
    assert (len(embedder.joint_names), embedder.joint_names[0], embedder.together) == (22, "pelvis", 2)
    for vector in (
        embedder.encode_image(PICTURE),
        embedder.encode_image(PICTURE, box=(20, 30, 90, 200)),
        embedder.encode_pose(POSE),
        embedder.encode_text("left arms up"),
    ):
        assert (vector.dtype, vector.shape) == (np.float32, (16,))
        assert abs(np.linalg.norm(vector) - 1) < 1e-5
        assert vector.min() >= 0


def test_a_pose_may_be_matrices_or_axis_angle(embedder: PoseEmbedder) -> None:
    vector = embedder.encode_pose(POSE)
    np.testing.assert_allclose(embedder.encode_pose(matrices_from_vectors(POSE)), vector, atol=1e-5)


def test_words_and_their_ids_are_the_same_and_padding_has_no_influence(embedder: PoseEmbedder) -> None:
    vector = embedder.encode_text("Left ARMS up")
    ids = [101, 104, 105, 106, 107, 102]
    np.testing.assert_array_equal(embedder.encode_text(token_ids=ids), vector)
    np.testing.assert_array_equal(embedder.encode_text(token_ids=[*ids, 0, 0, 0]), vector)
    assert abs(embedder.encode_text(token_ids=ids[:-1]) - vector).max() > 1e-4
    assert embedder.words(ids) == "left arms up"


def test_subsets_are_fused_from_what_is_given_and_from_kept_vectors(embedder: PoseEmbedder) -> None:
    pose, image, text = embedder.encode_pose(POSE), embedder.encode_image(PICTURE), embedder.encode_text("up")
    direct = embedder.embed(pose=POSE, text="up")
    kept = embedder.fuse(pose=pose, text=text)
    assert direct.given == ("pose", "text")
    np.testing.assert_array_equal(direct.token, kept.token)
    alone = embedder.embed(pose=POSE)
    assert abs(alone.token - direct.token).max() > 1e-3
    # The order of calls has none either: nothing of the call before stays.
    embedder.fuse(image=image)
    np.testing.assert_array_equal(embedder.fuse(pose=pose).token, alone.token)
    for name in ("image", "pose", "text"):
        assert abs(np.linalg.norm(direct.predicted[name]) - 1) < 1e-5


def test_three_at_once_are_computed_and_said_to_be_untrained(embedder: PoseEmbedder) -> None:
    with pytest.warns(UntrainedCombinationWarning, match="3 kinds of input are combined, and the training .* than 2"):
        found = embedder.embed(pose=POSE, image=PICTURE, text="up")
    assert found.given == ("image", "pose", "text")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.embed(image=PICTURE, text="up")


def test_the_body_of_a_token(embedder: PoseEmbedder) -> None:
    rotations, shape = embedder.regress(embedder.embed(image=PICTURE).token)
    assert (rotations.shape, shape.shape, len(embedder.body_joint_names)) == ((22, 3, 3), (10,), 22)
    np.testing.assert_allclose(
        np.swapaxes(rotations, -1, -2) @ rotations, np.broadcast_to(np.eye(3), (22, 3, 3)), atol=1e-5
    )


def test_instructions_are_the_most_probable_words_in_turn(embedder: PoseEmbedder) -> None:
    a, b = embedder.embed(pose=POSE).token, embedder.embed(pose=-POSE).token
    ids = embedder.instruct(a, b, min_tokens=6, max_tokens=20)
    assert ids[0] == 101
    assert 6 <= len(ids) <= 20
    assert len(ids) == 20 or ids[-1] == 102
    logits = embedder.instruction_logits(a, b, ids)
    assert logits.shape == (len(ids), 108)
    for place, word in enumerate(ids[1:]):
        logits[place, 102] = -np.inf if place + 1 < 6 else logits[place, 102]
        assert logits[place].argmax() == word
    other = embedder.instruction_logits(b, a, ids)
    assert abs(other[0] - logits[0])[:102].max() > 1e-3  # A and B are not the same
    assert embedder.instruct(a, b, min_tokens=1, max_tokens=1) == [101]
    assert len(embedder.instruct(a, b, min_tokens=60)) == 60  # the table's end, and the bundle's longest text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.embed(), "nothing is given to embed"),
        (
            lambda e: e.embed(pose=np.eye(3)),
            r"pose: expected rotations \[22, 3, 3\] of the bundle's joints, got \[3, 3\]",
        ),
        (lambda e: e.embed(pose=np.full((22, 3), np.nan)), "pose: holds values that are not finite"),
        (lambda e: e.embed(pose=np.ones((22, 3, 3))), "these matrices are not rotations"),
        (lambda e: e.embed(pose=-np.broadcast_to(np.eye(3), (22, 3, 3))), "these matrices are not rotations"),
        (lambda e: e.embed(pose="up"), "pose must be an array of numbers"),
        (lambda e: e.embed(text="up", token_ids=[101, 102]), "either words or token_ids"),
        (lambda e: e.embed(text=3), "words must be text, not int"),
        (lambda e: e.embed(text="up " * 80), "82 tokens; the network takes 70 at most"),
        (lambda e: e.embed(token_ids=[]), r"token_ids must be whole numbers \[L\]"),
        (lambda e: e.embed(token_ids=[[101], [102]]), "whole numbers"),
        (lambda e: e.embed(token_ids=[101, 5000]), "token_ids must be from 0 to 107"),
        (lambda e: e.embed(token_ids=[101.5]), "whole numbers"),
        (lambda e: e.embed(pose=POSE, box=(0, 0, 9, 9)), "box belongs to an image"),
        (lambda e: e.fuse(pose=np.zeros(3)), r"pose must be \[16\] numbers, not \[3\]"),
        (lambda e: e.regress(np.full(16, np.inf)), "token: inf is not a finite number"),
        (lambda e: e.instruct(np.zeros(16), np.zeros(15)), r"token_b must be \[16\]"),
        (lambda e: e.instruct(np.zeros(16), np.zeros(16), max_tokens=61), "max_tokens must be at most 60"),
        (lambda e: e.instruct(np.zeros(16), np.zeros(16), min_tokens=0), "min_tokens must be at least 1"),
        (lambda e: e.words([200]), "token_ids must be from 0 to 107"),
    ],
)
def test_bad_input_is_one_clear_line(call: Any, message: str, embedder: PoseEmbedder) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        call(embedder)
    assert "\n" not in str(caught.value)


def test_what_a_bundle_does_not_hold_is_named(poseembroider_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    manifest = json.loads((poseembroider_bundle / "manifest.json").read_text())
    manifest["graphs"] = {name: manifest["graphs"][name] for name in ("core", "pose", "text_64", "text_70")}
    manifest["settings"] = {key: value for key, value in manifest["settings"].items() if key != "words"}
    used = ("core.onnx", "pose.onnx", "text_64.onnx", "text_70.onnx", "text.bin")
    manifest["files"] = {name: manifest["files"][name] for name in used}
    for name in used:
        (bundle / name).symlink_to(poseembroider_bundle / name)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with PoseEmbedder(bundle, threads=1) as embedder:
        assert embedder.modalities == ("pose", "text")
        with pytest.raises(HumanrtError, match="no encoder of image; it has: pose, text"):
            embedder.embed(image=PICTURE)
        with pytest.raises(HumanrtError, match="no such head; export it again with the file hpsestimator_"):
            embedder.regress(np.zeros(16))
        with pytest.raises(HumanrtError, match="with the file instructgen_"):
            embedder.instruct(np.zeros(16), np.zeros(16))
        with pytest.raises(InvalidInputError, match=r"reads no words: .* --tokenizer VOCAB\.txt, or use ids"):
            embedder.encode_text("up")
        with pytest.raises(InvalidInputError, match="turns no ids into words"):
            embedder.words([101])
        embedder.encode_text(token_ids=[101, 102])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["settings"].pop("together"), r"`settings\.together` is missing"),
        (lambda m: m["settings"].update(together=4), "together"),
        (lambda m: m["settings"].update(joints=["pelvis"]), "has 1 entries, not 22"),
        (lambda m: m["settings"]["text"].update(lengths=[64, 30]), "must be increasing"),
        (lambda m: m["settings"]["text"].update(lengths=[64, 80]), "no graph `text_80`"),
        (lambda m: m["settings"]["text"].update(words=90), "has 90 words, and graph `write` 108"),
        (lambda m: m["settings"]["marks"].update(end=9000), r"`settings\.marks\.end` must be"),
        (
            lambda m: m["graphs"]["core"]["outputs"]["token"].update(shape=[1, 7]),
            r"graph `core`: `token` is .* \[1, 16\]",
        ),
        (lambda m: m["graphs"]["write"]["inputs"].pop("cache"), "graph `write` has no `cache`"),
        (lambda m: m["graphs"]["image"]["inputs"]["image"].update(shape=[1, 3, 9000, 9000]), "at most 4096"),
    ],
)
def test_bad_settings_are_named(change: Any, message: str, poseembroider_bundle: Path) -> None:
    bundle = load_bundle(poseembroider_bundle)
    change(bundle.manifest)
    with pytest.raises(BundleError, match=message):
        PoseEmbroiderSettings.of(bundle)


def test_texts_go_through_the_shortest_graph_that_holds_them(embedder: PoseEmbedder) -> None:
    text = PoseEmbroiderSettings.of(embedder.bundle).text
    assert text is not None
    assert text.lengths == (64, 70)
    ids = [101, *[104, 105, 107] * 20, 102]
    vectors = [embedder.encode_text(token_ids=ids[:count]) for count in (1, 62)]
    longer = embedder.encode_text(token_ids=[*ids, *[105] * 8])
    assert all(abs(np.linalg.norm(vector) - 1) < 1e-5 for vector in (*vectors, longer))
    # Where a longer graph begins, a vector does not jump by more than between two texts of one graph.
    near, far = (embedder.encode_text(token_ids=[*ids, *[105] * count]) for count in (2, 3))
    within = embedder.encode_text(token_ids=[*ids, 105])
    assert abs(near - far).max() < 4 * abs(near - within).max() + 1e-3
