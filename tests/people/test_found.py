"""Who is found, in real pictures (where ../shared is there) and in a rendered one: everybody, once, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.geometry.region import Region
from humanrt.inference.execution import Execution
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.landmarks import BodyNetwork
from humanrt.people.proposals import PROPOSALS, Proposal, ProposalSource
from humanrt.people.windows import Window, windows
from humanrt.sources.opening import open_source
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT.parent / "shared" / "media"
CLIP = ROOT / "runtime" / "humanrt" / "data" / "demo_people.mp4"

# people.jpg: head and hips, px.
PLAYERS = {
    "in the air": ((302, 138), (293, 250)),
    "number 10": ((162, 338), (167, 440)),
    "sitting": ((266, 352), (303, 475)),
    "referee": ((350, 335), (347, 427)),
    "number 24": ((560, 310), (577, 440)),
    "number 35": ((718, 333), (735, 425)),
}
# Spectators in the first row, one before the camera and one at the left edge, whose trunk is seen: they may be found.
SPECTATORS = ((422, 480), (472, 490), (512, 490), (98, 650), (14, 288))


def _media(name: str) -> Path:
    if not (MEDIA / name).is_file():
        pytest.skip(f"no {MEDIA / name}: it is not part of the project")
    return MEDIA / name


def _tracker(quality: str, **options: object) -> BodyTracker:
    execution = Execution(threads=2)
    network = None
    if quality == "best":
        network = BodyNetwork(load_bundle(shipped("holistic"), task="people"), execution.open())
    return BodyTracker(
        shipped("landmarks"),
        execution,
        BodyTrackerOptions(**options),
        network=network,  # type: ignore[arg-type]
    )


def _hips_and_heads(tracker: BodyTracker, image: NDArray[np.uint8]) -> list[tuple[NDArray[np.float32], ...]]:
    tracker.photograph()
    points = [body.landmarks.landmarks_2d for body in tracker(image, 0.0)]
    return [(p[[7, 8]].mean(axis=0), p[[23, 24]].mean(axis=0)) for p in points]


def _near(point: Sequence[float], other: Sequence[float], reach: float = 45) -> bool:
    return bool(np.hypot(point[0] - other[0], point[1] - other[1]) < reach)


@pytest.mark.parametrize(
    ("quality", "proposals", "missed"),
    [("fast", ("multipose",), {"number 35"}), ("best", ("multipose", "multihmr"), set())],
)
def test_players_and_referee_are_found(quality: str, proposals: Sequence[str], missed: set[str]) -> None:
    with open_source(str(_media("people.jpg"))) as source:
        image = next(iter(source)).image
    finds = _hips_and_heads(_tracker(quality, proposals=proposals), image)
    whose = [
        [name for name, (head, hips) in PLAYERS.items() if _near(found[0], head) and _near(found[1], hips)]
        for found in finds
    ]
    named = [names[0] for names in whose if names]
    assert len(named) == len(set(named)), "nobody is found twice"
    assert set(PLAYERS) - missed <= set(named)
    for (_, hips), names in zip(finds, whose, strict=True):
        assert names or any(_near(hips, spectator, 25) for spectator in SPECTATORS), f"somebody at {hips}"


class _Listening(ProposalSource):
    """Proposes nobody, and keeps which parts of pictures it was asked about."""

    name = "listening"
    asked: ClassVar[list[Window | None]] = []

    def threshold(self, grey: bool) -> float:
        return 0.5

    def __call__(self, rgb: object, host: object, window: Window | None, threshold: float) -> list[Proposal]:
        self.asked.append(window)
        return []


def test_slow_sources_search_the_parts_of_photographs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts of a film's first frame held up its start, and every cut, by three seconds."""
    monkeypatch.setitem(PROPOSALS, "listening", _Listening)  # type: ignore[misc]
    with open_source(str(CLIP)) as source:
        first, second = islice(source, 2)
    with _tracker("fast", proposals=("multipose", "listening")) as tracker:
        asked = _Listening.asked
        tracker(first.image, first.t)
        assert asked == [None]
        tracker(second.image, second.t)
        assert asked == [None]
        tracker.photograph()
        tracker(first.image, 1.0)
        assert asked[1:] == [None, *windows((first.image.shape[1], first.image.shape[0]))]
        assert len(asked) > 3


