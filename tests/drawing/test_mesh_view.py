"""Meshes over the image, against an independent ray caster: alignment, depth order, cut bodies, and the views."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_scene import NEAR
from humanrt.drawing.mesh_view import MeshView
from humanrt.errors import HumanrtError, MissingDependencyError

pytest.importorskip("moderngl", reason="moderngl is not installed: pip install 'humanrt[view]'")

SIZE = (320, 240)
CENTRED = np.array([[280.0, 0, 160], [0, 280, 120], [0, 0, 1]])
OFF_CENTRE = np.array([[300.0, 2.5, 97.3], [0, 251, 161.8], [0, 0, 1]])


@pytest.fixture(scope="module")
def view() -> Iterator[MeshView]:
    try:
        mesh_view = MeshView(SIZE)
    except HumanrtError as error:
        pytest.skip(str(error))
    with mesh_view:
        yield mesh_view


@pytest.fixture(scope="module")
def body() -> tuple[np.ndarray, np.ndarray]:
    """An Anny body that walks and looks aside: vertices [1229, 3] m about its middle, faces [2454, 3]."""
    with np.load(Path(__file__).parents[1] / "data" / "body_mesh.npz") as data:
        return data["vertices"].astype(np.float32) * 1e-4, data["faces"].astype(np.int32)


def turned(vertices: np.ndarray, degrees: float, *at: float) -> np.ndarray:
    """About the vertical, then moved to a place in camera space."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (vertices @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + at).astype(np.float32)


