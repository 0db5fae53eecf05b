"""The page in the browser: what stands on the stage is what the results say, and a real browser draws it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser", reason="viser is not installed: the extra `viewer`")

import humanrt
from command_line import refused
from humanrt.cli import main
from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.errors import MissingDependencyError
from humanrt.outputs.record import Recorder
from humanrt.outputs.tracks import Tracks
from humanrt.retarget import load_robot
from humanrt.tasks import open_hands, open_people
from humanrt.viewing.live import LiveScene
from humanrt.viewing.recorded import RecordedScene, _robots
from humanrt.viewing.stage import Stage


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recordings")
    with humanrt.open_source(PEOPLE_CLIP) as source, open_people("multihmr-anny") as people:
        humanrt.play(source, people, [Recorder(folder / "people.jsonl")], max_frames=4)
    with humanrt.open_source(CLIP) as source, humanrt.HandPipeline(robots=["allegro_right", "leap_right"]) as hands:
        humanrt.play(source, hands, [Recorder(folder / "hands.jsonl")], max_frames=4)
    return {"people": folder / "people.jsonl", "hands": folder / "hands.jsonl"}


def test_people_stand_where_the_recording_has_them(recordings: dict[str, Path]) -> None:
    with RecordedScene(recordings["people"], video=PEOPLE_CLIP, port=0) as scene:
        assert urllib.request.urlopen(scene.stage.url, timeout=10).status == 200
        tracks = humanrt.read_recording(recordings["people"]).tracks()
        joints = tracks.header["joints"]
        for k in (0, 3):
            scene.show(k)
            there = {id: one for id, one in tracks.people.items() if tracks.t[k] in one.t}
            assert set(scene.stage.people) == there.keys()
            for id, track in there.items():
                shown = scene.stage._bodies[id]
                row = int(np.flatnonzero(track.t == tracks.t[k])[0])
                for bone, name in zip(shown.mesh.bones, tracks.header["bones"], strict=True):
                    expected = track.joints[row, joints.index(name)]
                    assert np.linalg.norm(np.asarray(bone.position) - expected) < 0.05  # one shape a take
        assert scene.stage._camera.image.shape[1] == 480


def test_checkboxes_hide_and_show(recordings: dict[str, Path]) -> None:
    with RecordedScene(recordings["people"], port=0) as scene:
        shown = scene.stage._bodies[scene.stage.people[0]]
        assert (shown.mesh.visible, shown.joints.visible) == (True, False)
        scene.stage._options.meshes.value, scene.stage._options.joints.value = False, True
        scene.show(0)
        assert (shown.mesh.visible, shown.joints.visible) == (False, True)


def test_playing_moves_the_timeline(recordings: dict[str, Path]) -> None:
    with RecordedScene(recordings["people"], port=0) as scene:
        scene._playing.value = True
        scene.play(seconds=0.5)
        assert scene._timeline.value >= 0
        scene._playing.value, scene._timeline.value = False, 2
        scene.play(seconds=0.1)
        assert scene._timeline.value == 2


def test_hands_and_robots_are_shown(recordings: dict[str, Path]) -> None:
    with RecordedScene(recordings["hands"], port=0) as scene:
        assert scene.notes == ()
        assert scene.stage._robots.keys() == {"allegro_right", "leap_right"}
        before = np.array([handle.position for handle in scene.stage._robots["allegro_right"]])
        scene.show(3)
        after = np.array([handle.position for handle in scene.stage._robots["allegro_right"]])
        assert 1e-5 < np.abs(after - before).max() < 0.2
        ((joints, _),) = scene.stage._hands.values()
        (track,) = humanrt.read_recording(recordings["hands"]).tracks().hands.values()
        found = np.asarray(joints.points)
        np.testing.assert_allclose(found - found[0], track.keypoints_3d[3] - track.keypoints_3d[3][0], atol=1e-5)
        assert scene.stage._camera is None


def test_robots_that_are_not_shown_are_named() -> None:
    own = list(load_robot("allegro_right").joint_names)
    header = {"robots": {"allegro_right": own[::-1], "ur5e": list(load_robot("ur5e").joint_names), "mine": ["a"]}}
    found, notes = _robots(Tracks(header, np.zeros(0), {}, {}))
    assert found == {}
    for note, reason in zip(notes, ("joints have other names", "it is an arm", "does not ship"), strict=True):
        assert reason in note
    found, notes = _robots(Tracks({"robots": {"allegro_right": own}}, np.zeros(0), {}, {}))
    assert list(found) == ["allegro_right"]
    assert notes == ()


def test_live_results_are_shown(recordings: dict[str, Path]) -> None:
    with (
        humanrt.open_source(PEOPLE_CLIP) as source,
        open_people("multihmr-anny") as people,
        LiveScene(people.model.rig, port=0) as page,
    ):
        result = people(next(iter(source)))
        assert page.put(result, None)
        assert set(page.stage.people) == set(result.ids)
        rig = people.model.rig
        assert result.people.joints is not None
        heads = rig.bone_heads(result.people.joints)
        for k, id in enumerate(result.ids):
            places = np.array([bone.position for bone in page.stage._bodies[id].mesh.bones])
            np.testing.assert_allclose(places, heads[k], atol=1e-3)
    with humanrt.open_source(CLIP) as source, open_hands() as hands, LiveScene(port=0) as page:
        page.put(hands(next(iter(source))), None)
        assert len(page.stage._hands) == 1


def test_run_shows_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = ["run", str(CLIP), "--task", "hands", "--robot", "allegro_right", "--max-frames", "2"]
    assert main([*run, "--view", "viser", "--port", str(port)]) == 0
    assert f"shown on http://127.0.0.1:{port}" in capsys.readouterr().err


def test_mistakes_get_one_line(recordings: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port is the port of --view viser" in refused(capsys, "run", CLIP, "--headless", "--port", "1")
    assert "contradict" in refused(capsys, "run", CLIP, "--headless", "--view", "window")
    assert "invalid choice" in refused(capsys, "run", CLIP, "--view", "tv")
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"humanrt": "0"}\n')
    assert "nobody in it" in refused(capsys, "view", empty)
    assert "cannot be read" in refused(capsys, "view", tmp_path / "missing.jsonl")
    assert "missing.mp4" in refused(capsys, "view", recordings["people"], "--video", tmp_path / "missing.mp4")


def test_without_viser_the_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingDependencyError, match=r"humanrt\[viewer\]"):
        Stage(0)


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium: `apt install chromium`")
    return found


@pytest.mark.slow
def test_a_real_browser_draws_the_people(chromium: str, recordings: dict[str, Path], tmp_path: Path) -> None:
    import cv2

    with RecordedScene(recordings["people"], video=PEOPLE_CLIP, port=0) as scene:

        def coloured() -> int:
            file = tmp_path / "page.png"
            options = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
            options += ["--window-size=1000,700", "--virtual-time-budget=15000", f"--screenshot={file}"]
            subprocess.run([chromium, *options, scene.stage.url], check=True, capture_output=True, timeout=180)
            picture = cv2.imread(str(file)).astype(int)
            return int((np.ptp(picture[:, :660], axis=2) > 60).sum())  # px: the page itself is grey

        with_people = coloured()
        scene.stage._options.meshes.value = scene.stage._options.picture.value = False
        scene.show(0)
        assert with_people > 2000
        assert coloured() < with_people / 2
