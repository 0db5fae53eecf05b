"""``humanrt generate``: from the command line to a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt import read_recording
from humanrt.cli import main
from humanrt.geometry.skeleton import SMPL_24
from humanrt.outputs.motions import read_motion

Bundles = Callable[[str], Path]


def test_from_nothing_and_from_a_recording(
    posegpt_bundle: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, first, more = str(posegpt_bundle("causal")), tmp_path / "first.jsonl", tmp_path / "next.jsonl"
    given = ["generate", bundle, "--label", "action_05", "--seconds", "1", "--seed", "4", "--threads", "1"]
    assert main([*given, "--out", str(first)]) == 0
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == (str(first), "30 frames, 1.00 s\n")
    header = read_recording(first).header
    assert (header["label"], header["seed"], header["fps"], len(header["bones"])) == ("action_05", 4, 30.0, 53)
    for kind in ("bvh", "csv"):
        assert main(["convert", str(first), "--to", kind, "--out", str(tmp_path / f"first.{kind}")]) == 0
        assert (tmp_path / f"first.{kind}").stat().st_size > 1000
    # On a body that ships, for meshes.
    anny = tmp_path / "anny.jsonl"
    assert main([*given, "--body", "landmarks", "--out", str(anny)]) == 0
    assert main(["convert", str(anny), "--to", "glb", "--out", str(tmp_path / "anny.glb")]) == 0
    assert (tmp_path / "anny.glb").stat().st_size > 100_000
    body, plain = read_motion(anny, 30.0), read_motion(first, 30.0)
    still = [name not in ("left_foot", "right_foot") for name in SMPL_24[:22]]  # Anny's toes do not turn
    np.testing.assert_allclose(body.rotations[:, :22][:, still], plain.rotations[:, :22][:, still], atol=2e-4)
    np.testing.assert_allclose(np.diff(body.translation, axis=0), np.diff(plain.translation, axis=0), atol=1e-4)
    placed = tmp_path / "placed.jsonl"
    given_next = ["generate", bundle, "--from", str(first), "--seconds", "0.5", "--threads", "1", "--out", str(placed)]
    assert main([*given_next, "--body", "landmarks"]) == 0
    capsys.readouterr()
    again = tmp_path / "again.jsonl"
    assert main([*given, "--out", str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert (
        main(["generate", bundle, "--from", str(first), "--seconds", "0.5", "--threads", "1", "--out", str(more)]) == 0
    )
    before, after = read_motion(first, 30.0), read_motion(more, 30.0)
    assert (len(before), len(after)) == (30, 15)
    np.testing.assert_allclose(read_motion(placed, 30.0).translation, after.translation, atol=1e-4)
    step = np.linalg.norm(np.diff(before.translation, axis=0), axis=1).max()
    assert np.linalg.norm(after.translation[0] - before.translation[-1]) < 3 * step + 0.05


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label", "run"], "no label `run`; labels: action_00"),
        (["--seconds", "9"], "outside of the trained window of 0.533 to 1.6 s (16 to 48 frames)"),
        (["--seconds", "-1"], "--seconds must be a number above 0"),
        (["--out", "x.bvh"], "must end in .jsonl; `humanrt convert` makes other files of it"),
        (["--from", "nowhere.jsonl"], "nowhere.jsonl: cannot be read"),
        (["--person", "1"], "--person is of the recording of --from"),
        (["--temperature", "-2"], "temperature must be a number from 0"),
    ],
)
def test_mistakes_are_one_line(
    more: list[str],
    message: str,
    posegpt_bundle: Bundles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["generate", str(posegpt_bundle("causal")), "--seconds", "1", "--out", "out.jsonl", "--threads", "1"]
    assert main([*given, *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