@pytest.mark.parametrize("proposals", [("multipose",), ("multipose", "multihmr")])
def test_a_hand_close_to_the_camera_is_nobody(proposals: Sequence[str]) -> None:
    """In a film; in single pictures, one hand in five to twenty still is somebody (docs/use/people.md)."""
    tracker = _tracker("fast", proposals=proposals)
    with open_source(str(_media("hand.mp4"))) as source:
        frames = list(islice(source, 0, 600, 4))
    assert [len(tracker(frame.image, frame.t)) for frame in frames] == [0] * len(frames)


def test_both_people_of_a_film_keep_their_identities() -> None:
    """One is there from the start, the other comes in at frame 40; every third frame, until somebody turns a flip."""
    tracker = _tracker("fast")
    with open_source(str(_media("walk.mp4"))) as source:
        frames = islice(source, 0, 150, 3)
        seen = [[(body.id, body.landmarks.region.x) for body in tracker(frame.image, frame.t)] for frame in frames]
    assert all(1 in dict(people) for people in seen)
    assert {identity for people in seen for identity, _ in people} == {1, 2}
    arrived = next(k for k, people in enumerate(seen) if len(people) == 2)
    assert arrived <= 20
    assert all(len(people) == 2 for people in seen[arrived:])
    assert dict(seen[-1])[2] < 700 < dict(seen[arrived])[2]


def test_everybody_in_a_rendered_picture_is_found() -> None:
    """The demonstration clip's first frame: three people, of whom the true joints are beside it."""
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    truth = np.load(CLIP.with_suffix(".npz"))
    finds = _hips_and_heads(_tracker("fast"), image)
    assert len(finds) == len(truth["joints"][0])


@pytest.mark.parametrize(("region", "score"), [(Region(641, 296, 455), 0.0067), (Region(339, 285, 377), 0.8666)])
def test_heavy_is_as_sure_of_people_as_the_network_it_was_made_of(region: Region, score: float) -> None:
    """Rounding the last weights of its score to 8 bits had shifted it: 0.96 became 0.48."""
    network = BodyNetwork(load_bundle(shipped("holistic"), task="people"), Execution(threads=1).open())
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    found = network(image, region).score
    assert np.log(found / (1 - found)) == pytest.approx(np.log(score / (1 - score)), abs=1.0)


def test_nobody_is_found_where_nobody_is() -> None:
    rng = np.random.default_rng(5)
    tracker = _tracker("fast")
    noise = rng.integers(0, 256, (240, 320, 3), np.uint8)
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (15, 20, 3), np.uint8), 16, axis=0), 16, axis=1)
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    ground = np.ascontiguousarray(image[-60:, :80])  # below everybody's feet
    for picture in (noise, smooth, ground, np.zeros((90, 120, 3), np.uint8)):
        tracker.reset()
        assert len(tracker(picture, 0.0)) == 0


def test_tracks_that_the_second_network_keeps_refuting_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    tracker = _tracker("fast", max_people=3)
    assert [body.id for body in tracker(image, 0.0)] == [1, 2, 3]
    assert tracker._second is not None
    monkeypatch.setattr(type(tracker._second), "__call__", lambda *_: [])  # it sees nobody any more
    counts = [len(tracker(image, t)) for t in np.arange(0.1, 3.6, 0.1).tolist()]
    assert counts[5] == 3
    assert counts[-1] == 0


def test_a_person_who_was_lost_is_looked_for_where_they_were() -> None:
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    tracker = _tracker("fast", search_interval=10.0)
    first = tracker(image, 0.0)
    black = np.zeros_like(image)
    black[:8] = image[:8]
    assert len(tracker(image // 2 + black // 2, 0.03)) <= len(first)
    for track in tracker._tracks[:1]:
        track.active = False  # as if the landmark network had lost it
    again = tracker(image, 0.06)
    assert {body.id for body in again} == {body.id for body in first}
    assert "detect" in again.ms
