"""The robot's picture, against geometry: outlines, depth order, turn, and what it costs."""

from __future__ import annotations

import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from humanrt.drawing.draw import PALETTE, compose, panel_size
from humanrt.hands.robot_view import RobotView, _lit_balls, _Scene

Hand = tuple[np.ndarray, np.ndarray, np.ndarray]


def made_up_hand(curl: float = 0.05, side: int = 1) -> Hand:
    """A hand of 24 capsules in the wrist frame (x out of the palm, y to a right hand's thumb, z to the fingers)."""
    segments, radii, fingers = [], [], []

    def add(start: np.ndarray, end: np.ndarray, radius: float, finger: int) -> np.ndarray:
        segments.append([start, end])
        radii.append(radius)
        fingers.append(finger)
        return end

    wrist = np.zeros(3)
    knuckles = [np.array([0, side * y, z]) for y, z in ((0.035, 0.09), (0.012, 0.095), (-0.012, 0.09), (-0.035, 0.08))]
    for finger, knuckle in enumerate(knuckles, 1):
        point = add(wrist, knuckle, 0.013, -1)
        for part, length in enumerate((0.045, 0.03, 0.024), 1):
            point = add(point, point + length * np.array([np.sin(part * curl), 0, np.cos(part * curl)]), 0.01, finger)
    for a, b in pairwise(knuckles):
        add(a, b, 0.013, -1)
    base = add(wrist, np.array([0.012, 0.035 * side, 0.03]), 0.013, -1)
    add(base, knuckles[0], 0.013, -1)
    for length in (0.04, 0.033, 0.028):
        base = add(base, base + length * np.array([0.3, 0.75 * side, 0.6]), 0.011, 0)
    return np.array(segments), np.array(radii), np.array(fingers)


def centroids(image: np.ndarray) -> dict[int, np.ndarray]:
    """Where each finger's hue is in the picture: (x, y) px."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
    found = {}
    for finger, colour in enumerate(PALETTE[:5]):
        hue = int(cv2.cvtColor(colour[None, None], cv2.COLOR_RGB2HSV)[0, 0, 0])
        mask = (np.abs((hsv[..., 0] - hue + 90) % 180 - 90) < 5) & (hsv[..., 1] > 90) & (hsv[..., 2] > 70)
        rows, columns = np.nonzero(mask)
        if rows.size > 50:
            found[finger] = np.array([columns.mean(), rows.mean()])
    return found


def test_open_hand_reads_as_a_hand() -> None:
    """Palm to us: a right hand's thumb is on the right, the little finger on the left; all fingers up."""
    at = centroids(RobotView("toy").draw(*made_up_hand()))
    assert sorted(at) == [0, 1, 2, 3, 4]
    x = [at[finger][0] for finger in range(5)]
    assert x == sorted(x, reverse=True)
    assert all(at[finger][1] < 240 for finger in range(1, 5))


def test_left_hand_is_its_mirror_image() -> None:
    at = centroids(RobotView("toy").draw(*made_up_hand(side=-1)))
    x = [at[finger][0] for finger in range(5)]
    assert x == sorted(x)


def test_fist_brings_the_tips_down() -> None:
    view = RobotView("toy")
    up, down = centroids(view.draw(*made_up_hand())), centroids(view.draw(*made_up_hand(curl=1.2)))
    assert all(down[finger][1] > up[finger][1] + 20 for finger in range(1, 5))


def test_base_frame_does_not_matter() -> None:
    """The same hand in another base frame, with the rotation that says so, is the same picture."""
    rotation = cv2.Rodrigues(np.array([0.3, -0.8, 1.1]))[0]
    segments, radii, fingers = made_up_hand(0.4)
    plain = RobotView("toy").draw(segments, radii, fingers)
    moved = segments @ rotation.T + (0.5, -2.0, 0.1)
    turned = RobotView("toy", rotation).draw(moved, radii, fingers)
    assert (np.abs(plain.astype(int) - turned).max(axis=2) > 8).mean() < 0.002


def test_orientation_turns_the_hand_as_the_camera_sees_it() -> None:
    """Back of the hand to the camera: the order of fingers is reversed."""
    back = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # columns: x away, y left, z up
    at = centroids(RobotView("toy").draw(*made_up_hand(), orientation=back))
    x = [at[finger][0] for finger in range(1, 5)]
    assert x == sorted(x)
    down = np.diag([1.0, -1.0, -1.0]) @ back
    at = centroids(RobotView("toy").draw(*made_up_hand(), orientation=down))
    assert all(at[finger][1] > 240 for finger in range(1, 5))


def test_view_does_not_move_with_the_pose() -> None:
    view = RobotView("toy")
    first = view.draw(*made_up_hand())
    view.draw(*made_up_hand(1.3))
    assert (view.draw(*made_up_hand()) == first).all()


def cast(*capsules: tuple[list[list[float]], float, int]) -> _Scene:
    scene = _Scene((200, 160))
    for ends, radius, colour in capsules:
        scene.capsule(np.array(ends, float), radius, colour)
    return scene


def reference_depth(ends: list[list[float]], radius: float) -> np.ndarray:
    """[160, 200] px: the first z at which a ray is within the radius of the segment, by marching."""
    a, b = np.array(ends, float)
    axis = b - a
    y, x = np.mgrid[:160, :200].astype(float)
    z = np.full(x.shape, min(a[2], b[2]) - radius - 1)
    far = max(a[2], b[2]) + radius + 1
    for _ in range(400):
        p = np.stack([x, y, z], axis=-1) - a
        s = np.clip(p @ axis / max(axis @ axis, 1e-9), 0, 1)
        z += np.maximum(np.linalg.norm(p - s[..., None] * axis, axis=-1) - radius, 0)
    return np.where(z < far, z, np.inf)


