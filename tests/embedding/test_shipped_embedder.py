"""The embedder that ships: what it makes of poses, words and pictures, and what `humanrt find` finds by words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt import PoseEmbedder
from humanrt.cli import main
from humanrt.errors import HumanrtError, InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from shipped import shipped

AT = {name: index for index, name in enumerate(SMPLX_BODY)}
MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media"


def posed(**joints: tuple[float, float, float]) -> np.ndarray:
    """Somebody with hanging arms before a level camera; joints in degrees."""
    vectors = np.zeros((22, 3))
    vectors[AT["left_shoulder"]], vectors[AT["right_shoulder"]] = (0, 0, -72), (0, 0, 72)
    for name, degrees in joints.items():
        vectors[AT[name]] = degrees
    pose = matrices_from_vectors(np.radians(vectors))
    pose[0] = np.diag([1.0, -1.0, -1.0]) @ pose[0]
    return pose


POSES = {
    "standing with the arms hanging down": posed(),
    "both arms raised above the head": posed(left_shoulder=(0, 0, 85), right_shoulder=(0, 0, -85)),
    "arms stretched out to the sides": posed(left_shoulder=(0, 0, 0), right_shoulder=(0, 0, 0)),
    "squatting": posed(left_hip=(-100, 0, 0), right_hip=(-100, 0, 0), left_knee=(120, 0, 0), right_knee=(120, 0, 0)),
    "bending over": posed(spine1=(40, 0, 0), spine2=(30, 0, 0), left_hip=(-20, 0, 0), right_hip=(-20, 0, 0)),
}


@pytest.fixture(scope="module")
def embedder() -> Iterator[PoseEmbedder]:
    with PoseEmbedder(shipped("pose-embedder"), threads=1) as opened:
        yield opened


def test_words_find_the_pose_that_they_describe(embedder: PoseEmbedder) -> None:
    collection = np.stack([embedder.encode_pose(pose) for pose in POSES.values()])
    for place, words in enumerate(POSES):
        scores = collection @ embedder.embed(text=words).predicted["pose"]
        assert int(scores.argmax()) == place, words


def test_sides_and_typing_errors_are_understood(embedder: PoseEmbedder) -> None:
    left, right = posed(left_shoulder=(0, 0, 85)), posed(right_shoulder=(0, 0, -85))
    collection = np.stack([embedder.encode_pose(left), embedder.encode_pose(right)])
    for place, words in enumerate(("the left arm is raised", "the right arm is raised", "the lefft arm is raisd")):
        assert int((collection @ embedder.embed(text=words).predicted["pose"]).argmax()) == place % 2, words


def test_the_heading_does_not_count(embedder: PoseEmbedder) -> None:
    pose = POSES["bending over"]
    turned = pose.copy()
    turned[0] = matrices_from_vectors(np.array([0.0, 1.3, 0.0])) @ turned[0]
    np.testing.assert_allclose(embedder.encode_pose(turned), embedder.encode_pose(pose), atol=1e-5)


def test_a_body_is_read_from_a_pose(embedder: PoseEmbedder) -> None:
    rotations, shape = embedder.regress(embedder.embed(pose=POSES["both arms raised above the head"]).token)
    assert (rotations.shape, shape.size) == ((22, 3, 3), 0)
    np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), np.broadcast_to(np.eye(3), (22, 3, 3)), atol=1e-4)


def test_what_it_cannot_do_is_said(embedder: PoseEmbedder) -> None:
    for words in ("lorem ipsum dolor", "die Arme sind oben", "the arms are not raised", "the arms aren\u2019t raised"):
        with pytest.raises(InvalidInputError, match="not understood"):
            embedder.encode_text(words)
    with pytest.raises(InvalidInputError, match="token_ids are of published bundles"):
        embedder.encode_text(token_ids=[1, 2])
    with pytest.raises(InvalidInputError, match="descriptors must be"):
        embedder.encode_descriptors(np.zeros((2, 5)))
    with pytest.raises(HumanrtError, match=r"humanrt coach A\.jpg"):
        embedder.instruct(np.zeros(128), np.zeros(128))
    picture = np.zeros((40, 30, 3), np.uint8)
    with pytest.raises(InvalidInputError, match="lies outside"):
        embedder.encode_image(picture, (50, 0, 60, 10))


@pytest.mark.skipif(not (MEDIA / "people.jpg").is_file(), reason="no ../shared/media")
def test_a_picture_is_embedded_with_words(embedder: PoseEmbedder) -> None:
    shipped("landmarks")
    image = np.ascontiguousarray(cv2.imread(str(MEDIA / "people.jpg"))[..., ::-1])
    vector = embedder.encode_image(image)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert -180 <= embedder.heading(image) <= 180
    assert embedder.embed(image=image, text="arms raised").given == ("image", "text")


def test_find_reads_words_in_an_index_that_was_made_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped("pose-embedder")
    np.savez(tmp_path / "move.npz", rotations=np.stack(list(POSES.values())), joint_names=np.array(SMPLX_BODY), fps=1.0)
    index = str(tmp_path / "poses.index")
    assert main(["index", str(tmp_path / "move.npz"), "--out", index]) == 0
    capsys.readouterr()
    sheet = tmp_path / "hits.png"
    assert main(["find", index, "squatting", "--gap", "0", "--top", "2", "--sheet", str(sheet)]) == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert hits[0]["frame"] == 3
    assert hits[0]["score"] > hits[1]["score"]
    assert cv2.imread(str(sheet)) is not None
    pose = str(tmp_path / "pose.npz")
    np.savez(pose, rotations=POSES["squatting"], joint_names=np.array(SMPLX_BODY))
    assert main(["find", index, "squatting", "--pose", pose, "--gap", "0", "--top", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["frame"] == 3
    assert "not understood" in refused(capsys, "find", index, "lorem ipsum dolor")
    assert main(["index", str(tmp_path / "move.npz"), "--out", f"{index}2", "--embedder", "pose-embedder"]) == 0
    capsys.readouterr()
    assert main(["find", f"{index}2", "squatting", "--gap", "0", "--top", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["frame"] == 3


def test_what_words_say_exactly_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped("pose-embedder")
    left, right = (0, 0, 85), (0, 0, -85)
    poses = [
        posed(),
        posed(right_shoulder=right),
        posed(left_shoulder=left),
        posed(left_shoulder=left, right_shoulder=right),
    ]
    np.savez(tmp_path / "move.npz", rotations=np.stack(poses), joint_names=np.array(SMPLX_BODY), fps=1.0)
    index = str(tmp_path / "poses.index")
    assert main(["index", str(tmp_path / "move.npz"), "--out", index]) == 0
    capsys.readouterr()
    assert main(["find", index, "the left hand is up in the air, the right arm hangs down, swaying", "--gap", "0"]) == 0
    answer = capsys.readouterr()
    hits = [json.loads(line) for line in answer.out.splitlines()]
    assert hits[0]["frame"] == 2
    assert [len(hit["lacks"]) for hit in hits] == [0, 1, 1, 2]
    assert all(0 <= hit["distance"] <= 2 for hit in hits)
    assert "looked up by geometry: left_arm.up or left_hand.overhead; right_arm.down" in answer.err
    assert "left to the embedder alone: swaying" in answer.err
    assert sorted(path.name[:12] for path in Path(index).glob("kept-*")) == ["kept-facts-2", "kept-poseemb"]
    # Beside a pose, too, the words hold.
    pose = tmp_path / "pose.npz"
    np.savez(pose, rotations=poses[3], joint_names=np.array(SMPLX_BODY))
    assert main(["find", index, "but the right arm hangs down", "--pose", str(pose), "--gap", "0"]) == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {hit["frame"] for hit in hits[:2]} == {0, 2}
    assert [hit["lacks"] for hit in hits] == [[], [], ["right_arm.down"], ["right_arm.down"]]
    assert main(["index", str(tmp_path / "move.npz"), "--out", index]) == 0  # what is kept is no hindrance


@pytest.mark.skipif(not (MEDIA / "people.jpg").is_file(), reason="no ../shared/media")
def test_one_of_several_people_is_named_and_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped("landmarks")
    np.savez(tmp_path / "move.npz", rotations=posed()[None], joint_names=np.array(SMPLX_BODY), fps=1.0)
    index, image = str(tmp_path / "poses.index"), str(MEDIA / "people.jpg")
    assert main(["index", str(tmp_path / "move.npz"), "--out", index]) == 0
    capsys.readouterr()
    assert main(["find", index, "--image", image]) == 0
    best = capsys.readouterr()
    found = re.search(r"(\d+) people; it is number (\d+) from the left, at x = \d+ to \d+ px", best.err)
    assert found is not None
    distances = []
    for number in (found[2], "1" if found[2] != "1" else "2"):
        assert main(["find", index, "--image", image, "--who", number]) == 0
        answer = capsys.readouterr()
        assert "people" not in answer.err
        distances.append(json.loads(answer.out)["distance"])
    assert distances[0] == json.loads(best.out)["distance"] != distances[1]
    assert f"{found[1]} people are seen, so there is no number 99" in refused(
        capsys, "find", index, "--image", image, "--who", "99"
    )
    assert "--who is of the people in --image" in refused(capsys, "find", index, "squatting", "--who", "1")
