"""The overlay: what is drawn where, in which colour, at any size."""

from __future__ import annotations

import time

import numpy as np
import pytest

from humanrt.drawing.draw import (
    BONES,
    PALETTE,
    Hud,
    captioned,
    compose,
    draw_corner,
    draw_hand,
    draw_hud,
    draw_label,
    draw_text,
    panel_size,
)


def canvas(width: int = 640, height: int = 360, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def open_hand(width: int = 640, height: int = 360) -> np.ndarray:
    """[21, 2] px: fingers as straight rays from the wrist."""
    points = np.zeros((21, 2))
    for finger in range(5):
        angle = np.radians(-150 + 30 * finger)
        for joint in range(4):
            points[1 + 4 * finger + joint] = (0.1 + 0.08 * joint) * np.array([np.cos(angle), np.sin(angle)])
    return points * height + (width / 2, height * 0.8)


def changed(image: np.ndarray, level: int = 100) -> np.ndarray:
    return (image != level).any(axis=2)


def test_bones_are_a_hand() -> None:
    assert len(BONES) == 21
    assert {i for bone in BONES for i in bone[:2]} == set(range(21))
    for first, second, finger in BONES:
        if finger >= 0:
            assert second == first + 1
            assert (first - 1) // 4 == finger


def test_fingers_have_their_colours() -> None:
    image = canvas(1280, 720)
    points = open_hand(1280, 720)
    draw_hand(image, points)
    for finger in range(5):
        x, y = np.round(points[4 + 4 * finger]).astype(int)
        assert tuple(image[y, x]) == tuple(PALETTE[finger])
    x, y = np.round(points[0]).astype(int)
    assert tuple(image[y, x]) == tuple(PALETTE[-1])


def test_lines_grow_with_the_picture() -> None:
    share = []
    for scale in (1, 2, 4):
        image = canvas(640 * scale, 360 * scale)
        draw_hand(image, open_hand(640 * scale, 360 * scale))
        share.append(changed(image).mean())
    assert share[1] == pytest.approx(share[0], rel=0.35)
    assert share[2] == pytest.approx(share[1], rel=0.35)


def test_points_that_are_nan_or_far_outside() -> None:
    points = open_hand()
    points[8] = np.nan
    points[12] = (1e9, -1e9)
    points[16] = (np.inf, 0)
    image = canvas()
    draw_hand(image, points, id=1, side="right", score=0.5)
    assert changed(image).any()
    nothing = canvas()
    draw_hand(nothing, np.full((21, 2), np.nan), id=1, side="right", score=0.5)
    assert not changed(nothing).any()


@pytest.mark.parametrize("at", [(-500, -500), (5000, 5000), (300, 200)])
def test_label_stays_inside(at: tuple[float, float]) -> None:
    image = canvas()
    draw_label(image, "#1  right  0.99", at)
    rows, columns = np.nonzero(changed(image))
    assert rows.size > 500
    assert np.ptp(columns) > 60
    assert changed(image).sum() > 0.9 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # the whole plate


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    image = canvas(*size)
    draw_hand(image, open_hand(*size), id=1, side="left", score=1.0)
    draw_hud(image, {"palm": 1.0}, fps=30, dropped=0)
    assert compose(image, []).shape[0] % 2 == 0


def test_hud_is_empty_without_anything_to_say() -> None:
    image = canvas()
    draw_hud(image)
    assert not changed(image).any()


def test_hud_grows_by_stage_and_marks_drops() -> None:
    def height_of(stages: int, dropped: int) -> tuple[int, np.ndarray]:
        image = canvas(1280, 720)
        draw_hud(image, {f"s{i}": float(i) for i in range(stages)} | {"total": 9.0}, fps=30, dropped=dropped)
        return int(np.nonzero(changed(image))[0].max()), image

    assert height_of(3, 0)[0] < height_of(6, 0)[0]
    warning = (np.abs(height_of(3, 5)[1].astype(int) - PALETTE[1].astype(int)).sum(axis=2) < 30).sum()
    assert warning > 20


def test_text_is_where_it_was_asked_for() -> None:
    image = canvas()
    draw_text(image, "HHH", (100, 200), 20)
    rows, columns = np.nonzero(changed(image))
    assert 178 <= rows.min() <= 190
    assert 197 <= rows.max() <= 202
    assert columns.min() >= 99


@pytest.mark.parametrize("panels", range(6))
@pytest.mark.parametrize("size", [(640, 360), (641, 361), (1280, 720)])
def test_canvas_has_the_image_left_and_the_panels_right(size: tuple[int, int], panels: int) -> None:
    width, height = size
    pictures = []
    for i in range(panels):
        w, h = panel_size(height, panels)
        pictures.append(canvas(w, h, 40 * i + 20))
    whole = compose(canvas(width, height), pictures)
    assert whole.shape[0] % 2 == whole.shape[1] % 2 == 0
    assert (whole[:height, :width] == 100).all()
    assert {40 * i + 20 for i in range(panels)} <= set(np.unique(whole[:, width + 1 :]).tolist())
    for i, picture in enumerate(pictures):
        assert (whole[:, width:] == 40 * i + 20).all(axis=2).sum() >= picture[..., 0].size * 0.999


def test_panels_of_another_size_are_fitted() -> None:
    whole = compose(canvas(640, 480), [canvas(100, 50, 200)])
    right = whole[:, 640:]
    assert right.shape[:2] == (480, 360)
    assert (right == 200).all(axis=2).sum() == 360 * 180


def test_drawing_is_cheap() -> None:
    """The overlay of a 720p frame takes a small part of a frame's time (about 1.2 ms; the limit is generous)."""
    image, points = canvas(1280, 720), open_hand(1280, 720)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        draw_hand(image, points, id=1, side="right", score=0.9)
        draw_hud(image, {"palm": 1.0, "landmarks": 9.0, "total": 10.0}, fps=30, dropped=0)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


def test_the_hud_of_a_stream_averages_the_frame_rate() -> None:
    hud, expected, shown = Hud(), np.zeros((180, 320, 3), np.uint8), np.zeros((180, 320, 3), np.uint8)
    hud(np.zeros_like(shown), {"landmarks": 10.0, "total": 10.0}, dropped=0)
    hud(shown, {"landmarks": 30.0, "total": 30.0}, dropped=0)
    draw_hud(expected, {"landmarks": 30.0, "total": 30.0}, fps=1e3 / 12, dropped=0)  # 0.9 of 10 ms, 0.1 of 30
    np.testing.assert_array_equal(shown, expected)


def test_captions_stand_below_the_picture_and_fit() -> None:
    image = np.full((240, 320, 3), 200, np.uint8)
    lines = [
        "Bend your left knee.",
        "Raise your right arm forward and outward by 120 degrees, and that slowly, please.",
    ]
    shown = captioned(image, lines, 3)
    assert (shown[:240] == image).all()
    strip = shown[240:]
    assert strip.shape[0] % 2 == 0
    assert strip.shape[0] < 80
    written = strip.max(axis=2) > 150
    assert not written[:, :2].any()
    assert not written[:, -2:].any()
    rows = np.flatnonzero(written.any(axis=1))
    assert rows.max() < 45  # two lines; of the third there is only the room
    assert captioned(image, [], 3).shape == captioned(image, lines * 4, 3).shape == shown.shape
    assert captioned(np.zeros((8, 8, 3), np.uint8), lines, 3).shape[1:] == (8, 3)


def test_words_in_the_corner() -> None:
    image = np.full((240, 320, 3), 200, np.uint8)
    draw_corner(image, "Repetitions: 12")
    changed = (image != 200).any(axis=2)
    assert changed[0, -1]
    assert not changed[:, :100].any()
    assert not changed[60:].any()
    draw_corner(np.zeros((8, 8, 3), np.uint8), "Repetitions: 12")


def test_captions_of_other_languages_are_spelt_in_letters_that_can_be_drawn() -> None:
    words = ("Strecke beide F\u00fc\u00dfe.", "Strecke beide Fuesse.")
    pictures = [captioned(np.zeros((120, 400, 3), np.uint8), [one], 1) for one in words]
    assert (pictures[0] == pictures[1]).all()
