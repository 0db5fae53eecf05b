"""People of single frames, smoothed: calmer, still where they are, one shape, short gaps filled in and marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import refused
from humanrt import MultiHMR, PeoplePipeline
from humanrt.bundle import load_bundle
from humanrt.cli import main
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.outputs.record import read_recording
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.results import People
from humanrt.people.smoothed_pipeline import BLEND
from humanrt.people.smoother import OneEuroPeople, PeopleSmootherOptions
from humanrt.people.smoothers import SMOOTHERS, open_smoother
from humanrt.people.tracking import Identities
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.sources.opening import Frame
from shipped import shipped

K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
SIZE = (640, 480)
RATE = 30.0


def people(
    heads: Sequence[Sequence[float]], *, turn: Any = 0.0, shape: Any = 0.5, camera: Any = K, score: float = 0.9
) -> People:
    """People whose heads are at [N, 3] m."""
    translations = np.asarray(heads, np.float32).reshape(-1, 3)
    count = len(translations)
    vectors = np.broadcast_to(np.asarray(turn), (count, 4, 3)) * [0.3, 1.0, -0.2]
    return People(
        scores=np.full(count, score, np.float32),
        locations=project(translations, camera).astype(np.float32),
        translations=translations,
        rotations=matrices_from_vectors(vectors).astype(np.float32),
        shape=np.broadcast_to(np.asarray(shape, np.float32), (count, 6)).copy(),
        expression=np.zeros((count, 2), np.float32),
        intrinsics=camera,
    )


def test_who_is_unconfirmed_stays_so_and_who_is_filled_in_is_not() -> None:
    smoother = OneEuroPeople()
    both = replace(people([[0.5, -0.2, 3], [-1, 0.1, 5]]), unconfirmed=np.array([False, True]))
    for number in range(5):
        result = smoother(both, Identities((1, 2)), number / RATE, SIZE)
        assert result.people.unconfirmed is not None
        assert result.people.unconfirmed.tolist() == [False, True]
    missed = smoother(both.chosen(np.array([False, True])), Identities((2,)), 5 / RATE, SIZE)
    assert missed.ids == (2, 1)
    assert missed.people.unconfirmed is not None
    assert missed.people.unconfirmed.tolist() == [True, False]
    assert people([[0.5, -0.2, 3]]).chosen(np.array([True])).unconfirmed is None


def test_the_first_frame_and_people_who_stand_still_are_as_they_were() -> None:
    smoother = OneEuroPeople()
    one = people([[0.5, -0.2, 3], [-1, 0.1, 5]], turn=0.4)
    for number in range(40):
        result = smoother(one, Identities((1, 2)), number / RATE, SIZE)
        assert result.ids == (1, 2)
        assert not result.filled
        for name in ("translations", "rotations", "locations", "shape", "scores", "intrinsics"):
            np.testing.assert_allclose(getattr(result.people, name), getattr(one, name), rtol=1e-5, atol=1e-5)
    assert result.people.vertices is None


def test_trembling_falls_and_most_in_depth() -> None:
    rng = np.random.default_rng(0)
    smoother = OneEuroPeople()
    raw, smooth, turns, shapes = [], [], [], []
    for number in range(120):
        z = 4 * np.exp(rng.normal(0, 0.03))
        one = people([[0.2 * z / 4, rng.normal(0, 0.004), z]], turn=rng.normal(0, 0.03), shape=rng.normal(0.5, 0.1, 6))
        result = smoother(one, Identities((7,)), number / RATE, SIZE).people
        raw.append(one.translations[0])
        smooth.append(result.translations[0])
        turns.append((one.rotations[0], result.rotations[0]))
        shapes.append(result.shape[0])
    rough, calm = (np.abs(np.diff(np.array(path)[60:], 2, axis=0)).mean(0) for path in (raw, smooth))
    assert (calm < rough / 3).all()
    assert calm[2] < rough[2] / 8
    np.testing.assert_allclose(np.mean(smooth[60:], axis=0), [0.2, 0, 4], atol=0.05)
    a, b = (np.array([pair[k] for pair in turns[60:]]) for k in (0, 1))
    assert np.abs(np.diff(b, 2, axis=0)).mean() < np.abs(np.diff(a, 2, axis=0)).mean() / 3
    assert np.std(shapes[60:], axis=0).max() < 0.01


def test_what_the_network_takes_the_camera_for_moves_nobody() -> None:
    """The focal length that it estimates trembles, and every depth with it: the picture does not change."""
    rng = np.random.default_rng(1)
    smoother = OneEuroPeople()
    depths, focal = [], []
    for number in range(90):
        factor = np.exp(rng.normal(0, 0.05))
        camera = np.where(np.eye(3, dtype=bool) & (K > 1), K * factor, K)
        result = smoother(people([[0.4, 0.1, 4 * factor]], camera=camera), Identities((1,)), number / RATE, SIZE).people
        at = project(result.translations, result.intrinsics)
        np.testing.assert_allclose(at, result.locations, atol=0.01)
        np.testing.assert_allclose(at, [[370, 252.5]], atol=0.01)
        depths.append(float(result.translations[0, 2]))
        focal.append(result.intrinsics[0, 0])
    np.testing.assert_allclose(np.array(depths) / focal, 4 / 500, rtol=1e-5)
    assert np.abs(np.diff(focal[45:])).max() < 2


def walk(smoother: OneEuroPeople, seen: Sequence[bool], speed: float = 1.0) -> list[Any]:
    """Results of a person who walks to the right, missed in some frames."""
    results = []
    for number, found in enumerate(seen):
        t = number / RATE
        one = people([[-1 + speed * t, 0, 4]] if found else [], turn=t)
        results.append(smoother(one, Identities((3,) if found else ()), t, SIZE))
    return results


def test_a_gap_is_filled_in_marked_and_goes_on_moving() -> None:
    results = walk(OneEuroPeople(), [True] * 20 + [False] * 5 + [True] * 5)
    for result in results[20:25]:
        assert result.ids == (3,)
        assert result.filled == {3}
        assert result.people.scores.tolist() == [0]
        np.testing.assert_allclose(project(result.people.translations, K), result.people.locations, atol=0.01)
    xs = [float(result.people.translations[0, 0]) for result in results]
    assert xs[20] - xs[19] > 0.01
    assert np.diff(xs[19:25]).min() > 0
    assert not results[25].filled
    assert results[25].people.scores[0] == np.float32(0.9)


def test_a_gap_ends_and_a_single_find_leaves_no_ghost() -> None:
    filled = [len(result.filled) for result in walk(OneEuroPeople(), [True] * 20 + [False] * 20)]
    assert filled == [0] * 20 + [1] * 9 + [0] * 11  # 0.33 s at 30 frames a second
    for seen, most in ((1, 0), (3, 2)):
        assert sum(len(result.filled) for result in walk(OneEuroPeople(), [True] * seen + [False] * 20)) == most
    nothing = OneEuroPeople(PeopleSmootherOptions(fill_seconds=0.0))
    assert not any(result.filled for result in walk(nothing, [True] * 20 + [False] * 20))


def test_nobody_is_filled_in_for_no_time_at_all() -> None:
    """Two frames of one time stamp, as of two threads' looks: no time has gone by, and none is given."""
    smoother = OneEuroPeople(BLEND)
    both = people([[0, 0, 3], [1, 0, 3]])
    assert smoother(both, Identities((1, 2)), 1.0, SIZE).ids == (1, 2)
    one = both.chosen(np.array([True, False]))
    smoothed = smoother(one, Identities((1,)), 1.0, SIZE)
    assert smoothed.ids == (1,)
    assert not smoothed.filled


