"""Light of panoramas: what it is by the integral, where it comes from, and that the background is the same."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from humanrt.errors import MissingDependencyError, SourceError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.conversion.environments import ENVIRONMENTS, _decoded, fetch_environments, mended
from humanrt_export.data.described import portraits
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine
from humanrt_export.synthetic.people.film import draw_film, shoot_film
from humanrt_export.synthetic.people.still import draw_still
from humanrt_export.synthetic.people.surroundings import Environment, Environments, Surroundings, harmonics
from humanrt_export.synthetic.people.view import look_at

SUN = np.array([0.6, 0.5, -0.62449980])


def towards(height: int = 64) -> np.ndarray:
    """The direction of every pixel [H, 2 H, 3], y up; columns run to the right as seen from inside."""
    theta, phi = (np.arange(height) + 0.5) * np.pi / height, (np.arange(2 * height) + 0.5) * np.pi / height
    flat = np.sin(theta)[:, None]
    return np.stack(np.broadcast_arrays(-flat * np.sin(phi), np.cos(theta)[:, None], flat * np.cos(phi)), axis=-1)


def panorama(sun: float = 0.0) -> np.ndarray:
    """A bluish sky, a brown ground, and a sun of this irradiance over pi."""
    rays = towards()
    up = rays[..., 1:2]
    sky = np.where(up > 0, (0.4, 0.5, 0.9) * (0.4 + 0.6 * np.abs(up)), (0.3, 0.2, 0.1))
    if sun:
        spot = rays @ SUN > np.cos(np.radians(4))
        angle = (np.pi / 64) ** 2 * np.sqrt(1 - rays[..., 1] ** 2)
        sky[spot] += sun * np.pi / angle[spot].sum()
    return sky.astype(np.float32)


def test_light_is_the_integral_over_the_panorama() -> None:
    rays, radiance = towards(), panorama()
    angle = (np.pi / 64) ** 2 * np.sqrt(1 - rays[..., 1] ** 2)
    environment = Environment.of("sky", radiance)
    normals = np.random.default_rng(0).standard_normal((20, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    expected = [((rays @ n).clip(0)[..., None] * angle[..., None] * radiance).sum(axis=(0, 1)) / np.pi for n in normals]
    np.testing.assert_allclose(harmonics(normals) @ environment.ambient, expected, rtol=0.03, atol=0.01)
    assert not environment.key_radiance.any()
    grey = Environment.of("grey", np.full((64, 128, 3), 0.7, np.float32))
    np.testing.assert_allclose(harmonics(normals) @ grey.ambient, 0.7, rtol=2e-3)
    np.testing.assert_allclose(grey.level(), 0.7, rtol=2e-3)


def test_a_sun_is_the_key_light() -> None:
    plain, sunny = Environment.of("a", panorama()), Environment.of("b", panorama(2.0))
    assert np.degrees(np.arccos(sunny.key @ SUN)) < 1
    np.testing.assert_allclose(sunny.key_radiance, 2.0, rtol=0.05)
    np.testing.assert_allclose(sunny.ambient, plain.ambient, atol=0.1)  # it is not counted twice
    surroundings = Surroundings(sunny, np.eye(3), np.full(3, 0.5))
    np.testing.assert_allclose(surroundings.key_radiance, 1.0, rtol=0.05)
    assert Surroundings(plain, np.eye(3), np.full(3, 1.0)).shade == 0 < surroundings.shade < 1


def test_light_turns_with_the_camera() -> None:
    turns = matrices_from_vectors(np.array([[0.3, 2.0, -0.4], [0.0, 1.1, 0.0]]))
    surroundings = Surroundings(Environment.of("b", panorama(2.0)), turns[1], np.full(3, 0.8))
    normals = np.random.default_rng(1).standard_normal((20, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = harmonics(normals @ turns[0].T) @ surroundings.ambient(turns[0])  # the same normals, in camera axes
    own = 0.8 * harmonics(normals @ turns[1].T) @ surroundings.environment.ambient
    np.testing.assert_allclose(light, own, atol=1e-5)


def test_the_background_is_what_the_camera_sees() -> None:
    """Every pixel shows the panorama's radiance in the direction of its ray; the sun is where the key light is."""
    turn = matrices_from_vectors(np.array([0.0, 0.7, 0.0]))
    coded = (0.5 + 0.5 * towards()).astype(np.float32)
    camera = Camera((48, 32), 1.2)
    to_camera = matrices_from_vectors(np.array([0.4, -0.8, 0.2])) @ np.diag([1.0, -1, -1])
    seen = Surroundings(Environment("coded", coded, SUN, np.zeros(3), np.zeros((9, 3))), turn, np.ones(3))
    x, y = np.meshgrid(np.arange(48) + 0.5, np.arange(32) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    rays = rays @ to_camera @ turn.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    np.testing.assert_allclose(seen.backdrop(camera, to_camera), 0.5 + 0.5 * rays, atol=5e-3)
    sunny = Surroundings(Environment.of("b", panorama(2.0)), turn, np.full(3, 1.0))
    down = np.cross(sunny.key, [0.0, 1.0, 0.0])
    to_sun = np.stack([np.cross(down, sunny.key) / np.linalg.norm(down), down / np.linalg.norm(down), sunny.key])
    light = sunny.backdrop(camera, to_sun).mean(axis=-1)
    assert np.linalg.norm(np.array(np.unravel_index(light.argmax(), light.shape)) - (16, 24)) < 4


def test_a_panorama_is_not_mirrored() -> None:
    """What is at a larger column is further to the right in the picture, as in the panorama itself."""
    flat = np.full((64, 128, 3), 0.1, np.float32)
    flat[28:36, 58:61] = (1, 0, 0)
    flat[28:36, 68:71] = (0, 0, 1)  # right of the red one in the file
    environment = Environment.of("two", flat)
    camera, position = Camera((96, 64), 1.2), np.array([0.0, 1.5, 0.0])
    for angle in (0.0, 1.0, 3.0, 5.0):
        turn = turn_about_vertical(angle)
        seen = Surroundings(environment, turn, np.ones(3))
        towards_middle = turn.T @ [0.0, 0.0, -1.0]
        picture = seen.backdrop(camera, look_at(position, position + towards_middle))
        red, blue = (
            float((weight * (np.arange(96) + 0.5)).sum() / weight.sum())
            for weight in ((picture[..., c] > 0.5).sum(axis=0) for c in (0, 2))
        )
        focal = camera.intrinsics[0, 0]
        for column, expected in ((red, 59.5 - 64), (blue, 69.5 - 64)):
            assert column - 48 == pytest.approx(focal * np.tan(expected * np.pi / 64), abs=1.0)
        assert red < 48 < blue


def test_panoramas_are_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no panoramas"):
        Environments(tmp_path)
    cv2.imwrite(str(tmp_path / "sky.hdr"), panorama(2.0)[..., ::-1])
    environments = Environments(tmp_path)
    one = environments.draw(np.random.default_rng(0), 0.5)
    assert one.environment.name == "sky"
    light = one.gain * one.environment.level()
    assert light.mean() == pytest.approx(0.5)
    assert np.ptp(light) < np.ptp(0.5 * one.environment.level() / one.environment.level().mean())  # white balance
    np.testing.assert_allclose(one.turn @ [0, 1, 0], [0, 1, 0], atol=1e-12)
    cv2.imwrite(str(tmp_path / "square.hdr"), np.ones((8, 8, 3), np.float32))
    with pytest.raises(SourceError, match=r"square\.hdr: no HDR environment map"):
        Environments(tmp_path)


def test_dark_rings_about_lamps_are_mended() -> None:
    picture = np.full((64, 128, 3), 0.3, np.float32)
    picture[30:37, 60:67] = -0.1  # the ring, which the lamp lies in
    picture[32:35, 62:65] = 500.0
    whole = mended(picture)
    assert whole.min() > 0.2
    np.testing.assert_allclose(whole[32:35, 62:65], 500.0, rtol=1e-5)
    np.testing.assert_allclose(whole[:20], picture[:20], rtol=1e-5)


def test_fetching_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ENVIRONMENTS) == 18

    class Reader:
        """Stands for the package `OpenEXR`."""

        @staticmethod
        def File(name: str) -> Any:  # noqa: N802
            raise RuntimeError(f"not an OpenEXR file: {name}")

    for script, words in ((b"export default 1", "no base64"), (b'"data:;base64,AAAA"', "not an OpenEXR file")):
        with pytest.raises(SourceError, match=f"here cannot be read as OpenEXR.*{words}"):
            _decoded(Reader, script, "here")
    real = importlib.import_module

    def without(name: str, *arguments: Any) -> Any:
        if name == "OpenEXR":
            raise builtins.ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingDependencyError, match="pip install OpenEXR"):
        list(fetch_environments(tmp_path))


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PeopleEngine, PeopleEngine]]:
    """Without and with an environment."""
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    if not (cached_file("full").is_file() and cached_file("10pc").is_file()):
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    folder = tmp_path_factory.mktemp("environments")
    cv2.imwrite(str(folder / "sky.hdr"), panorama(1.0)[..., ::-1])
    options = EngineOptions(size=64, seed=12, most=2, letterboxed=0.0)
    try:
        with PeopleEngine(options) as plain, PeopleEngine(replace(options, environments=folder)) as lit:
            yield plain, lit
    except MissingDependencyError as error:
        pytest.skip(str(error))


