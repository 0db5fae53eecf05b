"""Multi-HMR on a processor without AMX: 16-bit integers and rectangular networks beside eager PyTorch, in one run.

    python bench/people_without_amx.py                      # a ViT-S at 448 px of noise
    python bench/people_without_amx.py --weights golden     # the weights of ../shared/golden/multihmr_448_s
    python bench/people_without_amx.py CHECKPOINT.pt --body-models DIR --source film.mp4        # your own

Two bundles are exported, square and ``--aspect 16:9``; they are kept in build/ and used again until the checkpoint, the
body or the exporter changes. Each precision of both takes turns with the same checkpoint in PyTorch on the square input
(SDPA, inference mode, as in `people_vs_torch.py`): once from picture to meshes, once the network alone. Pictures are
cut to 16:9, so that the rectangle is their own shape. AMX is hidden, where there is one.

Distances are of vertices to PyTorch in FP32 on the square input, the mean over each mesh, between the people of both
that are at the same place (within a token, 14 px); those without such a partner are counted as lost. Untrained weights
see no people, so the threshold is set where ``--people`` of their scores lie above it. What untrained weights say of a
rectangle holds for noise: judge your own with this, or with `python -m humanrt.verdict.rectangle`.

Needs torch and what exports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

import humanrt_export
from humanrt import native
from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import Letterbox
from humanrt.native.processor import HIDE
from humanrt.people.multihmr import MultiHMR
from humanrt.people.results import People
from humanrt.sources.opening import open_source
from humanrt.stats import Percentiles, machine, table, write_report
from humanrt_export.bodies.smplx import find_smplx
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.multihmr_smplx import export_multihmr
from people_gpu import stand_in, threshold_for
from people_vs_torch import Eager, Run, in_turns

ROOT = Path(__file__).resolve().parents[1]
SIDE = 448
ASPECT = (16, 9)
GRAPHS = {"fp32": "network-cpu", "int16": "network-cpu-int16"}
EAGER = "PyTorch eager, square"
KERNELS = {0: "not here", 1: "AVX2", 2: "AVX-512 VNNI"}


@dataclass(frozen=True)
class Made:
    """A checkpoint, its body models, and the bundles of both shapes."""

    checkpoint: Path
    bodies: Path
    bundles: dict[str, Bundle]


def make(work: Path, weights: str, checkpoint: Path | None, bodies: Path | None, again: bool) -> Made:
    """Export both bundles into ``work``, unless those of these files, made by this exporter, are there.

    Args:
        work: folder that is gone on with.
        weights: ``noise`` or ``golden``, where there is no checkpoint.
        checkpoint, bodies: the user's.
        again: export also what is there.
    """
    work.mkdir(parents=True, exist_ok=True)
    if checkpoint is None or bodies is None:
        checkpoint, bodies = golden(work) if weights == "golden" else noise(work)
    origin = origin_of(checkpoint, bodies)
    bundles = {}
    for shape, aspect in (("square", None), ("16:9", ASPECT)):
        folder = work / shape.replace(":", "x")
        beside = work / f"{folder.name}.json"
        if again or not kept(folder, beside, origin):
            beside.unlink(missing_ok=True)
            export_multihmr(checkpoint, bodies, folder, aspect=aspect, report=lambda line: print(line, file=sys.stderr))
            beside.write_text(json.dumps(origin, indent=1) + "\n")
        bundles[shape] = load_bundle(folder, task="people")
    return Made(checkpoint, bodies, bundles)


def origin_of(checkpoint: Path, bodies: Path) -> dict[str, str]:
    """Return what a bundle depends on: SHA-256 of the checkpoint, of the body and of the exporter with its library."""
    code = hashlib.sha256()
    package = Path(humanrt_export.__file__).parent
    for path in sorted(package.rglob("*.py")):
        code.update(f"{path.relative_to(package)} {sha256(path)}\n".encode())
    if native.LIBRARY.is_file():
        code.update(sha256(native.LIBRARY).encode())
    return {"checkpoint": sha256(checkpoint), "body": sha256(find_smplx(bodies)), "exporter": code.hexdigest()}


def kept(folder: Path, beside: Path, origin: dict[str, str]) -> bool:
    """Return whether a bundle is there that was made of these files; say on stderr what else it was made of."""
    if not ((folder / "manifest.json").is_file() and beside.is_file()):
        return False
    made_of = json.loads(beside.read_text())
    if others := [name for name, value in origin.items() if made_of.get(name) != value]:
        print(f"{folder} was made of another {', '.join(others)}: exported again", file=sys.stderr)
    return not others


def noise(work: Path) -> tuple[Path, Path]:
    """An untrained checkpoint and a body of noise, as in `people_gpu.py`."""
    checkpoint = work / "stand_in.pt"
    return (checkpoint, work) if checkpoint.exists() else stand_in(work, "s", SIDE)


def golden(work: Path) -> tuple[Path, Path]:
    """The checkpoint and the body that the golden case was recorded with."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "export" / "multihmr")]
    from golden_people import GOLDEN, case_of, load_module

    if not GOLDEN.is_dir():
        raise SystemExit(f"{GOLDEN} is not here; use --weights noise, or give a checkpoint")
    load_module(GOLDEN / "stand_in_smplx.py").write(work)
    return case_of("multihmr_448_s", work, work).checkpoint, work


