"""humanrt's image-to-meshes loop against eager PyTorch on the same checkpoint, in one interleaved run.

PyTorch is our own network as a user would run it: letterbox, normalisation and network (SDPA attention) in inference
mode, then the body model for the people found. humanrt is `MultiHMR(bundle)(image)`, in every precision asked for. They
take turns on the same frames and threads, after a pause in which thread pools fall asleep; a turn's ratio is
PyTorch's median by humanrt's, and the median of the ratios is the figure. PyTorch's network is square, whatever the
bundle's is (`humanrt-export multihmr --aspect`). Distances are of vertices, mean over each
mesh, to PyTorch's.

    python bench/people_vs_torch.py CHECKPOINT.pt --body-models DIR --bundle DIR --source ../shared/media/people.jpg

Needs torch and what exports. `--max-people` is the bundle's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.geometry.camera import Letterbox, field_of_view_intrinsics
from humanrt.geometry.letterbox import resize
from humanrt.people.multihmr import MultiHMR
from humanrt.sources.opening import open_source
from humanrt.stats import Percentiles, machine, peak_memory, table, write_report
from humanrt_export.bodies.smplx import SmplxBody, find_smplx, load_smplx
from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint


class Eager:
    """An official checkpoint in PyTorch: uint8 image in, meshes of the people in it out.

    Args:
        checkpoint, body_models: as for `humanrt-export multihmr`.
        max_people: slots.
        mean, std: of R, G, B in 0..1.
        device: of torch.
        autocast: the network's type, as the authors' demo has it (float16); None: float32.
        compiled: through torch.compile.
    """

    def __init__(
        self, checkpoint: Path, body_models: Path, max_people: int, mean: Any, std: Any,
        device: str = "cpu", autocast: torch.dtype | None = None, compiled: bool = False,
    ) -> None:  # fmt: skip
        self.model = load_checkpoint(checkpoint).eval().to(device)
        self.body = SmplxBody(load_smplx(find_smplx(body_models), self.model.config.num_betas)).eval().to(device)
        self.max_people, self.device, self.autocast = max_people, device, autocast
        self.mean, self.std = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (mean, std))
        side = self.side = self.model.config.image_size
        K = field_of_view_intrinsics((side, side), 60.0, (side // 2, side // 2))
        self.intrinsics = torch.from_numpy(K.astype(np.float32))[None].to(device)
        self.run = torch.compile(self.model) if compiled else self.model

    def prepared(self, rgb: np.ndarray) -> torch.Tensor:
        """The network's input [1, 3, S, S], on the device: letterboxed and normalised."""
        box = Letterbox.fit((rgb.shape[1], rgb.shape[0]), self.side)
        square = np.zeros((self.side, self.side, 3), np.uint8)
        (width, height), (x, y) = box.scaled, box.offset
        square[y : y + height, x : x + width] = resize(rgb, box.scaled)
        pixels = torch.from_numpy(square).to(self.device)
        return ((pixels.permute(2, 0, 1).float() / 255 - self.mean) / self.std)[None]

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
        """Network locations [N, 2] px and vertices [N, V, 3] m, on the host."""
        image = self.prepared(rgb)
        limit = torch.tensor([threshold], device=self.device)
        with torch.autocast(self.device, self.autocast or torch.float16, enabled=self.autocast is not None):
            found = self.run(image, self.intrinsics, limit, self.max_people)
        people = found.valid[0]
        parameters = (found.rotations, found.shape, found.expression, found.translation)
        posed = self.body(*(value[0][people].float() for value in parameters))
        return found.locations[0][people].float().cpu().numpy(), posed.vertices.cpu().numpy()


Run = Callable[[np.ndarray], object]


def in_turns(
    runs: Mapping[str, Run], images: Sequence[np.ndarray], turns: int, first: str
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Each run on the same images in turn, so that what else the machine does falls on all of them.

    Returns:
        Milliseconds of every call, and, of all but the run ``first``, its median over theirs in every turn. The first
        turn is the warm-up.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    ratios: dict[str, list[float]] = {name: [] for name in runs if name != first}
    for turn in range(turns + 1):
        medians = {}
        for name, run in runs.items():
            sleep(0.1)
            took = []
            for image in images:
                begin = perf_counter()
                run(image)
                took.append((perf_counter() - begin) * 1e3)
            medians[name] = float(np.median(took))
            if turn:
                times[name] += took
        if turn:
            for name, values in ratios.items():
                values.append(medians[first] / medians[name])
    return times, ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--body-models", type=Path, required=True)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--precision", nargs="+", default=["fp32"])
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frames", type=int, default=4, help="frames a turn")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    bundle = load_bundle(arguments.bundle, task="people")
    threshold = bundle.setting("threshold") if arguments.threshold is None else arguments.threshold
    with open_source(arguments.source) as source:
        images = [frame.image for _, frame in zip(range(arguments.frames), source, strict=False)]
    images = [images[i % len(images)] for i in range(arguments.frames)]
    eager = Eager(
        arguments.checkpoint,
        arguments.body_models,
        bundle.setting("max_people"),
        bundle.setting("normalisation", "mean"),
        bundle.setting("normalisation", "std"),
    )
    backend = open_backend("cpu", BackendOptions(threads=arguments.threads))
    ours = {precision: MultiHMR(bundle, backend, precision=precision) for precision in arguments.precision}

    distances = {}
    locations, vertices = eager(images[0], threshold)
    for precision, model in ours.items():
        people = model(images[0], threshold=threshold)
        box = Letterbox.fit((images[0].shape[1], images[0].shape[0]), eager.side)
        gaps = []
        for row, at in enumerate(box.points_to_input(people.locations)):
            offsets = np.linalg.norm(locations - at, axis=1)
            if len(offsets) and offsets.min() < 7:  # half a token
                nearest = vertices[offsets.argmin()]
                gaps.append(float(np.linalg.norm(people.vertices[row] - nearest, axis=1).mean() * 1e3))
        distances[precision] = {"people": len(people), "of": len(locations), "matched": len(gaps), "mm": gaps}

    runs: dict[str, Run] = {"PyTorch eager": lambda image: eager(image, threshold)}
    runs |= {name: lambda image, model=model: model(image, threshold=threshold) for name, model in ours.items()}
    times, ratios = in_turns(runs, images, arguments.turns, "PyTorch eager")

    stages = {name: Percentiles.of(values) for name, values in times.items()}
    print(table(stages))
    for name, values in ratios.items():
        gap = distances[name]
        mm = f"{np.mean(gap['mm']):.4f} mm mean, {max(gap['mm']):.4f} worst" if gap["mm"] else "nobody to compare"
        print(
            f"{name}: {np.median(values):.2f} times PyTorch's speed (turns: {min(values):.2f} to {max(values):.2f}), "
            f"{arguments.threads} threads; {gap['matched']} of {gap['of']} people, meshes {mm} from PyTorch's"
        )
    if arguments.json:
        report = {
            "machine": machine(),
            "torch": torch.__version__,
            "bundle": bundle.name,
            "source": arguments.source,
            "threads": arguments.threads,
            "threshold": threshold,
            "stages": {name: values.as_dict() for name, values in stages.items()},
            "ratios": ratios,
            "distances": distances,
            "peak_memory_of_both_bytes": peak_memory(),
        }
        write_report(arguments.json, report)


if __name__ == "__main__":
    main()
