"""The editor that ships: what words do to a pose, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humanrt import PoseCoach, PoseEditor
from humanrt.cli import main
from humanrt.coach.readings import read_pose
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_55, SMPLX_BODY
from humanrt.posefix.axes import to_training_axes
from shipped import shipped

AT = {name: index for index, name in enumerate(SMPLX_BODY)}


def standing() -> np.ndarray:
    """Somebody who stands before the camera, arms hanging."""
    vectors = np.zeros((22, 3))
    vectors[AT["left_shoulder"]], vectors[AT["right_shoulder"]] = (0, 0, -1.25), (0, 0, 1.25)
    vectors[AT["left_elbow"]], vectors[AT["right_elbow"]] = (0, -0.3, 0), (0, 0.3, 0)
    for side in ("left", "right"):
        vectors[AT[f"{side}_hip"]], vectors[AT[f"{side}_knee"]] = (-0.1, 0, 0), (0.2, 0, 0)
    pose = matrices_from_vectors(vectors)
    pose[0] = np.diag([1.0, -1.0, -1.0])
    return pose


@pytest.fixture(scope="module")
def editor() -> Iterator[PoseEditor]:
    with PoseEditor(shipped("word-editor"), threads=1) as opened:
        yield opened


def test_words_say_what_changes(editor: PoseEditor) -> None:
    a = standing()
    before, after = read_pose(a), read_pose(editor.edit(a, "Bend your left elbow by 40 degrees."))
    assert after.arms.bends - before.arms.bends == pytest.approx((40, 0), abs=6)
    assert read_pose(editor.edit(a, "turn your head to the right")).head_turn < -12
    assert read_pose(editor.edit(a, "sit lower")).height < before.height - 0.08
    up = read_pose(editor.edit(a, "raise both arms above your head"))
    assert up.arms.upper[:, 1].min() > 0.9


def test_the_coach_says_what_was_asked_for(editor: PoseEditor) -> None:
    a = standing()
    said = PoseCoach().describe(a, editor.edit(a, "bend your right elbow by 50 degrees"))
    assert said == "Bend your right elbow."


def test_only_the_joints_spoken_of_move(editor: PoseEditor) -> None:
    a = standing()
    b = editor.edit(a, "lift your left arm to the side")
    moved = np.abs(a - b).max(axis=(1, 2))
    assert moved[AT["left_shoulder"]] > 0.2
    assert moved[[index for name, index in AT.items() if not name.startswith("left_")]].max() < 1e-4


def test_a_text_is_encoded_once_and_other_joints_stay(editor: PoseEditor) -> None:
    a = np.broadcast_to(np.eye(3), (55, 3, 3)).copy()
    a[:22] = standing()
    a[40] = matrices_from_vectors(np.array([0.1, 0.2, 0.3]))
    text = editor.encode_text("bend both knees")
    b = editor.edit(a, text=text)
    assert b.shape == (55, 3, 3)
    np.testing.assert_allclose(b[22:], a[22:], atol=1e-6)
    np.testing.assert_allclose(b[:22], editor.edit(a[:22], "bend both knees"), atol=1e-6)
    assert set(editor.changes(a, text=text).asked()) == {"left_knee", "right_knee"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("raise your arm to shoulder height", {"right_arm", "right_elbow"}),
        ("arms forward", {"left_arm", "right_arm", "left_elbow", "right_elbow"}),
        ("hand on your hip", {"right_hand"}),
        ("bend your knee", {"right_knee"}),
        ("raise your leg to the side", {"right_thigh"}),
        ("step back with your foot", {"right_foot"}),
        ("lower your fists to your hips", {"left_hand", "right_hand"}),
        ("raise your left arm but do not move your fingers", {"left_arm"}),
    ],
)
def test_a_limb_without_its_side_is_the_right_one(editor: PoseEditor, words: str, asked: set[str]) -> None:
    assert set(editor.changes(standing(), words).asked()) == asked


def test_what_is_to_be_is_done(editor: PoseEditor) -> None:
    asked = editor.changes(standing(), "let your arms be straight and raise your head").asked()
    assert {"left_elbow", "right_elbow", "head_nod"} <= set(asked)


def test_postures_of_one_word(editor: PoseEditor) -> None:
    a = standing()
    height = read_pose(a).height
    for words in ("Crouch", "squat", "sit", "kneel"):
        assert read_pose(editor.edit(a, words)).height < height - 0.1, words
    knelt = read_pose(editor.edit(a, "kneel on your left knee"))
    assert knelt.legs is not None
    assert knelt.legs.bends == pytest.approx((100, 90), abs=8)
    assert knelt.legs.upper[0, 1] < -0.95  # the left thigh hangs, the right one is level
    assert abs(knelt.legs.upper[1, 1]) < 0.25


def test_each_of_several_changes_is_made(editor: PoseEditor) -> None:
    a = standing()
    words = "Raise the right arm a bit, drop your head, bend your left elbow by 40 and your right elbow by 80 degrees"
    text = editor.encode_text(words)
    assert text.shape == (4, editor.encode_text("look up").shape[0])
    edit = editor.changes(a, text=text)
    assert set(edit.asked()) == {"right_arm", "head_nod", "left_elbow", "right_elbow"}
    b = read_pose(editor.edit(a, text=text))
    assert b.arms.bends - read_pose(a).arms.bends == pytest.approx((40, 80), abs=8)
    np.testing.assert_allclose(editor.edit(a, words), editor.edit(a, text=text), atol=1e-6)
    # Of one channel the last word holds, and what is not understood by itself is read with the rest.
    assert editor.changes(a, "raise your left arm, lower your left arm").numbers("left_arm")[2][1] < 0
    assert editor.encode_text("raise your left arm, palms wherever you like").ndim == 1


@pytest.mark.parametrize(
    "words",
    ["", "   ", "what's for dinner", "Hebe deinen linken Arm", "you are stupid", "\u4e3e\u624b", "x" * 4000, "?!"],
)
def test_what_is_not_understood_changes_nothing(editor: PoseEditor, words: str) -> None:
    with pytest.raises(InvalidInputError, match="not understood: ") as error:
        editor.edit(standing(), words)
    assert "say in English what to move" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("raise your left nostril", "no edit moves or turns: nostril"),
        ("raise your left arm and wiggle your fingers", "no edit moves or turns: fingers"),
        ("make a fist with your right hand", "no edit moves or turns: fist"),
        ("turn your left palm up", "no edit moves or turns: palm"),
        ("bend your knee by 1e9 degrees", "amounts are at most 400 degrees or 2 m"),
    ],
)
def test_what_an_edit_does_not_have_is_named(editor: PoseEditor, words: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        editor.edit(standing(), words)


def test_places_on_the_head_are_known(editor: PoseEditor) -> None:
    a = standing()
    for words in ("touch your nose with your right hand", "put your right hand to your ear"):
        assert set(editor.changes(a, words).asked()) == {"right_hand"}, words


def test_a_denial_is_not_done(editor: PoseEditor) -> None:
    with pytest.raises(InvalidInputError, match=r"not understood: .*say what to do instead"):
        editor.edit(standing(), "don't raise your left arm")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda editor: editor.edit(np.eye(3), "sit lower"), "expected rotations"),
        (lambda editor: editor.edit(np.zeros((22, 3, 3)), "sit lower"), "not rotations"),
        (lambda editor: editor.edit(np.full((22, 3, 3), np.nan), "sit lower"), "not finite"),
        (lambda editor: editor.edit(standing()), "words must be text"),
        (lambda editor: editor.edit(standing(), 3), "words must be text"),
        (lambda editor: editor.edit(standing(), token_ids=[1]), "of published editors only"),
        (lambda editor: editor.edit(standing(), "sit lower", text=np.zeros(3)), "either words or text"),
        (lambda editor: editor.edit(standing(), text=np.zeros(3)), "text"),
        (lambda editor: editor.edit(standing(), "sit lower", noise=[0]), "of published editors only"),
        (lambda editor: editor.sample(standing(), "sit lower"), "of published editors only"),
        (lambda editor: editor.distribution(standing(), "sit lower"), "of published editors only"),
        (lambda editor: editor.reconstruct(standing()), "of published editors only"),
        (lambda editor: editor.tokens("sit lower"), "of published editors only"),
    ],
)
def test_mistakes_are_one_line(editor: PoseEditor, call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match=message):
        call(editor)


def test_the_command_writes_arrays_and_bodies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = np.broadcast_to(np.eye(3), (55, 3, 3)).copy()
    extra[:22] = standing()
    np.savez(tmp_path / "pose.npz", rotations=extra[::-1], joint_names=np.array(SMPLX_55[::-1]))
    out = [str(tmp_path / "out.npz"), str(tmp_path / "out.glb")]
    given = ["edit", str(tmp_path / "pose.npz"), "bend your left elbow by 40 degrees", "--bundle", "word-editor"]
    assert main([*given, "--threads", "1", "--out", *out]) == 0
    said = capsys.readouterr()
    assert said.out.split() == out
    assert said.err.startswith("understood: left elbow +")
    with np.load(out[0]) as file:
        assert file["joint_names"].tolist() == list(SMPLX_55[::-1])
        changed = np.abs(file["rotations"] - file["before"]).max(axis=(1, 2))
    assert [SMPLX_55[::-1][index] for index in np.flatnonzero(changed > 1e-3)] == ["left_elbow"]
    assert Path(out[1]).read_bytes()[:4] == b"glTF"
    # The same pose in AMASS's axes gives the same edit.
    upright, _ = to_training_axes(standing())
    np.savez(tmp_path / "amass.npz", rotations=upright)
    given = ["edit", str(tmp_path / "amass.npz"), "lean forward", "--axes", "amass", "--threads", "1", "--out", out[0]]
    assert main(given) == 0
    with np.load(out[0]) as file:
        root = file["rotations"][0] @ file["before"][0].T
    assert np.degrees(np.arccos((np.trace(root) - 1) / 2)) > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["sit lower", "--seed", "4"], "--seed is of --samples"),
        (["what a nice day"], "not understood: 'what a nice day'"),
        (["sit lower", "--samples", "3"], "--samples is of published models"),
        (["sit lower", "--out", "x.obj"], "must end in .npz, .glb, .png"),
    ],
)
def test_mistakes_of_the_command(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("pose.npz", rotations=standing())
    given = options if "--out" in options else [*options, "--out", "out.npz"]
    assert main(["edit", "pose.npz", *given]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("out*"))
