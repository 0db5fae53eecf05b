"""What people do next, on a small random PoseGPT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs humanrt[export]")
pytest.importorskip("onnxscript", reason="needs humanrt[export]")

from humanrt import Motion, PoseGPT, read_recording
from humanrt.cli import main
from humanrt.errors import HumanrtError, InvalidInputError
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.camera import field_of_view_intrinsics
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.motion.rest import joint_positions
from humanrt.people.draw import draw_ghosts
from humanrt.people.forecaster import Forecaster
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.sources.opening import Frame
from streaming_stand_ins import streaming_bundle

WALK = Path(__file__).resolve().parents[3] / "shared" / "media" / "walk.mp4"
needs_shared_media = pytest.mark.skipif(not WALK.is_file(), reason="needs ../shared/media/walk.mp4")
K = field_of_view_intrinsics((320, 240), 60.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming_bundle(tmp_path_factory.mktemp("forecaster") / "bundle")


@pytest.fixture
def forecaster(bundle: Path) -> Iterator[Forecaster]:
    with Forecaster(PoseGPT(bundle, threads=1), SMPLX_BODY, SMPLX_BODY, 0.6, 3) as opened:
        yield opened


@pytest.fixture(scope="module")
def walk(bundle: Path) -> Motion:
    """Something that moves, y down, 4 m before the camera, on a floor 1.4 m below it."""
    with PoseGPT(bundle, threads=1) as gpt:
        motion = gpt.generate(seconds=2.0, seed=3).turned("-y")
    places = np.stack((0.3 * np.arange(60) / 30, np.full(60, 0.45), np.full(60, 4.0)), axis=1)
    return Motion(motion.rotations, places.astype(np.float32), 30.0, motion.joint_names, motion.parents, "-y")


def result_of(motion: Motion, frame: int, ids: tuple[int, ...] = (7,), lost: tuple[int, ...] = ()) -> PeopleResult:
    joints = joint_positions(motion.cut(frame, frame + 1)).astype(np.float32)
    people = People(
        np.ones(1, np.float32),
        np.zeros((1, 2), np.float32),
        joints[:, 15],
        motion.rotations[frame : frame + 1],
        np.zeros((1, 0), np.float32),
        np.zeros((1, 0), np.float32),
        K,
        joints=joints,
        joints_2d=np.zeros((1, 22, 2), np.float32),
    )
    image = np.zeros((240, 320, 3), np.uint8)
    return PeopleResult(Frame(image, frame / 30, frame), people, ids, lost, {"network": 1.0, "total": 1.0})


def test_a_person_has_a_future_once_enough_was_seen(forecaster: Forecaster, walk: Motion) -> None:
    results = [forecaster(result_of(walk, frame)) for frame in range(30)]
    assert [bool(one.forecasts) for one in results] == [False] * 15 + [True] * 15
    (forecast,) = results[-1].forecasts
    assert (forecast.id, forecast.joints.shape) == (7, (3, 6, 22, 3))
    np.testing.assert_allclose(forecast.seconds, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    made = [one.forecasts[0].t for one in results[15:]]
    assert sorted(set(np.round(made, 3))) == [round(frame / 30, 3) for frame in (15, 18, 21, 24, 27)]  # every 0.1 s
    pelvis = forecast.joints[:, 0, 0]  # 0.1 s on, from where the person was
    assert np.abs(pelvis - walk.translation[27])[:, [0, 2]].max() < 0.2
    assert results[-1].ms["total"] == pytest.approx(1.0 + results[-1].ms["forecast"])
    line = results[-1].record()
    assert list(line)[-1] == "forecasts"
    assert np.shape(line["forecasts"][0]["joints_3d"]) == (3, 6, 22, 3)
    assert "forecasts" not in results[0].record()
    assert forecaster.about()["forecast"]["joints"] == list(SMPLX_BODY)
    picture = np.zeros((240, 320, 3), np.uint8)
    draw_ghosts(picture, results[-1].forecasts, K)
    assert picture.any()


def test_the_height_of_the_camera_makes_no_difference(forecaster: Forecaster, walk: Motion) -> None:
    higher = Motion(walk.rotations, walk.translation + np.float32([1, 0.8, 2]), 30.0, walk.joint_names, up="-y")
    one = [forecaster(result_of(walk, frame)) for frame in range(20)][-1].forecasts[0].joints
    other = [forecaster(result_of(higher, frame, (8,))) for frame in range(20)][-1].forecasts[0].joints
    np.testing.assert_allclose(other - [1, 0.8, 2], one, atol=2e-3)


def test_who_is_lost_or_away_begins_anew(forecaster: Forecaster, walk: Motion) -> None:
    for frame in range(20):
        forecaster(result_of(walk, frame))
    assert not forecaster(result_of(walk, 40)).forecasts  # 0.7 s later
    for frame in range(41, 56):
        found = forecaster(result_of(walk, frame))
    assert found.forecasts
    forecaster(result_of(walk, 56, lost=(7,)))
    assert not forecaster(result_of(walk, 57)).forecasts


def test_anny_has_the_future_of_the_same_pose(bundle: Path, walk: Motion) -> None:
    def last(bones: tuple[str, ...], rotations: np.ndarray) -> np.ndarray:
        with Forecaster(PoseGPT(bundle, threads=1), bones, SMPLX_BODY, 0.4, 2) as forecaster:
            for frame in range(20):
                result = result_of(walk, frame)
                people = result.people.__class__(**{**result.people.__dict__, "rotations": rotations[frame][None]})
                result = PeopleResult(result.frame, people, (1,), (), result.ms)
                found = forecaster(result)
        return found.forecasts[0].joints

    still = walk.rotations.copy()
    still[:, 10:12] = np.eye(3)  # Anny's toes do not turn
    wide = np.tile(np.eye(3, dtype=np.float32), (60, 24, 1, 1))
    wide[:, :22] = still
    anny = anny_from_smpl(wide).astype(np.float32)
    np.testing.assert_allclose(last(ANNY_BONES, anny), last(SMPLX_BODY, still), atol=5e-3)


@pytest.mark.parametrize(
    ("bones", "joints", "seconds", "samples", "message"),
    [
        (("a", "b"), SMPLX_BODY, 1.0, 3, "neither SMPL's nor Anny's"),
        (SMPLX_BODY, ("head", "neck"), 1.0, 3, "no pelvis or root: head, neck"),
        (SMPLX_BODY, SMPLX_BODY, 0.0, 3, "--forecast must be a number from 0.1 to 60"),
        (SMPLX_BODY, SMPLX_BODY, 1.0, 0, "--forecast-samples must be at least 1"),
    ],
)
def test_what_is_not_possible_is_refused(
    bones: tuple[str, ...], joints: tuple[str, ...], seconds: float, samples: int, message: str, bundle: Path
) -> None:
    with PoseGPT(bundle, threads=1) as gpt, pytest.raises((HumanrtError, InvalidInputError), match=message):
        Forecaster(gpt, bones, joints, seconds, samples)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "people", "--forecast-samples", "3"], "--forecast-samples needs --forecast SECONDS"),
        (["--task", "people", "--forecast", "1", "--parameters-only"], "needs people's joints"),
        (["--forecast", "1"], "--forecast is for --task people, not hands"),
        (["--task", "people", "--forecast", "1", "--forecast-bundle", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    assert main(["run", str(picture), "--headless", "--backend", "cpu", *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.slow
@needs_shared_media
def test_a_film_has_ghosts_and_a_record_of_them(bundle: Path, tmp_path: Path) -> None:
    record, film = tmp_path / "next.jsonl", tmp_path / "next.mp4"
    given = ["run", str(WALK), "--task", "people", "--bundle", "landmarks", "--headless", "--backend", "cpu"]
    given += ["--forecast", "0.5", "--forecast-bundle", str(bundle), "--forecast-samples", "2", "--max-frames", "40"]
    assert main([*given, "--record", str(record), "--video", str(film)]) == 0
    recording = read_recording(record)
    assert recording.header["forecast"]["samples"] == 2
    lines = list(recording)
    assert "forecasts" not in lines[0]
    (first, *_) = lines[-1]["forecasts"]
    assert np.shape(first["joints_3d"]) == (2, 5, 22, 3)
    person = next(one for one in lines[-1]["people"] if one["id"] == first["id"])
    pelvis = np.array(person["joints_3d"])[recording.header["joints"].index("root")]
    assert np.linalg.norm(np.array(first["joints_3d"])[:, 0, 0] - pelvis, axis=-1).max() < 2.0
    assert film.stat().st_size > 10_000
