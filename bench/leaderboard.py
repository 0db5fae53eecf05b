"""The leaderboard of docs/measurements/leaderboard.md: what ships, on rendered held-out people and on the real views.

    python bench/leaderboard.py --motions ../shared/mocap --work DIR --page docs/measurements/leaderboard.md

Pictures (``humanrt-export data people``) and films (`people_rendered.FILMS`) are rendered if they are not there, with
motion held out from all training; what stands for the truth of the real views is fitted (``humanrt-export fit``).
Scores are kept in DIR, with the hashes of all bundles that they are made by: the same command goes on where it was cut
off, and after a bundle has changed makes again what depends on it. A fit that other code made is not told apart: remove
DIR/views-fitted after a change to it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.errors import HumanrtError
from humanrt.evaluation.correspondence import correspond
from humanrt.evaluation.dataset import Clip, DataSet, Shot
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.plots import draw_plots
from humanrt.evaluation.report import as_markdown, report_of
from humanrt.evaluation.running import Candidate, Run, RunOptions, file_name, score_bundles, scores_depend_on
from humanrt.evaluation.scoring import ClipScorer, Predicted, Scores
from humanrt.evaluation.worst import draw_worst
from humanrt.files import write_atomically
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.inference.execution import Execution
from humanrt.metrics.matching import MATCHERS
from humanrt.people.raw_tracker import RawTracker, Seen
from humanrt.stats import write_report
from kept import are_present
from people_rendered import FILMS, render
from real_views import VIEWS

__all__ = ["BOARDS", "ROWS", "Board", "Row", "boards", "page", "scored"]

Array = NDArray[Any]

_PICTURES, _SEED, _SIDE = 128, 2901, 448
_FILMS = (0, 1, 2, 3)
BOARDS = ("pictures", "fitted", "films")
ERROR = "{error}"
"""In a board's text: what the fit's own error is, which is known once it is fitted."""
_COMMAND = "python bench/leaderboard.py --motions ../shared/mocap --work leaderboard"
_PAGE = "docs/measurements/leaderboard.md"


@dataclass(frozen=True)
class Row:
    """One line of the tables: a bundle in some way, or a network's raw landmarks.

    Attributes:
        bundle: as for ``humanrt evaluate``.
        smooth: people of films; None: as the bundle does.
        precision: of the networks.
        raw: the landmarks of the bundle's network themselves, placed by least squares of their pictures.
        same_in_pictures: the row whose results it has in single pictures, where it is left out.
    """

    bundle: str
    smooth: str | None = None
    precision: str = "fp32"
    raw: bool = False
    same_in_pictures: str = ""

    @property
    def name(self) -> str:
        """Name in the tables."""
        parts = [f"{self.bundle}, raw landmarks" if self.raw else self.bundle]
        parts += ["unsmoothed"] * (self.smooth == "none") + [self.precision] * (self.precision != "fp32")
        return ", ".join(parts)


ROWS = (
    Row("landmarks"),
    Row("landmarks", raw=True),
    Row("landmarks", smooth="none"),
    Row("multihmr-anny"),
    Row("multihmr-anny", smooth="none"),
    Row("multihmr-anny", precision="int16"),
    Row("holistic:fast"),
    Row("holistic:balanced"),
    Row("holistic:balanced", smooth="none"),
    # Before the first frame nobody is known, so `balanced` looks at everybody with the larger network.
    Row("holistic:best", same_in_pictures="holistic:balanced"),
    Row("holistic", raw=True),
)
"""What ships, in every way that changes results: the landmark networks ship in FP32 alone, `multihmr-anny` in FP32,
BF16x3 and INT16. BF16x3 has no row: it needs AMX, which not every machine of the board has, and is 0.001 mm from FP32.
"""


@dataclass(frozen=True)
class Board:
    """One data set of the leaderboard.

    Attributes:
        title, text: above its tables.
        data, format: as for ``humanrt evaluate``.
        name: of its folder of scores.
        max_frames: of each clip; None: all.
    """

    title: str
    text: str
    data: Path
    format: str
    name: str
    max_frames: int | None = None


def boards(work: Path, frames: int | None) -> list[Board]:
    """Return the data sets, of films the first ``frames``; `made` makes what they are read from."""
    length = "2 s" if frames is None else f"{frames} frames"
    return [
        Board(
            "Rendered people in single pictures",
            f"{_PICTURES} pictures, {_SIDE} px: poses of recordings held out from training (CMU's part `val`), people "
            "dressed, partly hidden, cut off.",
            work / "heldout",
            "shards",
            "pictures",
        ),
        Board(
            "A real person before four cameras",
            "One man on a treadmill ([following people](following.md)), every camera a film of "
            f"{frames or 100} frames. The truth is [fitted](fit.md) to all four views; its own error: {ERROR}. Smaller "
            "differences say nothing. It is made of landmarks and silhouettes of `holistic`'s network, whose "
            "errors it cannot show. It is one man: intervals are over a second of each camera, too few to be trusted.",
            work / "views-fitted",
            "films",
            "fitted",
            frames,
        ),
        Board(
            "Rendered films",
            f"Films of {length}: {'; '.join(FILMS[index].name for index in _FILMS)}. Bundles smooth as they do by "
            "default.",
            work / "films",
            "films",
            "films",
            frames,
        ),
    ]


def made(board: Board, motions: Path, views: Path, threads: int) -> Board:
    """Render or fit what a board is read from, if it is not there; return the board with a text that says all."""
    if board.name == "pictures" and not (board.data / "people.json").is_file():
        from humanrt_export.commands.data import PeopleConfig, make_people

        recordings = motions / "cmu_asfamc.tar.xz"
        make_people(
            PeopleConfig(out=board.data, count=_PICTURES, seed=_SEED, part="val", motions=recordings, size=_SIDE)
        )
    if board.name == "fitted":
        if not _is_of_present_bundles(board.data / "report.json"):
            from humanrt_export.commands.fit import FitConfig
            from humanrt_export.commands.fit import run as fit

            shutil.rmtree(board.data, ignore_errors=True)
            fit(FitConfig(views=views, out=board.data, threads=threads))
        return replace(board, text=board.text.replace(ERROR, _error_of(board.data)))
    if board.name == "films":
        board.data.mkdir(parents=True, exist_ok=True)
        for index in _FILMS:
            film = render(FILMS[index], motions)
            for file in (film, film.with_suffix(".npz")):
                link = board.data / f"{FILMS[index].name.replace(', ', '-')}{file.suffix}"
                if not link.exists():
                    link.symlink_to(file)
    return board


def _is_of_present_bundles(report: Path) -> bool:
    """Return whether there is a fit, of bundles that are the same now."""
    if not report.is_file():
        return False
    used = json.loads(report.read_text(encoding="utf-8")).get("bundles")
    return used is not None and are_present(used)


def _error_of(fitted: Path) -> str:
    """Return in words how certain a fit is, from its report."""
    report = json.loads((fitted / "report.json").read_text(encoding="utf-8"))
    man = next(one for one in report["people"] if one["accepted"])
    return (
        f"with half of the cameras limb joints move by {man['stability_mm']['median']:.0f} mm (median), and landmarks "
        f"of a camera that is left out are missed by {man['held_out_reprojection']['median_px']:.0f} px"
    )


def scored(row: Row, data: DataSet, how: RunOptions, out: Path) -> Run:
    """Return the scores of a row; those that are in ``out``, of the same bundles, are read."""
    if row.raw:
        return _raw(row, data, how, out)
    precise = replace(how.execution, precision=row.precision)
    options = replace(how, smooth=row.smooth or how.smooth, execution=precise)
    run = score_bundles([Candidate.of(row.bundle)], data, options, out / file_name(row.name))[0]
    return replace(run, name=row.name)


def _raw(row: Row, data: DataSet, how: RunOptions, out: Path) -> Run:
    """Return scores of the landmarks in metres of a bundle's network."""
    kept: dict[str, Scores] = {}
    joints = correspond(MEDIAPIPE_33, data.clips[0].joint_names, how.root or data.root)
    with loaded_bundles() as used:
        tracker = RawTracker(
            load_bundle(row.bundle, task="people"), silhouettes=False, threads=how.execution.threads or 1
        )
    with tracker:
        for clip in data.clips:
            about = scores_depend_on(data, clip, how, used)
            file = out / file_name(row.name) / "scores" / f"{file_name(clip.name)}.npz"
            scores = Scores.load(file, about)
            if scores is None:
                scorer = ClipScorer(clip, joints, MATCHERS[how.matcher], how.min_overlap)
                for shot, people in _looked(tracker, clip, how):
                    placed = np.array([_placed(one, shot.intrinsics) for one in people]).reshape(-1, 33, 3)
                    scorer.add(shot, Predicted(tuple(range(len(people))), placed), None, None)
                scores = scorer.finish()
                scores.save(file, about)
            kept[clip.name] = scores
    return Run(row.name, kept, joints, bundles=used)