@pytest.mark.parametrize(
    "ends",
    [
        [[40, 80, 0], [150, 60, 0]],
        [[40, 80, 50], [150, 60, -90]],
        [[90, 80, 70], [110, 90, -90]],
        [[100, 80, 40], [100, 80, -40]],
        [[100, 80, 0], [100, 80, 0]],
        [[100, 20, -30], [100, 140, 60]],
        [[-30, 80, 0], [100, 200, 20]],
    ],
    ids=["flat", "tilted", "steep", "end-on", "ball", "upright", "half outside"],
)
def test_capsule_depth_is_exact(ends: list[list[float]]) -> None:
    depth = cast((ends, 20.0, 0))._depth
    expected = reference_depth(ends, 20.0)
    hit = depth < 1e5
    agree = hit & np.isfinite(expected)
    np.testing.assert_allclose(depth[agree], expected[agree], atol=0.25)
    # The outline: only pixels that it cuts may differ.
    assert (hit != np.isfinite(expected)).sum() <= 0.08 * np.isfinite(expected).sum()


def test_nearer_hides_farther_whatever_the_order() -> None:
    near = ([[60.0, 80.0, -50.0], [140.0, 80.0, -50.0]], 10.0, 0)
    far = ([[100.0, 40.0, 0.0], [100.0, 120.0, 0.0]], 10.0, 3)
    pictures = []
    for scene in (cast(near, far), cast(far, near)):
        image = np.zeros((160, 200, 3), np.uint8)
        scene.paint(image, _lit_balls(), 100.0)
        pictures.append(image)
    assert (pictures[0] != pictures[1]).any(axis=2).sum() < 12  # where two soft outlines cross
    assert pictures[0][80, 100, 0] > pictures[0][80, 100, 2]  # red in front
    assert pictures[0][50, 100, 2] > pictures[0][50, 100, 0]  # blue where it is alone


def test_face_lies_in_its_plane_towards_us() -> None:
    scene = _Scene((200, 160))
    scene.face(np.array([[20.0, 20, 0], [180, 20, 0], [20, 140, 0]]), 7.0, 5)
    assert scene._depth[40, 40] == pytest.approx(-7)
    assert scene._depth[150, 190] > 1e5
    edge_on = _Scene((200, 160))
    edge_on.face(np.array([[20.0, 20, 0], [180, 20, 90], [100, 20, 50]]), 7.0, 5)
    assert (edge_on._depth > 1e5).all()


def test_outline_is_smooth() -> None:
    image = np.zeros((160, 200, 3), np.uint8)
    cast(([[40.0, 60.0, 0.0], [150.0, 100.0, 0.0]], 15.0, 5)).paint(image, _lit_balls(), 100.0)
    level = image.max(axis=2)
    solid = level[80, 95]
    assert ((level > 0.1 * solid) & (level < 0.6 * solid)).sum() > 60


def test_angles_note_and_sizes() -> None:
    limits = np.array([[-1.0, 1.0]] * 4)
    view = RobotView("toy_right", size=(240, 320))
    empty = view.draw(*made_up_hand(), angles=np.full(4, -1.0), limits=limits)
    full = view.draw(*made_up_hand(), angles=np.array([1.0, np.nan, 9.0, 1.0]), limits=limits, note="hand 1")
    assert full.shape == (320, 240, 3)
    assert full.dtype == np.uint8
    assert (full != empty).any(axis=2)[290:].sum() > 500
    assert (full != empty).any(axis=2)[:45].sum() > 20
    assert RobotView("t", size=(5, 7)).draw(*made_up_hand()).shape == (7, 5, 3)


def test_hand_without_capsules_thumb_or_palm() -> None:
    segments, radii, fingers = made_up_hand()
    for keep in (fingers > 99, fingers != 0, fingers >= 0):
        assert RobotView("toy").draw(segments[keep], radii[keep], fingers[keep]).shape == (480, 360, 3)


def test_cost() -> None:
    """About 5 ms for 360x480 on one core of a 2020s laptop; the limit allows for a busy machine."""
    view, hand = RobotView("toy"), made_up_hand()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        view.draw(*hand)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.04


@pytest.mark.parametrize("panels", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (300, 1), (7, 5), (64, 130)])
def test_panels_beside_tiny_images(size: tuple[int, int], panels: int) -> None:
    """They keep a size that can be drawn, and the canvas holds the image and all of them."""
    height, width = size
    panel = panel_size(height, panels)
    drawn = RobotView("toy", size=panel).draw(*made_up_hand(), angles=[0.5], limits=[[0, 1]], note="a note")
    image = np.full((height, width, 3), 200, np.uint8)
    canvas = compose(image, [drawn] * panels)
    assert canvas.shape[0] % 2 == canvas.shape[1] % 2 == 0
    assert canvas.shape[0] >= max(height, panel[1] * min(panels, 2))
    assert canvas.shape[1] >= width + panel[0] * ((panels + 1) // 2)
    np.testing.assert_array_equal(canvas[:height, :width], image)
    np.testing.assert_array_equal(canvas[: panel[1], -panel[0] :] if panels == 1 else drawn, drawn)
