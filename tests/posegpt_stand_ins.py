"""Checkpoints of PoseGPT in the published layout, with random numbers: of any size, and those of the golden cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from golden_cases import golden_case

VARIANTS = {"causal": "CausalVQVAE", "online": "OnlineVQVAE", "offline": "OfflineVQVAE"}

Shapes = dict[str, tuple[int, ...]]
TABLES = ("embeddings", "tok_emb", "pos_emb", "action_emb", "seqlen_emb")


@dataclass(frozen=True)
class Sizes:
    """Of a checkpoint. Small, so that exporting takes seconds."""

    joints: int = 24
    width: int = 16
    heads: int = 2
    layers: tuple[int, ...] = (0, 2)
    books: int = 4
    codes: int = 8
    code_width: int = 3
    variant: str = "causal"
    table: int = 256
    seq_len: int = 48
    gpt_width: int = 32
    gpt_layers: int = 2
    block: int = 96
    labels: bool = True
    durations: bool = True
    every_step: bool = True
    concatenated: bool = True

    @property
    def hparams(self) -> dict[str, Any]:
        return {
            "vq_model": VARIANTS[self.variant],
            "model": "poseGPT",
            **{"n_e": self.books * self.codes, "n_codebook": self.books, "e_dim": self.books * self.code_width},
            **{"hid_dim": [self.width], "n_layers": list(self.layers), "heads": self.heads, "seq_len": self.seq_len},
            **{"gpt_blocksize": self.block, "gpt_nlayer": self.gpt_layers, "gpt_nhead": 4, "gpt_nembd": self.gpt_width},
            **{"embed_every_step": int(self.every_step), "concat_emb": int(self.concatenated)},
            **{"class_conditional": int(self.labels), "seqlen_conditional": int(self.durations), "gen_eos": 0},
            **{"head_type": "fc_wo_bias", "pos_type": "sine_frozen", "pos_all": 1, "sample_method": "conv"},
            **{"pred_trans": 1, "mask_trans": 0, "dropout": 0.1, "lr": 5e-05, "name": "a: 'run' # of mine"},
        }


def block_shapes(where: str, width: int) -> Shapes:
    linear = {"attn.key": width, "attn.query": width, "attn.value": width, "attn.proj": width}
    shapes: Shapes = {f"{where}{name}.{part}": (width,) for name in ("ln1", "ln2") for part in ("weight", "bias")}
    for name, out in linear.items():
        shapes |= {f"{where}{name}.weight": (out, width), f"{where}{name}.bias": (out,)}
    shapes |= {f"{where}mlp.0.weight": (4 * width, width), f"{where}mlp.0.bias": (4 * width,)}
    return shapes | {f"{where}mlp.2.weight": (width, 4 * width), f"{where}mlp.2.bias": (width,)}


def coder_shapes(sizes: Sizes) -> Shapes:
    width, numbers = sizes.width, 6 * sizes.joints + 3
    e_dim = sizes.books * sizes.code_width
    shapes: Shapes = {"emb.weight": (width, numbers), "emb.bias": (width,)}
    present = [(index > 0, count) for index, count in enumerate(sizes.layers) if count]
    for coder, stacks in (("encoder", present), ("decoder", present[::-1])):
        for index, (sampled, count) in enumerate(stacks):
            where = f"{coder}_stacks.{index}."
            for block in range(count):
                shapes |= block_shapes(f"{where}blocks.{block}.", width)
                shapes[f"{where}pos.{block}.pe"] = (1, sizes.table, width)
            shapes |= {
                f"{where}ln_f.weight": (width,),
                f"{where}ln_f.bias": (width,),
                f"{where}head.weight": (width, width),
            }
            if sampled:
                taps = 3 if coder == "decoder" or sizes.variant == "offline" else 2
                conv = f"{where}{'down' if coder == 'encoder' else 'up'}_conv.conv."
                shapes |= {f"{conv}weight": (width, width, taps), f"{conv}bias": (width,)}
    shapes |= {"quant_emb.weight": (e_dim, width), "quant_emb.bias": (e_dim,)}
    shapes |= {"post_quant_emb.weight": (width, e_dim), "post_quant_emb.bias": (width,)}
    for book in range(sizes.books):
        shapes[f"quantizer.embeddings.{book}.weight"] = (sizes.codes, sizes.code_width)
    for head, out in (("reg_body", 6 * sizes.joints), ("reg_root", 3)):
        shapes |= {f"{head}.0.weight": (width, width), f"{head}.0.bias": (width,)}
        shapes |= {f"{head}.2.weight": (out, width), f"{head}.2.bias": (out,)}
    return shapes | {f"log_sigmas.{name}": (1,) for name in ("body", "root", "trans", "verts", "fast_vert")}


def gpt_shapes(sizes: Sizes) -> Shapes:
    width = sizes.gpt_width
    rows = sizes.books * (sizes.codes + 1)
    shapes: Shapes = {"gpt.tok_emb.weight": (rows, width // sizes.books), "gpt.pos_emb": (1, sizes.block, width)}
    for block in range(sizes.gpt_layers):
        shapes |= block_shapes(f"gpt.blocks.{block}.", width)
    shapes |= {"gpt.ln_f.weight": (width,), "gpt.ln_f.bias": (width,)}
    shapes |= {f"gpt.list_head.{book}.weight": (sizes.codes, width) for book in range(sizes.books)}
    parts = 2 + sizes.labels + sizes.durations
    shapes |= {"gpt.fc_emb.weight": (width, parts * width), "gpt.fc_emb.bias": (width,)}
    shapes |= {"action_emb.weight": (64, width)} if sizes.labels else {}
    shapes |= {"seqlen_emb.weight": (1024, width)} if sizes.durations else {}
    return shapes | {f"vqvae.{key}": shape for key, shape in coder_shapes(sizes).items()}


def tensors(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    made = {}
    for key, shape in shapes.items():
        value = random.standard_normal(shape)
        if ".ln" in key and key.endswith("weight"):
            value = 1 + 0.1 * value
        elif key.endswith("bias") or key.endswith("pe"):
            value *= 0.1
        elif len(shape) > 1 and not any(table in key for table in TABLES):
            value /= np.sqrt(np.prod(shape[1:]))
        made[key] = torch.from_numpy(value.astype(np.float32))
    return made


def write(folder: Path, state: Mapping[str, torch.Tensor], hparams: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write checkpoint and settings as the published code does; returns both files."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoints" / "best_val.pt"
    content = {"model_state_dict": dict(state), "epoch": 1, "iter": 0, "balance_stats": {0: np.arange(4.0)}}
    torch.save(content, path)
    lines = []
    for key, value in hparams.items():
        if isinstance(value, list):
            lines += [f"{key}:", *(f"- {one}" for one in value)]
        elif isinstance(value, str):
            lines.append(f"{key}: '{value.replace(chr(39), 2 * chr(39))}'")
        else:
            lines.append(f"{key}: {value}")
    (folder / "hparams.yaml").write_text("\n".join(lines) + "\n")
    return path, folder / "hparams.yaml"


def checkpoint(folder: Path, sizes: Sizes = Sizes(), gpt: bool = True, seed: int = 0) -> tuple[Path, Path]:
    """Write a random checkpoint; returns its file and that of its settings."""
    return write(folder, tensors(gpt_shapes(sizes) if gpt else coder_shapes(sizes), seed), sizes.hparams)


# --- golden cases ---


def golden(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], Any]:
    """A recorded case: its JSON, its arrays, and the module that makes its weights and inputs. Skips where absent."""
    return golden_case(name, "stand_in_posegpt")


def golden_checkpoint(folder: Path, case: Mapping[str, Any], module: Any, variant: str = "causal") -> tuple[Path, Path]:
    """Write a recorded case's checkpoint, without the masks."""
    shapes = dict(case["keys"])
    if variant != "causal":
        change = case["variants"][VARIANTS[variant]]
        shapes = {key: shape for key, shape in shapes.items() if key not in change["drop"]} | change["add_or_change"]
    state = {
        key: torch.from_numpy(module.entry(key, shape, case["seed"]))
        for key, shape in shapes.items()
        if not key.endswith("attn.mask")
    }
    name = {"vq_model" if "vq_model" in case["hparams"] else "model": VARIANTS[variant]}
    return write(folder, state, {**case["hparams"], **name})


def golden_motions(case: Mapping[str, Any], module: Any) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each clip of a recorded case: rotations [T, J, 3, 3], translation [T, 3], valid [T]."""
    from humanrt.geometry.rotation import matrices_from_vectors

    vectors, places = module.motion(case["input_seed"], case["batch"], case["frames"], case["joints"])
    for clip, length in enumerate(case["lengths"]):
        vectors[clip, length:], places[clip, length:] = vectors[clip, length - 1], places[clip, length - 1]
        yield matrices_from_vectors(vectors[clip]), places[clip], np.arange(case["frames"]) < length
