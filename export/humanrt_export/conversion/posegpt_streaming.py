"""Export our own PoseGPT (`networks.streaming_gpt`) as a bundle for the runtime.

===========  ============================================================  ========================================
graph        inputs                                                        outputs
===========  ============================================================  ========================================
`encoder`    `frames` [1, f N, D]                                          `latents` [1, N, E], `tokens` [1, N, K]
`decoder`    `tokens` [1, M, K]                                            `frames` [1, f M, D]
`gpt_step`   `token` [1, K], `place` [1], `label` [1, L], `cache`          `hidden` [1, 1, W], `row`
`gpt_books`  `hidden` [1, 1, W], `token` [1, 1, K]                         `logits` [1, 1, K, C]
===========  ============================================================  ========================================

Encoder and decoder look back ``reach`` tokens at most, so the runtime computes any length in pieces of N and M tokens.
`gpt_step_several` and `gpt_books_several` are the same for `SEVERAL` sequences at once, with the same weights.
Nothing is written unless every graph, run by ONNX Runtime, agrees with PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import StreamingGptSettings
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import SMPLX_BODY, SMPLX_BODY_PARENTS
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.graphs import common_weights, trace
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.parity import Tolerances, gate, judged, opened
from humanrt_export.conversion.settings import entries
from humanrt_export.networks.streaming_gpt import MotionCoder, StreamingGpt
from humanrt_export.networks.streaming_runs import fingerprint, load_coder, load_gpt
from humanrt_export.runs import load_run

__all__ = ["export_streaming", "export_training"]

CLOCK_HZ = 30.0
UP = "y"
SEVERAL = 10
"""Sequences that are drawn at once, where several are wanted."""
LICENCE = "Apache-2.0"
ACKNOWLEDGEMENT = (
    "If trained on CMU's motion: the data used in this project was obtained from mocap.cs.cmu.edu. The database was "
    "created with funding from NSF EIA-0196217."
)
TOLERANCES: Tolerances = {
    "latents": (1e-4, "1"),
    "frames": (1e-4, "1"),
    "hidden": (1e-4, "1"),
    "logits": (1e-4, "1"),
    "row": (1e-4, "1"),
}
"""Max differences from PyTorch in FP64."""
_SEED = 20260101

Report = Callable[[str], object]
M = TypeVar("M", bound=nn.Module)


def export_streaming(
    coder: MotionCoder,
    gpt: StreamingGpt,
    labels: tuple[str, ...],
    out: str | Path,
    *,
    name: str = "posegpt",
    version: str = "1",
    provenance: Mapping[str, Any],
    report: Report = lambda _: None,
) -> Path:
    """Write the bundle of a trained auto-encoder and GPT; returns its folder.

    Weights are rounded to float16, stored as such, and float32 again once loaded. The networks are not changed.

    Args:
        coder, gpt: the networks.
        labels: names of the GPT's labels.
        out: folder of the bundle.
        name, version: of the bundle.
        provenance: data and options of the training.
        report: called with a line for every step.

    Raises:
        BundleError: a graph failed the parity gate. Nothing is written then.
    """
    coder, gpt = _rounded(coder), _rounded(gpt)
    sizes = coder.config
    settings = StreamingGptSettings(
        clock_hz=CLOCK_HZ,
        joints=SMPLX_BODY,
        parents=SMPLX_BODY_PARENTS,
        up=UP,
        factor=sizes.factor,
        reach=sizes.reach,
        books=sizes.books,
        codes=sizes.codes,
        labels=labels,
    )
    graphs: dict[str, tuple[_Graph, list[dict[str, Tensor]]]] = {
        "encoder": (_Encoder(coder), [{"frames": _motion(coder, 4 * sizes.reach)}]),
        "decoder": (_Decoder(coder), [{"tokens": _tokens(coder, 2 * sizes.reach)}]),
    }
    for rows, ending in ((1, ""), (SEVERAL, "_several")):
        places = (0, 3, 5 * gpt.config.window + 1)
        graphs[f"gpt_step{ending}"] = (_Step(gpt), [_step(gpt, place, rows) for place in places])
        graphs[f"gpt_books{ending}"] = (_Books(gpt), [_books(gpt, rows)])
    traced: dict[str, ir.Model] = {}
    for graph, (module, probe) in graphs.items():
        traced[graph] = store_as_float16(trace(module.eval(), probe[0], module.outputs, graph))
        report(f"traced {graph}")
    with BundleWriter(
        Path(out),
        task="posegpt",
        name=name,
        version=version,
        licence=LICENCE,
        provenance=provenance,
        settings=entries(settings, notes={"fp32_nodes": "all but MatMul; of `encoder` all"}),
    ) as writer:
        verdicts = {}
        shared = {
            name: writer.add_weights(f"{name}_weights", common_weights([traced[name], traced[f"{name}_several"]]))
            for name in ("gpt_step", "gpt_books")
        }
        for graph, model in traced.items():
            inputs = {value.name: _TEXTS[value.name] for value in model.graph.inputs}
            outputs = {value.name: _TEXTS[value.name] for value in model.graph.outputs}
            weights = shared.get(graph.removesuffix("_several"))
            writer.add_graph(graph, model, inputs, outputs, small=True, weights=weights)
            verdicts[graph] = _verdict(writer.source(graph), *graphs[graph])
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


def export_training(run: Path, coder: Path, out: str | Path, *, report: Report = lambda _: None) -> Path:
    """Write the bundle of the runs of ``humanrt-export train posegpt``; returns its folder.

    Args:
        run: folder of the GPT's training.
        coder: folder of the auto-encoder's.
        out: folder of the bundle.
        report: called with a line for every step.

    Raises:
        HumanrtError: a folder holds no such training, or the GPT was trained on another auto-encoder.
    """
    gpt, labels, description = load_gpt(run)
    network = load_coder(coder)
    if description["task"]["coder"] != fingerprint(network):
        raise HumanrtError(f"{coder}: is not the auto-encoder on whose tokens {run} was trained; give that one")
    report(f"read {run}: {len(labels)} labels, step {description['step']}")
    coder_description, _, coder_step = load_run(coder)
    provenance = {
        "source": "humanrt-export train posegpt",
        "training": {"auto-encoder": {**coder_description, "step": coder_step}, "gpt": description},
        "weights": "rounded to float16",
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    return export_streaming(network, gpt, labels, out, provenance=provenance, report=report)


def _rounded(model: M) -> M:
    rounded: M = copy.deepcopy(model)
    rounded.eval().half().float()
    return rounded


class _Encoder(nn.Module):
    outputs = ("latents", "tokens")

    def __init__(self, network: MotionCoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        latents = self.network.encode(frames)
        return latents, self.network.quantizer(latents)


class _Decoder(nn.Module):
    outputs = ("frames",)

    def __init__(self, network: MotionCoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        return (self.network.decode(tokens),)


class _Step(nn.Module):
    outputs = ("hidden", "row")

    def __init__(self, network: StreamingGpt) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, place: Tensor, label: Tensor, cache: Tensor) -> tuple[Tensor, ...]:
        return self.network.step(token, place, label, cache)


class _Books(nn.Module):
    outputs = ("logits",)

    def __init__(self, network: StreamingGpt) -> None:
        super().__init__()
        self.network = network

    def forward(self, hidden: Tensor, token: Tensor) -> tuple[Tensor, ...]:
        return (self.network.read(hidden, token),)


_Graph = _Encoder | _Decoder | _Step | _Books


def _motion(coder: MotionCoder, tokens: int) -> Tensor:
    random = torch.Generator().manual_seed(_SEED)
    frames = torch.randn(1, tokens * coder.config.factor, coder.config.numbers, generator=random)
    return coder.mean + coder.scale * frames


def _tokens(coder: MotionCoder, tokens: int) -> Tensor:
    random = torch.Generator().manual_seed(_SEED)
    return torch.randint(coder.config.codes, (1, tokens, coder.config.books), generator=random)


def _step(gpt: StreamingGpt, place: int, rows: int) -> dict[str, Tensor]:
    config = gpt.config
    random = torch.Generator().manual_seed(_SEED + place)
    return {
        "token": torch.randint(config.codes, (rows, config.books), generator=random),
        "place": torch.tensor([place]),
        "label": (torch.rand(rows, config.labels, generator=random) < 2 / config.labels).float(),
        "cache": torch.randn(
            (config.blocks, 2, rows, config.heads, config.window, config.width // config.heads), generator=random
        ),
    }


def _books(gpt: StreamingGpt, rows: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(_SEED)
    return {
        "hidden": torch.randn(rows, 1, gpt.config.width, generator=random),
        "token": torch.randint(gpt.config.codes, (rows, 1, gpt.config.books), generator=random),
    }


def _verdict(source: Path | bytes, module: _Graph, probe: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Compare a graph with PyTorch in FP64; returns the verdict."""
    run = opened(source)
    exact = copy.deepcopy(module).double()
    errors = dict.fromkeys((name for name in module.outputs if name != "tokens"), 0.0)
    extra: dict[str, Any] = {}
    for feeds in probe:
        mine = run({name: value.numpy() for name, value in feeds.items()})
        with torch.inference_mode():
            truth = exact(*(value.double() if value.is_floating_point() else value for value in feeds.values()))
        for name, expected in zip(module.outputs, truth, strict=True):
            if name == "tokens":
                extra["equal_tokens"] = float((mine[name] == expected.numpy()).mean())
            else:  # NaN must fail: Python's max() could drop it
                errors[name] = float(np.max([errors[name], np.abs(mine[name] - expected.numpy()).max()]))
    return judged(errors, TOLERANCES, reference=f"PyTorch {torch.__version__}, FP64, CPU", inputs=len(probe), **extra)


_TEXTS = {
    "frames": "rotations, height, velocity and turning relative to the heading (humanrt.motion.features)",
    "latents": "vectors before quantisation, the books' shares one after the other",
    "tokens": "index of the nearest code in each book",
    "token": "codes of the token before (at place 0 they are not looked at); of gpt_books: those of this token so far",
    "place": "how many tokens there were before",
    "hidden": "what gpt_books reads",
    "label": "weight of each of settings.labels: 1 for those that are meant",
    "cache": "keys and values of earlier tokens: [blocks, 2, rows, heads, window, numbers]; place p at p modulo window",
    "logits": "of each book's codes, given the token's codes of the books before it",
    "row": "keys and values of this token, for row `place` modulo window of the cache",
}
