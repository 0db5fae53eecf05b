"""What ships says that it is closed, whatever is asked of it then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from humanrt import HandPipeline, HandTracker, MultiHMR, PoseBERT, open_source
from humanrt.data import CLIP
from humanrt.errors import ClosedError
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.posebert.stream import PoseBERTStream
from humanrt.sources.opening import Frame

HANDS = np.zeros((1, 8, 21, 3))
IMAGE = np.zeros((48, 64, 3), np.uint8)

Use = Callable[[Any], object]


@pytest.mark.parametrize(
    ("make", "uses"),
    [
        (HandTracker, [lambda m: m(IMAGE), lambda m: m(IMAGE, t=1.0)]),
        (lambda: HandPipeline(HandTracker()), [lambda m: m(Frame(IMAGE, 0.0, 0))]),
        (lambda: LandmarkPeople(poses=None), [lambda m: m(IMAGE), lambda m: m.track(IMAGE, t=1.0)]),
        (MultiHMR, [lambda m: m(IMAGE), lambda m: m.infer(np.zeros((1, 3, 448, 448), np.float32))]),
        (
            lambda: PoseBERT("posebert-hand"),
            [
                lambda m: m.window(keypoints=HANDS),
                lambda m: m.refine(keypoints=HANDS),
            ],
        ),
        (lambda: PoseBERTStream("posebert-hand"), [lambda m: m.update(0.0, {})]),
        (lambda: open_source(CLIP), [iter]),
    ],
    ids=["HandTracker", "HandPipeline", "LandmarkPeople", "MultiHMR", "PoseBERT", "PoseBERTStream", "Source"],
)
def test_what_ships_says_that_it_is_closed(make: Callable[[], Any], uses: list[Use]) -> None:
    model = make()
    for use in uses:
        use(model)
    model.close()
    model.close()
    for use in uses:
        with pytest.raises(ClosedError, match=r"is closed; open another$") as caught:
            use(model)
        assert type(model).__name__.lstrip("_") in str(caught.value)


def test_a_part_of_something_closed_says_so_too() -> None:
    """A pipeline closes what it was given, so its parts say so too."""
    tracker = HandTracker()
    HandPipeline(tracker).close()
    with pytest.raises(ClosedError, match="this HandTracker is closed"):
        tracker(IMAGE)