def test_who_leaves_the_picture_is_not_filled_in() -> None:
    smoother = OneEuroPeople()
    for number in range(30):
        t = number / RATE
        smoother(people([[1.55 + t, 0, 4]]), Identities((1,)), t, SIZE)
    ends = [smoother(people([]), Identities(()), 1 + k / RATE, SIZE) for k in range(1, 8)]
    assert ends[0].filled
    assert not ends[-1].filled


@pytest.mark.parametrize("how", ["lost", "cut", "rewound", "reset", "size"])
def test_state_ends_with_its_identity_and_its_scene(how: str) -> None:
    smoother = OneEuroPeople()
    for number in range(20):
        smoother(people([[0, 0, 3]], turn=0.1, shape=0.2), Identities((1,)), number / RATE, SIZE)
    new = people([[1, 0.5, 6]], turn=1.5, shape=0.9)
    ids = (2,) if how == "lost" else (1,)
    if how == "reset":
        smoother.reset()
    result = smoother(
        new,
        Identities(ids, (1,) if how == "lost" else ()),
        0.0 if how == "rewound" else 21 / RATE,
        (800, 600) if how == "size" else SIZE,
        cut=how == "cut",
    )
    assert result.ids == ids
    for name in ("translations", "rotations", "shape"):
        np.testing.assert_allclose(getattr(result.people, name), getattr(new, name), rtol=1e-5, atol=1e-5)


