"""``humanrt edit``: from the command line to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt import PoseEditor
from humanrt.cli import main
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.outputs.record import Recorder
from humanrt.posefix.axes import from_training_axes, to_training_axes

Bundles = Callable[[str], Path]
POSES = matrices_from_vectors(0.5 * np.random.default_rng(3).standard_normal((2, 22, 3)))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    np.savez(tmp_path / "pose.npz", rotations=POSES[0], joint_names=np.array(SMPLX_BODY))
    return tmp_path


def edited(*words: str) -> dict[str, np.ndarray]:
    assert main(["edit", *words, "--threads", "1"]) == 0
    with np.load(words[words.index("--out") + 1]) as file:
        return dict(file)


def test_a_pose(posefix_bundle: Bundles, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out = str(posefix_bundle("editor")), str(place / "out.npz")
    with PoseEditor(bundle, threads=1) as editor:
        expected = editor.edit(POSES[0], "raise your left knee")
        turned, turn = to_training_axes(POSES[0])
        seen = from_training_axes(editor.edit(turned, "raise your left knee"), turn)
        several = editor.sample(POSES[0], "raise your left knee", count=3, seed=2)
    given = ["raise your left knee", "--bundle", bundle, "--out", out]
    found = edited(str(place / "pose.npz"), *given)
    assert capsys.readouterr() == (f"{out}\n", "")
    np.testing.assert_array_equal(found["rotations"], expected)
    np.testing.assert_allclose(found["before"], POSES[0], atol=1e-6)
    assert found["joint_names"].tolist() == list(SMPLX_BODY)
    found = edited(str(place / "pose.npz"), *given, "--axes", "camera")
    np.testing.assert_allclose(found["rotations"], seen, atol=1e-6)
    found = edited(str(place / "pose.npz"), *given, "--samples", "3", "--seed", "2")
    np.testing.assert_array_equal(found["rotations"], several)
    # A motion, in another order of joints, as axis-angle.
    np.savez(
        place / "motion.npz", rotations=vectors_from_matrices(POSES)[:, ::-1], joint_names=np.array(SMPLX_BODY)[::-1]
    )
    found = edited(str(place / "motion.npz"), *given)
    assert found["rotations"].shape == (2, 22, 3, 3)
    np.testing.assert_allclose(found["rotations"][0], expected, atol=1e-5)
    # A person in a recording is in camera axes.
    with Recorder(place / "clip.jsonl", {"humanrt": "0", "body": "smplx"}) as recording:
        person = {"id": 2, "score": 1.0, "head_2d": [0.0, 0.0], "translation": [0.0, 0.0, 2.0], "shape": []}
        person |= {"rotations": vectors_from_matrices(POSES[0]), "expression": [], "joints_3d": []}
        recording.write({"frame": 7, "t": 0.2, "hands": [], "people": [person]})
    found = edited(f"{place / 'clip.jsonl'}:7:2", *given)
    np.testing.assert_allclose(found["rotations"], seen, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": "none.npz"}, "none.npz: cannot be read (No such file or directory)"),
        ({"pose": "none.jsonl:3"}, "none.jsonl"),
        ({"pose": "words.npz"}, "no array `rotations`"),
        ({"pose": "few.npz"}, "21 joints without `joint_names`, and the bundle has 22"),
        ({"pose": "unnamed.npz"}, "no joints head, pelvis; the bundle's are"),
        ({"pose": "short.npz"}, "2 `joint_names` for 22 rotations"),
        ({"pose": "flat.npz"}, "`rotations` are [4]; a pose is [J, 3, 3]"),
        ({"pose": "text.npz"}, "`rotations` are <U1, not numbers"),
        ({"--out": "out.json"}, "must end in .npz"),
        ({"--out": "pose.npz"}, "is the pose that is read"),
        ({"--samples": "0"}, "count must be at least 1"),
        ({"--bundle": "./nowhere"}, "nowhere"),
        ({"words": "raise " * 19}, "words: 21 tokens; the network takes 20 at most"),
    ],
)
def test_mistakes_are_one_line(
    change: dict[str, str],
    message: str,
    posefix_bundle: Bundles,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    others = np.array([f"{name}_" if name in ("pelvis", "head") else name for name in SMPLX_BODY])
    np.savez("words.npz", words=np.array(["a"]))
    np.savez("few.npz", rotations=POSES[0, :21])
    np.savez("unnamed.npz", rotations=POSES[0], joint_names=others)
    np.savez("short.npz", rotations=POSES[0], joint_names=others[:2])
    np.savez("flat.npz", rotations=np.zeros(4))
    np.savez("text.npz", rotations=np.array(["a"]))
    options = {"--bundle": str(posefix_bundle("editor")), "--out": "out.npz"} | {
        key: value for key, value in change.items() if key.startswith("--")
    }
    given = [change.get("pose", "pose.npz"), change.get("words", "raise")]
    assert main(["edit", *given, *(part for pair in options.items() for part in pair)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not Path("out.npz").exists()
