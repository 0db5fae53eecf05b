"""Of several people in a picture, `find --image` and `coach --reference` take one who is confirmed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from command_line import refused
from humanrt import tasks
from humanrt.cli import main
from humanrt.commands.coach import CoachOptions, _reference
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.search.descriptor import GROUPS, NAME, describe
from humanrt.search.store import ROW, Addition, IndexWriter
from humanrt.tasks import picture_person

UPRIGHT = np.diag([1.0, -1.0, -1.0])


class Shown:
    """A picture's results: four people from left to right, the second and the fourth unconfirmed."""

    def __init__(self, unconfirmed: list[bool] | None) -> None:
        self.header = {"bones": list(SMPLX_BODY)}
        edges = np.array([[[100.0 * one, 50.0], [100.0 * one + 40, 150.0]] for one in range(4)])
        rotations = np.tile(np.eye(3), (4, 22, 1, 1))
        rotations[:, 0] = UPRIGHT
        self.people = SimpleNamespace(
            scores=np.array([0.5, 0.95, 0.6, 0.9]),
            translations=np.array([[0.0, 0, 3.0], [1, 0, 2.0], [2, 0, 4.0], [3, 0, 2.5]]),
            joints_2d=edges,
            rotations=rotations,
            unconfirmed=None if unconfirmed is None else np.array(unconfirmed),
        )

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Shown:
        return self

    def __next__(self) -> SimpleNamespace:
        return SimpleNamespace(people=self.people)


def show(monkeypatch: pytest.MonkeyPatch, unconfirmed: list[bool] | None) -> None:
    monkeypatch.setattr(tasks, "track", lambda *_, **__: Shown(unconfirmed))


@pytest.mark.parametrize(
    ("unconfirmed", "best", "nearest", "confirmed"),
    [
        (None, 2, 2, True),
        ([False] * 4, 2, 2, True),
        ([False, True, False, True], 3, 1, True),
        ([True] * 4, 2, 2, False),
    ],
)
def test_confirmed_people_are_preferred(
    unconfirmed: list[bool] | None, best: int, nearest: int, confirmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(monkeypatch, unconfirmed)
    one, other = picture_person("a.jpg"), picture_person("a.jpg", nearest=True)
    assert (one.number, one.confirmed, one.among) == (best, confirmed, 4)
    assert (other.number, other.confirmed) == (nearest, confirmed)


def test_an_unconfirmed_one_is_taken_by_number_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poses = np.tile(np.eye(3), (1, 22, 1, 1))
    poses[:, 0] = UPRIGHT
    with IndexWriter(tmp_path / "index", NAME, GROUPS) as writer:
        writer.add([Addition(Path("/one.jsonl"), "one", describe(poses), np.zeros(1, ROW))])
    command = ["find", str(tmp_path / "index"), "--image", "a.jpg"]
    show(monkeypatch, [False, True, False, True])
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "4 people; it is number 3 from the left, at x = 200 to 240 px, who is seen best; --who N" in said
    assert main([*command, "--who", "2"]) == 0
    assert "it is number 2 from the left, unconfirmed: the body is coarse" in capsys.readouterr().err
    assert main([*command, "--who", "1"]) == 0
    assert not capsys.readouterr().err
    show(monkeypatch, [True] * 4)
    assert main(command) == 0
    assert "who is seen best, unconfirmed: the body is coarse; --who N" in capsys.readouterr().err


def test_coach_says_that_its_reference_is_unconfirmed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(monkeypatch, [False, True, False, True])
    assert _reference(CoachOptions(source="me.jpg", reference="a.jpg")).among == 4
    assert not capsys.readouterr().err
    show(monkeypatch, [True] * 4)
    _reference(CoachOptions(source="me.jpg", reference="a.jpg"))
    assert "a.jpg: whom it shows is unconfirmed: the body is coarse" in capsys.readouterr().err


def test_words_that_are_not_behind_the_index(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--who", "0", "arms up"], ["arms", "up"]):
        said = refused(capsys, "find", "p.index", *words)
        assert said == 'humanrt find: WORDS stand directly behind INDEX, in quotes: p.index "arms up"\n'
    assert "unrecognized arguments: --nope" in refused(capsys, "find", "p.index", "--nope")
