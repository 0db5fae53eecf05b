"""What the editor that ships does with words: `PoseEditor` on poses of people that no weights are trained on.

    python bench/pose_edits.py --motions ../shared/mocap/hdm05.tar.xz
    python bench/pose_edits.py --motions ../shared/mocap/hdm05.tar.xz --answers     what each sentence was understood as

Poses are measured by `word_checker.py`, which shares no code with the editor or the coach.

1. **Sentences** of `pose_edits.json`, written by hand; `changes` after an earlier training, `fresh` after that of the
   weights that ship, `newest` after the rules of `humanrt.editing.sayings`: asked changes that were made, in direction
   and at least half of the amount (a number where one is said, else 10 degrees for a little, 20, 40 for a lot, half of
   that for head and trunk; 6, 12 and 24 cm); what is absolute within 30 degrees or 0.25 m. Changes for which a pose
   leaves no room are not counted (`no room`). **still**: mean turn of the joints that the sentence does not speak of.
2. **Targets**: pairs of captured poses A and B, with the coach's four sentences in numbers as the text. Mean error of
   22 joints from the pelvis to B, mm: of the edit, of copying A, of the mean pose, and of rules that take the coach's
   sentences apart (`word_checker.read_claims`) and do them by the same kinematics; no other wording gets through them.
3. **Round trip**: the coach's first sentence from A to B is done to A. **true**: its claims hold between A and the
   edit, **in direction**: without their amounts; **said again**: the coach, asked what leads from A to the edit, says
   them.
4. **Time**: of a text and of an edit after it, median ms of the process's own time on one thread.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt import PoseCoach, PoseEditor
from humanrt.editing.apply import apply
from humanrt.errors import InvalidInputError
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.stats import machine, write_report
from humanrt_export.data.edits.texts import Change, edit_of
from humanrt_export.motion.body_fk import forward
from humanrt_export.motion.load import load_motions
from pose_words import pairs_of
from word_checker import AXIS, Claim, Measured, holds, measure_pose, read_claims

__all__ = ["asked", "changes_of", "main", "met"]

Array = NDArray[np.float64]
SENTENCES = Path(__file__).with_name("pose_edits.json")
SIDES = ("left", "right")
NEAR, CLOSE = 30.0, 0.25  # degrees, m: of what is absolute
HALF = 0.5
LIMITS = {"elbow": (5, 140), "knee": (5, 140), "turn": (-70, 70), "nod": (-50, 45), "tilt": (-35, 35)}
LIMITS |= {"lean": (-25, 100), "side": (-40, 40), "twist": (-50, 50), "height": (0.3, 0.88), "stance": (0.12, 1.2)}
METRES = ("height", "stance", "hand", "foot")
PLACES = {
    "hip": "hip",
    "shoulder": "shoulder",
    "head": "head",
    "knee": "knee",
    "chest": "spine3",
    "belly": "spine1",
    "back": "spine1",
    "foot": "foot",
}
_HIPS = ("left_hip", "right_hip")
_LEGS = tuple(f"{side}_{joint}" for side in SIDES for joint in ("hip", "knee", "ankle"))
_SPINE = ("spine1", "spine2", "spine3")
MOVES: dict[str, tuple[str, ...]] = {
    "arm": ("collar", "shoulder"),
    "elbow": ("elbow",),
    "hand": ("collar", "shoulder", "elbow", "wrist"),
    "thigh": ("hip",),
    "knee": ("knee",),
    "foot": ("hip", "knee", "ankle"),
    "ankle": ("ankle",),
}
"""What is spoken of -> joints of its side that may move."""
WHOLE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lean", "side"), ("pelvis", *_SPINE, *_HIPS)),
    "twist": _SPINE,
    **dict.fromkeys(("turn", "nod", "tilt"), ("neck", "head")),
    **dict.fromkeys(("height", "stance"), _LEGS),
    "facing": ("pelvis",),
    "mirror": SMPLX_BODY,
}


def asked(text: str) -> tuple[str, tuple[str, ...], str, float | str]:
    """Return part, sides, way and amount of an expectation.

    ``left arm up 40``: turned up by so many degrees. ``both elbow + 20``, ``turn - 15``, ``height - 0.12``: a number
    grows or falls. ``right elbow = 90``: is so large. ``left arm at up``: points there. ``both hand on hip``.
    """
    words = text.split()
    sides: tuple[str, ...] = ()
    if words[0] in (*SIDES, "both"):
        sides = SIDES if words[0] == "both" else (words[0],)
        words = words[1:]
    if words[0] == "mirror":
        return "mirror", (), "", 0.0
    if words[1] in ("at", "on"):
        return words[0], sides, words[1], words[2]
    return words[0], sides, words[1], float(words[2])


def joints_of(part: str, sides: Sequence[str]) -> set[str]:
    """Return the joints that may move where a part is spoken of."""
    if part in WHOLE:
        return set(WHOLE[part])
    moved = {f"{side}_{joint}" for side in sides for joint in MOVES[part]}
    # Somebody who stands and bends both knees sinks.
    return moved | set(_LEGS) if part == "knee" and len(sides) == 2 else moved


def met(expectation: str, a: Array, b: Array) -> list[bool | None]:
    """Return whether each asked change was made between two poses; None where the first leaves no room for it."""
    part, sides, way, amount = asked(expectation)
    before, after = measure_pose(a), measure_pose(b)
    if part == "mirror":
        same = [before.bend["arm"], after.bend["arm"][::-1], before.bend["leg"], after.bend["leg"][::-1]]
        return [bool(np.allclose(same[0], same[1], atol=1) and np.allclose(same[2], same[3], atol=1))]
    if part == "facing":
        turn = _heading(b) - _heading(a)
        turn = (turn + 180) % 360 - 180
        assert isinstance(amount, float)
        return [abs(turn) >= HALF * amount and (amount >= 150 or (turn > 0) == (way == "+"))]
    if sides:
        return [_limb(part, SIDES.index(side), way, amount, before, after, a, b) for side in sides]
    assert isinstance(amount, float)
    return [_number(part, before.angles[part], after.angles[part], way, amount)]


def _number(part: str, before: float, after: float, way: str, amount: float) -> bool | None:
    if way == "=":
        return abs(after - amount) <= (0.12 if part in METRES else 15.0)
    low, high = LIMITS[part]
    sign = 1 if way == "+" else -1
    wanted = before + sign * amount
    if not low <= wanted <= high:
        return None
    return bool(sign * (after - before) >= HALF * amount)


def _limb(
    part: str, i: int, way: str, amount: float | str, before: Measured, after: Measured, a: Array, b: Array
) -> bool | None:
    limb = "arm" if part in ("arm", "elbow", "hand") else "leg" if before.heading and after.heading else "leg in pelvis"
    if part in ("elbow", "knee"):
        assert isinstance(amount, float)
        return _number(part, float(before.bend[limb][i]), float(after.bend[limb][i]), way, amount)
    if part == "ankle":
        assert isinstance(amount, float)
        tips = [_toe(pose, SIDES[i]) for pose in (a, b)]
        return bool((1 if way == "+" else -1) * (tips[1] - tips[0]) >= HALF * amount)
    if way == "on":
        assert isinstance(amount, str)
        joints = dict(zip(SMPLX_BODY, forward(_full(b))[0], strict=False))
        place = PLACES[amount]
        names = [place] if place in joints else [f"{side}_{place}" for side in SIDES]
        nearest = min(float(np.linalg.norm(joints[f"{SIDES[i]}_wrist"] - joints[name])) for name in names)
        return nearest <= (CLOSE + 0.07 if amount in ("back", "belly", "head", "chest") else CLOSE)
    name = str(amount) if way == "at" else way
    axis, sign = AXIS[name]
    if part in ("arm", "thigh"):
        start, end = (sign * float(one.upper[limb][i][axis]) for one in (before, after))
        left, reached = (float(np.degrees(np.arccos(np.clip(one, -1, 1)))) for one in (start, end))
        if way == "at":
            return reached <= NEAR
        assert isinstance(amount, float)
        if left < amount:
            return None
        moved = float(np.degrees(np.arccos(np.clip(before.upper[limb][i] @ after.upper[limb][i], -1, 1))))
        return bool(end - start > 0.03 and moved >= HALF * amount)
    assert isinstance(amount, float)
    shift = sign * float(after.end[limb][i][axis] - before.end[limb][i][axis])
    length = sum(before.lengths[limb])
    place = before.end[limb][i] - before.start[limb][i] + np.eye(3)[axis] * sign * amount
    if np.linalg.norm(place) > length:
        return None  # the limb is too short
    return shift >= HALF * amount


def _heading(pose: Array) -> float:
    front = np.diag([1.0, -1.0, -1.0]) @ pose[0][:, 2]
    return float(np.degrees(np.arctan2(front[0], front[2])))


def _toe(pose: Array, side: str) -> float:
    """Return how far the foot is pointed, degrees: the angle of its sole to the shank."""
    joints = dict(zip(SMPLX_BODY, forward(_full(pose))[0], strict=False))
    shank, foot = joints[f"{side}_ankle"] - joints[f"{side}_knee"], joints[f"{side}_foot"] - joints[f"{side}_ankle"]
    cosine = shank @ foot / np.linalg.norm(shank) / np.linalg.norm(foot)
    return -float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _full(pose: Array) -> Array:
    full = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    full[:22] = pose
    return full


def _turned(a: Array, b: Array) -> Array:
    """Return by how many degrees each joint was turned."""
    cosine = (np.trace(np.swapaxes(a, 1, 2) @ b, axis1=1, axis2=2) - 1) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _distance(a: Array, b: Array) -> float:
    """Return the mean distance of the joints of two poses, from the pelvis, without the heading of the hips, mm."""
    places = []
    for pose in (a, b):
        joints = forward(_full(pose))[0][:22]
        angle = np.radians(-_heading(pose))
        flipped = (joints - joints[0]) @ np.diag([1.0, -1.0, -1.0])
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        places.append(flipped @ turn.T)
    return float(1e3 * np.linalg.norm(places[0] - places[1], axis=-1).mean())


def changes_of(claims: Sequence[Claim]) -> list[Change]:
    """Return what the coach's sentences ask for, by rules: numbers as they are, else 15, 40 and 75 degrees."""
    found: dict[str, Change] = {}
    names = {"side": "side_lean", "turn": "head_turn", "nod": "head_nod", "tilt": "head_tilt"}
    for claim in claims:
        metres = claim.what in METRES
        usual = {"a little": 0.10 if metres else 15.0, "": 0.25 if metres else 40.0}.get(
            claim.amount, 0.5 if metres else 75.0
        )
        size = usual if claim.number is None else claim.number
        if claim.what == "tip":
            continue
        channels = [f"{side}_{claim.what}" for side in claim.sides] or [names.get(claim.what, claim.what)]
        for channel in channels:
            if claim.ways in (("+",), ("-",)):
                found.setdefault(channel, Change(channel, size if claim.ways == ("+",) else -size))
                continue
            way = np.zeros(3)
            for axis, sign in (AXIS[one] for one in claim.ways):
                way[axis] = sign
            found.setdefault(channel, Change(channel, size, False, (float(way[0]), float(way[1]), float(way[2]))))
    return list(found.values())


