"""Multi-HMR on a GPU: image in, meshes out, on humanrt's backends and in PyTorch, in turn in one run.

    python bench/people_gpu.py [--json FILE]                            # an untrained ViT-S at 448 px: speed, no people
    python bench/people_gpu.py CHECKPOINT.pt --body-models DIR          # your own weights

humanrt: every precision of ``--precision`` on every backend that runs here, end to end and by stage, and with frames
that overlap. PyTorch: eager under autocast (as the authors' demo runs), eager in FP32, torch.compile under autocast.
What cannot run here says why; the status is 1 where nothing of humanrt ran on the device that was asked for. Untrained
weights see no people, so the threshold is set where ``--people`` of their scores lie above it: the work is the same.

``--device cpu`` is for trying out the script. Needs what exports (torch, onnx, onnxscript).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch

from humanrt.backends import Backend, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import HumanrtError
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import Percentiles, machine, table, write_report
from humanrt.verdict import record
from humanrt_export.commands.quantize import quantize
from humanrt_export.conversion.multihmr_smplx import export_multihmr
from humanrt_export.networks.multihmr import ModelConfig
from people_vs_torch import Eager, Run, in_turns

EAGER = "PyTorch eager, autocast"


def stand_in(folder: Path, size: str, side: int) -> tuple[Path, Path]:
    """An untrained checkpoint in the official format, and the folder of a body model of noise."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "export" / "multihmr"))
    from multihmr_stand_ins import official_args, official_state, smplx_arrays

    config = ModelConfig(backbone=f"dinov2_vit{size}14", image_size=side)
    checkpoint = folder / "stand_in.pt"
    torch.save({"args": official_args(config), "model_state_dict": official_state(config)}, checkpoint)
    (folder / "smplx").mkdir()
    np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **smplx_arrays())
    return checkpoint, folder


def images_of(source: str | None, count: int) -> list[np.ndarray]:
    """Images of a source, or smooth noise at 720p."""
    if source is not None:
        with open_source(source) as opened:
            found = [frame.image for _, frame in zip(range(count), opened, strict=False)]
        return [found[i % len(found)] for i in range(count)]
    rng = np.random.default_rng(0)
    return [cv2.resize(rng.integers(0, 256, (18, 32, 3), np.uint8), (1280, 720)) for _ in range(count)]


def with_variants(bundle: Bundle, folder: Path, images: list[np.ndarray], precisions: list[str]) -> dict[str, str]:
    """Add the network's graphs of lower precision to the bundle, calibrated on the images; why one cannot be made."""
    pictures, reasons = folder / "calibration", {}
    pictures.mkdir()
    for i, image in enumerate(images[:4]):
        cv2.imwrite(str(pictures / f"{i}.png"), image[..., ::-1])
    recording = record(bundle, str(pictures), max_inputs=4, threshold=0.0)
    for precision in precisions:
        if precision != "fp32":
            try:
                quantize(bundle, precision, recording, graphs=("network",))
            except HumanrtError as error:
                reasons[f"a graph in {precision}"] = str(error)
    return reasons


def threshold_for(model: MultiHMR, image: np.ndarray, people: int) -> float:
    """Where so many of the scores in an image lie above."""
    scores = np.sort(model(image, threshold=0.0).scores)[::-1]
    if len(scores) <= people:
        return 0.0
    return float((scores[people - 1] + scores[people]) / 2)


def opened(
    stack: ExitStack, bundle: Bundle, device: str, precisions: list[str], engines: Path | None
) -> tuple[dict[str, MultiHMR], dict[str, str]]:
    """The models that run here by name, and why the others do not."""
    models, reasons = {}, {}
    for name in ("cpu",) if device == "cpu" else ("tensorrt", "cuda"):
        for precision in precisions:
            what = f"humanrt {name} {precision}"
            wanted = precision if name == "tensorrt" else None
            options = BackendOptions(precision=wanted, engines=engines, unverified=True)
            try:
                backend: Backend = stack.enter_context(open_backend(name, options))
                model = MultiHMR(bundle, backend, precision=precision, unverified=True)
                models[what] = stack.enter_context(model)
            except HumanrtError as error:
                reasons[what] = str(error)
    return models, reasons


def by_stage(model: MultiHMR, images: list[np.ndarray], threshold: float, frames: int) -> dict[str, Any]:
    """Percentiles of every stage of one frame at a time, and frames a second where they overlap."""
    stages: dict[str, list[float]] = {}
    for i in range(frames):
        for stage, ms in model(images[i % len(images)], threshold=threshold).ms.items():
            stages.setdefault(stage, []).append(ms)
    report: dict[str, Any] = {name: Percentiles.of(values).as_dict() for name, values in stages.items()}
    if not model.overlaps:
        return {"stages": report}
    pipeline = PeoplePipeline(model, threshold=threshold)
    begin = perf_counter()
    given = (Frame(images[i % len(images)], i / 30, i) for i in range(frames))
    done = sum(1 for _ in pipeline.overlapped(given))
    return {"stages": report, "overlapped_fps": done / (perf_counter() - begin)}


