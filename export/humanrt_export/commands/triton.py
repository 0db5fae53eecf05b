"""``humanrt-export triton``: a model repository of Triton Inference Server from a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from humanrt.bundle import load_bundle
from humanrt.checks import check_count
from humanrt_export.options import Option
from humanrt_export.serving.repository import ServingOptions, write_repository

__all__ = ["CONFIG", "TritonConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class TritonConfig:
    """Serve a bundle by Triton: models and their descriptions, and a client to begin with.

    Attributes:
        bundle: name or folder of the bundle.
        out: folder of the repository; models of other bundles in it stay.
        batch: most images that the server puts into one run of a network.
        device: where networks run.
        sequences: how many sequences (cameras, videos) are followed at the same time.
    """

    bundle: Annotated[str, Option(positional=True, metavar="BUNDLE")]
    out: Annotated[Path, Option(metavar="DIR")]
    batch: int = ServingOptions.batch
    device: Literal["cpu", "gpu"] = "cpu"
    sequences: int = ServingOptions.sequences

    def __post_init__(self) -> None:
        check_count(self.batch, "--batch", 1024)
        check_count(self.sequences, "--sequences", 1024)


CONFIG = TritonConfig


def run(config: TritonConfig) -> int:
    """Write the repository; returns the exit status."""
    options = ServingOptions(batch=config.batch, device=config.device, sequences=config.sequences)
    bundle = load_bundle(config.bundle)
    written = write_repository(bundle, config.out, options)
    for note in written.notes:
        print(f"humanrt-export triton: {note}")
    print(f"wrote {', '.join(written.models)} to {config.out}")
    print(f"serve it: tritonserver --model-repository {config.out}   (its Python needs: pip install humanrt)")
    if bundle.task != "posebert":  # of keypoints, which no file holds
        print(f"ask it:   python {config.out}/client.py {written.name} FILE")
    return 0