# ------------------------------------------------------------------------------------------------ measurements


def sentences(
    editor: PoseEditor, poses: Sequence[Array], cases: Sequence[dict[str, Any]], show: bool
) -> dict[str, Any]:
    """Measure the sentences of the file on poses."""
    counts: Counter[str] = Counter()
    still: list[float] = []
    failed: Counter[str] = Counter()
    asks_of: Counter[str] = Counter()
    perfect = 0
    for case in cases:
        text, expectations = case["text"], case["asks"]
        mine: Counter[str] = Counter()
        for pose in poses:
            try:
                b = editor.edit(pose, text).astype(np.float64)
            except InvalidInputError:
                b = pose
                mine["refused"] += 1
            speaks = set().union(*(joints_of(*asked(one)[:2]) for one in expectations))
            if others := [index for index, name in enumerate(SMPLX_BODY) if name not in speaks]:
                still.append(float(_turned(pose, b)[others].mean()))
            for expectation in expectations:
                for result in met(expectation, pose, b):
                    mine["no room" if result is None else "met" if result else "missed"] += 1
                    if result is False:
                        failed[f"{text}  ({expectation})"] += 1
        counts.update(mine)
        asks_of[text] = mine["met"] + mine["missed"]
        perfect += mine["missed"] == 0
        if show:
            share = mine["met"] / max(1, mine["met"] + mine["missed"])
            print(f"| {text} | {_answer(editor, poses[0], text)} | {100 * share:.0f} % |")
    made = counts["met"] / max(1, counts["met"] + counts["missed"])
    print(f"\nsentences {len(cases)}, poses {len(poses)}, changes {counts['met'] + counts['missed']}")
    print(f"met {100 * made:.1f} %, no room {counts['no room']}, refused {counts['refused']}")
    print(f"sentences met on every pose {perfect} of {len(cases)}; still: mean {np.mean(still):.2f} degrees")
    for line, count in failed.most_common(15):
        print(f"  missed on {count} of {len(poses)}: {line}")
    return {"met": made, "still": float(np.mean(still)), "counts": dict(counts)}