def _looked(tracker: RawTracker, clip: Clip, how: RunOptions) -> Iterator[tuple[Shot, list[Seen]]]:
    """Yield the pictures of a clip and whom the network sees there; of a film, followed by the shipped tracker."""
    tracker.reset()
    for number, shot in enumerate(clip.shots()):
        if number == how.max_frames:
            return
        if not clip.film:
            tracker.reset()
        yield shot, tracker.observe(shot.frame)


def _placed(one: Seen, K: Array) -> Array:
    """Return landmarks [33, 3] m in camera space: where their pictures are those that the network sees."""
    points, weight = one.marks.landmarks_3d.astype(np.float64), np.sqrt(one.marks.visibility.astype(np.float64))
    rays = np.c_[one.marks.landmarks_2d, np.ones(33)] @ np.linalg.inv(K).T
    # (x + tx) = u (z + tz), (y + ty) = v (z + tz): linear in t.
    A = np.zeros((33, 2, 3))
    A[:, 0, 0] = A[:, 1, 1] = 1.0
    A[:, :, 2] = -rays[:, :2]
    b = rays[:, :2] * points[:, 2:] - points[:, :2]
    place = np.linalg.lstsq((A * weight[:, None, None]).reshape(-1, 3), (b * weight[:, None]).ravel(), rcond=None)[0]
    return np.asarray(points + place)