def test_surroundings_change_light_and_nothing_else(engines: tuple[PeopleEngine, PeopleEngine]) -> None:
    seen = 0
    for index in range(6):
        (_, one, plain), (_, two, lit) = (engine.whole(index) for engine in engines)
        np.testing.assert_array_equal(plain.people.joints, lit.people.joints)
        np.testing.assert_array_equal(one.turn, two.turn)
        if two.around is None:
            np.testing.assert_array_equal(plain.image, lit.image)
        else:
            seen += 1
            assert (plain.image != lit.image).mean() > 0.5
            np.testing.assert_allclose(two.look.key, two.turn @ two.around.key)
    assert 2 <= seen <= 6
    again = engines[1].whole(1)[2]
    np.testing.assert_array_equal(again.image, engines[1].whole(1)[2].image)


def test_a_figure_is_bright_on_the_side_of_the_sun(engines: tuple[PeopleEngine, PeopleEngine]) -> None:
    """Of a ball in the light of a panorama every pixel is as bright as the integral says."""
    from humanrt_export.synthetic.hand_scene import Look
    from humanrt_export.synthetic.people.render import Fabric, Figure

    renderer = engines[1].renderer
    rays = towards(48)[:, :].reshape(-1, 3)
    rows, columns = 48, 96
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns)).ravel()
    b = (np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1) % columns).ravel()
    triangles = np.concatenate([np.stack([a, b, a + columns], 1), np.stack([b, b + columns, a + columns], 1)])
    still = np.zeros((len(rays), 8), np.float32)
    still[:, 3:6] = 0.8
    place, normals = (0.5 * rays + (0, 0, 3)).astype(np.float32), rays.astype(np.float32)
    ball = Figure("full", place, normals, still, Fabric(shine=0.0), triangles.astype(np.int32))
    surroundings = Surroundings(Environment.of("a", panorama()), np.eye(3), np.full(3, 1.0))
    turn = np.diag([1.0, -1.0, -1.0])
    look = replace(Look.sample(np.random.default_rng(0)), key=turn @ SUN, key_radiance=np.zeros(3))
    camera = Camera((64, 64), 0.5)
    renderer.load([ball], [])
    layer = renderer.draw(camera, look, turn[:, 1], 1.0, surroundings.ambient(turn), 0.0)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    d = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    along = d[..., 2] * 3 - np.sqrt((9 * d[..., 2] ** 2 - 9 + 0.25).clip(0))
    normal = (d * along[..., None] - (0, 0, 3)) / 0.5
    middle = (layer[..., 3] == 1) & (-(normal * d).sum(axis=-1) > 0.7)  # towards the edge skin is drawn darker
    expected = 0.8 * harmonics(normal @ turn) @ surroundings.environment.ambient
    assert middle.sum() > 500
    ratio = layer[middle][:, :3] / expected[middle]
    assert abs(np.median(ratio) - 1) < 0.03
    assert np.quantile(np.abs(ratio - 1), 0.95) < 0.25  # skin is blotchy


