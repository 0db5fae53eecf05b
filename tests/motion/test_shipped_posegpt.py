"""The PoseGPT that ships: what it generates is a person's motion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humanrt import PoseGPT, read_recording
from humanrt.cli import main
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.motion.rest import joint_positions
from shipped import shipped

SHARED = Path(__file__).resolve().parents[3] / "shared" / "mocap"
TOES = [SMPLX_BODY.index("left_foot"), SMPLX_BODY.index("right_foot")]


@pytest.fixture(scope="module")
def gpt() -> Iterator[PoseGPT]:
    with PoseGPT(shipped("posegpt"), threads=1) as opened:
        yield opened


def test_it_walks_on_the_floor(gpt: PoseGPT) -> None:
    motions = gpt.generate_several(10, "walk", 3.0, seed=3)
    far = [np.linalg.norm(motion.translation[-1, [0, 2]] - motion.translation[0, [0, 2]]) for motion in motions]
    assert 1.0 < np.median(far) < 7.0  # 0.3 to 2.3 m/s
    lowest = np.concatenate([joint_positions(motion)[:, TOES, 1].min(1) for motion in motions])
    assert np.quantile(lowest, 0.02) > -0.05
    assert 0.0 < np.median(lowest) < 0.08
    height = np.concatenate([motion.translation[:, 1] for motion in motions])
    assert np.quantile(height, 0.05) > 0.8
    assert np.quantile(height, 0.95) < 1.1


def test_labels_are_different_motions(gpt: PoseGPT) -> None:
    assert {"climb", "dance", "jump", "walk"} <= set(gpt.labels)
    speed = {}
    for label in ("walk", "swordplay"):
        motions = gpt.generate_several(10, label, 3.0, seed=1)
        steps = [np.linalg.norm(np.diff(motion.translation[30:, [0, 2]], axis=0), axis=1).mean() for motion in motions]
        speed[label] = 30 * float(np.median(steps))
    assert speed["walk"] > 2 * speed["swordplay"]


def test_what_was_seen_goes_on_without_a_jump(gpt: PoseGPT) -> None:
    seen = gpt.generate("walk", 2.0, seed=8)
    for made in gpt.generate_several(5, None, 1.0, seen, seed=2):
        whole = np.concatenate((joint_positions(seen)[-15:], joint_positions(made)))
        steps = np.linalg.norm(np.diff(whole, axis=0), axis=-1).mean(1)
        assert steps[14] < 2 * steps[:14].max()  # from the last frame that was seen to the first new one


def test_generate_needs_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped("posegpt")
    out = tmp_path / "walk.jsonl"
    assert main(["generate", "--label", "walk", "--seconds", "1", "--out", str(out)]) == 0
    assert read_recording(out).header["generator"] == "posegpt"
    assert main(["generate", "--label", "fly", "--seconds", "1", "--out", str(out)]) == 2
    assert "no label `fly`; labels: acrobatics" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/mocap")
def test_forecasts_of_held_out_people_beat_simple_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="needs humanrt[export]")
    import posegpt as bench

    out = tmp_path / "measured.json"
    given = ["posegpt.py", "--data", str(SHARED / "cmu_labelled.tar.xz"), "--labels", str(SHARED / "labels.json")]
    more = ["--subjects", "07", "u08", "--parts", "forecasts", "--threads", "1", "--json", str(out)]
    monkeypatch.setattr("sys.argv", [*given, *more])
    bench.main()
    world = json.loads(out.read_text())["forecasts"]["world"]
    for horizon in ("0.2 s", "0.4 s", "1 s"):
        simple = min(world["holding"][horizon], world["constant velocity"][horizon])
        assert world["mean"][horizon] < 0.9 * simple, horizon
