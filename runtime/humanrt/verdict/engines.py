"""The verdict on engines: ``python -m humanrt.verdict.engines BUNDLE``, on the machine that will run them.

Every engine of the bundle that this machine can run gets the same inputs as ONNX Runtime on the CPU with the FP32
graph, and the verdict of `humanrt.verdict` is written into the engine's entry, with the GPU and versions; an engine
without a passing verdict for this kind of GPU is not run (`engines.select`). A plan that was never run proves nothing:
TensorRT 10.3, for one, builds vision transformers whose results are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.backends.base import Array
from humanrt.backends.engines import Engine, update_json
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, GraphSpec, load_bundle
from humanrt.data import CLIP
from humanrt.errors import BackendError, HumanrtError
from humanrt.inference.variants import base_of
from humanrt.verdict import case_of, judge, record

__all__ = ["default_source", "give", "main", "read_feeds", "sample_feeds"]

Feeds = Mapping[str, Sequence[Mapping[str, Array]]]


def default_source(bundle: Bundle) -> str | None:
    """Return the shipped hand clip for bundles that it is suitable for; None for others."""
    hands = bundle.task == "hands" or bundle.settings.get("input") == "hand21"
    return str(CLIP) if hands else None


def sample_feeds(spec: GraphSpec, frames: int = 8, seed: int = 0) -> list[dict[str, Array]]:
    """Make synthetic inputs for use without recorded ones: smooth images in 0..1, small numbers, masks of ones.

    They reveal a broken engine. They do not reveal the error of a sound one on people: use recorded inputs for that.
    """
    rng = np.random.default_rng(seed)
    feeds = []
    for _ in range(frames):
        feed: dict[str, Array] = {}
        for tensor in spec.inputs:
            if tensor.dtype == "bool":
                feed[tensor.name] = np.ones(tensor.shape, bool)
            elif len(tensor.shape) == 4 and tensor.shape[1] == 3:
                coarse = rng.random((*tensor.shape[:2], 8, 8))
                sizes = [-(-size // 8) for size in tensor.shape[2:]]
                fine = np.kron(coarse, np.ones((1, 1, *sizes)))[:, :, : tensor.shape[2], : tensor.shape[3]]
                feed[tensor.name] = fine.astype(tensor.dtype)
            elif tensor.name == "confidence":
                feed[tensor.name] = np.ones(tensor.shape, tensor.dtype)
            else:
                feed[tensor.name] = (0.1 * rng.standard_normal(tensor.shape)).astype(tensor.dtype)
        feeds.append(feed)
    return feeds


def give(bundle: Bundle, feeds: Feeds | None = None, options: BackendOptions | None = None) -> dict[str, Any]:
    """Judge every engine of the bundle that can run here, store the verdicts, and return {engine's name: verdict}.

    Args:
        bundle: the bundle.
        feeds: {FP32 graph: inputs of every frame}; graphs not in it get `sample_feeds`.
        options: options of the TensorRT backend.

    Raises:
        BackendError: TensorRT cannot run here, or no engine of the bundle can.
    """
    from humanrt.backends.tensorrt import TensorRt

    verdicts: dict[str, Any] = {}
    refused = []
    with TensorRt(options or BackendOptions()) as backend:
        for name in bundle.graphs:
            spec = bundle.graph(name)
            base = base_of(bundle, name)
            for engine in backend.engines(spec):
                if reason := backend.why_not(spec, engine):
                    refused.append(f"{engine.name}: {reason}")
                    continue
                frames = list((feeds or {}).get(base) or sample_feeds(spec))
                with backend.open_engine(spec, engine) as graph:
                    verdict = judge(
                        case_of(bundle, base, frames, graph.run),
                        engine.recipe.precision,
                        key=engine.key,
                        feeds="recorded" if base in (feeds or {}) else "synthetic",
                        **backend.about(),
                    )
                _write(engine, f"sm_{backend.sm}", verdict)
                verdicts[engine.name] = verdict
    if not verdicts:
        raise BackendError(
            f"bundle {bundle.name} has no engine that can run here: {'; '.join(refused) or 'none is built'}"
        )
    return verdicts


def _write(engine: Engine, device: str, verdict: Mapping[str, Any]) -> None:
    entry = json.loads(engine.listed.read_text(encoding="utf-8"))["engines"][engine.name]
    update_json(engine.listed, engine.name, {**entry, "verdicts": {**entry.get("verdicts", {}), device: dict(verdict)}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0 if every engine passed, 1 if one failed, 2 if none could run."""
    parser = argparse.ArgumentParser(prog="python -m humanrt.verdict.engines", description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--source", help="frames to judge on, as for `humanrt run` (hands: the clip that ships)")
    parser.add_argument("--feeds", type=Path, help=".npz of recorded inputs instead: GRAPH/INPUT, each [frames, ...]")
    parser.add_argument("--device", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        bundle = load_bundle(options.bundle)
        feeds: Feeds | None = None
        if options.feeds is not None:
            feeds = read_feeds(options.feeds)
        elif source := options.source or default_source(bundle):
            feeds = record(bundle, source, max_inputs=64).feeds
        verdicts = give(bundle, feeds, BackendOptions(device=options.device))
    except HumanrtError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_status
    for name, verdict in verdicts.items():
        worst = ", ".join(f"{what} {row['mean']:.3g} {row['unit']}" for what, row in verdict["distances"].items())
        sys.stdout.write(f"{'passed' if verdict['passed'] else 'FAILED'}  {name}: {verdict['reason'] or worst}\n")
    return 0 if all(verdict["passed"] for verdict in verdicts.values()) else 1


def read_feeds(file: Path) -> Feeds:
    """Read {graph: inputs of every frame} from an .npz with arrays GRAPH/INPUT, each [frames, ...].

    Raises:
        BackendError: the file is not such an archive.
    """
    feeds: dict[str, list[dict[str, Array]]] = {}
    try:
        with np.load(file, allow_pickle=False) as data:
            for key in data.files:
                graph, _, name = key.rpartition("/")
                rows = feeds.setdefault(graph, [{} for _ in data[key]])
                for row, value in zip(rows, data[key], strict=True):
                    row[name] = value
    except (OSError, ValueError) as error:
        raise BackendError(f"{file}: {error}; give an .npz with arrays GRAPH/INPUT, each [frames, ...]") from error
    return feeds


if __name__ == "__main__":
    sys.exit(main())