def test_identities_do_not_mix() -> None:
    """Two who swap their places in the list are each smoothed with their own past."""
    alone, together = OneEuroPeople(), OneEuroPeople()
    rng = np.random.default_rng(4)
    for number in range(30):
        t = number / RATE
        a, b = ([0.01 * number + rng.normal(0, 0.01), 0, 3], [1 - 0.02 * number, 0.3, 5 + rng.normal(0, 0.1)])
        order = (0, 1) if number % 2 else (1, 0)
        both = together(people([(a, b)[k] for k in order]), Identities(tuple(k + 1 for k in order)), t, SIZE)
        one = alone(people([a]), Identities((1,)), t, SIZE)
        np.testing.assert_allclose(both.people.translations[both.ids.index(1)], one.people.translations[0], atol=1e-6)


def test_options_and_names_are_checked() -> None:
    for options, words in (
        ({"fill_seconds": -1.0}, "fill_seconds"),
        ({"coast_seconds": 0.0}, "coast_seconds"),
        ({"rotations": 3.0}, "rotations must be OneEuroOptions"),
    ):
        with pytest.raises(ValueError, match=words):
            PeopleSmootherOptions(**options)
    bundle = load_bundle(shipped("multihmr-anny"))
    assert open_smoother(bundle, "none") is None
    opened = open_smoother(bundle)
    assert opened is not None
    assert opened.name == next(iter(SMOOTHERS))
    with pytest.raises(HumanrtError, match=r"kalman.*one of: none, oneeuro, posebert"):
        open_smoother(bundle, "kalman")


def test_posebert_is_opened_with_the_weights_that_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path))
    opened = open_smoother(load_bundle(shipped("multihmr-anny")), "posebert")
    assert isinstance(opened, PoseBertPeople)
    opened.close()


def frames(picture: Callable[..., Any], missed: Sequence[int] = ()) -> list[Frame]:
    rng = np.random.default_rng(0)
    images = [
        picture(320, 240, **({} if i in missed else {"red": (80 + 2 * i + rng.integers(-2, 3), 100)}), blue=(240, 100))
        for i in range(40)
    ]
    return [Frame(image, i / RATE, i) for i, image in enumerate(images)]


@pytest.mark.parametrize("meshes", [True, False])
def test_the_pipeline_smooths_and_poses_once(
    toy_bundle: Callable[..., Path], picture: Callable[..., Any], meshes: bool
) -> None:
    images = frames(picture, missed=(25, 26))
    raw = [PeoplePipeline(MultiHMR(toy_bundle()))(frame) for frame in images]
    with PeoplePipeline(MultiHMR(toy_bundle(batch=2), meshes=meshes), smoother=OneEuroPeople()) as pipeline:
        assert pipeline.about()["smooth"] == "oneeuro"
        results = [pipeline(frame) for frame in images]
    rough, calm = (
        np.abs(np.diff([one.people.translations[one.ids.index(1), 0] for one in some[:25]], 2)).mean()
        for some in (raw, results)
    )
    assert calm < rough / 2
    for number, result in enumerate(results):
        assert result.filled == ({1} if number in (25, 26) else frozenset())
        assert list(result.ms)[-3 if meshes else -2 :] == ["smooth", *(["body"] if meshes else []), "total"]
        assert (result.people.vertices is not None) == meshes
        if meshes:
            head = result.people.translations
            np.testing.assert_allclose(result.people.joints[:, 0], head, atol=1e-6)
            np.testing.assert_allclose(
                result.people.joints_2d, project(result.people.joints, result.people.intrinsics), atol=1e-3
            )


