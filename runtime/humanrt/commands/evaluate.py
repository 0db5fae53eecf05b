"""``humanrt evaluate BUNDLE ... --data DIR --format NAME``: bundles scored on a data set with truth."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, given
from humanrt.errors import HumanrtError
from humanrt.evaluation.formats import FORMATS, read_data
from humanrt.evaluation.plots import draw_plots
from humanrt.evaluation.report import as_markdown, report_of
from humanrt.evaluation.running import Candidate, RunOptions, file_name, score_bundles
from humanrt.evaluation.worst import draw_worst
from humanrt.files import write_atomically
from humanrt.inference.execution import Execution
from humanrt.metrics.matching import MATCHERS
from humanrt.outputs.progress import Progress
from humanrt.outputs.record import check_writable
from humanrt.stats import write_report

__all__ = ["EvaluateOptions", "add_parser", "evaluate", "run"]

_EXAMPLES = """\
examples:
  humanrt evaluate landmarks multihmr-anny holistic:best --data heldout --format shards --json scores.json
  humanrt evaluate holistic --data films --format films --out results --silhouettes      goes on where it was cut off
"""


@dataclass(frozen=True)
class EvaluateOptions:
    """What is evaluated, and where results go.

    Attributes:
        data: folder of the data set.
        format: format of the data set.
        json: file for all figures.
        out: folder for report.json, report.md, plots, pictures of the worst cases, and scores of each clip, which are
            not made twice.
        worst: number of pictures of the largest errors, with --out.
        clips: only clips whose name contains one of these.
        body_models: folder of your SMPL_NEUTRAL.npz, SMPLX_NEUTRAL.npz, ..., for formats whose truth is parameters.
    """

    data: Path
    format: str
    json: Path | None = None
    out: Path | None = None
    worst: int = 8
    clips: tuple[str, ...] = ()
    body_models: Path | None = None


_DATA_FLAGS = {
    "data": Flag(metavar="DIR", type=Path, required=True),
    "format": Flag(metavar="NAME", choices=tuple(FORMATS), required=True),
    "json": Flag(metavar="FILE", type=Path),
    "out": Flag(metavar="DIR", type=Path),
    "worst": Flag(metavar="N", type=int),
    "body_models": Flag(metavar="DIR", type=Path),
    "clips": Flag("clip", metavar="TEXT", several=True),
}
_RUN_FLAGS = {
    "matcher": Flag(choices=tuple(MATCHERS)),
    "min_overlap": Flag(metavar="IOU", type=float),
    "root": Flag(choices=("pelvis", "hips")),
    "silhouettes": Flag(switch=True),
    "smooth": Flag(metavar="NAME"),
    "max_frames": Flag(metavar="N", type=int),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score bundles on a data set with truth",
        description="Score people bundles on a data set with truth: the same people, the same joints, the same metrics "
        "for all of them, with confidence intervals and paired differences.",
        epilog=f"formats: {', '.join(FORMATS)} (docs/use/evaluate.md)\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundles",
        nargs="+",
        metavar="BUNDLE",
        help="name or folder, with :QUALITY: `holistic` of that quality, or a Multi-HMR refined with it",
    )
    add_fields(parser, _DATA_FLAGS, EvaluateOptions)
    add_fields(parser, _RUN_FLAGS, RunOptions)
    parser.add_argument("--backend", default="cpu", metavar="NAME", help="auto, cpu, cuda or tensorrt (default: cpu)")
    add_fields(parser, EXECUTION_FLAGS, Execution)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and print the tables."""
    values = vars(arguments)
    execution = Execution(**{"backend": arguments.backend, **given(values, Execution)})
    options = given(values, EvaluateOptions)
    options["clips"] = tuple(options.get("clips", ()))
    how = RunOptions(**given(values, RunOptions), execution=execution)
    print(evaluate(arguments.bundles, EvaluateOptions(**options), how))
    return 0


def evaluate(bundles: list[str], options: EvaluateOptions, how: RunOptions) -> str:
    """Score bundles, write the files that were asked for, and return the tables.

    Raises:
        HumanrtError: a bundle, the data or an option is wrong; the message says which.
    """
    if options.worst < 0 or (how.max_frames is not None and how.max_frames < 1):
        raise HumanrtError("--worst and --max-frames are numbers of pictures; give 0 or more, and 1 or more")
    if options.json is not None:
        check_writable(options.json)
    data = read_data(options.data, options.format, options.clips, options.body_models)
    candidates = [Candidate.of(text) for text in bundles]
    progress = Progress("frames")
    done = 0

    def show(bundle: str, clip: str, frames: int) -> None:
        nonlocal done
        done += 1
        progress(done, f"{bundle}, {clip} {frames}")

    runs = score_bundles(candidates, data, how, options.out, show)
    progress.end()
    report = report_of(runs, data, str(options.data), how)
    text = as_markdown(report)
    if options.json is not None:
        write_report(options.json, report)
    if options.out is not None:
        write_report(options.out / "report.json", report)
        write_atomically(options.out / "report.md", text.encode())
        draw_plots(runs, options.out / "plots")
        for one in runs:
            draw_worst(one, data, options.out / "worst" / file_name(one.name), options.worst)
        sys.stderr.write(f"{options.out}: report.json, report.md, plots/, and the worst cases in worst/\n")
    return text