def _answer(editor: PoseEditor, pose: Array, text: str) -> str:
    try:
        return editor.changes(pose, text).text() or "nothing"
    except InvalidInputError:
        return "not understood"


def targets(editor: PoseEditor, pairs: Sequence[tuple[str, Array, Array]]) -> dict[str, float]:
    """Measure the error to the second poses of pairs."""
    coach = PoseCoach(numbers=True)
    mean = np.mean([b for _, _, b in pairs], axis=0)
    u, _, v = np.linalg.svd(mean)
    u[..., -1] *= np.linalg.det(u @ v)[..., None]
    average = u @ v
    errors: dict[str, list[float]] = {"edit": [], "copy": [], "mean pose": [], "rules": []}
    for _, a, b in pairs:
        text = coach.describe(a, b, sentences=4)
        if text == coach.phrases.matches:
            continue
        claims = [claim for said in read_claims(text) for claim in said]
        try:
            edited = editor.edit(a, text).astype(np.float64)
        except InvalidInputError:
            edited = a
        results = {"edit": edited, "copy": a, "mean pose": average, "rules": apply(a, edit_of(changes_of(claims)))}
        for name, pose in results.items():
            errors[name].append(_distance(pose, b))
    print(
        f"\npairs {len(errors['copy'])}; error to B, mm: "
        + ", ".join(f"{k} {np.mean(v):.0f}" for k, v in errors.items())
    )
    return {name: float(np.mean(values)) for name, values in errors.items()}


