"""``humanrt-export pack``: pack a bundle, the lean runtime and a self-check into one archive for another machine."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

import humanrt
from humanrt.backends.base import Array
from humanrt.bundle import MANIFEST, Bundle, load_bundle
from humanrt.inference.variants import bases
from humanrt.verdict import record, reference
from humanrt.verdict.engines import default_source, sample_feeds
from humanrt_export.options import Option
from humanrt_export.pack.archive import SUMS, sums, write_archive
from humanrt_export.pack.wheel import PLATFORMS, make_wheel, pinned, this_platform

__all__ = ["CONFIG", "PackConfig", "pack", "run"]

FRAMES = 4
"""Number of inputs of every graph that are packed, with the outputs computed here."""

READ = 40
"""Number of images of the source from which they are taken."""

Feeds = Mapping[str, Sequence[Mapping[str, Array]]]

_README = """\
{name} for {target}, packed by humanrt {version}

  python3 -m venv env                                   Python 3.11 or newer
  env/bin/pip install -r requirements.txt
  env/bin/python selfcheck.py                           one table: what runs here, how exactly, how fast

selfcheck.py compares this machine with the one that packed, builds TensorRT engines where there is a GPU, gives each
its verdict and times it. Exit status 0: all passed; 1: something failed; 2: the pack is damaged; 3: what ran has passed
and something could not run: it says why (--cpu asks for CPU only). For a GPU install requirements-gpu.txt
as well; Jetson: docs/deploy/jetson.md of humanrt.

  env/bin/humanrt {run}   afterwards

feeds.npz holds the inputs that everything is compared on: {source}
"""


def pack(bundle: Bundle, out: Path, target: str, *, source: str | None = None) -> Path:
    """Write the archive.

    Args:
        bundle: a verified bundle. Its engines are left out, as they are for this machine's GPU.
        out: the archive (.tar.gz).
        target: one of `PLATFORMS`.
        source: frames to compare on, as for ``humanrt run``; None: the shipped clip for hands, and smooth noise
            for other bundles.

    Raises:
        HumanrtError: the source is empty, there is no library for the target, or ``out`` cannot be written.
    """
    source = source or default_source(bundle)
    feeds = _feeds(bundle, source)
    expected = {name: reference(bundle, name, frames, threads=1) for name, frames in feeds.items()}
    wheel, wheel_data = make_wheel(target)
    versions = pinned()
    described = "frames of " + Path(source).name if source else "smooth noise (no frames were given)"
    files: dict[str, bytes | Path] = {
        wheel: wheel_data,
        "README.txt": _README.format(
            name=bundle.name, target=target, version=humanrt.__version__, run=_run_line(bundle), source=described
        ).encode(),
        "requirements.txt": "".join(
            [*(f"{name}=={version}\n" for name, version in versions.items()), f"./{wheel}\n"]
        ).encode(),
        "requirements-gpu.txt": _gpu_requirements(target).encode(),
        "selfcheck.py": (Path(__file__).parents[1] / "pack" / "selfcheck.py").read_bytes(),
        "feeds.npz": _npz(feeds),
        "expected.npz": _npz(expected),
        "pack.json": _json(
            {"humanrt": humanrt.__version__, "bundle": bundle.name, "platform": target, "made_on": this_platform(),
             "with": versions, "feeds": described}
        ),
        f"bundle/{MANIFEST}": _json({key: value for key, value in bundle.manifest.items() if key != "engines"}),
    }  # fmt: skip
    files |= {f"bundle/{name}": bundle.path / name for name in bundle.manifest["files"]}
    files[SUMS] = sums(files)
    write_archive(out, f"{bundle.name}-{target}", files)
    return out


def _run_line(bundle: Bundle) -> str:
    """Return the command that runs the bundle, without bundles that are not packed."""
    if bundle.task == "hands":  # its default smoother is a separate bundle
        return "run 0 --task hands --bundle ./bundle --smooth oneeuro --robot allegro_right"
    return f"run 0 --task {bundle.task} --bundle ./bundle" if bundle.task == "people" else "doctor"


def _feeds(bundle: Bundle, source: str | None) -> Feeds:
    """Return the inputs of every FP32 graph."""
    recorded: Feeds = (
        {} if source is None else record(bundle, source, max_inputs=FRAMES, max_frames=READ, threads=1).feeds
    )
    usable = [name for name in bases(bundle) if not bundle.graph(name).operators]
    return {name: recorded.get(name) or sample_feeds(bundle.graph(name), FRAMES) for name in usable}


def _npz(frames: Feeds) -> bytes:
    """Return an .npz with arrays GRAPH/TENSOR, each [frames, ...]."""
    arrays = {
        f"{graph}/{name}": np.stack([row[name] for row in rows]) for graph, rows in frames.items() for name in rows[0]
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **dict(sorted(arrays.items())))
    return content.getvalue()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _gpu_requirements(target: str) -> str:
    """Return what is needed for building and running engines, in addition to the lean runtime."""
    lines = ["onnx>=1.17", "pycuda>=2024.1"]
    if target == "linux-x86_64":
        lines += [
            "# RTX GPUs; for others: tensorrt>=10.5",
            "tensorrt-rtx-cu13-bindings>=1.7",
            "tensorrt-rtx-cu13-libs>=1.7",
        ]
    else:
        lines += ["# TensorRT comes with JetPack (docs/deploy/jetson.md)"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """Options of ``humanrt-export pack``.

    Attributes:
        bundle: name or folder of the bundle.
        out: the archive; without it, BUNDLE-PLATFORM.tar.gz.
        platform: platform of the target machine; without it, this machine's.
        source: frames to compare on, as for `humanrt run`; they are packed; without it, the shipped clip for
            hands, otherwise noise.
    """

    bundle: Annotated[str, Option(positional=True, metavar="BUNDLE")]
    out: Annotated[Path | None, Option(metavar="FILE")] = None
    platform: Annotated[str | None, Option(choices=PLATFORMS)] = None
    source: Annotated[str | None, Option(metavar="SOURCE")] = None


CONFIG = PackConfig


def run(config: PackConfig) -> int:
    """Pack, and print what was written."""
    bundle = load_bundle(config.bundle)
    target = config.platform or this_platform()
    out = config.out or Path(f"{bundle.name}-{target}.tar.gz")
    pack(bundle, out.expanduser().absolute(), target, source=config.source)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; unpack it there and read README.txt")
    return 0
