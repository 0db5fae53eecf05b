"""The verdict on engines: ``python -m humanrt.backends.verdict BUNDLE``, on the machine that will run them.

Every engine of the bundle that this machine can run gets the same inputs as ONNX Runtime on the CPU with the FP32
graph. The largest and mean differences of every output are written into the engine's entry, with the GPU and versions;
an engine without a passing verdict for this kind of GPU is not run (`engines.select`). A plan that was never run proves
nothing: TensorRT 10.3, for one, builds vision transformers whose results are wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.backends import BackendOptions, open_backend
from humanrt.backends.base import Array
from humanrt.backends.engines import Engine, update_json
from humanrt.bundle import Bundle, GraphSpec, load_bundle
from humanrt.errors import BackendError, HumanrtError

__all__ = ["LIMITS", "compare", "give", "main", "sample_feeds"]

# Largest difference allowed where the bundle's settings.engine_limits has no other, by unit and precision. FP32: what
# other orders of summation do. FP16: its 11 bits on values of the size of a hand or an image. INT8: three times that.
LIMITS: Mapping[str, Mapping[str, float]] = {
    "fp32": {"px": 0.1, "m": 1e-4, "probability": 1e-3, "logit": 0.02, "rad": 1e-3, "": 1e-3},
    "fp16": {"px": 1.0, "m": 1e-3, "probability": 0.02, "logit": 0.25, "rad": 1e-2, "": 1e-2},
    "int8": {"px": 3.0, "m": 3e-3, "probability": 0.06, "logit": 0.75, "rad": 3e-2, "": 3e-2},
}


def sample_feeds(spec: GraphSpec, frames: int = 8, seed: int = 0) -> list[dict[str, Array]]:
    """Stand-in inputs where no recorded ones are given: smooth images in 0..1, small numbers, masks of ones.

    They show a broken engine. They do not show how far a sound one is off on people: give recorded inputs for that.
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


def compare(
    outputs: Sequence[Mapping[str, Array]],
    references: Sequence[Mapping[str, Array]],
    limits: Mapping[str, float],
) -> dict[str, Any]:
    """{"passed", "reason", "outputs": {name: {"max_abs", "mean_abs", "limit", "passed"}}}.

    Args:
        outputs, references: by name, one mapping a frame.
        limits: largest difference allowed, for every output. A number that is not finite never passes.
    """
    rows, reason = {}, ""
    for name, limit in limits.items():
        pairs = [
            (np.asarray(o[name], np.float64), np.asarray(r[name], np.float64))
            for o, r in zip(outputs, references, strict=True)
        ]
        apart = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
        finite = bool(np.isfinite(apart).all())
        worst = float(apart.max()) if finite else None
        passed = worst is not None and worst <= limit
        rows[name] = {
            "max_abs": worst,
            "mean_abs": float(apart.mean()) if finite else None,
            "limit": limit,
            "passed": passed,
        }
        if not passed and not reason:
            reason = f"{name} is off by {worst:.3g} (limit {limit:g})" if worst is not None else f"{name} is not finite"
    return {"passed": not reason, "reason": reason, "outputs": rows}


def limits_for(bundle: Bundle, engine: Engine, spec: GraphSpec) -> dict[str, float]:
    """The largest difference allowed for every output: the bundle's, else by the unit that its parity entry names."""
    own = bundle.settings.get("engine_limits", {}).get(engine.recipe.precision, {})
    known = bundle.manifest.get("parity", {}).get(spec.name, {}).get("outputs", {})
    table = LIMITS[engine.recipe.precision]
    return {
        tensor.name: float(own.get(tensor.name, table.get(known.get(tensor.name, {}).get("unit", ""), table[""])))
        for tensor in spec.outputs
    }


def give(
    bundle: Bundle,
    feeds: Mapping[str, Sequence[Mapping[str, Array]]] | None = None,
    options: BackendOptions | None = None,
) -> dict[str, dict[str, Any]]:
    """Give every engine of the bundle that can run here its verdict, and write it; {engine's name: verdict}.

    Args:
        feeds: {graph: inputs of every frame}; graphs that it lacks get `sample_feeds`.

    Raises:
        BackendError: TensorRT cannot run here, or no engine of the bundle can.
    """
    from humanrt.backends.tensorrt import TensorRt

    verdicts: dict[str, dict[str, Any]] = {}
    refused = []
    with TensorRt(options or BackendOptions()) as backend, open_backend("cpu") as cpu:
        for name in bundle.graphs:
            spec = bundle.graph(name)
            for engine in backend.engines(spec):
                if reason := backend.why_not(spec, engine):
                    refused.append(f"{engine.name}: {reason}")
                    continue
                frames = list((feeds or {}).get(name) or sample_feeds(spec))
                digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for f in frames for a in f.values()))
                with backend.open_engine(spec, engine) as graph, cpu.open(spec) as reference:
                    found = [graph.run(feed) for feed in frames]
                    expected = [reference.run(feed) for feed in frames]
                verdict = compare(found, expected, limits_for(bundle, engine, spec))
                verdict |= {
                    "key": engine.key,
                    "frames": len(frames),
                    "feeds": "recorded" if name in (feeds or {}) else "synthetic",
                    "feeds_sha256": digest.hexdigest(),
                    **backend.about(),
                }
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
    """The command line; 0 when every engine passed, 1 when one failed, 2 when none could run."""
    parser = argparse.ArgumentParser(prog="python -m humanrt.backends.verdict", description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--feeds", type=Path, help=".npz of recorded inputs: GRAPH/INPUT, each [frames, ...]")
    parser.add_argument("--device", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        feeds = None if options.feeds is None else _read_feeds(options.feeds)
        bundle = load_bundle(Path(options.bundle) if Path(options.bundle).is_dir() else options.bundle)
        verdicts = give(bundle, feeds, BackendOptions(device=options.device))
    except HumanrtError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_status
    for name, verdict in verdicts.items():
        worst = ", ".join(
            f"{output} {row['max_abs']:.3g}" for output, row in verdict["outputs"].items() if row["max_abs"] is not None
        )
        sys.stdout.write(f"{'passed' if verdict['passed'] else 'FAILED'}  {name}: {verdict['reason'] or worst}\n")
    return 0 if all(verdict["passed"] for verdict in verdicts.values()) else 1


def _read_feeds(file: Path) -> dict[str, list[dict[str, Array]]]:
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
