"""``humanrt index`` and ``humanrt find``, from recordings to lines and a sheet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import refused
from humanrt.cli import main
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import VideoSink
from humanrt.search.descriptor import describe
from humanrt.search.store import PoseIndex
from humanrt.sources.opening import open_source

UPRIGHT = np.diag([1.0, -1.0, -1.0])
STANDING: dict[str, tuple[float, float, float]] = {}
RAISED = {"left_shoulder": (0.0, 0.0, 80.0)}
KNEELING = {"left_knee": (90.0, 0.0, 0.0), "right_knee": (90.0, 0.0, 0.0)}


def pose(turned: dict[str, tuple[float, float, float]], heading: float = 0.0) -> np.ndarray:
    vectors = np.zeros((22, 3))
    for name, degrees in turned.items():
        vectors[SMPLX_BODY.index(name)] = np.radians(degrees)
    found = matrices_from_vectors(vectors)
    found[0] = UPRIGHT @ matrices_from_vectors(np.radians([0.0, heading, 0.0])) @ found[0]
    return found


def record(
    path: Path, *people: tuple[int, list[np.ndarray]], filled: tuple[int, ...] = (), source: str | None = None
) -> Path:
    """Write a recording at 10 fps of people who are there in all frames."""
    with Recorder(
        path, {"humanrt": "0", "body": "smplx"} | ({} if source is None else {"source": source})
    ) as recording:
        for frame in range(len(people[0][1])):
            records: list[dict[str, Any]] = []
            for identity, poses in people:
                person = {"id": identity, "score": 1.0, "head_2d": [0.0, 0.0], "translation": [0.0, 0.0, 2.0]}
                person |= {"rotations": vectors_from_matrices(poses[frame]), "shape": [], "expression": []}
                person |= {"joints_3d": [], **({"filled": True} if frame in filled else {})}
                records.append(person)
            recording.write({"frame": frame, "t": frame / 10, "hands": [], "people": records})
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two recordings in a folder, and a log beside them as `humanrt batch` leaves it."""
    folder = tmp_path / "recordings"
    (folder / "deeper").mkdir(parents=True)
    standing, raised, kneeling = pose(STANDING), pose(RAISED, 70), pose(KNEELING, -130)
    record(folder / "one.jsonl", (1, [standing] * 20 + [raised] * 10 + [standing] * 20), (4, [standing] * 50))
    record(folder / "deeper" / "two.jsonl", (7, [kneeling] * 15 + [standing] * 15), filled=(3, 4))
    (folder / "batch.jsonl").write_text('{"file": "a.mp4", "state": "done"}\n')
    return folder


