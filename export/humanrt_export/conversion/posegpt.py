"""Export a PoseGPT checkpoint of the published code as a bundle for the runtime.

Graphs have static shapes, for one sequence of N tokens and T = factor N frames; shorter ones are padded
(`networks.posegpt` says how):

===========  =========================================================  ==============================================
graph        inputs                                                     outputs
===========  =========================================================  ==============================================
`encoder`    `motion` [1, T, 6 J + 3], `present`, `valid` [1, T]        `latents` [1, N, E], `tokens` [1, N, books]
`decoder`    `tokens` [1, N, books], `present` [1, N]                   `rotations` [1, T, J, 3, 3], `deltas` [1, T, 3]
`gpt`        `tokens` [1, N, books], `label`, `duration`                `logits` [1, N, books, C], `cache`
`gpt_step`   `token` [1, books], `position`, `cache`, `label`,          `logits` [1, 1, books, C], `row`
             `duration`
===========  =========================================================  ==============================================

`gpt` computes whole sequences, `gpt_step` one token: its `row` belongs into `cache` at `position`. The two share one
file of weights. A checkpoint of the auto-encoder alone gives the first two graphs.

Nothing is written unless every graph, run by ONNX Runtime, agrees with PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import PoseGptSettings
from humanrt.errors import HumanrtError
from humanrt.motion.motion import parents_of
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import share_weights, trace
from humanrt_export.conversion.hparams import read_hparams
from humanrt_export.conversion.parity import Tolerances, gate, judged, opened
from humanrt_export.conversion.posegpt_checkpoint import SHORTEST, SKELETONS, PublishedPoseGpt, load_checkpoint
from humanrt_export.conversion.settings import entries
from humanrt_export.networks.posegpt import AutoEncoder, Gpt

__all__ = ["LICENCE", "export_published"]

LICENCE = "CC-BY-NC-SA-4.0"
LICENCE_NOTE = """\
This bundle was made from a checkpoint that its user trained with the published code of PoseGPT, by NAVER LABS Europe
(https://github.com/naver/PoseGPT), which is under Creative Commons Attribution-NonCommercial-ShareAlike 4.0
(https://creativecommons.org/licenses/by-nc-sa/4.0/), on motion capture (BABEL, AMASS) whose licences forbid commercial
use. It is for non-commercial use only. humanrt, which reads it, is under Apache-2.0.
"""
CLOCK_HZ = 30.0
UP = "-y"
TOLERANCES: Tolerances = {
    "latents": (2e-5, "1"),
    "rotations": (1e-4, "matrix entry"),
    "deltas": (2e-5, "m"),
    "logits": (2e-5, "1"),
    "cache": (2e-5, "1"),
    "row": (2e-5, "1"),
}
"""Max differences from PyTorch in FP64. If the error of PyTorch's own FP32 exceeds an eighth of that (weights that
leave rotations ill-defined amplify rounding), eight times its error is allowed."""
_ROUNDING = 8
_SEED = 20260101

Report = Callable[[str], object]
_Feeds = dict[str, Tensor]


def export_published(
    checkpoint: str | Path,
    hparams: str | Path,
    out: str | Path,
    *,
    labels: Sequence[str] = (),
    window: int | None = None,
    report: Report = lambda _: None,
) -> Path:
    """Write the bundle of a checkpoint; returns its folder.

    Args:
        checkpoint: `.pt` file of the GPT, or of an auto-encoder alone.
        hparams: settings of the training, ``hparams.yaml``.
        out: folder of the bundle.
        labels: names of the labels, in the order of the training's; without, they are numbered.
        window: tokens of a sequence; None: as many as the training's, and more where the file has positions for them.
        report: called with a line for every step.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    checkpoint, hparams = Path(checkpoint), Path(hparams)
    loaded = load_checkpoint(checkpoint, read_hparams(hparams), hparams, window=window)
    for note in loaded.notes:
        report(f"note: {note}")
    settings = _settings(loaded, tuple(labels))
    what = "auto-encoder and GPT" if loaded.gpt else "auto-encoder alone"
    report(
        f"read {checkpoint.name}: {what}, {loaded.variant}, {len(settings.joints)} joints, {settings.books} books of "
        f"{settings.codes} codes, {settings.window} tokens of {settings.factor} frames"
    )
    modules = _modules(loaded)
    return _write(
        modules,
        Path(out),
        report,
        name=f"posegpt-published-{loaded.variant}",
        version="1",
        licence=LICENCE,
        provenance={
            "source": "a checkpoint of the user's, trained with the published code of PoseGPT",
            "authors": "code: Lucas, Baradel, Weinzaepfel, Rogez, NAVER LABS Europe (PoseGPT)",
            "files": {file.name: {"sha256": sha256(file)} for file in (checkpoint, hparams)},
            "converted_by": "humanrt-export posegpt",
            "tools": {
                tool: version_of(tool) for tool in ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")
            },
        },
        settings=entries(
            settings,
            notes={
                "window": settings.window,
                "rotations": "matrices against the parent joint, the root's to the world; the world's up axis is `up`",
                # For conversion to other precisions: nearest codes flip where distances are rounded.
                "fp32_nodes": "all but MatMul; of `encoder` all",
            },
        ),
    )


def _settings(loaded: PublishedPoseGpt, labels: tuple[str, ...]) -> PoseGptSettings:
    coder, gpt = loaded.auto_encoder.config, loaded.gpt
    joints = SKELETONS[coder.joints]
    count = gpt.config.labels if gpt else 0
    if labels and len(labels) != count:
        raise HumanrtError(f"--labels names {len(labels)} labels, but the checkpoint has {count}; name all of them")
    doublings = sum(stack.sampling == "up" for stack in coder.decoder)
    longest = min(loaded.seq_len, coder.frames)
    return PoseGptSettings(
        clock_hz=CLOCK_HZ,
        joints=joints,
        parents=parents_of(joints),
        up=UP,
        factor=coder.factor,
        window=coder.window,
        books=coder.books,
        codes=coder.codes,
        latent=coder.books * coder.code_width,
        variant=loaded.variant,
        tail=2**doublings - 1,
        labels=labels or tuple(f"action_{index:02d}" for index in range(count)),
        durations=(min(SHORTEST, longest), longest),
        generates=gpt is not None,
    )


# --------------------------------------------------------------------------------------------- graphs


class _Encoder(nn.Module):
    outputs = ("latents", "tokens")

    def __init__(self, network: AutoEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, motion: Tensor, present: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        latents = self.network.encode(motion, present, valid)
        return latents, self.network.quantizer(latents)


class _Decoder(nn.Module):
    outputs = ("rotations", "deltas")

    def __init__(self, network: AutoEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        decoded = self.network.decode(tokens, present)
        return decoded.rotations, decoded.deltas


class _Gpt(nn.Module):
    outputs = ("logits", "cache")

    def __init__(self, network: Gpt) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        result = self.network(tokens, **_conditions(self.network, conditions))
        return result.logits, result.cache


class _GptStep(nn.Module):
    outputs = ("logits", "row")

    def __init__(self, network: Gpt) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, position: Tensor, cache: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        result = self.network.step(token, position, cache, **_conditions(self.network, conditions))
        return result.logits, result.cache


_Graph = _Encoder | _Decoder | _Gpt | _GptStep


def _conditions(network: Gpt, given: Sequence[Tensor]) -> dict[str, Tensor]:
    names = [*(["label"] if network.config.labels else []), *(["duration"] if network.config.durations else [])]
    return dict(zip(names, given, strict=True))


def _modules(loaded: PublishedPoseGpt) -> dict[str, tuple[_Graph, list[_Feeds]]]:
    """Return the graphs' modules by name, each with inputs to try them on: whole windows and shorter sequences."""
    coder = loaded.auto_encoder
    config = coder.config
    random = torch.Generator().manual_seed(_SEED)
    encoder, decoder, gpt, step = list[_Feeds](), list[_Feeds](), list[_Feeds](), list[_Feeds]()
    for tokens in dict.fromkeys((config.window, max(1, config.window // 3))):
        frames = tokens * config.factor
        pose = 0.5 * torch.randn(1, 1, config.motion_width, generator=random)
        walk = 0.05 * torch.randn(1, config.frames, config.motion_width, generator=random)
        present = (torch.arange(config.frames) < frames)[None]
        valid = (torch.arange(config.frames) < max(1, frames - 1))[None]
        encoder.append({"motion": pose + walk.cumsum(1), "present": present, "valid": valid})
        indices = torch.randint(config.codes, (1, config.window, config.books), generator=random)
        decoder.append({"tokens": indices, "present": (torch.arange(config.window) < tokens)[None]})
        if loaded.gpt:
            sizes = loaded.gpt.config
            conditions: _Feeds = {}
            if sizes.labels:
                conditions["label"] = (torch.rand(1, sizes.labels, generator=random) < 2 / sizes.labels).float()
            if sizes.durations:
                conditions["duration"] = torch.tensor([min(sizes.durations - 1, frames)])
            gpt.append({"tokens": indices, **conditions})
            shape = (sizes.blocks, 2, 1, sizes.heads, sizes.window, sizes.width // sizes.heads)
            cache = torch.randn(shape, generator=random)
            step.append({"token": indices[:, 0], "position": torch.tensor([tokens - 1]), "cache": cache, **conditions})
    graphs: dict[str, tuple[_Graph, list[_Feeds]]] = {
        "encoder": (_Encoder(coder), encoder),
        "decoder": (_Decoder(coder), decoder),
    }
    if loaded.gpt:
        step.append({**step[0], "position": torch.tensor([0])})
        graphs |= {"gpt": (_Gpt(loaded.gpt), gpt), "gpt_step": (_GptStep(loaded.gpt), step)}
    return graphs


def _write(modules: Mapping[str, tuple[_Graph, list[_Feeds]]], out: Path, report: Report, **about: Any) -> Path:
    """Trace the graphs, check each against PyTorch, and write the bundle."""
    graphs: dict[str, ir.Model] = {}
    for name, (module, probe) in modules.items():
        graphs[name] = trace(module.eval(), probe[0], module.outputs, name)
        report(f"traced {name}")
    with BundleWriter(out, task="posegpt", **about) as writer:
        writer.add_file("LICENCE-NOTE.txt", LICENCE_NOTE.encode())
        shared = [graph for name, graph in graphs.items() if name.startswith("gpt")]
        if shared:
            writer.add_file("gpt.bin", share_weights(shared, "gpt.bin"))
        verdicts = {}
        for name, graph in graphs.items():
            inputs = {value.name: _TEXTS[value.name] for value in graph.graph.inputs}
            outputs = {value.name: _TEXTS[value.name] for value in graph.graph.outputs}
            writer.add_graph(name, graph, inputs, outputs)
            verdicts[name] = _verdict(writer.source(name), *modules[name])
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


def _verdict(source: Path | bytes, module: _Graph, probe: Sequence[_Feeds]) -> dict[str, Any]:
    """Compare a graph with PyTorch in FP64 on inputs; returns the verdict. Only what is present is compared."""
    run = opened(source)
    exact = copy.deepcopy(module).double()
    errors = dict.fromkeys((name for name in module.outputs if name != "tokens"), 0.0)
    rounding = dict(errors)
    equal = []
    for feeds in probe:
        mine = run({name: value.numpy() for name, value in feeds.items()})
        with torch.inference_mode():
            single = module(*feeds.values())
            double = exact(*(value.double() if value.is_floating_point() else value for value in feeds.values()))
        for name, theirs, truth in zip(module.outputs, single, double, strict=True):
            here = _present(feeds, truth.shape[1] if truth.ndim > 1 else 1)
            if name == "tokens":
                equal.append(float((mine[name] == truth.numpy())[:, here].mean()))
                continue
            found, expected, own = mine[name], truth.numpy(), theirs.numpy()
            if here is not None and name not in ("cache", "row"):
                found, expected, own = found[:, here], expected[:, here], own[:, here]
            # NaN must fail: Python's max() could drop it.
            errors[name] = float(np.max([errors[name], np.abs(found - expected).max()]))
            rounding[name] = float(np.max([rounding[name], np.abs(own - expected).max()]))
    allowed = {
        name: (max(limit, _ROUNDING * rounding.get(name, 0.0)), unit) for name, (limit, unit) in TOLERANCES.items()
    }
    extra = {"equal_tokens": float(np.mean(equal))} if equal else {}
    return judged(errors, allowed, reference=f"PyTorch {torch.__version__}, FP64, CPU", inputs=len(probe), **extra)


def _present(feeds: _Feeds, steps: int) -> Any:
    """Return which of an output's time steps belong to the sequence; None: all."""
    if "present" not in feeds:
        return None
    present = feeds["present"][0].numpy()
    if len(present) >= steps:
        return present.reshape(steps, -1).any(axis=1)
    return np.repeat(present, steps // len(present))


_TEXTS = {
    "motion": "a frame: for each joint of settings.joints the first two columns of its matrix, as a 3 x 2 matrix row "
    "by row; then the translation in m, from that of the first frame",
    "present": "true up to the end of the sequence; what the other inputs hold behind it has no influence",
    "valid": "false where the sequence repeats its last frame as padding of its own",
    "latents": "vectors before quantisation, the books' shares one after the other",
    "tokens": "index of the nearest code in each book",
    "rotations": "matrices of settings.joints, against the parent joint; the root's to the world",
    "deltas": "m, difference of the translation from the frame before; the first is the first position",
    "token": "the token before",
    "position": "of the token that is predicted; 0 for the first, for which there is no token before",
    "cache": "keys and values of the tokens before: [blocks, 2, 1, heads, N, numbers]",
    "row": "keys and values of this token, for the place `position` of the cache",
    "label": "weight of each of settings.labels: 1 for those that are meant",
    "duration": "frames of the whole motion",
    "logits": "for the codes of each book; row t is of token t, given those before it",
}
