"""``humanrt run --task people`` and ``humanrt bench people`` on the toy bundle: files out, one line for a mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt import MultiHMR, PeoplePipeline
from humanrt.cli import main
from humanrt.commands import bench
from humanrt.geometry.camera import project
from humanrt.outputs.record import read_recording
from humanrt.people.draw import bones
from humanrt.people.holistic import DEFAULT_BUNDLE
from humanrt.people.view import PeoplePainter
from humanrt.sources.opening import Frame

Draw = Callable[..., Any]


@pytest.fixture
def bundle(toy_bundle: Callable[..., Path]) -> Path:
    return toy_bundle()


@pytest.fixture
def image(tmp_path: Path, picture: Draw) -> Path:
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), picture(320, 240, red=(80, 100), blue=(240, 100))[..., ::-1])
    return path


def run_people(*arguments: str | Path) -> int:
    return main(["run", *map(str, arguments), "--task", "people", "--headless", "--backend", "cpu"])


def test_an_image_to_a_record_a_picture_and_meshes(tmp_path: Path, bundle: Path, image: Path) -> None:
    out = {name: tmp_path / name for name in ("a.jsonl", "a.png", "meshes")}
    options = ("--record", out["a.jsonl"], "--video", out["a.png"], "--meshes", out["meshes"])
    assert run_people(image, "--bundle", bundle, *options) == 0
    recording = read_recording(out["a.jsonl"])
    (line,) = recording
    assert recording.header["task"] == "people"
    assert recording.header["joints"] == ["head", "neck"]
    assert list(line) == ["frame", "t", "size", "intrinsics", "hands", "people", "ms"]
    assert line["size"] == [320, 240]
    assert [person["id"] for person in line["people"]] == [1, 2]
    for person in line["people"]:
        contract = ["id", "score", "head_2d", "translation", "rotations", "shape", "expression", "joints_3d"]
        assert list(person) == contract
        assert person["rotations"] == [[0, 0, 0]] * 2
        assert np.shape(person["joints_3d"]) == (2, 3)
        at = project(np.array(person["translation"]), np.array(line["intrinsics"]))
        np.testing.assert_allclose(at, person["head_2d"], atol=0.05)
    stages = [ms for stage, ms in line["ms"].items() if stage not in ("capture", "total")]
    assert line["ms"]["total"] == pytest.approx(sum(stages), abs=1e-4)
    assert cv2.imread(str(out["a.png"])).shape == (240, 320, 3)
    assert [path.name for path in out["meshes"].iterdir()] == ["000000.glb"]


@pytest.mark.parametrize("container", ["folder", "video"])
def test_identities_over_frames(tmp_path: Path, bundle: Path, picture: Draw, container: str) -> None:
    """Red walks to the right and blue to the left, past each other."""
    frames = [picture(320, 240, red=(60 + 5 * i, 90), blue=(260 - 5 * i, 150))[..., ::-1] for i in range(40)]
    if container == "folder":
        source = tmp_path / "frames"
        source.mkdir()
        for index, frame in enumerate(frames):
            cv2.imwrite(str(source / f"{index}.png"), frame)
    else:
        source = tmp_path / "video.mp4"
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 30, (320, 240))
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
        writer.release()
    record, video = tmp_path / "a.jsonl", tmp_path / "a.mp4"
    said = ("--frames",) if container == "folder" else ()
    assert run_people(source, "--bundle", bundle, "--record", record, "--video", video, *said) == 0
    lines = list(read_recording(record))
    assert len(lines) == 40
    who = {round(person["translation"][2]): set() for person in lines[0]["people"]}
    for line in lines:
        for person in line["people"]:
            who[round(person["translation"][2])].add(person["id"])
    assert sorted(map(tuple, who.values())) == [(1,), (2,)]
    assert cv2.VideoCapture(str(video)).read()[0]


def test_photographs_have_nothing_to_do_with_each_other(tmp_path: Path, bundle: Path, picture: Draw) -> None:
    folder, record = tmp_path / "photographs", tmp_path / "a.jsonl"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), picture(320, 240, red=(60, 90))[..., ::-1])
    for options, ids in (((), [1, 2, 3]), (("--frames",), [1, 1, 1]), (("--fps", "10"), [1, 1, 1])):
        assert run_people(folder, "--bundle", bundle, "--record", record, *options) == 0
        assert [line["people"][0]["id"] for line in read_recording(record)] == ids


def test_meshes_of_two_runs_are_not_mixed(
    tmp_path: Path, bundle: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meshes = tmp_path / "meshes"
    arguments = ("run", image, "--task", "people", "--bundle", bundle, "--headless", "--meshes", meshes)
    assert main([*map(str, arguments)]) == 0
    capsys.readouterr()
    for kind in ("glb", "npz"):
        assert "mesh file of an earlier run (000000.glb)" in refused(capsys, *arguments, "--mesh-format", kind)
    (meshes / "000000.glb").rename(meshes / "mine.glb")
    assert main([*map(str, arguments)]) == 0


def test_intrinsics_fov_and_parameters_only(tmp_path: Path, bundle: Path, image: Path) -> None:
    (tmp_path / "K.json").write_text(json.dumps([[300, 0, 160], [0, 300, 120], [0, 0, 1]]))
    records = {}
    for name, options in {
        "numbers": ("--intrinsics", "300,300,160,120"),
        "file": ("--intrinsics", tmp_path / "K.json"),
        "fov": ("--fov", "56.1449"),
        "less": ("--parameters-only", "--threshold", "0.5"),
    }.items():
        record = tmp_path / f"{name}.jsonl"
        assert run_people(image, "--bundle", bundle, "--record", record, *options) == 0
        (records[name],) = read_recording(record)
    for name in ("numbers", "file", "fov"):
        np.testing.assert_allclose(records[name]["intrinsics"], [[300, 0, 160], [0, 300, 120], [0, 0, 1]], atol=0.01)
    assert records["less"]["people"][0]["joints_3d"] == []
    assert "body" not in records["less"]["ms"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bundle", "hands"), "is for task `hands`, not `people`"),
        (("--bundle", "nowhere"), "no bundle `nowhere`"),
        (("--bundle", "TOY", "--intrinsics", "1,2,3"), "FX,FY,CX,CY"),
        (("--bundle", "TOY", "--intrinsics", "nowhere.json"), "nowhere.json"),
        (("--bundle", "TOY", "--intrinsics", "4x4.npy"), "[4, 4], not [3, 3]"),
        (("--bundle", "TOY", "--intrinsics", "0,500,100,100"), "above 0 px"),
        (("--bundle", "TOY", "--fov", "200"), "1 to 179"),
        (("--bundle", "TOY", "--fov", "auto"), "does not estimate the field of view"),
        (("--bundle", "TOY", "--fov", "wide"), "neither degrees nor `auto`"),
        (("--bundle", "TOY", "--fov", "60", "--intrinsics", "1,1,1,1"), "give only one"),
        (("--bundle", "TOY", "--mesh-format", "stl", "--meshes", "x"), "glb, npz, obj"),
        (("--bundle", "TOY", "--meshes", "/dev/null"), "is a file"),
        (("--bundle", "TOY", "--parameters-only", "--meshes", "x"), "--parameters-only makes no meshes"),
        (("--bundle", "TOY", "--precision", "fp8"), "it has: bf16x3, fp32"),
        (("--bundle", "TOY", "--threshold", "2"), "between 0 and 1"),
        (("--bundle", "TOY", "--smooth", "posebert"), "take oneeuro"),
        (("--bundle", "TOY", "--frames"), "only the images of a folder"),
        (("--bundle", "TOY", "--robot", "allegro_right"), "--robot: bundle `toy` does not use it"),
        (("--bundle", "TOY", "--quality", "fast"), "take `holistic`, or give --refine fast"),
        (("--bundle", "TOY", "--task", "hands", "--fov", "60"), "is for task `people`, not `hands`"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(
    options: tuple[str, ...],
    words: str,
    bundle: Path,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("4x4.npy", np.eye(4))
    given = [str(bundle) if option == "TOY" else option for option in options]
    assert words in refused(capsys, "run", image, "--task", "people", "--headless", *given)


def test_a_picture_shows_heads_and_skeletons(bundle: Path, picture: Draw) -> None:
    model = MultiHMR(bundle)
    result = PeoplePipeline(model)(Frame(picture(320, 240, red=(80, 100)), 0.0, 0))
    painter = PeoplePainter(model.faces, model.joint_names, None)
    shown = painter(result, dropped=0)
    assert shown.shape == (240, 320, 3)
    assert (shown[96:105, 76:85] != result.frame.image[96:105, 76:85]).any()
    assert bones(model.joint_names) == [(1, 0)]


def test_a_picture_shows_meshes_and_panels(bundle: Path, picture: Draw) -> None:
    from humanrt.drawing.mesh_view import MeshView
    from humanrt.errors import HumanrtError

    try:
        view = MeshView()
    except HumanrtError as error:
        pytest.skip(str(error))
    model = MultiHMR(bundle)
    image = picture(320, 240, red=(80, 60))
    pipeline = PeoplePipeline(model)
    with view:
        painter = PeoplePainter(model.faces, model.joint_names, view, ("side", "top"))
        shown = painter(pipeline(Frame(image, 0.0, 0)))
        empty = painter(pipeline(Frame(np.zeros_like(image), 0.1, 1)))
    assert shown.shape == empty.shape
    assert shown.shape[1] > 320
    below_the_head = (slice(150, 160), slice(75, 85))
    assert (shown[below_the_head] != image[below_the_head]).any()


def test_bench_people(tmp_path: Path, bundle: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "a.json"
    options = ("bench", "people", "--bundle", str(bundle), "--source", str(image), "--backend", "cpu")
    assert main([*options, "--json", str(report)]) == 0
    data = json.loads(report.read_text())
    assert {"preprocess", "network", "decode", "track", "smooth", "body", "total"} == set(data["stages"])
    assert data["people"] == 2
    assert "peak memory" in capsys.readouterr().out


def test_bench_people_by_landmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LEAST_PEOPLE_FRAMES", 2)
    report = tmp_path / "a.json"
    options = ("--bundle", "landmarks", "--repeat", "1", "--warmup", "0", "--max-frames", "2")
    assert main(["bench", "people", *options, "--json", str(report)]) == 0
    data = json.loads(report.read_text())
    assert data["bundle"] == "landmarks"
    assert data["people"] >= 1
    assert {"detect", "landmarks", "body", "total"} <= set(data["stages"])


def test_the_shipped_bundle_runs_where_none_is_named(tmp_path: Path, image: Path) -> None:
    record = tmp_path / "a.jsonl"
    assert run_people(image, "--record", record) == 0
    header = read_recording(record).header
    assert header["bundle"]["name"] == DEFAULT_BUNDLE
    assert (len(header["bones"]), len(header["joints"])) == (74, 116)
    assert header["parents"][:3] == [-1, 0, 1]
    assert np.shape(header["rest"]) == (74, 3)


def test_bench_people_needs_no_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "LEAST_PEOPLE_FRAMES", 2)
    assert main(["bench", "people", "--repeat", "1", "--warmup", "0", "--max-frames", "2"]) == 0
    said = capsys.readouterr().out
    assert "people per frame" in said
    assert " cores of " in said
