"""Hands of other devices: the same hand, whatever the order of its points, and units that are not metres."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt import HandTracker, Retargeter, hands_from, open_source
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.retarget.layouts import LAYOUTS

# Each layout written out by names: MediaPipe's from base to tip.
FINGERS = ("thumb", "index", "middle", "ring", "little")
MEDIAPIPE = ["wrist", *(f"{finger} {k}" for finger in FINGERS for k in range(4))]
OPENXR = ["palm", "wrist", *(f"thumb {k}" for k in range(4))] + [
    name for finger in FINGERS[1:] for name in (f"{finger} metacarpal", *(f"{finger} {k}" for k in range(4)))
]
APPLE = ["wrist", *(f"thumb {k}" for k in range(4))]
APPLE += [name for finger in FINGERS[1:] for name in (f"{finger} metacarpal", *(f"{finger} {k}" for k in range(4)))]
APPLE += ["forearm wrist", "forearm arm"]
MANO_FINGERS = ("index", "middle", "little", "ring", "thumb")
MANO = ["wrist", *(f"{finger} {k}" for finger in MANO_FINGERS for k in range(3)), *(f"{f} 3" for f in FINGERS)]


def smplx(side: str) -> list[str]:
    """Joints 0 to 126 of smplx, of which only one hand has names here."""
    names = [f"joint {k}" for k in range(127)]
    names[20 if side == "left" else 21] = "wrist"
    first, tips = (25, 66) if side == "left" else (40, 71)
    names[first : first + 15] = [f"{finger} {k}" for finger in MANO_FINGERS for k in range(3)]
    names[tips : tips + 5] = [f"{finger} 3" for finger in FINGERS]
    return names


NAMES = {"mediapipe21": MEDIAPIPE, "openxr26": OPENXR, "apple27": APPLE, "mano21": MANO}


@pytest.fixture(scope="module")
def hand() -> np.ndarray:
    with open_source(CLIP) as source, HandTracker() as tracker:
        (found,) = tracker(next(source).image, 0.0)
    return np.asarray(found.keypoints_3d, np.float64)


def arranged(hand: np.ndarray, names: list[str]) -> np.ndarray:
    by_name = dict(zip(MEDIAPIPE, hand, strict=True))
    return np.array([by_name.get(name, [9.0, 9.0, 9.0]) for name in names])


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_same_hand_in_every_layout(layout: str, side: str, hand: np.ndarray) -> None:
    names = smplx(side) if layout == "smplx" else NAMES[layout]
    points = arranged(hand, names)
    np.testing.assert_array_equal(hands_from(points, layout, side), hand)  # type: ignore[arg-type]
    many = np.stack([points, points + 0.1])[None]
    np.testing.assert_allclose(hands_from(many, layout, side), np.stack([hand, hand + 0.1])[None])  # type: ignore[arg-type]


def test_robots_take_them(hand: np.ndarray) -> None:
    first, second = Retargeter("allegro_right"), Retargeter("allegro_right")
    np.testing.assert_array_equal(second.solve(hands_from(arranged(hand, OPENXR), "openxr26")), first.solve(hand))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda hand: hand * 1000, "millimetres: divide by 1000"),
        (lambda hand: hand * 100, "centimetres: divide by 100"),
        (lambda hand: hand * 0, "all zero"),
        (lambda hand: hand * 6, "check units and layout"),
        (lambda hand: hand[:20], r"must be \[..., 21, 3\]"),
        (lambda hand: hand * np.nan, "not a finite number"),
        (lambda hand: "hand", "array of numbers"),
    ],
)
def test_what_is_no_hand_in_metres_is_refused_by_name(change: object, expected: str, hand: np.ndarray) -> None:
    with pytest.raises(HumanrtError, match=expected):
        hands_from(change(hand))  # type: ignore[operator]


def test_unknown_names_are_answered_with_those_that_exist(hand: np.ndarray) -> None:
    with pytest.raises(HumanrtError, match="apple27, mano21, mediapipe21, openxr26, smplx"):
        hands_from(hand, "leap")
    with pytest.raises(HumanrtError, match="left or right"):
        hands_from(hand, side="up")  # type: ignore[arg-type]


def test_the_retargeter_points_to_it(hand: np.ndarray) -> None:
    with pytest.raises(ValueError, match="hands_from"):
        Retargeter("allegro_right").solve(arranged(hand, OPENXR))
