"""Pictures of people: labels are the renderer's, samples come from their seed, scenes are what they say they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from humanrt.errors import HumanrtError, MissingDependencyError, SourceError
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.model import cached_file, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.motion.body_fk import forward
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.body_model import GARMENTS, load_body
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine, PeopleSample
from humanrt_export.synthetic.people.backdrop import KINDS, Backdrops
from humanrt_export.synthetic.people.film import draw_film, shoot_film
from humanrt_export.synthetic.people.poses import PoseSource, anny_rotations
from humanrt_export.synthetic.people.scene import apart, spheres
from humanrt_export.synthetic.people.sheet import labelled, sheet
from humanrt_export.synthetic.people.still import camera_file, draw_still
from humanrt_export.synthetic.people.style import find_style
from humanrt_export.synthetic.people.view import look_at

SEED = 11
INDICES = range(6)


@pytest.fixture(scope="module")
def engine() -> Iterator[PeopleEngine]:
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    if not cached_file("full").is_file():
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    try:
        with PeopleEngine(EngineOptions(size=96, seed=SEED)) as engine:
            yield engine
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def samples(engine: PeopleEngine) -> list[PeopleSample]:
    return [engine.sample(index) for index in INDICES]


def moving(frames: int = 40) -> Motion:
    """Somebody who lifts an arm."""
    vectors = np.zeros((frames, 24, 3))
    vectors[:, SMPL_24.index("left_shoulder"), 2] = np.linspace(-1, 1, frames)
    return Motion(30.0, np.tile([0.0, 0.95, 0.0], (frames, 1)), matrices_from_vectors(vectors), "made up", "lift", "00")


def equal(a: PeopleSample, b: PeopleSample) -> bool:
    labels = all(np.array_equal(getattr(a.people, f.name), getattr(b.people, f.name)) for f in fields(a.people))
    return labels and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("image", "mask", "depth", "intrinsics")
    )


# --------------------------------------------------------------------------------------------- labels


def test_labels_have_their_shapes(samples: list[PeopleSample]) -> None:
    joints = len(load_anny("10pc").joint_names)
    assert sum(len(sample.people) for sample in samples) >= 4
    for sample in samples:
        people, count = sample.people, len(sample.people)
        assert sample.image.shape == (96, 96, 3)
        assert sample.image.dtype == sample.mask.dtype == np.uint8
        assert sample.depth.dtype == np.float16
        assert people.rotations.shape == (count, len(ACTIVE), 3, 3)
        assert people.shape.shape == (count, len(PHENOTYPES))
        assert people.joints.shape == (count, joints, 3)
        assert people.joints_2d.shape == (count, joints, 2)
        assert all(getattr(people, field.name).dtype == np.float32 for field in fields(people))
        assert ((people.visible > 0) & (people.visible <= 1)).all()
        assert set(np.unique(sample.mask)) == {*range(1, count + 1), 0} - ({0} - set(np.unique(sample.mask)))
        assert (np.diff(people.translation[:, 2]) >= 0).all()
        np.testing.assert_array_equal(sample.depth > 0, sample.mask > 0)


def test_the_body_model_makes_the_labels(samples: list[PeopleSample]) -> None:
    """Rotations, shape and translation, as the network says them, give joints, and these give pixels."""
    body = load_body("10pc").body
    head = load_anny("10pc").joint_names.index("head")
    for sample in samples:
        people = sample.people
        if len(people):
            with torch.inference_mode():
                arguments = (people.rotations, people.shape, people.translation)
                made = body(*(torch.from_numpy(value) for value in arguments)).joints.numpy()
            np.testing.assert_allclose(people.joints, made, atol=2e-5)
            np.testing.assert_allclose(people.joints[:, head], people.translation, atol=1e-6)
            np.testing.assert_allclose(people.joints_2d, project(people.joints, sample.intrinsics), atol=2e-3)
            unit = people.rotations @ people.rotations.swapaxes(-1, -2)
            np.testing.assert_allclose(unit, np.broadcast_to(np.eye(3), unit.shape), atol=1e-5)


def test_labels_are_where_the_renderer_draws(engine: PeopleEngine) -> None:
    """Every joint and vertex, within 0.01 px of the vertex shader's; and the shader's pixels are the picture's."""
    checked = 0
    for index in INDICES:
        world, view = engine.world(index)
        figures, labels = engine._figures(world.people, view)
        K = view.camera.intrinsics
        for figure, joints, pixels in zip(figures, labels.joints, labels.joints_2d, strict=True):
            np.testing.assert_allclose(engine.renderer.pixels(view.camera, joints), pixels, atol=0.01)
            vertices = figure.vertices
            np.testing.assert_allclose(
                engine.renderer.pixels(view.camera, vertices), project(vertices, K), atol=0.01, rtol=1e-6
            )
            checked += len(vertices)
    assert checked > 5000


