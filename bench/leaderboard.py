"""The leaderboard of docs/measurements/leaderboard.md: what ships, on rendered held-out people and on the real views.

    python bench/leaderboard.py --motions ../shared/mocap --work DIR --page docs/measurements/leaderboard.md

Pictures (``humanrt-export data people``) and films (`people_rendered.FILMS`) are rendered if they are not there, with
motion held out from all training. Scores are kept in DIR: the same command goes on where it was cut off.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from humanrt.commands.evaluate import EvaluateOptions, evaluate
from humanrt.evaluation.running import RunOptions
from humanrt.files import write_atomically
from humanrt.inference.execution import Execution
from people_rendered import FILMS, render
from real_views import VIEWS

__all__ = ["BUNDLES", "Board", "page"]

BUNDLES = ("landmarks", "multihmr-anny", "holistic:fast", "holistic:balanced", "holistic:best")
_PICTURES, _SEED, _SIDE = 128, 2901, 448
_VIEW_FRAMES = 100
_FILMS = (0, 1, 2, 3)
_COMMAND = (
    "python bench/leaderboard.py --motions ../shared/mocap --work leaderboard --page docs/measurements/leaderboard.md"
)


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


def boards(work: Path, motions: Path, views: Path) -> list[Board]:
    """Return the data sets, rendered now where they are not there."""
    recordings = motions / "cmu_asfamc.tar.xz"
    pictures, films = work / "heldout", work / "films"
    if not (pictures / "people.json").is_file():
        from humanrt_export.commands.data import PeopleConfig, make_people

        make_people(PeopleConfig(out=pictures, count=_PICTURES, seed=_SEED, part="val", motions=recordings, size=_SIDE))
    films.mkdir(parents=True, exist_ok=True)
    for index in _FILMS:
        film = render(FILMS[index], motions)
        for file in (film, film.with_suffix(".npz")):
            link = films / f"{FILMS[index].name.replace(', ', '-')}{file.suffix}"
            if not link.exists():
                link.symlink_to(file)
    return [
        Board(
            "Rendered people in single pictures",
            f"{_PICTURES} pictures, {_SIDE} px: poses of recordings held out from training (CMU's part `val`), people "
            "dressed, partly hidden, cut off.",
            pictures,
            "shards",
            "pictures",
        ),
        Board(
            "A real person before four cameras",
            "One man on a treadmill ([following people](following.md)), every camera a film of "
            f"{_VIEW_FRAMES} frames. What stands for the truth is 15 to 20 mm uncertain itself: smaller differences "
            "say nothing. It is one man: intervals are over a second of each camera, too few to be trusted.",
            views,
            "views",
            "views",
            _VIEW_FRAMES,
        ),
        Board(
            "Rendered films",
            f"Films of 2 s: {'; '.join(FILMS[index].name for index in _FILMS)}. Bundles smooth as they do by default.",
            films,
            "films",
            "films",
        ),
    ]


def page(tables: dict[str, tuple[Board, str]], command: str) -> str:
    """Return the page, from the tables of every board."""
    lines = [
        "# Leaderboard",
        "",
        f"```\n{command}\n```",
        "",
        "People bundles that ship, scored by [`humanrt evaluate`](../use/evaluate.md), which defines the columns.",
        "The command overwrites this page. Nothing was trained or tuned on any of these pictures.",
    ]
    for board, text in tables.values():
        lines += ["", f"## {board.title}", "", board.text, "", text.rstrip()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--views", type=Path, default=VIEWS, help="the folder media/views")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="data and scores")
    parser.add_argument("--page", type=Path, required=True, metavar="FILE.md", help="the page that is written")
    parser.add_argument("--bundle", nargs="+", default=list(BUNDLES), metavar="NAME|PATH[:QUALITY]")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    execution = Execution("cpu", threads=arguments.threads)
    tables = {}
    for board in boards(arguments.work, arguments.motions, arguments.views):
        options = EvaluateOptions(board.data, board.format, out=arguments.work / board.name)
        how = RunOptions(silhouettes=True, max_frames=board.max_frames, execution=execution)
        tables[board.name] = (board, evaluate(arguments.bundle, options, how))
        print(f"{board.title}\n{tables[board.name][1]}", flush=True)
    write_atomically(arguments.page, page(tables, _COMMAND).encode())


if __name__ == "__main__":
    main()
