"""An index of a bundle's embeddings: searched by words, pictures and poses, and any combination of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt import PoseEmbedder
from humanrt.cli import main
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.search.frame import training_frame

UPRIGHT = np.diag([1.0, -1.0, -1.0])
POSES = matrices_from_vectors(0.4 * np.random.default_rng(0).standard_normal((300, 22, 3)))
POSES[:, 0] = UPRIGHT @ POSES[:, 0]


@pytest.fixture(scope="module")
def index(poseembroider_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    np.savez(folder / "move.npz", rotations=POSES, joint_names=np.array(SMPLX_BODY), fps=30.0)
    out = folder / "words.index"
    assert main(["index", str(folder / "move.npz"), "--out", str(out), "--embedder", str(poseembroider_bundle)]) == 0
    return out


def found(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["find", *words, "--gap", "0", "--top", "5"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def best(collection: np.ndarray, query: np.ndarray) -> tuple[list[int], np.ndarray]:
    scores = collection @ query
    order = np.argsort(-scores)[:5]
    return order.tolist(), scores[order]


def test_any_of_words_pose_and_picture(
    index: Path, poseembroider_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = ["--embedder", str(poseembroider_bundle)]
    picture = np.random.default_rng(1).integers(0, 256, (120, 80, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), picture[..., ::-1])
    np.savez(tmp_path / "pose.npz", rotations=POSES[7], joint_names=np.array(SMPLX_BODY))
    with PoseEmbedder(poseembroider_bundle, threads=1) as embedder:
        turned = training_frame(POSES)
        collection = np.stack([embedder.encode_pose(pose) for pose in turned])
        queries = {
            ("left arm up",): embedder.embed(text="left arm up"),
            ("--pose", str(tmp_path / "pose.npz")): embedder.embed(pose=turned[7]),
            ("--image", str(tmp_path / "photo.png")): embedder.embed(image=picture),
            ("up", "--image", str(tmp_path / "photo.png")): embedder.embed(image=picture, text="up"),
            ("--image", str(tmp_path / "photo.png"), "--box", "5,9,60,100"): embedder.embed(
                image=picture, box=(5, 9, 60, 100)
            ),
        }
    for words, embedding in queries.items():
        hits = found(capsys, str(index), *words, *bundle)
        order, scores = best(collection, embedding.predicted["pose"])
        assert [hit["frame"] for hit in hits] == order
        np.testing.assert_allclose([hit["score"] for hit in hits], scores, atol=1e-4)


def test_poses_are_turned_to_the_front_in_a_world_with_z_up() -> None:
    standing = np.broadcast_to(np.eye(3), (22, 3, 3)).copy()
    for heading in (0.0, 100.0):
        standing[0] = UPRIGHT @ matrices_from_vectors(np.radians([0.0, heading, 0.0]))
        # As facts about the published poses say it: a frontal T-pose's root is 90 degrees about x.
        np.testing.assert_allclose(
            training_frame(standing)[0], matrices_from_vectors(np.radians([90.0, 0, 0])), atol=1e-9
        )


def test_an_index_is_searched_by_what_it_was_made_with(
    index: Path, poseembroider_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "pose.npz", rotations=POSES[7], joint_names=np.array(SMPLX_BODY))
    said = refused(capsys, "find", index, "--pose", tmp_path / "pose.npz")
    assert "holds vectors by `poseembroider:" in said
    assert "search it with --embedder BUNDLE" in said
    main(["index", str(index.parent / "move.npz"), "--out", str(tmp_path / "points.index")])
    capsys.readouterr()
    embedder = ("--embedder", poseembroider_bundle)
    assert "search it without --embedder" in refused(capsys, "find", tmp_path / "points.index", "up", *embedder)
    assert "give WORDS, --pose FILE or --image" in refused(capsys, "find", index, *embedder)
    assert "--box is of the person" in refused(capsys, "find", index, "up", *embedder, "--box", "1,2,3,4")
    assert "invalid box value" in refused(capsys, "find", index, "up", *embedder, "--box", "1,2")
    # Without figures the sheet is pictures only, and says where there are none.
    assert main(["find", str(index), "up", "--top", "1", *map(str, embedder), "--sheet", str(tmp_path / "a.png")]) == 0
    assert (cv2.imread(str(tmp_path / "a.png"))[:200, 400:] < 100).any()
    capsys.readouterr()
    said = refused(capsys, "find", index, "up", "--embedder", "word-editor")
    assert "is for task `posefix`, not `poseembroider`; of those that ship, pose-embedder is" in said