def test_the_picture_is_where_projection_says(engine: PeopleEngine) -> None:
    """Depth of pixels that one big known triangle covers, and its edge to a pixel."""
    from humanrt_export.synthetic.people.render import Fabric, Figure

    faces = load_body("10pc").faces
    corners = np.array([[-0.5, -0.4, 2.0], [0.6, -0.4, 2.0], [-0.5, 0.7, 2.5]], np.float32)
    # All others in one corner: neighbours of the triangle are lines, or the triangle again.
    vertices = np.tile(corners[0], (int(faces.max()) + 1, 1))
    vertices[faces[0]] = corners
    figure = Figure("10pc", vertices, vertices, np.zeros((len(vertices), 8), np.float32), Fabric())
    camera = Camera((96, 96), 1.0)
    engine.renderer.load([figure], [])
    mask, depth = engine.renderer.labels(camera)
    x, y = np.meshgrid(np.arange(96) + 0.5, np.arange(96) + 0.5)
    a, b, c = project(corners, camera.intrinsics)

    def side(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])

    inside = np.minimum.reduce([side(a, b), side(b, c), side(c, a)])
    clear = np.abs(inside) > 0.5
    assert ((mask > 0) == (inside > 0))[clear].all()
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    expected = (normal @ corners[0]) / (rays @ normal)
    np.testing.assert_allclose(depth[mask > 0], expected[mask > 0], atol=1e-3)


def test_visible_is_the_share_that_is_seen(engine: PeopleEngine) -> None:
    for index in INDICES:
        world, view = engine.world(index)
        figures, _ = engine._figures(world.people, view)
        for figure in figures:
            engine.renderer.load([figure], [])
            mask, _ = engine.renderer.labels(view.camera)
            inside = project(figure.vertices, view.camera.intrinsics)
            if mask.any() and (inside > 1).all() and (inside < 95).all():
                assert engine.renderer.area(view.camera, 0) == pytest.approx(mask.sum(), rel=0.03, abs=2)


# --------------------------------------------------------------------------------------------- seeds


def test_one_seed_makes_the_same_bytes(engine: PeopleEngine, samples: list[PeopleSample]) -> None:
    for index in (3, 1):  # in another order
        assert equal(engine.sample(index), samples[index])
    with PeopleEngine(engine.options) as again:
        assert equal(again.sample(2), samples[2])
    assert not equal(samples[0], samples[1])


def test_pairs_are_of_the_same_people(engine: PeopleEngine) -> None:
    seen = 0
    for index in INDICES:
        for kind in ("view", "pose"):
            one, two = engine.pair(index, kind)
            assert len(one.people) == len(two.people)
            np.testing.assert_array_equal(one.people.shape, two.people.shape)
            assert ((one.people.visible > 0) | (two.people.visible > 0)).all()
            assert (two.people.joints[..., 2] > 0.1).all()
            if not len(one.people):
                continue
            seen += 1
            a, b = one.people.rotations, two.people.rotations
            if kind == "view":
                np.testing.assert_array_equal(a[:, 1:], b[:, 1:])
                # One rigid motion between the two cameras, for all.
                turn = b[0, 0] @ a[0, 0].T
                moved = one.people.joints @ turn.T
                gap = two.people.joints - moved
                np.testing.assert_allclose(gap, np.broadcast_to(gap[:1, :1], gap.shape), atol=1e-4)
            else:
                np.testing.assert_array_equal(one.intrinsics, two.intrinsics)
                assert np.abs(a - b).max() > 1e-3
    assert seen >= 4
    with pytest.raises(HumanrtError, match="pose, view"):
        engine.pair(0, "both")  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------- scenes


def test_people_stand_apart_and_before_the_camera(engine: PeopleEngine) -> None:
    places, pairs = spheres(engine.joint_names), 0
    for index in range(30):
        world, view = engine.world(index)
        if not world.people:
            continue
        _, labels = engine._figures(world.people, view)
        assert labels.joints[..., 2].min() > 0.1
        ground = view.see(np.zeros(3))
        height = (labels.joints - ground) @ view.up
        assert height.min(axis=1).max() < 0.6  # nobody flies
        assert height.min() > -0.02  # nor sinks
        for a, b in itertools.combinations(labels.joints[:, places], 2):
            assert apart(a, 0.25, b, 0.25)  # small ones have small spheres
            pairs += 1
    assert pairs > 10