def refined(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle in four."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, which = np.unique(edges, axis=0, return_inverse=True)
    ab, bc, ca = len(vertices) + which.reshape(-1, 3).T
    a, b, c = faces.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    middles = vertices[pairs].mean(axis=1, dtype=np.float32)
    return np.concatenate([vertices, middles]), np.concatenate([np.stack(p, axis=1) for p in parts]).astype(np.int32)


def ball(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A refined octahedron, outward, blown up to a sphere."""
    vertices = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], np.float32)
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]], np.int32)
    for _ in range(3):
        vertices, faces = refined(vertices, faces)
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    return vertices * np.float32(radius), faces


def cast(
    meshes: list[np.ndarray], faces: np.ndarray, K: np.ndarray, size: tuple[int, int], shift: Any = (0, 0)
) -> np.ndarray:
    """Whose each pixel is, as MeshView.mask: a ray through each centre (moved by shift px) against each triangle.

    Of the corners' combinations a ray's direction (x, y, 1) is one with weights w: it meets the triangle where none
    is negative, at depth 1 / sum(w). Nothing is projected, and nothing is special at or behind the camera.
    """
    width, height = size
    u = (np.arange(width) + 0.5 + shift[0])[None]
    v = (np.arange(height) + 0.5 + shift[1])[:, None]
    depth = np.full((height, width), np.inf)
    owner = np.zeros((height, width), np.int32)
    for i, mesh in enumerate(meshes):
        corners = mesh.astype(np.float64)[faces]
        pixels = corners @ K.T
        for triangle, pixel in zip(corners, pixels, strict=True):
            if pixel[:, 2].max() < NEAR or abs(np.linalg.det(triangle)) < 1e-15:
                continue
            box = (slice(None), slice(None))
            if pixel[:, 2].min() > NEAR:
                low, high = (pixel[:, :2] / pixel[:, 2:]).min(0), (pixel[:, :2] / pixel[:, 2:]).max(0)
                (x0, y0), (x1, y1) = np.clip(low - 2, 0, size).astype(int), np.clip(high + 2, 0, size).astype(int)
                box = (slice(y0, y1), slice(x0, x1))
            weights = np.linalg.inv(triangle.T) @ np.linalg.inv(K)
            w = [a * u[:, box[1]] + b * v[box[0]] + c for a, b, c in weights]
            total = np.maximum(w[0] + w[1] + w[2], 1e-12)
            hit = (w[0] >= 0) & (w[1] >= 0) & (w[2] >= 0) & (1 / total >= NEAR) & (1 / total < depth[box])
            depth[box][hit] = (1 / total)[hit]
            owner[box][hit] = i + 1
    return owner


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def outline_distance(mask: np.ndarray, fine: np.ndarray, times: int) -> float:
    """px from the farthest pixel that is wrong in the mask to the true outline, which is `times` as fine."""
    centres = np.s_[times // 2 :: times, times // 2 :: times]
    wrong = mask != fine[centres]
    if not wrong.any():
        return 0.0
    inside = fine.astype(np.uint8)
    to_outline = sum(cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (inside, 1 - inside))
    return float(to_outline[centres][wrong].max() / times)


def scaled(K: np.ndarray, times: float) -> np.ndarray:
    return np.asarray(np.diag([times, times, 1.0]) @ K)


@pytest.mark.parametrize("K", [CENTRED, OFF_CENTRE], ids=["centred", "off-centre"])
@pytest.mark.parametrize("at", [(35, 0.1, 0.1, 3.0), (-60, 0.4, -0.2, 1.9)], ids=["far", "near"])
def test_silhouette_is_where_the_camera_sees_the_body(
    view: MeshView, body: tuple[np.ndarray, np.ndarray], K: np.ndarray, at: tuple[float, ...]
) -> None:
    vertices, faces = turned(body[0], *at), body[1]
    view.size = SIZE
    mask = view.mask([vertices], faces, K) == 1
    fine = cast([vertices], faces, scaled(K, 8), (SIZE[0] * 8, SIZE[1] * 8)) == 1
    assert mask.sum() > 4000
    assert iou(mask, cast([vertices], faces, K, SIZE) == 1) > 0.999
    assert outline_distance(mask, fine, 8) < 0.15

    # The smooth picture: how much of each pixel is covered, from what shows of black and of white.
    black, white = (
        view.draw(np.full((*SIZE[::-1], 3), level, np.uint8), [vertices], faces, K, [(90, 90, 90)], alpha=1)
        for level in (0, 255)
    )
    cover = 1 - (white[..., 0].astype(float) - black[..., 0]) / 255
    truth = cv2.resize(fine.astype(np.float64), SIZE, interpolation=cv2.INTER_AREA)
    assert np.abs(cover - truth).max() < 0.5
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for axis in (x, y):  # no shift, not even of a small part of a pixel
        assert (cover * axis).sum() / cover.sum() == pytest.approx((truth * axis).sum() / truth.sum(), abs=0.03)


def test_dense_mesh_has_no_holes(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    """Triangles smaller than pixels; half the body is outside the picture."""
    vertices, faces = refined(*refined(turned(body[0], 10, -1.2, 0.0, 2.5), body[1]))
    view.size = SIZE
    mask = view.mask([vertices], faces, CENTRED) == 1
    assert mask[:, 0].any()
    assert iou(mask, cast([vertices], faces, CENTRED, SIZE) == 1) > 0.999


def test_nearer_person_hides_the_one_behind(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    """Whatever the order; and where an arm reaches through the other body, pixel by pixel."""
    faces = body[1]
    people = [turned(body[0], 20, 0.15, 0.1, 3.2), turned(body[0], -70, 0.0, 0.1, 2.9), turned(body[0], 80, 0.3, 0, 5)]
    view.size = SIZE
    mask = view.mask(people, faces, OFF_CENTRE)
    truth = cast(people, faces, OFF_CENTRE, SIZE)
    assert set(np.unique(truth)) == {0, 1, 2, 3}
    for person in (1, 2, 3):
        assert iou(mask == person, truth == person) > 0.99
    backward = view.mask(people[::-1], faces, OFF_CENTRE)
    np.testing.assert_array_equal(np.where(backward > 0, 4 - backward, 0), mask)

    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    picture = view.draw(image, people, faces, OFF_CENTRE, [(255, 0, 0), (0, 255, 0), (0, 0, 255)], alpha=1)
    kernel = np.ones((3, 3), np.uint8)
    for person in (1, 2, 3):
        inner = cv2.erode((truth == person).astype(np.uint8), kernel) > 0
        assert (picture[inner].argmax(axis=1) == person - 1).mean() > 0.99


BALL = ball(0.5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=st.floats(-2, 2),
    y=st.floats(-1.5, 1.5),
    z=st.floats(-1, 4),
    fx=st.floats(20, 300),
    fy=st.floats(20, 300),
    cx=st.floats(-40, 140),
    cy=st.floats(-40, 100),
)
def test_any_camera_and_any_place(
    view: MeshView, x: float, y: float, z: float, fx: float, fy: float, cx: float, cy: float
) -> None:
    """Before, around and behind the camera: a pixel that does not change within 0.05 px around it is right."""
    vertices = BALL[0] + np.array([x, y, z], np.float32)
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    view.size = (96, 64)
    shifts = [(0.05, 0.05), (0.05, -0.05), (-0.05, 0.05), (-0.05, -0.05)]
    truths = [cast([vertices], BALL[1], K, view.size, shift) for shift in shifts]
    sure = np.ptp(truths, axis=0) == 0
    mask = view.mask([vertices], BALL[1], K)
    np.testing.assert_array_equal(mask[sure], truths[0][sure])
    image = np.full((64, 96, 3), 200, np.uint8)
    changed = (view.draw(image, [vertices], BALL[1], K, [(0, 0, 0)]) != image).any(axis=2)
    np.testing.assert_array_equal(changed[cv2.erode(truths[0].astype(np.uint8), np.ones((3, 3))) > 0], True)
    # Beside the camera the silhouette runs out in slivers thinner than a pixel, which only multisampling sees.
    assert np.count_nonzero(changed[cv2.dilate(truths[0].astype(np.uint8), np.ones((3, 3))) == 0]) <= 2


def test_light_comes_from_the_upper_left_whatever_the_winding(view: MeshView) -> None:
    vertices = BALL[0] + np.array([0, 0, 2], np.float32)
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    picture = view.draw(image, [vertices], BALL[1], CENTRED, [(180, 180, 180)], alpha=1)
    other = view.draw(image, [vertices], BALL[1][:, ::-1].copy(), CENTRED, [(180, 180, 180)], alpha=1)
    assert np.abs(picture.astype(int) - other).max() <= 1
    bright = cv2.GaussianBlur(picture[..., 0], (0, 0), 5).astype(int)
    assert bright[95, 135] > bright[120, 160] + 10 > bright[145, 185] + 30
    # Smooth: along a line over the ball no step where one triangle ends and another begins.
    assert np.abs(np.diff(picture[120, 110:210, 0].astype(int))).max() < 12


def test_alpha_mixes_with_the_photo(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = turned(body[0], 0, 0, 0, 3), body[1]
    image = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
    before = image.copy()
    solid, half, none = (view.draw(image, [vertices], faces, CENTRED, [(90, 150, 40)], alpha=a) for a in (1, 0.5, 0))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(none, image)
    assert np.abs(half - (solid / 2.0 + image / 2.0)).max() <= 2
    outside = cv2.dilate((view.mask([vertices], faces, CENTRED) > 0).astype(np.uint8), np.ones((3, 3))) == 0
    np.testing.assert_array_equal(solid[outside], image[outside])


def test_nobody_and_nonsense_leave_the_image_alone(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    faces = body[1]
    image = np.full((*SIZE[::-1], 3), 99, np.uint8)
    behind, broken = turned(body[0], 0, 0, 0, -3), turned(body[0], 0, 0, 0, 3)
    broken[7, 1] = np.nan
    for meshes in ([], [behind], [broken], [behind, broken]):
        np.testing.assert_array_equal(view.draw(image, meshes, faces, CENTRED, [(255, 0, 0)] * len(meshes)), image)
        assert not view.mask(meshes, faces, CENTRED).any()
        assert view.side(meshes, faces, CENTRED, [(255, 0, 0)] * len(meshes)).shape == (360, 640, 3)
    whole = turned(body[0], 0, 0, 0, 3)
    assert set(np.unique(view.mask(np.stack([broken, whole]), faces, CENTRED))) == {0, 2}  # keeps its number


def test_nothing_is_made_anew_for_the_next_frame(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    people = [turned(body[0], 0, 0, 0, 3), turned(body[0], 0, 1, 0, 3)]

    def frame(meshes: list[np.ndarray], faces: np.ndarray) -> list[np.ndarray]:
        colours = [colour_of(i) for i in range(len(meshes))]
        return [f(meshes, faces, CENTRED, colours) for f in (view.side, view.top)] + [
            view.draw(image, meshes, faces, CENTRED, colours),
            view.mask(meshes, faces, CENTRED),
        ]

    first = frame(people, body[1])
    with pytest.MonkeyPatch.context() as patch:
        for name in ("buffer", "vertex_array", "renderbuffer", "depth_renderbuffer", "framebuffer", "program"):
            patch.setattr(view._gl, name, None)
        frame(people[:1], body[1])
        for a, b in zip(first, frame(people, body[1].copy()), strict=True):
            np.testing.assert_array_equal(a, b)
    frame([BALL[0] + np.float32(2)], BALL[1])  # another topology, and back
    for a, b in zip(first, frame(people, body[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_views_at_once(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = turned(body[0], 0, 0, 0, 3), body[1]
    view.size = SIZE
    mask = view.mask([vertices], faces, CENTRED)
    with MeshView(SIZE, samples=0) as other:
        jagged = other.draw(
            np.zeros((*SIZE[::-1], 3), np.uint8), [vertices], faces, CENTRED, [(255, 255, 255)], alpha=1
        )
        np.testing.assert_array_equal((jagged > 0).any(axis=2), mask == 1)
        np.testing.assert_array_equal(view.mask([vertices], faces, CENTRED), mask)
        np.testing.assert_array_equal(other.mask([vertices], faces, CENTRED), mask)
    other.close()
    np.testing.assert_array_equal(view.mask([vertices], faces, CENTRED), mask)


def test_side_and_top_show_where_people_are(view: MeshView, body: tuple[np.ndarray, np.ndarray]) -> None:
    faces = body[1]
    people = [turned(body[0], 0, -1.0, 0.4, 2.0), turned(body[0], 0, 0.0, 0.4, 4.0), turned(body[0], 0, 1.0, 0.4, 6.0)]
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]

    def centres(picture: np.ndarray) -> np.ndarray:
        strong = picture.max(axis=2).astype(int) - np.median(picture, axis=2) > 90  # the camera's lines are less
        return np.array(
            [np.argwhere(strong & (picture.argmax(axis=2) == i)).mean(axis=0)[::-1] for i in range(3)]
        )  # x, y

    view.size = SIZE
    top = centres(view.top(people, faces, CENTRED, colours, size=(400, 400)))
    steps = np.diff(top, axis=0)
    np.testing.assert_allclose(steps[0], steps[1], atol=2.5)  # a map: equal steps are equal
    assert steps[0, 0] > 20
    np.testing.assert_allclose(-steps[0, 1] / steps[0, 0], 2.0, atol=0.1)  # 2 m deep for 1 m to the right
    side = centres(view.side(people, faces, CENTRED, colours, size=(500, 300)))
    assert (np.diff(side[:, 0]) > 50).all()
    fixed = [view.side(people[:n], faces, CENTRED, colours[:n], floor=1.5, depth=8) for n in (1, 2)]
    same = (fixed[0] == fixed[1]).all(axis=2)
    assert 0.9 < same.mean() < 0.999  # one more person, the same view


def test_colours_of_identities() -> None:
    colours = np.array([colour_of(i) for i in range(12)], np.uint8)
    lab = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(12)
    assert apart.min() > 15
    assert apart[:6, :6].min() > 30
    assert colour_of(3) == colour_of(3)
    assert all(0 <= channel <= 255 for i in (0, 10**6, -1) for channel in colour_of(i))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((4, 4), np.uint8)}, "uint8"),
        ({"image": np.zeros((4, 4, 3))}, "float64"),
        ({"vertices": [np.zeros((5, 2))]}, "vertices"),
        ({"vertices": [BALL[0], BALL[0][:-1]]}, "vertices"),
        ({"vertices": [BALL[0][:-1]]}, "faces name"),
        ({"faces": BALL[1] - 1}, "faces name"),
        ({"faces": BALL[1] + 0.5}, "faces are"),
        ({"intrinsics": np.eye(4)}, "intrinsics"),
        ({"intrinsics": np.diag([0.0, 1, 1])}, "intrinsics"),
        ({"colours": []}, "0 colours for 1"),
    ],
)
def test_misshapen_arrays_are_refused(view: MeshView, change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {
        "image": np.zeros((64, 96, 3), np.uint8),
        "vertices": [BALL[0]],
        "faces": BALL[1],
        "intrinsics": CENTRED,
        "colours": [(1, 2, 3)],
    }
    with pytest.raises(ValueError, match=words):
        view.draw(**(given | change))
    assert view.draw(**given).shape == (64, 96, 3)


def test_without_moderngl_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(MissingDependencyError, match=r"humanrt\[view\]"):
        MeshView()


def test_without_opengl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import moderngl

    def refuse(**_: object) -> None:
        raise Exception("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(HumanrtError, match="apt-get install libegl1") as caught:
        MeshView()
    assert "\n" not in str(caught.value)