def cut(image: np.ndarray) -> np.ndarray:
    """Cut a picture to `ASPECT`, about its middle."""
    height, width = image.shape[:2]
    high, wide = min(height, width * ASPECT[1] // ASPECT[0]), min(width, height * ASPECT[0] // ASPECT[1])
    top, left = (height - high) // 2, (width - wide) // 2
    return np.ascontiguousarray(image[top : top + high, left : left + wide])


def network(bundle: Bundle, graph: str, threads: int, eager: Eager) -> Run:
    """Return the network alone: it is given the middle of the square input that PyTorch is given."""
    opened = open_backend("cpu", BackendOptions(threads=threads)).open(bundle.graph(graph))
    height = bundle.graph(graph).inputs[0].shape[2]
    top = (eager.side - height) // 2
    K = eager.intrinsics.numpy().copy()
    K[:, 1, 2] -= top

    def run(image: np.ndarray) -> object:
        middle = np.ascontiguousarray(image[:, :, top : top + height])
        return opened.run({"image": middle, "intrinsics": K, "threshold": np.zeros(1, np.float32)})

    return run


def distances(people: People, expected: tuple[np.ndarray, np.ndarray], image: np.ndarray, side: int) -> dict[str, Any]:
    """Compare people with PyTorch's: how many have a partner, and how far their meshes and heads are apart."""
    locations, vertices = expected
    placed = Letterbox.fit((image.shape[1], image.shape[0]), side).points_to_input(people.locations)
    between = np.linalg.norm(placed[:, None] - locations[None], axis=2)
    mm, centred, px = [], [], []
    while between.size and between.min() < 14:
        row, column = np.unravel_index(between.argmin(), between.shape)
        offset = people.vertices[row] - vertices[column]
        mm.append(1e3 * float(np.linalg.norm(offset, axis=1).mean()))
        centred.append(1e3 * float(np.linalg.norm(offset - offset.mean(0), axis=1).mean()))
        px.append(float(between[row, column]))
        between[row], between[:, column] = np.inf, np.inf
    found = {"people": len(people), "of": len(locations), "matched": len(mm)}
    return {**found, "mm": mm, "mm_centred": centred, "px": px}


def opened_models(made: Made, precisions: list[str], threads: int) -> tuple[dict[str, MultiHMR], dict[str, str]]:
    """Return the models by name, and why others are missing."""
    models, reasons = {}, {}
    for shape, bundle in made.bundles.items():
        for precision in precisions:
            name = f"humanrt {precision}, {shape}"
            try:
                models[name] = MultiHMR(bundle, "cpu", precision=precision, threads=threads)
            except HumanrtError as error:
                verdict = bundle.manifest.get("parity", {}).get(GRAPHS[precision], {})
                reasons[name] = str(verdict.get("reason") or error)
    return models, reasons


def timed(title: str, runs: dict[str, Run], images: list[np.ndarray], turns: int) -> dict[str, Any]:
    """Time runs in turns, print their table, and return the report."""
    times, ratios = in_turns(runs, images, turns, EAGER)
    stages = {name: Percentiles.of(values) for name, values in times.items()}
    print(f"\n{title}\n{table(stages)}")
    for name, values in ratios.items():
        print(f"{name}: {np.median(values):.2f} times PyTorch's speed (turns: {min(values):.2f} to {max(values):.2f})")
    return {"ms": {name: values.as_dict() for name, values in stages.items()}, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--body-models", type=Path)
    parser.add_argument("--weights", choices=("noise", "golden"), default="noise", help="without a checkpoint (noise)")
    parser.add_argument("--source", default=str(ROOT / "../shared/media/people.jpg"), help="pictures, cut to 16:9")
    parser.add_argument("--people", type=int, default=12, help="to be found by untrained weights (12)")
    parser.add_argument("--precision", nargs="+", choices=tuple(GRAPHS), default=list(GRAPHS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1, help="a turn")
    parser.add_argument("--judged", type=int, default=8, help="frames of the source whose people are compared (8)")
    parser.add_argument("--work", type=Path, help="folder of checkpoint and bundles (build/without_amx)")
    parser.add_argument("--again", action="store_true", help="export also what is there")
    parser.add_argument("--made", action="store_true", help="only make the bundles")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # Not when this is imported: whoever does that has its AMX still.
    os.environ[HIDE] = ",".join(filter(None, (os.environ.get(HIDE), "amx_tile,amx_bf16")))
    if (arguments.checkpoint is None) != (arguments.body_models is None):
        parser.error("a checkpoint needs --body-models, and the other way round")

    torch.set_num_threads(arguments.threads)
    work = arguments.work or ROOT / "build" / "without_amx" / (
        arguments.checkpoint.stem if arguments.checkpoint else arguments.weights
    )
    made = make(work, arguments.weights, arguments.checkpoint, arguments.body_models, arguments.again)
    if arguments.made:
        return
    square = made.bundles["square"]
    with open_source(arguments.source) as source:
        frames = [cut(frame.image) for frame in islice(source, max(arguments.judged, arguments.frames))]
    images = [frames[i % len(frames)] for i in range(arguments.frames)]
    settings = square.setting("max_people"), *(square.setting("normalisation", name) for name in ("mean", "std"))
    eager = Eager(made.checkpoint, made.bodies, *settings)
    models, reasons = opened_models(made, arguments.precision, arguments.threads)
    threshold = float(square.setting("threshold"))
    if arguments.checkpoint is None:
        threshold = threshold_for(models["humanrt fp32, square"], frames[0], arguments.people)

    kernels = KERNELS[native.library().humanrt_int16()]
    print(f"{machine()['cpu']}, {arguments.threads} threads; 16-bit operators: {kernels}")
    errors: dict[str, dict[str, Any]] = {}
    expected = [eager(frame, threshold) for frame in frames[: arguments.judged]]
    for name, model in models.items():
        rows = [
            distances(model(frame, threshold=threshold), theirs, frame, eager.side)
            for frame, theirs in zip(frames, expected, strict=False)
        ]
        total: dict[str, Any] = {
            key: sum((row[key] for row in rows), start=0 * rows[0][key]) for key in ("people", "of", "matched")
        }
        total |= {key: [value for row in rows for value in row[key]] for key in ("mm", "mm_centred", "px")}
        errors[name] = total
        said = "nobody to compare"
        if total["mm"]:
            said = (
                f"meshes {np.mean(total['mm']):.3g} mm from PyTorch's, worst person {max(total['mm']):.3g} mm "
                f"({np.mean(total['mm_centred']):.3g} mm about their middle), heads {np.mean(total['px']):.2g} px"
            )
        print(
            f"{name}: {total['matched']} of {total['of']} people, {total['people'] - total['matched']} others; {said}"
        )
    for name, reason in reasons.items():
        print(f"{name}: not run: {reason}")

    whole: dict[str, Run] = {EAGER: lambda image: eager(image, threshold)}
    whole |= {name: lambda image, model=model: model(image, threshold=threshold) for name, model in models.items()}
    report = {"picture to meshes": timed("picture to meshes, ms", whole, images, arguments.turns)}
    prepared = [eager.prepared(image).numpy() for image in images]
    limit = torch.zeros(1)

    @torch.inference_mode()
    def theirs_alone(image: np.ndarray) -> object:
        return eager.run(torch.from_numpy(image), eager.intrinsics, limit, eager.max_people)

    alone: dict[str, Run] = {EAGER: theirs_alone}
    for shape, bundle in made.bundles.items():
        for precision in arguments.precision:
            if (name := f"humanrt {precision}, {shape}") in models:
                alone[name] = network(bundle, GRAPHS[precision], arguments.threads, eager)
    report["network alone"] = timed("network alone, ms", alone, prepared, arguments.turns)
    if arguments.json:
        about = {
            "machine": machine(),
            "torch": torch.__version__,
            "weights": arguments.weights if arguments.checkpoint is None else arguments.checkpoint.name,
            "source": arguments.source,
            "threads": arguments.threads,
            "int16": kernels,
            "threshold": threshold,
        }
        write_report(arguments.json, {**about, **report, "errors": errors, "not_run": reasons})


if __name__ == "__main__":
    main()