def saved(path: Path, turned: dict[str, tuple[float, float, float]], heading: float = 0.0) -> Path:
    np.savez(path, rotations=pose(turned, heading), joint_names=np.array(SMPLX_BODY))
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_archive_is_searched_by_a_pose(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "poses.index"
    assert main(["index", str(archive), "--out", str(index)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{index}: 128 poses of 2 files"  # 2 were filled in
    # The same command again finds nothing to do.
    assert main(["index", str(archive), "--out", str(index)]) == 0
    assert capsys.readouterr().out == f"{index}: 128 poses of 2 files\n"

    raised = str(saved(tmp_path / "raised.npz", RAISED, heading=200))
    assert main(["find", str(index), "--pose", raised, "--top", "1"]) == 0
    (hit,) = lines(capsys)
    assert (hit["file"], hit["id"], hit["distance"], hit["score"]) == (str(archive / "one.jsonl"), 1, 0.0, 1.0)
    assert (hit["from"], hit["to"]) == (2.0, 2.9)
    assert 2.0 <= hit["t"] <= 2.9
    assert hit["frame"] == round(10 * hit["t"])

    assert main(["find", str(index), "--pose", f"{archive / 'deeper' / 'two.jsonl'}:6", "--top", "2"]) == 0
    first, second = lines(capsys)
    assert (Path(first["file"]).name, first["id"], first["from"], first["to"]) == ("two.jsonl", 7, 0.0, 1.4)
    assert second["distance"] > first["distance"] + 0.1
    assert second["score"] < first["score"]


def test_filters_and_the_mirror_image(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = str(tmp_path / "poses.index")
    main(["index", str(archive), "--out", index])
    standing = str(saved(tmp_path / "standing.npz", STANDING))
    capsys.readouterr()
    main(["find", index, "--pose", standing, "--person", "4", "--begin", "1", "--end", "2"])
    (hit,) = lines(capsys)
    assert (hit["id"], hit["from"], hit["to"]) == (4, 1.0, 2.0)
    main(["find", index, "--pose", standing, "--file", "two*"])
    assert {Path(one["file"]).name for one in lines(capsys)} == {"two.jsonl"}

    right = mirrored(pose(RAISED))[list(other_sides(SMPLX_BODY))]
    np.savez(tmp_path / "right.npz", rotations=right, joint_names=np.array(SMPLX_BODY))
    main(["find", index, "--pose", str(tmp_path / "right.npz"), "--top", "1"])
    (as_it_is,) = lines(capsys)
    main(["find", index, "--pose", str(tmp_path / "right.npz"), "--top", "1", "--mirrored"])
    (either,) = lines(capsys)
    assert as_it_is["distance"] > 0.1
    assert (either["distance"], either["from"]) == (0.0, 2.0)


def test_a_changed_recording_replaces_its_poses(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "poses.index"
    main(["index", str(archive), "--out", str(index)])
    record(archive / "one.jsonl", (1, [pose(STANDING)] * 5))
    main(["index", str(archive), "--out", str(index)])
    assert capsys.readouterr().out.splitlines()[-1] == f"{index}: 33 poses of 2 files"
    main(["find", str(index), "--pose", str(saved(tmp_path / "raised.npz", RAISED)), "--top", "1"])
    (hit,) = lines(capsys)
    assert hit["distance"] > 0.1
    assert len(PoseIndex(index)) == 133


def test_a_broken_file_costs_only_itself(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (archive / "bad.jsonl").write_text('{"humanrt": "0"}\n{"frame": 0}\n')
    with Recorder(archive / "empty.jsonl", {"humanrt": "0"}) as recording:
        recording.write({"frame": 0, "t": 0.0, "hands": [], "people": []})
    assert main(["index", str(archive), "--out", str(tmp_path / "poses.index")]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].endswith(": 128 poses of 2 files")
    problems = said.err.splitlines()
    assert len(problems) == 3
    assert "bad.jsonl: frame 0" in problems[0]
    assert "empty.jsonl: no people in any frame" in problems[1]
    assert problems[2].startswith(f"humanrt index: left out: {archive / 'bad.jsonl'}, {archive / 'empty.jsonl'};")


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b'{"humanr', b"[]\n"])
def test_a_file_that_is_no_recording_any_more_is_named(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (archive / "cut.jsonl").write_bytes(content)
    (archive / "batch.jsonl").write_text('{"file": "one.mp4", "state": "done"}\n')
    assert main(["index", str(archive), "--out", str(tmp_path / "poses.index")]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].endswith(": 128 poses of 2 files")
    assert "cut.jsonl" in said.err.splitlines()[0]
    assert "cut.jsonl; see above" in said.err.splitlines()[-1]
    assert "batch.jsonl" not in said.err


def test_the_sheet_shows_the_query_and_the_hits(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, sheet = str(tmp_path / "poses.index"), tmp_path / "hits.png"
    main(["index", str(archive), "--out", index])
    raised = str(saved(tmp_path / "raised.npz", RAISED))
    main(["find", index, "--pose", raised, "--top", "2", "--sheet", str(sheet)])
    picture = cv2.imread(str(sheet))
    width = picture.shape[1] // 3
    query, hit, other = (picture[:200, place * width : (place + 1) * width] for place in range(3))
    assert (query < 200).any()
    assert abs(query.astype(int) - hit).mean() < abs(query.astype(int) - other).mean()
    said = refused(capsys, "find", index, "--pose", raised, "--sheet", tmp_path / "hits.txt")
    assert "a sheet is a picture" in said


def test_movements_are_put_in_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = np.stack([pose(STANDING), pose(RAISED), pose(KNEELING)])
    np.savez(tmp_path / "move.npz", rotations=poses, joint_names=np.array(SMPLX_BODY), fps=30.0)
    assert main(["index", str(tmp_path / "move.npz"), "--out", str(tmp_path / "poses.index")]) == 0
    raised = str(saved(tmp_path / "raised.npz", RAISED))
    capsys.readouterr()
    main(["find", str(tmp_path / "poses.index"), "--pose", raised, "--top", "1"])
    (hit,) = lines(capsys)
    assert (hit["frame"], hit["t"]) == (1, 0.0333)


def test_what_cannot_be_done_is_one_line(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, pose_file = tmp_path / "poses.index", saved(tmp_path / "raised.npz", RAISED)
    (tmp_path / "nothing").mkdir()
    assert "no recordings below it" in refused(capsys, "index", tmp_path / "nothing", "--out", index)
    assert "no such file or folder" in refused(capsys, "index", tmp_path / "absent.jsonl", "--out", index)
    assert "no index of poses" in refused(capsys, "find", tmp_path / "absent", "--pose", pose_file)
    main(["index", str(archive), "--out", str(index)])
    capsys.readouterr()
    assert "give WORDS, --pose FILE or --image FILE" in refused(capsys, "find", index)
    assert "--bundle reads the picture" in refused(capsys, "find", index, "--pose", pose_file, "--bundle", "landmarks")
    both = ["up", "--image", tmp_path / "x.jpg", "--box", "0,0,9,9", "--bundle", "holistic"]
    assert "--box says where" in refused(capsys, "find", index, *both)
    assert "top must be at least 1" in refused(capsys, "find", index, "--pose", pose_file, "--top", "0")
    assert "not a pose" in refused(capsys, "find", index, "--pose", archive / "one.jsonl")
    assert "something other than an index" in refused(capsys, "index", archive, "--out", archive)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--begin", "5", "--end", "2"], "begin (5 s) is after end (2 s)"),
        (["--media", "."], "--media is of the pictures of --sheet and --clips"),
        (["--margin", "2"], "--margin is of --clips"),
        (["--sheet", "hits.txt"], "a sheet is a picture"),
        (["--clips", "raised.npz"], "is a file; name a folder"),
    ],
)
def test_nothing_is_searched_for_what_cannot_be_shown(
    options: list[str],
    message: str,
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "raised.npz", RAISED)
    main(["index", str(archive), "--out", "poses.index"])
    capsys.readouterr()
    assert main(["find", "poses.index", "--pose", "raised.npz", *options]) == 2
    said = capsys.readouterr()
    assert (said.out, message in said.err) == ("", True)


def test_a_search_without_an_answer_says_why(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, pose_file = str(tmp_path / "poses.index"), str(saved(tmp_path / "raised.npz", RAISED))
    main(["index", str(archive), "--out", index])
    capsys.readouterr()
    assert main(["find", index, "--pose", pose_file, "--person", "77", "--end", "3"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "nothing found; no pose passes --person, --end" in said.err


def film(path: Path, frames: int) -> Path:
    """Write a video at 10 fps with a bar whose place tells the frame's number."""
    with VideoSink(path, 10.0, codec="mp4v") as sink:
        for frame in range(frames):
            picture = np.zeros((200, 400, 3), np.uint8)
            picture[:, 8 * frame : 8 * frame + 8] = 255
            sink.write(picture, frame / 10)
    return path


def numbers(pictures: Iterable[np.ndarray]) -> list[int]:
    """Read the numbers of the frames from a `film`'s pictures [H, 400, 3]."""
    return [int(picture.mean(axis=(0, 2)).reshape(50, 8).mean(axis=1).argmax()) for picture in pictures]


def test_events_are_cut_from_the_videos(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, clips, sheet = str(tmp_path / "poses.index"), tmp_path / "clips", tmp_path / "hits.png"
    video = film(tmp_path / "one.mp4", 50)
    record(
        archive / "one.jsonl",
        (1, [pose(STANDING)] * 20 + [pose(RAISED)] * 10 + [pose(STANDING)] * 20),
        source=str(video),
    )
    main(["index", str(archive), "--out", index])
    raised = str(saved(tmp_path / "raised.npz", RAISED))
    find = ["find", index, "--pose", raised, "--file", "one*", "--top", "1", "--margin", "0.5", "--clips", str(clips)]
    capsys.readouterr()
    assert main([*find, "--sheet", str(sheet)]) == 0
    (hit,) = lines(capsys)
    (clip,) = clips.iterdir()
    assert clip.name == f"01_one_id1_{hit['t']:.2f}s.mp4"
    with open_source(clip) as source:
        assert numbers(frame.image for frame in source) == list(
            range(15, 35)
        )  # half a second on either side of the hit
    assert numbers([cv2.imread(str(sheet))[60:160, 400:]]) == [hit["frame"]]

    # A video that was moved is found in the folder that --media names, and refused by name where it is not.
    (tmp_path / "moved").mkdir()
    video.rename(tmp_path / "moved" / "one.mp4")
    assert "one.mp4 is not where it was recorded" in refused(capsys, *find)
    assert main([*find, "--media", str(tmp_path / "moved")]) == 0
    both = ["find", index, "--pose", raised, "--top", "2", "--media", str(tmp_path / "moved")]
    assert "two.jsonl: does not say from which video" in refused(capsys, *both, "--clips", clips)
    assert main([*both, "--sheet", str(sheet)]) == 0  # it says so in its cell
    film(tmp_path / "moved" / "one.mp4", 10)
    assert "ends before 2.00 s" in refused(capsys, *find, "--media", tmp_path / "moved")


def test_vectors_are_exported_for_other_programs(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index, out = str(tmp_path / "poses.index"), tmp_path / "vectors"
    main(["index", str(archive), "--out", index])
    capsys.readouterr()
    assert main(["find", index, "--export", str(out), "--file", "one*", "--begin", "1"]) == 0
    assert capsys.readouterr().out == f"{out}: 80 vectors\n"
    vectors = np.load(out / "vectors.npy", mmap_mode="r")
    payload = [json.loads(line) for line in (out / "payload.jsonl").read_text().splitlines()]
    about = json.loads((out / "about.json").read_text())
    assert (vectors.shape, len(payload)) == ((80, 57), 80)
    assert about == {"descriptor": "points-1", "dimensions": 57, "rows": 80, "metric": "euclidean"}
    assert min(one["t"] for one in payload) == 1.0
    # Searched by what any vector database does, it gives what `find` gives.
    query = describe(pose(RAISED))
    best = int(np.linalg.norm(vectors - query, axis=1).argmin())
    assert (payload[best]["file"], payload[best]["person"]) == (str(archive / "one.jsonl"), 1)
    assert 2.0 <= payload[best]["t"] <= 2.9
    np.testing.assert_array_equal(vectors, PoseIndex(index).vectors[[one["id"] for one in payload]])
    assert "is there already" in refused(capsys, "find", index, "--export", out)
    for option in (["--mirrored"], ["--top", "3"], ["--media", "."], ["--gap", "0"], ["--embedder", "x"]):
        message = refused(capsys, "find", index, "--export", tmp_path / "x", *option)
        assert f"{option[0]} is of a search" in message or "--media" in message
    assert "searches nothing" in refused(capsys, "find", index, "--export", tmp_path / "x", "--pose", "take.jsonl:1")