def command_of(board: str, frames: int | None) -> str:
    """Return the command that makes a part of the page, by its `Board.name`."""
    shortened = "" if frames is None or board == "pictures" else f" --frames {frames}"
    return f"{_COMMAND} --boards {board}{shortened} --page {_PAGE}"


def page(tables: dict[str, tuple[Board, str]], commands: Mapping[str, str], date: str, before: str = "") -> str:
    """Return the page, whose parts each have their own command and date.

    Args:
        tables: board and tables of those parts that were made now, by `Board.name`.
        commands: that make them, likewise.
        date: of today.
        before: the page; parts that are not made now stand as they are, with notes that were written into them.
    """
    lines = [
        "# Leaderboard",
        "",
        f"```\n{_COMMAND} --page {_PAGE}\n```",
        "",
        "People bundles that ship, scored by [`humanrt evaluate`](../use/evaluate.md), which defines the columns.",
        "The command overwrites this page, with `--boards` only those parts of it: each says its command, its day and",
        "its bundles. Nothing was trained or tuned on any of these pictures.",
        "",
        "`unsmoothed`: every frame by itself. `raw landmarks`: a network's 33 landmarks in metres, moved to where "
        "their pictures are. `multihmr-anny` ships in FP32, BF16x3 and INT16 (BF16x3 needs AMX, and is FP32 to 0.001 "
        "mm: it has no row), the landmark networks in FP32 alone, nothing in INT8.",
    ]
    old = {part.partition("\n")[0]: part.rstrip() for part in before.split("\n## ")[1:]}
    new = {
        board.title: "\n\n".join(
            (board.title, f"Made on {date} by", f"```\n{commands[name]}\n```", board.text, text.rstrip())
        )
        for name, (board, text) in tables.items()
    }
    for part in {**old, **new}.values():
        lines += ["", f"## {part}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--views", type=Path, default=VIEWS, help="the folder media/views")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="data and scores")
    parser.add_argument("--page", type=Path, required=True, metavar="FILE.md", help="the page that is written")
    parser.add_argument("--boards", nargs="+", choices=BOARDS, default=BOARDS, help="parts of the page; default: all")
    parser.add_argument("--frames", type=int, metavar="N", help="of each film; default: all")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    execution = Execution("cpu", threads=arguments.threads)
    tables = {}
    for plan in boards(arguments.work, arguments.frames):
        if plan.name not in arguments.boards:
            continue
        board = made(plan, arguments.motions, arguments.views, arguments.threads)
        data, out = read_data(board.data, board.format), arguments.work / board.name
        how = RunOptions(silhouettes=True, max_frames=board.max_frames, execution=execution)
        runs, refused = [], []
        for row in ROWS:
            if row.smooth and not data.clips[0].film:
                continue
            if row.same_in_pictures and not data.clips[0].film:
                refused.append(f"`{row.name}` is `{row.same_in_pictures}` in single pictures.")
                continue
            try:
                runs.append(scored(row, data, how, out))
            except HumanrtError as error:  # a precision that this machine's processor does not have
                if row.precision == "fp32":
                    raise
                refused.append(f"`{row.name}` is not among them: {error}.")
            print(f"{board.name}: {row.name}", flush=True)
        report = report_of(runs, data, str(board.data), how)
        write_report(out / "report.json", report)
        draw_plots(runs, out / "plots")
        for run in runs:
            draw_worst(run, data, out / "worst" / file_name(run.name), 8)
        tables[board.name] = (board, as_markdown(report) + "".join(f"\n{line}\n" for line in refused))
        print(f"{board.title}\n{tables[board.name][1]}", flush=True)
    commands, today = {name: command_of(name, arguments.frames) for name in tables}, f"{datetime.now(UTC):%-d %B %Y}"
    before = ""
    if len(tables) < len(BOARDS) and arguments.page.is_file():
        before = arguments.page.read_text(encoding="utf-8")
    write_atomically(arguments.page, page(tables, commands, today, before).encode())


if __name__ == "__main__":
    main()