def memory_of(model: MultiHMR) -> int | None:
    """Bytes of the GPU's memory that are taken."""
    if model.backend.device is None:
        return None
    free, total = model.backend.device.memory()
    return total - free


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    parser.add_argument("--body-models", type=Path)
    parser.add_argument("--size", choices=("s", "b", "l"), default="s", help="of the untrained network (s)")
    parser.add_argument("--side", type=int, default=448, help="px of its input (448)")
    parser.add_argument("--source", help="image, folder or video (default: noise at 720p)")
    parser.add_argument("--people", type=int, default=4, help="to be found in an image by untrained weights (4)")
    parser.add_argument("--precision", nargs="+", default=["fp32", "fp16", "int8"])
    parser.add_argument("--engines", type=Path, metavar="DIR", help="of engines (`humanrt-export engine --out`)")
    parser.add_argument("--bundle", type=Path, help="of that checkpoint; default: it is exported")
    parser.add_argument("--quantize", action="store_true", help="first add the network in the other precisions")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--frames", type=int, default=20, help="images a turn")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoint, bodies = arguments.checkpoint, arguments.body_models
        if checkpoint is None:
            checkpoint, bodies = stand_in(folder, arguments.size, arguments.side)
        path = arguments.bundle or export_multihmr(checkpoint, bodies, folder / "bundle")
        bundle = load_bundle(path, task="people")
        images = images_of(arguments.source, arguments.frames)
        lacking = with_variants(bundle, folder, images, arguments.precision) if arguments.quantize else {}
        bundle = load_bundle(path, task="people")
        models, reasons = opened(stack, bundle, arguments.device, arguments.precision, arguments.engines)
        reasons |= lacking
        threshold = float(bundle.setting("threshold"))
        if arguments.checkpoint is None:
            with MultiHMR(bundle, "cpu", meshes=False) as model:
                threshold = threshold_for(model, images[0], arguments.people)

        settings = bundle.setting("max_people"), *(bundle.setting("normalisation", name) for name in ("mean", "std"))
        runs: dict[str, Run] = {}
        half = torch.float16 if arguments.device == "cuda" else torch.bfloat16
        if arguments.device == "cuda" and not torch.cuda.is_available():
            reasons["PyTorch"] = "torch sees no GPU"
        else:
            for name, autocast, compiled in (
                (EAGER, half, False), ("PyTorch eager, fp32", None, False), ("torch.compile, autocast", half, True),
            ):  # fmt: skip
                if compiled and arguments.device == "cpu":
                    reasons[name] = "it takes minutes to compile for a CPU"
                    continue
                try:
                    eager = Eager(checkpoint, bodies, *settings, arguments.device, autocast, compiled)
                    eager(images[0], threshold)  # compiles
                except Exception as error:  # torch's compiler fails in ways of its own
                    reasons[name] = str(error).strip().splitlines()[0]
                else:
                    runs[name] = lambda image, eager=eager: eager(image, threshold)
        for name, model in models.items():
            runs[name] = lambda image, model=model: model(image, threshold=threshold)
        times, ratios = in_turns(runs, images, arguments.turns, EAGER) if EAGER in runs else ({}, {})
        if not times and models:  # nothing to compare with
            times, ratios = in_turns(runs, images, arguments.turns, next(iter(runs)))
            ratios = {}
        people = {name: len(model(images[0], threshold=threshold)) for name, model in models.items()}
        stages = {
            name: by_stage(model, images, threshold, arguments.turns * arguments.frames)
            for name, model in models.items()
        }
        memory = {name: memory_of(model) for name, model in models.items()}

    end_to_end = {name: Percentiles.of(values) for name, values in times.items()}
    print(table(end_to_end) if end_to_end else "nothing ran")
    for name, values in ratios.items():
        span = f"turns: {min(values):.2f} to {max(values):.2f}"
        print(f"{name}: {np.median(values):.2f} times the speed of {EAGER} ({span})")
    for name, report in stages.items():
        parts = ", ".join(f"{stage} {values['p50']:.3f}" for stage, values in report["stages"].items())
        more = f"; {report['overlapped_fps']:.0f} fps overlapped" if "overlapped_fps" in report else ""
        print(f"{name}: {people[name]} people; ms by stage: {parts}{more}")
    for name, reason in reasons.items():
        print(f"{name}: not run: {reason}")
    if arguments.json:
        report = {
            "machine": machine(),
            "torch": torch.__version__,
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "bundle": bundle.name,
            "weights": "untrained" if arguments.checkpoint is None else arguments.checkpoint.name,
            "threshold": threshold,
            "end_to_end_ms": {name: values.as_dict() for name, values in end_to_end.items()},
            "ratios": ratios,
            "people": people,
            "by_stage": stages,
            "gpu_bytes_taken": memory,
            "not_run": reasons,
        }
        write_report(arguments.json, report)
    return 0 if any(name.startswith("humanrt") for name in end_to_end) else 1


if __name__ == "__main__":
    sys.exit(main())
