"""What is true of a pose, and what is said of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

from humanrt.embedding.facts import REGIONS, facts, region_of
from humanrt.errors import HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt_export.commands.data import PortraitsConfig
from humanrt_export.data.described import portraits
from humanrt_export.data.described.people import describe_poses, telling_of
from humanrt_export.data.described.texts import FACTS, description, told
from humanrt_export.synthetic.people.engine import PeopleEngine

AT = {name: index for index, name in enumerate(SMPLX_BODY)}
OTHER = list(other_sides(SMPLX_BODY))


def posed(turn: float = 0.0, **joints: tuple[float, float, float]) -> np.ndarray:
    """Somebody with hanging arms before a level camera, turned about the vertical; joints in degrees."""
    vectors = np.zeros((22, 3))
    vectors[AT["left_shoulder"]], vectors[AT["right_shoulder"]] = (0, 0, -72), (0, 0, 72)
    for name, degrees in joints.items():
        vectors[AT[name]] = degrees
    pose = matrices_from_vectors(np.radians(vectors))
    about = np.radians(turn)
    pose[0] = np.diag([1.0, -1.0, -1.0]) @ matrices_from_vectors(np.array([0.0, about, 0.0])) @ pose[0]
    return pose


STANDING = posed()
LEFT_UP = posed(left_shoulder=(0, 0, 85))
SQUAT = posed(left_hip=(-100, 0, 0), right_hip=(-100, 0, 0), left_knee=(120, 0, 0), right_knee=(120, 0, 0))
KICK = posed(right_hip=(-80, 0, 0))
SPREAD = posed(left_shoulder=(0, 0, 0), right_shoulder=(0, 0, 0))


def true_of(pose: np.ndarray) -> set[str]:
    return {name for name, flags in facts(pose[None]).items() if flags[0]}


def test_facts_are_what_is_seen() -> None:
    assert {"arms.down", "body.standing", "trunk.upright", "knees.straight", "head.ahead"} <= true_of(STANDING)
    assert {"left_arm.up", "left_hand.overhead", "right_arm.down", "left_hand.higher"} <= true_of(LEFT_UP)
    assert "hands.overhead" not in true_of(LEFT_UP)
    assert {"body.squat", "knees.very_bent"} <= true_of(SQUAT)
    assert "body.standing" not in true_of(SQUAT)
    assert {"right_leg.front", "right_foot.lifted", "body.one_leg_left"} <= true_of(KICK)
    assert {"arms.side", "body.t_pose", "hands.apart", "elbows.straight"} <= true_of(SPREAD)


def test_nobody_who_lies_has_an_arm_up() -> None:
    """Beyond the head is not above it, and a hand in the air is not over the head."""
    on_back = {"pelvis": (-90.0, 0.0, 0.0)}
    beyond = true_of(posed(left_shoulder=(0, 0, 85), **on_back))
    assert "body.lying_back" in beyond
    in_the_air = true_of(posed(left_shoulder=(0, -85, 0), **on_back))
    assert "left_arm.front" in in_the_air
    for facts_of_it in (beyond, in_the_air):
        assert not {"left_arm.up", "left_arm.raised", "left_hand.overhead"} & facts_of_it
    assert {"left_arm.up", "left_arm.raised", "left_hand.overhead"} <= true_of(LEFT_UP)


def test_people_kneel_whose_shins_point_back() -> None:
    sides = ("left", "right")
    kneeling = {
        f"{side}_{joint}": turn for side in sides for joint, turn in (("knee", (95, 0, 0)), ("ankle", (40, 0, 0)))
    }
    assert {"body.kneel", "knees.floor"} <= true_of(posed(**kneeling))
    turned = {f"{side}_hip": (0.0, sign * 90.0, 0.0) for side, sign in zip(sides, (1, -1), strict=True)}
    assert not {"body.kneel", "left_knee.floor"} & true_of(posed(**kneeling, **turned))  # sideways


@pytest.mark.parametrize("turn", [-135.0, -20.0, 60.0, 180.0])
def test_the_heading_changes_nothing(turn: float) -> None:
    for joints in ({"left_shoulder": (0, 0, 85)}, {"right_hip": (-80, 0, 0)}):
        assert true_of(posed(turn, **joints)) == true_of(posed(**joints))


def test_the_mirror_image_changes_sides() -> None:
    drawn = np.random.default_rng(3)
    poses = matrices_from_vectors(0.35 * drawn.standard_normal((40, 22, 3)))
    poses[:, 0] = np.diag([1.0, -1.0, -1.0])
    swapped = {"left": "right", "right": "left"}
    here, there = facts(poses), facts(mirrored(poses)[:, OTHER])

    def other(name: str) -> str:
        part, _, state = name.partition(".")
        side, _, rest = part.partition("_")
        part = f"{swapped[side]}_{rest}" if side in swapped and rest else part
        for one, two in swapped.items():
            if state == one or state.endswith(f"_{one}"):
                return f"{part}.{state.removesuffix(one)}{two}"
        return f"{part}.{state}"

    for name, flags in here.items():
        np.testing.assert_array_equal(flags, there[other(name)], err_msg=name)


def test_every_fact_has_words_and_a_region() -> None:
    names = set(facts(STANDING[None]))
    assert set(FACTS) <= names
    assert {region_of(name) for name in names} == set(REGIONS)
    for name in FACTS:
        text, said = description(random.Random(0), [name], {}, 3)
        assert said == (name,)
        assert "{" not in text
        assert "|" not in text


def test_texts_say_what_is_true_and_only_of_the_regions_asked_for() -> None:
    drawn = random.Random(1)
    people = describe_poses(np.stack([STANDING, LEFT_UP, SQUAT, KICK, SPREAD]))
    telling = telling_of(people)
    for index in range(len(people)):
        for _ in range(20):
            text, said = people.text(drawn, index, telling, 6)
            assert text
            assert set(said) <= true_of((STANDING, LEFT_UP, SQUAT, KICK, SPREAD)[index])
            assert people.fits([said])[0, index]
            _, said = people.text(drawn, index, telling, 6, ("legs",))
            assert {region_of(one) for one in said} <= {"legs"}
    _, said = people.text(drawn, 1, {"left_arm.up": 1e9}, 1)
    assert said == ("left_arm.up",)
    assert not people.fits([said])[0, [0, 2, 3, 4]].any()


def test_what_another_fact_says_is_not_said_again() -> None:
    assert told(["arms.up", "left_arm.up", "right_arm.up", "arms.raised", "left_hand.overhead"]) == ["arms.up"]
    assert told(["left_knee.bent", "left_knee.very_bent"]) == ["left_knee.very_bent"]


def test_a_file_of_too_few_portraits_is_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def portrait(_: object, number: int, __: object) -> tuple[bytes, dict[str, Any]]:
        drawn.append(number)
        return b"jpeg", {"pose": np.zeros((22, 3, 3)), "box": np.zeros(4), "clip": "drawn"}

    monkeypatch.setattr(portraits, "_portrait", portrait)
    engine = cast(PeopleEngine, None)
    assert list(portraits.render_portraits(engine, tmp_path, 66)) == [64, 66]
    (tmp_path / "000064.looks").touch()
    drawn.clear()
    assert list(portraits.render_portraits(engine, tmp_path, 65)) == [64, 65]
    assert not drawn
    assert list(portraits.render_portraits(engine, tmp_path, 70)) == [64, 70]
    assert drawn == list(range(64, 70))
    assert len(portraits.load_portraits(tmp_path)) == 70
    assert not (tmp_path / "000064.looks").exists()  # of fewer pictures


def test_a_folder_keeps_to_its_settings(tmp_path: Path) -> None:
    config = PortraitsConfig(out=tmp_path / "a", count=64, motions=tmp_path / "clips.npz", recorded=True)
    portraits.keep_to(config.out, config.settings)
    portraits.keep_to(config.out, config.settings)
    more = PortraitsConfig(out=tmp_path / "a", count=128, motions=tmp_path / "clips.npz", recorded=True)
    with pytest.raises(HumanrtError, match=r"made with poses 64, not 128; give the same, or another --out"):
        portraits.keep_to(more.out, more.settings)
    # Drawn poses do not depend on how many there are.
    drawn = [PortraitsConfig(out=tmp_path / "b", count=count).settings for count in (64, 128)]
    assert drawn[0] == drawn[1]
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "000000.npz").touch()
    with pytest.raises(HumanrtError, match=r"no settings\.json that says how they were made"):
        portraits.keep_to(tmp_path / "c", config.settings)
