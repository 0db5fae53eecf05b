"""Time and memory of ``humanrt evaluate`` beside the networks: does memory stay flat with the number of frames?

    python bench/evaluate_stream.py --frames 1000 10000 --out evaluate_stream.json

The film that ships (`humanrt.data.PEOPLE_CLIP`) is repeated as one long clip, its pictures decoded one by one; two
stand-ins for bundles find its people with errors of their own, so that everything but networks is done: matching, all
metrics of films, intervals, paired differences, charts, the report. Every count runs in a process of its own. Peak is
the largest resident memory of that process, start the memory before the first frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.data import PEOPLE_CLIP
from humanrt.evaluation.correspondence import correspond
from humanrt.evaluation.dataset import Clip, Shot
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.plots import draw_plots
from humanrt.evaluation.report import as_markdown, report_of
from humanrt.evaluation.running import Run, RunOptions
from humanrt.evaluation.scoring import ClipScorer, Predicted
from humanrt.metrics.matching import MATCHERS
from humanrt.stats import machine, write_report

NAMES = ("one", "other")
_ERRORS = (0.03, 0.05)  # m, of the joints that they find
_CHUNK = 1000  # frames between two looks at the memory


def memory(field: str) -> float:
    """Return MiB of resident memory of this process: ``VmRSS`` now, ``VmHWM`` the most so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def repeated(clip: Clip, count: int) -> Iterator[Shot]:
    """Yield ``count`` pictures of a clip, again and again, as if the film went on."""
    number = 0
    while True:
        for shot in clip.shots():
            if number == count:
                return
            yield replace(shot, frame=replace(shot.frame, index=number, t=number / clip.fps))
            number += 1


def measure(count: int) -> dict[str, Any]:
    """Score ``count`` frames in this process."""
    data = read_data(PEOPLE_CLIP, "films")
    clip, options = data.clips[0], RunOptions()
    joints = correspond(clip.joint_names, clip.joint_names, data.root)
    start, began, after = memory("VmRSS"), time.perf_counter(), []
    runs = []
    for name, error in zip(NAMES, _ERRORS, strict=True):
        random = np.random.default_rng(0)
        scorer = ClipScorer(clip, joints, MATCHERS[options.matcher], options.min_overlap)
        for number, shot in enumerate(repeated(clip, count)):
            found = shot.people.joints + random.normal(0, error, shot.people.joints.shape)
            scorer.add(shot, Predicted(shot.people.ids, found), None, None)
            if number % _CHUNK == _CHUNK - 1:
                after.append(memory("VmRSS"))
        runs.append(Run(name, {clip.name: scorer.finish()}, joints))
    scored, most = time.perf_counter() - began, memory("VmHWM")
    with tempfile.TemporaryDirectory() as folder:
        draw_plots(runs, Path(folder))
        text = as_markdown(report_of(runs, data, "repeated", options))
    assert "| one to other |" in text
    return {
        "frames": count,
        "bundles": len(runs),
        "people": len(runs[0].clips[clip.name].found),
        "scoring_s": scored,
        "summary_s": time.perf_counter() - began - scored,
        "start_mib": start,
        "scoring_mib": after,
        "scoring_peak_mib": most,
        "peak_mib": memory("VmHWM"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10000], metavar="N")
    parser.add_argument("--out", type=Path, help="results as JSON")
    parser.add_argument("--here", action="store_true", help="one count, in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.frames[0])))
        return
    rows = []
    for count in arguments.frames:
        command = [sys.executable, __file__, "--here", "--frames", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        row = rows[-1]
        print(
            f"{count} frames, {row['people']} people, {row['bundles']} bundles: {row['scoring_s']:.0f} s and "
            f"{row['summary_s']:.1f} s for the summary; from {row['start_mib']:.0f} to "
            f"{row['scoring_peak_mib']:.0f} MiB, with the summary {row['peak_mib']:.0f}",
            flush=True,
        )
    if arguments.out:
        write_report(arguments.out, {"rows": rows, "machine": machine()})


if __name__ == "__main__":
    main()