def test_cameras_look_where_they_are_told() -> None:
    place, target = np.array([1.0, 2.0, 3.0]), np.array([-1.0, 1.0, 0.0])
    turn = look_at(place, target, 0.2)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose((target - place) @ turn.T, [0, 0, np.linalg.norm(target - place)], atol=1e-12)
    assert look_at(place, target)[1] @ [0, 1, 0] < 0  # y points down


def test_all_styles_draw(engine: PeopleEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(STYLES) >= 5
    pictures, plain = {}, engine.options
    for name in STYLES:
        monkeypatch.setattr(engine, "options", replace(plain, style=find_style(name), letterboxed=0.0))
        pictures[name] = np.stack([engine.sample(index).image for index in (0, 2, 4)]).astype(float)
    spread = {name: np.ptp(picture, axis=-1).mean() for name, picture in pictures.items()}
    assert spread["thermal"] < 3  # grey but for the coding of colours
    assert spread["randomised"] > 8
    assert pictures["night"].mean() < 0.6 * pictures["studio"].mean()
    with pytest.raises(HumanrtError, match="randomised"):
        find_style("cubist")


@pytest.mark.parametrize("recorded", [True, False])
def test_films_are_continuous_and_true(engine: PeopleEngine, monkeypatch: pytest.MonkeyPatch, recorded: bool) -> None:
    if recorded:
        monkeypatch.setattr(engine, "source", PoseSource([moving(75)], SEED))
        with pytest.raises(HumanrtError, match="no recording of 9 s"):
            draw_film(engine, 0, 9.0, 10.0, 2)
    film = draw_film(engine, 0, 1.0, 10.0, 2)
    assert all(("gestures" in clip) != recorded for clip in film.clips)
    assert len(film.worlds) == 10
    frames = list(shoot_film(engine, film, 0))
    joints = np.stack([frame.people.joints for frame in frames])
    assert joints.shape[:2] == (10, 2)
    assert np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() < 0.6  # m in a tenth of a second
    assert np.ptp(joints, axis=0).max() > 0.05
    heads = np.stack([frame.people.joints_2d for frame in frames])[:, :, engine.joint_names.index("head")]
    assert ((heads > 0) & (heads < 96)).all()
    places = spheres(engine.joint_names)
    assert apart(joints[:, 0, places], 0.5, joints[:, 1, places], 0.5)
    shapes = np.stack([frame.people.shape for frame in frames])
    np.testing.assert_array_equal(shapes, np.broadcast_to(shapes[0], shapes.shape))
    still = np.stack([frame.image[:8] for frame in frames]).astype(float)  # above the heads: noise alone changes
    assert np.abs(still - still[0]).mean() < 12
    assert equal(frames[3], list(shoot_film(engine, draw_film(engine, 0, 1.0, 10.0, 2), 0))[3])


def test_who_holds_still_stands_in_one_place_of_the_world(engine: PeopleEngine) -> None:
    film = draw_still(engine, 0, 0.6, 10.0, 2, 90.0)
    frames = list(shoot_film(engine, film, 0))
    assert len(frames) == len(film.path) == 6
    said = camera_file(film, "a.mp4")
    assert said["size"] == [96, 96]
    assert [one["frame"] for one in said["frames"]] == list(range(6))
    places = []
    for frame, one in zip(frames, said["frames"], strict=True):
        R, T = np.array(one["R"]), np.array(one["T"])
        places.append((frame.people.joints - T) @ R)  # x_camera = R x_world + T
    np.testing.assert_allclose(places, np.broadcast_to(places[0], np.shape(places)), atol=2e-4)
    first, last = (view.turn[2] for view in (film.path[0], film.path[-1]))
    assert np.degrees(np.arccos(first @ last)) == pytest.approx(90, abs=25)
    with pytest.raises(HumanrtError, match="at least two"):
        draw_still(engine, 0, 0.1, 10.0, 2, 90.0)


# --------------------------------------------------------------------------------------------- parts


def test_who_stands_keeps_both_feet_where_they_are() -> None:
    source, generator = PoseSource([]), np.random.default_rng(0)
    before, least = None, np.inf
    for _ in range(5):
        pose = source.standing(generator, before)
        joints = forward(pose[None])[0][0]
        least = min(least, np.abs(joints[SMPL_24.index("left_wrist"), 0]))
        np.testing.assert_array_equal(
            pose[[SMPL_24.index(n) for n in ("pelvis", "left_knee", "right_hip")]], [np.eye(3)] * 3
        )
        assert before is None or np.abs(pose - before).max() > 0.3
        before = pose
    assert least < 0.5  # m to the side: arms come down from the rest pose


def test_poses_stay_rotations_and_move_on() -> None:
    source, generator = PoseSource([moving()]), np.random.default_rng(0)
    poses = [source.draw(generator, hands=bool(k % 2)) for k in range(30)]
    assert {pose.clip is None for pose in poses} == {True, False}
    rotations = anny_rotations(poses)
    assert rotations.shape == (30, len(ACTIVE), 3, 3)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-9
    )
    fingers = [place for place, name in enumerate(ACTIVE) if name.startswith("finger")]
    assert np.linalg.norm(vectors_from_matrices(rotations[:, fingers]), axis=-1).mean() > 0.2
    for pose in poses:
        after = source.later(pose, generator)
        turned = np.linalg.norm(vectors_from_matrices(pose.body.swapaxes(-1, -2) @ after.body), axis=-1)
        assert 0 < turned.max() <= np.pi + 1e-6