def test_smoothing_of_overlapping_frames_is_that_of_single_ones(
    gpu: Any, toy_bundle: Callable[..., Path], picture: Callable[..., Any]
) -> None:
    images = frames(picture, missed=(25,))
    with (
        gpu("tensorrt") as backend,
        MultiHMR(toy_bundle(), backend) as model,
        PeoplePipeline(MultiHMR(toy_bundle()), smoother=OneEuroPeople()) as cpu,
    ):
        expected = [cpu(frame) for frame in images]
        found = list(PeoplePipeline(model, overlap=True, smoother=OneEuroPeople()).stream(iter(images)))
        for one, other in zip(found, expected, strict=True):
            assert (one.ids, one.filled) == (other.ids, other.filled)
            for name in ("translations", "vertices", "joints_2d"):
                np.testing.assert_allclose(getattr(one.people, name), getattr(other.people, name), atol=1e-3)
        assert len(model(images[0].image)) == 2
        assert model(images[0].image).vertices is not None


def test_any_number_of_people_is_posed(toy_bundle: Callable[..., Path]) -> None:
    """More than the network has slots: some may be filled in."""
    with MultiHMR(toy_bundle()) as model, MultiHMR(toy_bundle(), meshes=False) as bare:
        for count in (0, 1, 3, 7):
            rotations = np.broadcast_to(np.eye(3, dtype=np.float32), (count, 2, 3, 3)).copy()
            some = replace(
                people([[k, 0, 3 + k] for k in range(count)]),
                rotations=rotations,
                shape=np.zeros((count, 4), np.float32),
                expression=np.zeros((count, 1), np.float32),
            )
            posed = model.posed(some)
            assert posed.vertices is not None
            assert posed.vertices.shape == (count, 4, 3)
            np.testing.assert_allclose(posed.joints[:, 0], some.translations)
            assert bare.posed(some) is some


def test_the_command(
    tmp_path: Path, toy_bundle: Callable[..., Path], picture: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    source = tmp_path / "frames"
    source.mkdir()
    for frame in frames(picture, missed=(25, 26)):
        cv2.imwrite(str(source / f"{frame.index:02}.png"), frame.image[..., ::-1])
    command = ["run", source, "--task", "people", "--headless", "--frames", "--bundle", toy_bundle()]
    filled = {}
    for smooth in ("oneeuro", "none"):
        record = tmp_path / f"{smooth}.jsonl"
        assert main([*map(str, command), "--smooth", smooth, "--record", str(record)]) == 0
        recording = read_recording(record)
        assert recording.header["smooth"] == smooth
        filled[smooth] = [
            line["frame"] for line in recording for one in line["people"] if one.get("filled") and one["score"] == 0
        ]
    assert filled == {"oneeuro": [25, 26], "none": []}
    capsys.readouterr()
    assert "take oneeuro" in refused(capsys, *command, "--smooth", "posebert")  # nobody knows the toy's bones


def test_parameters_of_the_filter_are_those_of_one_euro() -> None:
    still = PeopleSmootherOptions(rotations=OneEuroOptions(1e3, 0, 1), position=OneEuroOptions(1e3, 0, 1))
    results = walk(OneEuroPeople(still), [True] * 10)
    np.testing.assert_allclose(results[-1].people.translations[0, 0], -1 + 9 / RATE, atol=1e-3)
