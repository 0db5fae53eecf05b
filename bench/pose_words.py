"""How true the coach's words are, and how much of what differs they name: `PoseCoach` on pairs of captured poses.

    python bench/pose_words.py --motions ../shared/mocap/hdm05.tar.xz --pairs 3000

Pairs are drawn from motions that no weights are trained on and nothing was tuned on: a third from two moments of one
clip at least 0.3 s apart, a third from clips of the same action by different people (the clip's name begins with its
action), a third from any two clips. The sentences are read back as text and measured by `word_checker.py`, which
shares no code with the coach.

- **true**: claims that hold, of all claims in four sentences, in direction and amount.
- **named**: of the five largest differences above 20 degrees or 15 cm of each pair, those that true claims name.
- **two**: the same, in two sentences, which is what a person hears at a time.
- **ms**: time of `describe` for a pair, median, one thread.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from humanrt import PoseCoach
from humanrt.geometry.skeleton import SMPL_REST
from humanrt.stats import machine, write_report
from humanrt_export.motion.body_fk import random_rest
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions
from word_checker import Claim, holds, large_differences, measure_pose, named, read_claims

__all__ = ["Score", "pairs_of", "score"]

Array = NDArray[np.float64]
CAMERA = np.diag([1.0, -1.0, -1.0])
APART = 0.3  # s


@dataclass
class Score:
    """Counts over pairs."""

    pairs: int = 0
    claims: int = 0
    true: int = 0
    large: int = 0
    named: int = 0
    named_in_two: int = 0
    words: int = 0
    sentences: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.pairs} | {self.claims} | {_percent(self.true, self.claims)} | {self.large} | "
            f"{_percent(self.named, self.large)} | {_percent(self.named_in_two, self.large)} | "
            f"{self.words / max(self.sentences, 1):.1f} | {np.median(self.ms):.2f} |"
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


def pose_at(motion: Motion, frame: int) -> Array:
    """Return a frame of a motion as a pose in a level camera's axes."""
    pose = motion.rotations[frame, :22].copy()
    pose[0] = CAMERA @ pose[0]
    return pose


def pairs_of(motions: Sequence[Motion], count: int, seed: int = 0) -> list[tuple[str, Array, Array]]:
    """Draw pairs of poses: kind of pair, from, to."""
    generator = np.random.default_rng(seed)
    long = [motion for motion in motions if motion.seconds > 2 * APART]
    result: list[tuple[str, Array, Array]] = []
    while len(result) < count:
        kind = ("one clip", "one action", "any")[len(result) % 3]
        first = long[generator.integers(len(long))]
        if kind == "one clip":
            second = first
        else:
            others = [
                motion
                for motion in long
                if kind == "any" or (motion.subject != first.subject and action(motion) == action(first))
            ]
            if not others:
                continue
            second = others[generator.integers(len(others))]
        i, j = int(generator.integers(len(first))), int(generator.integers(len(second)))
        if kind == "one clip" and abs(i - j) < APART * first.fps:
            continue
        result.append((kind, pose_at(first, i), pose_at(second, j)))
    return result


def action(motion: Motion) -> str:
    """Return the action of a clip of HDM05, such as `squat` of `dg_squat_3`."""
    return motion.name.split("_", 1)[-1].rstrip("0123456789_")


def score(coach: PoseCoach, a: Array, b: Array, total: Score, rest: Array = SMPL_REST) -> None:
    """Add one pair, measured on the skeleton ``rest`` [24, 3]."""
    begin = perf_counter()
    text = coach.describe(a, b, sentences=4)
    total.ms.append((perf_counter() - begin) * 1e3)
    before, after = measure_pose(a, rest), measure_pose(b, rest)
    sentences: list[list[Claim]] = [] if text == coach.phrases.matches else read_claims(text)
    claims = [claim for sentence in sentences for claim in sentence]
    total.pairs += 1
    total.sentences += len(sentences)
    total.words += len(text.split()) if sentences else 0
    for claim in claims:
        total.claims += 1
        if holds(claim, before, after):
            total.true += 1
        else:
            total.wrong.append(f"{claim.words}   in   {text}")
    two = coach.describe(a, b, sentences=2)
    claims_in_two = [] if two == coach.phrases.matches else [one for said in read_claims(two) for one in said]
    for what, side, _ in large_differences(before, after)[:5]:
        total.large += 1
        if named(what, side, claims, before, after):
            total.named += 1
        else:
            total.missed[what] += 1
        total.named_in_two += named(what, side, claims_in_two, before, after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="motions, a folder or an archive of them")
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", action="store_true", help="with amounts in numbers")
    parser.add_argument("--bodies", action="store_true", help="measure each pair on a skeleton of other proportions")
    parser.add_argument("--wrong", type=int, default=0, help="print so many claims that do not hold")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    motions = list(load_motions(options.motions))
    coach = PoseCoach(numbers=options.numbers)
    scores: dict[str, Score] = {"all": Score()}
    generator = np.random.default_rng(options.seed)
    for kind, a, b in pairs_of(motions, options.pairs, options.seed):
        rest = random_rest(generator) if options.bodies else SMPL_REST
        score(coach, a, b, scores["all"], rest)
        score(coach, a, b, scores.setdefault(kind, Score()), rest)
    print("| pairs from | pairs | claims | true | large differences | named | in two | words a sentence | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, one in scores.items():
        print(one.row(name))
    print(f"missed: {dict(scores['all'].missed)}; on {machine()['cpu']}")
    for line in scores["all"].wrong[: options.wrong]:
        print(f"does not hold: {line}")
    if options.json:
        write_report(
            options.json, {name: {**vars(one), "ms": float(np.median(one.ms))} for name, one in scores.items()}
        )


if __name__ == "__main__":
    main()