def test_films_and_stills_are_lit_by_environments_too(engines: tuple[PeopleEngine, PeopleEngine]) -> None:
    """Most of them are; people and cameras are those without, and what isn't in an environment is the same picture."""
    films, lit = 0, 0
    for index in range(5):
        one, two = (draw_film(engine, index, 0.2, 10.0, 1) for engine in engines)
        np.testing.assert_array_equal(one.worlds[1].people[0].head, two.worlds[1].people[0].head)
        np.testing.assert_array_equal(one.view.turn, two.view.turn)
        assert one.view.around is None
        films += 1
        lit += two.view.around is not None
        if index < 2:
            plain, other = (
                next(iter(shoot_film(engine, film, index))) for engine, film in zip(engines, (one, two), strict=True)
            )
            np.testing.assert_array_equal(plain.people.joints, other.people.joints)
            assert (plain.image != other.image).any() == (two.view.around is not None)
    assert 2 <= lit < films
    for index in range(5):
        still = draw_still(engines[1], index, 0.5, 10.0, 1, 90.0)
        around = still.view.around
        assert all((view.around is None) == (around is None) for view in still.path)
        if around is not None:  # the light stays where it is while the camera goes around
            keys = np.array([view.turn.T @ view.look.key for view in still.path])
            np.testing.assert_allclose(keys, np.tile(around.key, (len(keys), 1)), atol=1e-9)
            assert np.ptp([view.turn for view in still.path], axis=0).max() > 0.1


def test_portraits_are_lit_by_environments_too(engines: tuple[PeopleEngine, PeopleEngine]) -> None:
    changed = []
    for number in range(5):
        (one, row), (two, same) = (portraits._portrait(engine, number, None) for engine in engines)
        np.testing.assert_array_equal(row["box"], same["box"])
        np.testing.assert_array_equal(row["pose"], same["pose"])
        changed.append(one != two)
    assert 2 <= sum(changed) < 5
