"""Whether a camera stands still."""

import cv2
import numpy as np
import pytest

from humanrt.perception.still_camera import StillCamera

NOBODY = np.zeros((0, 4))


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """A picture with structure, larger than what the camera sees."""
    rng = np.random.default_rng(2)
    small = rng.integers(0, 255, (60, 80, 3), np.uint8)
    return cv2.resize(small, (1200, 900), interpolation=cv2.INTER_CUBIC)


def view(room: np.ndarray, x: int = 100, y: int = 100) -> np.ndarray:
    return room[y : y + 480, x : x + 640]


def test_noise_and_light_do_not_move_a_camera(room: np.ndarray) -> None:
    camera = StillCamera()
    rng = np.random.default_rng(0)
    assert camera(view(room), NOBODY) == "still"
    for gain in (1.0, 0.8, 0.6):
        noisy = np.clip(gain * view(room) + rng.normal(0, 4, (480, 640, 3)), 0, 255).astype(np.uint8)
        assert camera(noisy, NOBODY) == "still"


@pytest.mark.parametrize(("x", "y"), [(108, 100), (100, 92), (150, 130)])
def test_a_camera_that_turns_moves(room: np.ndarray, x: int, y: int) -> None:
    camera = StillCamera()
    camera(view(room), NOBODY)
    assert camera(view(room, x, y), NOBODY) == "moved"
    camera.reset()
    assert camera(view(room, x, y), NOBODY) == "still"


def test_a_slow_pan_is_noticed_though_no_step_of_it_is(room: np.ndarray) -> None:
    camera = StillCamera()
    states = [camera(view(room, 100 + k), NOBODY) for k in range(10)]
    assert states[1] == "still"
    assert states[-1] == "moved"


def test_people_who_move_do_not_move_the_camera(room: np.ndarray) -> None:
    camera = StillCamera()
    person = np.random.default_rng(5).integers(0, 255, (400, 300, 3), np.uint8)
    for x in (20, 60, 200):
        picture = view(room).copy()
        picture[40:440, x : x + 300] = person
        assert camera(picture, np.array([[x, 40.0, x + 300, 440]])) == "still"


def test_a_picture_without_corners_says_nothing(room: np.ndarray) -> None:
    camera = StillCamera()
    plain = np.full((480, 640, 3), 90, np.uint8)
    assert camera(plain, NOBODY) == "unknown"
    camera.reset()
    camera(view(room), NOBODY)
    assert camera(plain, NOBODY) == "unknown"
    assert camera(view(room), np.array([[0.0, 0, 640, 480]])) == "unknown"
