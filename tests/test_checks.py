"""Arrays of results are what their documentation says, or are refused by name."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.checks import check_same_count, check_shapes
from humanrt.errors import InvalidInputError
from humanrt.fitting.fitter import BodyFit
from humanrt.geometry.region import Region
from humanrt.hands.landmarks import HandLandmarks
from humanrt.hands.tracker import Hand
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.posebert.model import PoseBERTResult
from humanrt.posebert.stream import PoseState
from humanrt.sources.opening import Frame


def zeros(*shape: int, dtype: str = "float32") -> NDArray[Any]:
    return np.zeros(shape, dtype)


def people(count: int = 2) -> People:
    return People(
        *(zeros(count), zeros(count, 2), zeros(count, 3), zeros(count, 53, 3, 3), zeros(count, 10), zeros(count, 0)),
        zeros(3, 3, dtype="float64"),
        *(zeros(count, 40, 3), zeros(count, 7, 3), zeros(count, 7, 2)),
    )


RESULTS = [
    Hand(1, "left", 0.5, zeros(21, 2), zeros(21, 3)),
    HandLandmarks(0.5, 0.5, zeros(21, 2), zeros(21, 3), Region(0, 0, 1)),
    BodyLandmarks(0.5, zeros(33, 2), zeros(33), zeros(33, 3), zeros(33), zeros(33), Region(0, 0, 1)),
    people(),
    PoseBERTResult(zeros(3, 8, 24, 3, 3), zeros(3, 8, 21, 3)),
    PoseState(zeros(21, 3), zeros(16, 3, 3), False, 0.0, 0.0, zeros(16), zeros(21, 2)),
    BodyFit(zeros(74, 3, 3), zeros(3), zeros(6), zeros(9, 3), zeros(5, 3), 0.0, zeros(74)),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_wrong_array_of_a_result_is_refused_by_name(result: Any) -> None:
    arrays = {f.name: value for f in fields(result) if isinstance(value := getattr(result, f.name), np.ndarray)}
    assert len(arrays) >= 2
    for name, array in arrays.items():
        wrong = [array[..., None], array.astype(np.float16), array.tolist(), np.zeros((*array.shape[:-1], 99), "f4")]
        if name in ("shape", "expression", "scores"):  # of any length; of the scores, all other arrays would be wrong
            wrong.pop()
        for other in wrong:
            with pytest.raises(InvalidInputError, match=rf"{type(result).__name__}\.\w+ must be float\d+ \["):
                replace(result, **{name: other})
        with pytest.raises(InvalidInputError, match=rf"\.{name} must be float.*, not list"):
            replace(result, **{name: array.tolist()})


def test_the_message_says_what_is_wrong() -> None:
    with pytest.raises(InvalidInputError) as refused:
        Hand(1, "left", 0.5, zeros(20, 2), zeros(21, 3))
    assert str(refused.value) == "Hand.keypoints_2d must be float32 [21, 2], not float32 [20, 2]"
    with pytest.raises(InvalidInputError) as refused:
        replace(people(2), translations=zeros(3, 3))
    assert str(refused.value) == "People.translations must be float32 [N, 3] with N = 2, not float32 [3, 3]"


def test_sizes_agree_within_a_result_and_none_is_left_out() -> None:
    assert replace(people(), vertices=None, joints=None, joints_2d=None).vertices is None
    assert len(people(0)) == 0
    assert PoseBERTResult(zeros(8, 24, 3, 3)).keypoints is None
    with pytest.raises(InvalidInputError, match=r"joints_2d must be float32 \[N, J, 2\] with N = 2, J = 7"):
        replace(people(), joints_2d=zeros(2, 8, 2))
    with pytest.raises(InvalidInputError, match=r"keypoints must be float32 \[..., T, K, 3\] with T = 8"):
        PoseBERTResult(zeros(3, 8, 24, 3, 3), zeros(3, 9, 21, 3))


def test_everybody_has_an_identity() -> None:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0.0, 0)
    assert PeopleResult(frame, people(2), (1, 2), (), {}).ids == (1, 2)
    with pytest.raises(InvalidInputError, match="PeopleResult must have as many ids as people, not 1 for 2"):
        PeopleResult(frame, people(2), (1,), (), {})


def test_a_specification_is_exact() -> None:
    @dataclass
    class Any3:
        points: Any

        def __post_init__(self) -> None:
            check_shapes(self, points="float64 ... 3")

    for shape in ((3,), (5, 3), (2, 5, 3)):
        assert Any3(np.zeros(shape)).points.shape == shape
    for wrong in (np.zeros(()), np.zeros(4), np.zeros((3, 4)), np.zeros(3, ">f4"), 3.0):
        with pytest.raises(InvalidInputError, match="points must be float64"):
            Any3(wrong)
    with pytest.raises(InvalidInputError, match="must have as many"):
        check_same_count(type("R", (), {"a": [1], "b": []})(), "a", "b")
