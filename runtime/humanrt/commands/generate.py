"""``humanrt generate BUNDLE``: a motion from a label, from what was recorded, or from nothing, as a recording."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.animation.motion import record_motion
from humanrt.bundle import load_bundle
from humanrt.checks import check_range
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, field_texts, given
from humanrt.errors import HumanrtError
from humanrt.inference.execution import Execution
from humanrt.motion.observed import on_floor
from humanrt.motion.posegpt import POSEGPT, PoseGPT
from humanrt.outputs.motions import read_motion, write_motion
from humanrt.outputs.record import RECORDING_SUFFIX, check_apart, check_writable
from humanrt.people.rig import open_rig

__all__ = ["GenerateOptions", "add_parser", "run"]

_EXAMPLES = """\
examples:
  humanrt generate --label walk --seconds 2 --seed 1 --out walk.jsonl
  humanrt generate --label walk --seconds 2 --body landmarks --out walk.jsonl    for meshes: then
  humanrt convert walk.jsonl --to glb --out walk.glb
  humanrt generate --from take.jsonl --seconds 1 --out next.jsonl       what the recorded person does next
"""


@dataclass(frozen=True)
class GenerateOptions:
    """What to generate.

    Attributes:
        bundle: name or folder of a bundle for the task `posegpt`; without, the one that ships.
        seconds: duration of the new motion.
        out: the recording to write.
        label: what the motion is; the bundle's labels are listed where it has no such one.
        recording: recording of a person, whose motion is continued.
        person: identity of that person; without, the one who is seen longest.
        seed: the same seed gives the same motion on one machine.
        temperature: above 1 more varied, below 1 more usual, 0 the most probable.
        top_k: only so many of the most probable codes.
        top_p: only the most probable codes that together have this probability.
        body: people bundle on Anny, such as `landmarks`, whose body the recording is of, for meshes. Without, SMPL-X's
            bones alone.
    """

    seconds: float
    out: Path
    bundle: str = POSEGPT
    label: str | None = None
    recording: str | None = None
    person: int | None = None
    seed: int = 0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    body: str | None = None


_FLAGS = {
    "label": Flag(metavar="NAME"),
    "recording": Flag(name="from", metavar="RECORDING"),
    "person": Flag(metavar="ID", type=int),
    "seed": Flag(metavar="N", type=int),
    "temperature": Flag(metavar="T", type=float),
    "top_k": Flag(metavar="K", type=int),
    "top_p": Flag(metavar="P", type=float),
    "body": Flag(metavar="NAME|PATH"),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "generate",
        help="generate a motion from a label, from a recording, or from nothing",
        description="Generate a motion with a PoseGPT bundle, as a recording of one person.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    about = field_texts(GenerateOptions)["bundle"]
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help=about)
    parser.add_argument("--seconds", required=True, type=float, metavar="S", help="duration of the new motion")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="the recording to write")
    add_fields(parser, _FLAGS, GenerateOptions)
    parser.add_argument("--backend", default="cpu", metavar="NAME", help="auto, cpu, cuda or tensorrt (default: cpu)")
    add_fields(parser, EXECUTION_FLAGS, Execution)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Generate, and print the file that was written."""
    values = vars(arguments)
    options = GenerateOptions(**given(values, GenerateOptions))
    execution = Execution(**{"backend": arguments.backend, **given(values, Execution)})
    print(generate(options, execution))
    return 0


def generate(options: GenerateOptions, execution: Execution) -> Path:
    """Write the recording of a new motion; returns its file.

    Raises:
        HumanrtError: an option is not possible; the message says what is.
    """
    out = options.out
    if out.suffix != RECORDING_SUFFIX:
        raise HumanrtError(f"--out {out}: must end in {RECORDING_SUFFIX}; `humanrt convert` makes other files of it")
    check_writable(out)
    check_range(options.seconds, "--seconds", 0.0, above=True)
    source = None if options.recording is None else Path(options.recording)
    if source is not None:
        check_apart({"--out": out}, {"the recording that is read": [source]})
    elif options.person is not None:
        raise HumanrtError("--person is of the recording of --from; give that too, or leave it out")
    with ExitStack() as stack:
        body = None if options.body is None else load_bundle(options.body, task="people")
        rig = None if body is None else stack.enter_context(open_rig(body))
        gpt = stack.enter_context(PoseGPT(options.bundle, execution))
        observed = None if source is None else read_motion(source, gpt.fps, options.person).turned(gpt.up)
        lift = 0.0
        if observed is not None and gpt.variant == "streaming":
            observed, lift = on_floor(observed)
        motion = gpt.generate(
            options.label,
            options.seconds,
            observed,
            options.temperature,
            options.top_k,
            options.seed,
            top_p=options.top_p,
        )
        if lift:
            motion = replace(motion, translation=motion.translation - np.array([0, lift, 0], np.float32))
        about: dict[str, Any] = {
            **{"source": "humanrt generate", "generator": gpt.bundle.name},
            **{"label": options.label, "seed": options.seed},
        }
        if body is not None and rig is not None:
            record_motion(motion, out, rig, body.name, about, placed=observed is not None)
        else:
            write_motion(out, motion, about, placed=observed is not None)
    sys.stderr.write(f"{len(motion)} frames, {motion.seconds:.2f} s\n")
    return out