def test_poses_of_limits_keep_arms_out_of_the_body() -> None:
    from humanrt_export.synthetic.people import poses

    generator = np.random.default_rng(1)
    depths = [poses._crossing(poses._from_limits(generator, hands=False)) for _ in range(60)]
    assert np.mean(np.array(depths) == 0) > 0.9
    folded = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    folded[SMPL_24.index("left_shoulder")] = matrices_from_vectors(np.radians([0.0, 0.0, -110.0]))
    assert poses._crossing(folded) > 0


def test_backdrops_take_photographs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no readable photograph"):
        Backdrops(0, tmp_path)
    with pytest.raises(SourceError, match="no such folder"):
        Backdrops(0, tmp_path / "none")
    cv2.imwrite(str(tmp_path / "green.png"), np.full((80, 120, 3), (0, 250, 0), np.uint8))
    backdrops = Backdrops(0, tmp_path)
    rng = np.random.default_rng(0)
    seen = np.stack([backdrops.draw((48, 32), rng, {"photo": 1.0}) for _ in range(12)])
    assert seen.shape == (12, 32, 48, 3)
    assert (seen == (0, 250, 0)).all(axis=-1).mean() > 0.5
    for kind in KINDS:
        drawn = np.stack([backdrops.draw((48, 32), rng, {kind: 1.0}) for _ in range(4)])
        assert drawn.std(axis=0).max() > 5, kind  # no two alike


def test_garments_cover_the_body() -> None:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    from humanrt_export.synthetic.body_model import Outfit, sample_phenotypes
    from humanrt_export.synthetic.hand_scene import Look

    model, generator = load_body("10pc"), np.random.default_rng(2)
    outfit = replace(Outfit.sample(generator, Look.sample(generator).skin), sleeves=2, legs=1, hair_length=2)
    shape = sample_phenotypes(generator)
    plain, folded = (model.person(shape, replace(outfit, folds=folds)) for folds in (0.0, 0.8))
    worn = {name: (plain.garments == place).sum() for place, name in enumerate(GARMENTS)}
    assert all(count > 0 for count in worn.values()), worn
    short = model.person(shape, replace(outfit, sleeves=1))
    shirt = GARMENTS.index("shirt")
    assert ((plain.garments == shirt) >= (short.garments == shirt)).all()  # long sleeves bare nothing
    skin = plain.garments == GARMENTS.index("skin")
    a, b = (person.rest.surface[0, :, : len(skin)].numpy() for person in (plain, folded))
    np.testing.assert_array_equal(a[:, skin], b[:, skin])
    assert np.abs(a - b)[:, ~skin].max() > 1e-3


def test_options_and_sheets_say_what_is_wrong(samples: list[PeopleSample]) -> None:
    wrongs = ({"size": 3}, "size"), ({"most": 11}, "maximum number"), ({"seed": -1}, "seed"), ({"part": "some"}, "part")
    for wrong, words in wrongs:
        with pytest.raises(HumanrtError, match=words):
            EngineOptions(**wrong)  # type: ignore[arg-type]
    parents = load_anny("10pc").parents.tolist()
    pictures = [labelled(sample, parents, 2) for sample in samples]
    assert pictures[0].shape == (192, 192, 3)
    assert sheet(pictures, 4).shape == (2 * 192, 4 * 192, 3)
    for sample, picture in zip(samples, pictures, strict=True):
        bare = labelled(replace(sample, people=sample.people.take(slice(0))), parents, 2)
        assert np.array_equal(picture, bare) == (not len(sample.people))