def round_trip(editor: PoseEditor, pairs: Sequence[tuple[str, Array, Array]]) -> dict[str, float]:
    """Measure whether the coach says again what it had done."""
    coach = PoseCoach(degrees=8.0, metres=0.06)
    asker = PoseCoach()
    true = aimed = again = total = 0
    for _, a, b in pairs:
        text = asker.describe(a, b, sentences=1)
        if text == asker.phrases.matches:
            continue
        claims = read_claims(text)[0]
        try:
            edited = editor.edit(a, text).astype(np.float64)
        except InvalidInputError:
            edited = a
        before, after = measure_pose(a), measure_pose(edited)
        said = coach.describe(a, edited, sentences=4)
        found = [] if said == coach.phrases.matches else [claim for one in read_claims(said) for claim in one]
        for claim in claims:
            total += 1
            true += holds(claim, before, after)
            aimed += holds(replace(claim, amount="", number=None), before, after)
            again += all(any(_covers(one, claim, side) for one in found) for side in (claim.sides or ("",)))
    print(
        f"\nround trip, claims {total}: true {100 * true / total:.1f} %, in direction {100 * aimed / total:.1f} %, "
        f"said again {100 * again / total:.1f} %"
    )
    return {"true": true / total, "direction": aimed / total, "again": again / total}


def _covers(said: Claim, wanted: Claim, side: str) -> bool:
    return said.what == wanted.what and bool(set(said.ways) & set(wanted.ways)) and (not side or side in said.sides)


def timing(editor: PoseEditor, poses: Sequence[Array]) -> dict[str, float]:
    """Measure a text, and an edit after it."""
    text = "raise your left arm a little and bend both knees by 30 degrees"

    def median(run: Callable[[], object]) -> float:
        times = []
        for _ in range(60):
            begin = process_time()
            run()
            times.append(process_time() - begin)
        return float(1e3 * np.median(times))

    vector = editor.encode_text(text)
    result = {
        "text": median(lambda: editor.encode_text(text)),
        "edit": median(lambda: editor.edit(poses[0], text=vector)),
    }
    print(f"\ntext {result['text']:.2f} ms, edit {result['edit']:.2f} ms, on {machine()['cpu']}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="motions, a folder or an archive of them")
    parser.add_argument("--bundle", default="word-editor")
    parser.add_argument("--poses", type=int, default=20, help="for each sentence (default: 20)")
    parser.add_argument("--pairs", type=int, default=600, help="of poses (default: 600)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", action="store_true", help="print what each sentence was understood as")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    content = json.loads(SENTENCES.read_text(encoding="utf-8"))
    pairs = pairs_of(list(load_motions(options.motions)), max(options.pairs, 10 * options.poses), options.seed)
    # People on their feet: sentences speak of arms that hang and floors.
    upright = [a for _, a, _ in pairs if measure_pose(a).angles["tip"] < 30 and measure_pose(a).heading][
        : options.poses
    ]
    with PoseEditor(options.bundle, threads=1) as editor:
        report: dict[str, Any] = {}
        for kind in (name for name in ("changes", "fresh", "newest") if name in content):
            print(f"\n{kind}:\n")
            report[kind] = sentences(editor, upright, content[kind], options.answers)
        for kind in (name for name in ("nothing", "nothing newest") if name in content):
            refused = 0
            for text in content[kind]:
                answer = _answer(editor, upright[0], text)
                refused += answer in ("not understood", "nothing")  # an edit of which is refused too
                if options.answers or answer not in ("not understood", "nothing"):
                    print(f"| {text!r} | {answer} | |")
            print(f"\nof texts that ask for nothing ({kind}) {refused} of {len(content[kind])} were not understood")
            report[f"refused, {kind}"] = [refused, len(content[kind])]
        report["targets"] = targets(editor, pairs[: options.pairs])
        report["round trip"] = round_trip(editor, pairs[: options.pairs])
        report["ms"] = timing(editor, upright)
    if options.json:
        write_report(options.json, report)


if __name__ == "__main__":
    main()
