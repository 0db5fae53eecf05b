"""Truth from several views: who is who, exact recovery, rejection with reasons, and what `evaluate` reads of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from multiview_cases import SHAPE, SIZE, camera, seen_by, somebody

from humanrt.bundle import load_bundle
from humanrt.data import PEOPLE_CLIP
from humanrt.errors import HumanrtError, OutputError, SourceError
from humanrt.evaluation.calibrated import View
from humanrt.evaluation.formats import read_data
from humanrt.files import file_sha256
from humanrt.geometry.limbs import limb_indices
from humanrt.sources.opening import open_source
from humanrt_export.commands import fit as command
from humanrt_export.commands.fit import FitConfig, views_of
from humanrt_export.multiview import fitting
from humanrt_export.multiview.acceptance import Limits, halves, judge
from humanrt_export.multiview.dataset import Judged, check_out, write_data_set
from humanrt_export.multiview.fitting import FitOptions, PersonFit, PersonFitter
from humanrt_export.multiview.persons import persons_of
from humanrt_export.multiview.scene import Scene, Sightings, load_scene, observe
from shipped import shipped

ANGLES = (0.0, 1.4, 2.8, 4.4)


@pytest.fixture(scope="module")
def fitter() -> Iterator[PersonFitter]:
    with PersonFitter(load_bundle(shipped("holistic"), task="people")) as made:
        yield made


def off_mm(fit: PersonFit, joints: np.ndarray) -> np.ndarray:
    """Return how far the joints of the body are off, without fingers and toes."""
    body = [k for k, name in enumerate(fit.joint_names) if not name.startswith(("finger", "metacarpal", "toe"))]
    return np.asarray(1000 * np.linalg.norm(fit.joints[0] - joints[0], axis=-1)[body])


def test_exact_landmarks_are_fitted_exactly(fitter: PersonFitter) -> None:
    points, joints = somebody(fitter, 0, 1)
    fit = fitter.fit(seen_by([camera(angle) for angle in ANGLES], points))
    limbs = limb_indices(fit.joint_names)
    assert 1000 * np.linalg.norm(fit.joints[0, limbs] - joints[0, limbs], axis=-1).max() < 0.1
    assert off_mm(fit, joints).max() < 1.0
    assert fit.stature == pytest.approx(fitter.body.rest(SHAPE)[1], abs=5e-4)
    assert fit.shape == pytest.approx(SHAPE, abs=0.005)


@pytest.mark.parametrize(
    ("seed", "shape"),
    [(0, (0.092, 2 / 3, 0.301, 0.433, 0.398, 0.256)), (1, (0.798, 2 / 3, 0.483, 0.318, 0.448, 0.237))],
)
def test_a_search_that_stays_behind_a_kink_begins_on_its_other_side(
    fitter: PersonFitter, monkeypatch: pytest.MonkeyPatch, seed: int, shape: tuple[float, ...]
) -> None:
    points, joints = somebody(fitter, seed, 1, shape=np.array(shape))
    views = seen_by([camera(angle) for angle in ANGLES], points)
    fit = fitter.fit(views)
    assert off_mm(fit, joints).max() < 1.0
    assert fit.shape == pytest.approx(np.array(shape), abs=0.01)
    monkeypatch.setattr(fitting, "_SIDES", ())
    stays = fitter.fit(views)
    assert off_mm(stays, joints).max() > 1.0
    assert np.abs(stays.shape - np.array(shape)).max() > 0.1


def without_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting._Solver, "solve_to_the_end", lambda solver: None)


@pytest.mark.parametrize("seed", [0, 1])
def test_outliers_among_exact_landmarks_do_not_choose_the_side(
    fitter: PersonFitter, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    shape = np.array((0.404, 2 / 3, 0.4, 0.6, 0.42, 0.3))
    points, joints = somebody(fitter, seed, 1, shape=shape)
    random = np.random.default_rng(seed)
    wild = random.uniform(size=(4, 1, 33, 1)) < 0.1
    views = seen_by([camera(angle) for angle in ANGLES], points, wild * random.uniform(-150, 150, (4, 1, 33, 2)))
    after = off_mm(fitter.fit(views), joints).max()
    without_the_end(monkeypatch)
    assert after < off_mm(fitter.fit(views), joints).max() + 0.1


@pytest.mark.parametrize("count", [1, 4])
def test_landmarks_that_are_off_by_pixels_are_not_solved_to_the_end(
    fitter: PersonFitter, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    points, _ = somebody(fitter, 2, count)
    noise = np.random.default_rng(0).normal(0, 3, (4, count, 33, 2))
    views = seen_by([camera(angle) for angle in ANGLES], points, noise)
    solved: list[float] = []
    learn = fitting._Solver.learn_shape
    monkeypatch.setattr(fitting._Solver, "learn_shape", lambda solver: (solved.append(0.0), learn(solver))[1])
    fit, times = fitter.fit(views), len(solved)
    without_the_end(monkeypatch)
    before = fitter.fit(views)
    assert len(solved) == 2 * times  # nor does it cost time
    assert np.array_equal(fit.joints, before.joints)
    assert np.array_equal(fit.shape, before.shape)


def test_the_world_does_not_matter(fitter: PersonFitter) -> None:
    points, _ = somebody(fitter, 1, 1)
    cameras = [camera(angle) for angle in ANGLES]
    noise = np.random.default_rng(0).normal(0, 3, (4, 1, 33, 2))
    here = fitter.fit(seen_by(cameras, points, noise), SHAPE)
    shift = np.array([3.0, -2.0, 0.5])
    elsewhere = [View(one.name, one.video, one.K, one.R, one.T - one.R @ shift, one.size) for one in cameras]
    there = fitter.fit(seen_by(elsewhere, points + shift, noise), SHAPE)
    assert there.joints - shift == pytest.approx(here.joints, abs=2e-4)


def sightings(cameras: list[View], people: list[np.ndarray]) -> Sightings:
    """What trackers see of people [T, 33, 3], each with an identity of its own in each view."""
    rows = []
    for v, view in enumerate(cameras):
        for n, points in enumerate(people):
            flat = seen_by([view], points).pixels[0]
            rows += [(v, t, 10 * v + n, flat[t]) for t in range(len(points))]
    view, time, track, pixels = (np.array(column) for column in zip(*rows, strict=True))
    count = len(view)
    return Sightings(
        view.astype(np.int32), time.astype(np.int32), track.astype(np.int32), pixels.astype(np.float32),
        np.ones((count, 33), np.float32), np.zeros((count, 4), np.float32),
        (None,) * count,
    )  # fmt: skip


def test_people_are_told_apart_across_views(fitter: PersonFitter) -> None:
    cameras = [camera(angle) for angle in ANGLES]
    people = [
        somebody(fitter, seed, 3, place)[0] for seed, place in ((0, (0.0, 0.0)), (1, (0.9, 0.6)), (2, (-0.8, 0.4)))
    ]
    seen = sightings(cameras, people)
    scene = Scene(tuple(cameras), None, 3, 60.0)
    found = persons_of(scene, seen)
    assert len(found) == 3
    for at in found:
        assert (at >= 0).all()
        assert len(set((seen.track[at] % 10).ravel().tolist())) == 1


def test_a_moving_camera_is_views_of_one_time(fitter: PersonFitter) -> None:
    cameras = [camera(angle, str(k)) for k, angle in enumerate(np.linspace(0, 1.2, 8))]
    people = [somebody(fitter, seed, 1, place)[0] for seed, place in ((0, (0.0, 0.0)), (1, (0.9, 0.6)))]
    seen = sightings(cameras, people)
    track = np.where(seen.view < 5, seen.track % 10, 50 + seen.track % 10).astype(np.int32)  # lost, and found again
    seen = Sightings(**(vars(seen) | {"track": track}))
    found = persons_of(Scene(tuple(cameras), tuple(range(8)), 1, 30.0), seen)
    assert [at.shape for at in found] == [(8, 1), (8, 1)]
    assert all((at >= 0).all() for at in found)


@pytest.mark.slow
def test_outlines_are_kept_of_what_is_seen() -> None:
    with open_source(PEOPLE_CLIP) as source:
        height, width = next(iter(source)).image.shape[:2]
    views = [replace(camera(angle, video=PEOPLE_CLIP), size=(width, height)) for angle in (0.0, 0.1)]
    seen = observe(Scene(tuple(views), (0, 2), 1, 30.0), load_bundle(shipped("holistic"), task="people"))
    assert len(seen.outlines) == len(seen) >= 2
    assert set(seen.view.tolist()) == {0, 1}
    for outline, pixels, weight in zip(seen.outlines, seen.pixels, seen.weight, strict=True):
        assert outline is not None
        assert outline.points.dtype == outline.normals.dtype == np.float32
        assert 20 < len(outline.points) <= 120
        middle = pixels[weight > 0.5].mean(axis=0)
        low, high = outline.points.min(axis=0), outline.points.max(axis=0)
        assert ((low < middle) & (middle < high)).all()
    at = np.array([[np.flatnonzero(seen.view == k)[0]] for k in range(2)])
    kept = views_of(Scene(tuple(views), (0, 2), 1, 30.0), seen, at).outlines
    assert kept[0][0] is seen.outlines[at[0, 0]]
    assert kept[1][0] is seen.outlines[at[1, 0]]


def test_views_from_one_place_are_rejected(fitter: PersonFitter) -> None:
    points, _ = somebody(fitter, 0, 1)
    views = seen_by([camera(0.0), camera(0.03)], points)
    verdict = judge(fitter, views, fitter.fit(views, SHAPE), still=False)
    assert not verdict.accepted
    assert "degrees apart" in verdict.reasons[0]


def test_halves_of_the_views() -> None:
    assert halves(2) == []
    assert halves(3) == [(0, 1), (0, 2), (1, 2)]
    assert len(halves(4)) == 6
    assert all(len(half) >= 3 for half in halves(7))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two grey videos and their calibration."""
    folder = tmp_path_factory.mktemp("films")
    said = []
    for k, angle in enumerate(ANGLES[:2]):
        view = camera(angle, f"cam{k}")
        writer = cv2.VideoWriter(str(folder / f"cam{k}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, SIZE)
        for _ in range(2):
            writer.write(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
        writer.release()
        K = view.K.copy()
        K[:2, 2] -= 0.5
        entry = {"K": K.tolist(), "R": view.R.tolist(), "T": view.T.tolist()}
        said.append({"name": view.name, "video": f"cam{k}.mp4", "size": SIZE, **entry})
    (folder / "calibration.json").write_text(json.dumps({"cameras": said}))
    frames = [{"frame": k, **{key: one[key] for key in "KRT"}} for k, one in enumerate(said)]
    (folder / "moving.json").write_text(json.dumps({"video": "cam0.mp4", "size": SIZE, "frames": frames}))
    return folder


@pytest.mark.parametrize("kind", ["calibration.json", "moving.json"])
def test_evaluate_reads_what_was_fitted(fitter: PersonFitter, films: Path, tmp_path: Path, kind: str) -> None:
    scene = load_scene(films / kind)
    assert scene.still == (kind == "moving.json")
    points, _ = somebody(fitter, 0, scene.count)
    views = seen_by(list(scene.views), points)
    fit = PersonFitter.fit(fitter, views, SHAPE)
    verdict = judge(fitter, views, fit, still=scene.still)
    assert verdict.accepted, verdict.reasons
    out = tmp_path / "out"
    write_data_set(out, scene, [Judged(7, views, fit, verdict)], fit.joint_names, {"people": 1}, "fitted")
    assert json.loads((out / "report.json").read_text()) == {"people": 1}
    data = read_data(out, "films")
    assert not data.everybody
    assert data.about == "fitted"
    assert [clip.name for clip in data.clips] == (["cam0"] if scene.still else ["cam0", "cam1"])
    head = fit.joint_names.index("head")
    for k, shot in enumerate(data.clips[-1].shots()):
        view = scene.views[k if scene.still else -1]
        assert shot.people.ids == (7,)
        assert shot.intrinsics == pytest.approx(view.K)
        names = data.clips[0].joint_names
        assert not any(name.startswith("finger") for name in names)
        t = 0 if scene.still else k
        assert shot.people.joints[0, names.index("head")] == pytest.approx(view.camera(fit.joints[t, head]), abs=1e-3)
        if scene.still:
            assert shot.to_world is not None
            assert shot.to_world[:3, 3] == pytest.approx(view.centre)
    with pytest.raises(HumanrtError, match="give --out a new folder"):
        write_data_set(out, scene, [], fit.joint_names, {}, "")


def test_the_report_names_the_bundles_of_the_fit(
    fitter: PersonFitter, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, _ = somebody(fitter, 0, 2)

    def looked(scene: Scene, *_: object, **__: object) -> Sightings:
        load_bundle(shipped("landmarks"))  # as what observes may load others
        return sightings(list(scene.views), [points])

    monkeypatch.setattr(command, "observe", looked)
    command.run(FitConfig(views=films, out=tmp_path / "out", least=2))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["bundles"] == {
        name: file_sha256(shipped(name) / "manifest.json") for name in ("holistic", "landmarks")
    }
    assert len(report["people"]) == 1


def test_videos_of_one_name_are_refused_and_not_overwritten(films: Path, tmp_path: Path) -> None:
    said = json.loads((films / "calibration.json").read_text())
    for number, one in enumerate(said["cameras"]):
        (tmp_path / one["name"]).mkdir()
        (tmp_path / one["name"] / "film.mp4").write_bytes((films / one["video"]).read_bytes() + bytes([number]))
        one["video"] = f"{one['name']}/film.mp4"
    (tmp_path / "calibration.json").write_text(json.dumps(said))
    before = [video.read_bytes() for video in sorted(tmp_path.glob("*/film.mp4"))]
    assert before[0] != before[1]
    with pytest.raises(SourceError, match="have one name; rename one"):
        load_scene(tmp_path)
    # Also where the scene was made otherwise: a second name of a video must not become a copy of another.
    views = tuple(camera(0.0, one["name"], tmp_path / one["video"]) for one in said["cameras"])
    with pytest.raises(OutputError, match="File exists"):
        write_data_set(tmp_path / "out", Scene(views, None, 2, 30.0), [], ["head"], {}, "")
    assert [video.read_bytes() for video in sorted(tmp_path.glob("*/film.mp4"))] == before
    assert not (tmp_path / "out").exists()


def test_mistakes_are_one_line(films: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"calibration\.json: No such file"):
        load_scene(tmp_path)
    with pytest.raises(SourceError, match=r"cam0\.mp4: is a video; give --cameras colmap --stature M, or the folder"):
        load_scene(films / "cam0.mp4")
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(SourceError, match="neither `cameras` nor `frames`"):
        load_scene(tmp_path)
    said = json.loads((films / "moving.json").read_text())
    shutil.copy(films / "cam0.mp4", tmp_path)
    said["frames"] = said["frames"][:1]
    (tmp_path / "calibration.json").write_text(json.dumps(said))
    with pytest.raises(SourceError, match="two frames at least"):
        load_scene(tmp_path)
    said = json.loads((films / "calibration.json").read_text())
    said["cameras"][0]["dist"] = [-0.3, 0, 0, 0]
    for video in films.glob("*.mp4"):
        shutil.copy(video, tmp_path)
    (tmp_path / "calibration.json").write_text(json.dumps(said))
    with pytest.raises(SourceError, match="undistort its video first"):
        load_scene(tmp_path)
    for lens in (None, "wide", [1, 2, 3]):
        said["cameras"][0]["dist"] = lens
        (tmp_path / "calibration.json").write_text(json.dumps(said))
        with pytest.raises(SourceError, match="dist of cam0 is not 4, 5, 8, 12 or 14 numbers"):
            load_scene(tmp_path)
    said = json.loads((films / "moving.json").read_text())
    for frame, words in ((-1, "has frames -1 to 1, and .* 0 to 1"), (0, "in rising order")):
        said["frames"] = [said["frames"][0] | {"frame": frame}, said["frames"][1]]
        if not frame:
            said["frames"].reverse()
        (tmp_path / "calibration.json").write_text(json.dumps(said))
        with pytest.raises(SourceError, match=words):
            load_scene(tmp_path)
    said["frames"] = [said["frames"][1], said["frames"][0] | {"frame": 2}]
    (tmp_path / "calibration.json").write_text(json.dumps(said))
    with pytest.raises(SourceError, match=r"has frames 0 to 2, and .* 0 to 1"):
        load_scene(tmp_path)
    with pytest.raises(HumanrtError, match="--stature is 9 m"):
        FitConfig(views=films, out=tmp_path / "out", stature=9)
    with pytest.raises(HumanrtError, match="--limit-stability is nan; it must be 0 or more"):
        Limits(stability=float("nan"))
    with pytest.raises(HumanrtError, match="--limit-part is 2; it must be 0 or more, at most 1"):
        Limits(part=2)
    with pytest.raises(HumanrtError, match="--limit-support is 13; it must be 0 to 12 joints"):
        Limits(support=13)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"no folder can be made in .*file"):
        check_out(tmp_path / "file" / "deeper" / "out")
    assert FitOptions().rounds > 1
