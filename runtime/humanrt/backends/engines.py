"""Built engines (TensorRT plans): what each was built from, and whether this machine may run it.

An engine is listed under ``engines`` in its bundle's manifest, or in an ``engines.json`` of the same form in another
folder. Every entry records what the plan was built from (its *recipe*), and the sha256 of that recipe is its key:

    "engines": {NAME: {"file": "...plan", "sha256": "...", "bytes": 1, "key": "...", "recipe": {...}, "verdicts": {}}}

Nothing about an engine is trusted: the plan's bytes, the key, the files of the graph, the library, the GPU and the
measured verdict must all agree before a byte reaches TensorRT, and any mismatch is named.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humanrt.bundle import MANIFEST, GraphSpec, TensorSpec, cache_folder
from humanrt.bundle.paths import without_folders
from humanrt.errors import BackendError, BundleError, choices
from humanrt.files import file_sha256, write_atomically

__all__ = [
    "ENGINES",
    "EXACT",
    "LIBRARIES",
    "PRECISIONS",
    "Engine",
    "Recipe",
    "engines_of",
    "read_plan",
    "select",
    "shapes_of",
    "this_platform",
    "update_json",
]

ENGINES = "engines.json"
LIBRARIES = ("tensorrt", "tensorrt-rtx")
EXACT = "fp32"
PRECISIONS = (EXACT, "fp16", "int8")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of a plan; equal recipes mean the same engine.

    Attributes:
        graph: name of the graph in the bundle.
        sources: {file: sha256} of the graph: the ONNX file and those that hold its weights.
        precision: ``fp32``, ``fp16`` or ``int8``.
        library, version: ``tensorrt`` or ``tensorrt-rtx``, and its version.
        sm: compute capabilities that it runs on, such as 86 for 8.6.
        platform: system and processor, such as ``linux-x86_64``.
        cuda: major CUDA version that the library was built for; "" if it does not report one.
        shapes: {tensor: [dtype, [sizes]]} of inputs and outputs.
        options: options of the builder.
        tool: version of humanrt that built it.
        network: sha256 of the graph as passed to the library, in its final precision: another list of what stays in
            FP32 makes another engine.
    """

    graph: str
    sources: Mapping[str, str]
    precision: str
    library: str
    version: str
    sm: tuple[int, ...]
    platform: str
    cuda: str
    shapes: Mapping[str, Any]
    options: Mapping[str, Any]
    tool: str
    network: str = ""

    @property
    def key(self) -> str:
        """sha256 of the recipe."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "sm": list(self.sm)}


@dataclass(frozen=True)
class Engine:
    """An entry of a list of engines; nothing in it is checked yet.

    Attributes:
        name: name in its list.
        path: path of the plan.
        listed: the file that lists it.
        sha256: sha256 of the plan.
        key: key as listed; `select` compares it with that of the recipe.
        verdicts: {"sm_89": {"passed": ..., ...}}: how close the engine is to the FP32 graph, by GPU.
    """

    name: str
    path: Path
    listed: Path
    sha256: str
    key: str
    recipe: Recipe
    verdicts: Mapping[str, Any] = field(default_factory=dict)


def this_platform() -> str:
    """Return the platform, such as ``linux-x86_64``: a plan runs on one only."""
    return f"{platform.system()}-{platform.machine()}".lower()


def shapes_of(tensors: Sequence[TensorSpec]) -> dict[str, Any]:
    """Return the `Recipe.shapes` of inputs and outputs."""
    return {tensor.name: [tensor.dtype, list(tensor.shape)] for tensor in tensors}


def engines_of(spec: GraphSpec, folders: Sequence[Path] = ()) -> list[Engine]:
    """Return all engines listed for a graph: in its bundle, in ``folders``, and in the user's cache (``engines/``).

    Raises:
        BundleError: a list is malformed.
    """
    lists = [spec.path.parent / MANIFEST, *(folder / ENGINES for folder in folders)]
    lists.append(cache_folder() / "engines" / ENGINES)
    engines = []
    for file in lists:
        if file.is_file():
            engines += [engine for engine in _read(file) if engine.recipe.graph == spec.name]
    return engines


def _read(file: Path) -> list[Engine]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8")).get("engines", {})
        return [_engine(file, name, entry) for name, entry in entries.items()]
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        kind = f"{type(error).__name__}: {error}"
        raise BundleError(f"{file}: its list of engines cannot be read ({kind}); {_mended(file)}") from error


def _mended(file: Path) -> str:
    what = "delete it" if file.name == ENGINES else "take `engines` out of it, or export the bundle again"
    return f"{what}, then build the engines again (humanrt-export engine)"


def _engine(file: Path, name: str, entry: Mapping[str, Any]) -> Engine:
    plan = Path(entry["file"])
    if plan.is_absolute() or ".." in plan.parts:
        raise ValueError(f"`{plan}` lies outside the folder")
    recipe = Recipe(**{**entry["recipe"], "sm": tuple(int(sm) for sm in entry["recipe"]["sm"])})
    for value in (recipe.sources, recipe.shapes, recipe.options, entry.get("verdicts", {})):
        if not isinstance(value, dict):
            raise TypeError(f"{name}: {value!r} is no object")
    return Engine(name, file.parent / plan, file, entry["sha256"], entry["key"], recipe, entry.get("verdicts", {}))


def select(
    spec: GraphSpec,
    engines: Sequence[Engine],
    *,
    versions: Mapping[str, str],
    sm: int,
    precision: str | None = None,
    unverified: bool = False,
) -> Engine:
    """Return the engine to run a graph with.

    Args:
        spec: the graph.
        engines: the engines listed for it.
        versions: {library: version} of the libraries installed here.
        sm: compute capability of the GPU, such as 86.
        precision: required precision; None takes the fastest that has passed: int8, fp16, fp32.
        unverified: whether to accept an engine without a passing verdict on such a GPU.

    Raises:
        BackendError: none fits; the message says why for each engine, and how to build one.
    """
    library = next(iter(versions), "tensorrt-rtx")
    build = f"humanrt-export engine {spec.path.parent} --for {library} --precision {precision or 'fp16'} --sm {sm}"
    wanted = [engine for engine in engines if precision in (None, engine.recipe.precision)]
    if not wanted:
        raise BackendError(
            f"no {precision or ''} engine has been built for graph {spec.name}; run: {build}".replace("  ", " ")
        )
    reasons = {engine.name: why_not(spec, engine, versions, sm, unverified) for engine in wanted}
    fit = [engine for engine in wanted if reasons[engine.name] is None]
    if not fit:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise BackendError(f"no engine of graph {spec.name} can run here. {listed}. Rebuild: {build}")
    return max(fit, key=lambda engine: PRECISIONS.index(engine.recipe.precision))


def why_not(spec: GraphSpec, engine: Engine, versions: Mapping[str, str], sm: int, unverified: bool) -> str | None:
    """Return why an engine may not run a graph here; None if it may. `read_plan` checks the bytes of the plan."""
    recipe = engine.recipe
    if recipe.precision not in PRECISIONS:
        return f"precision `{recipe.precision}` is none of {choices(PRECISIONS)}"
    if recipe.key != engine.key:
        return f"its key is not that of its recipe ({engine.listed} was edited)"
    if recipe.platform != this_platform():
        return f"built for {recipe.platform}, this is {this_platform()}"
    if recipe.library not in versions:
        return f"needs {recipe.library} {recipe.version}, which is not installed"
    if recipe.version != versions[recipe.library]:
        return f"built by {recipe.library} {recipe.version}, installed is {versions[recipe.library]}"
    if sm not in recipe.sm:
        return f"built for sm {', '.join(map(str, recipe.sm))}, this GPU is sm {sm}"
    if dict(recipe.shapes) != shapes_of((*spec.inputs, *spec.outputs)):
        return "its inputs and outputs are not the manifest's"
    if spec.path.name not in recipe.sources:
        return f"built from {choices(recipe.sources)}, not from {spec.path.name}"
    for name, digest in recipe.sources.items():
        if file_sha256(spec.path.parent / name) != digest:
            return f"built from another {name} than the bundle's"
    verdict = engine.verdicts.get(f"sm_{sm}")
    if unverified:
        return None
    if not isinstance(verdict, dict) or verdict.get("key") != engine.key:
        return f"no verdict on sm {sm} yet (on this machine: python -m humanrt.verdict.engines {spec.path.parent})"
    if verdict.get("passed") is not True:
        return f"it failed its verdict on sm {sm}: {verdict.get('reason', 'see its entry')}"
    return None


def read_plan(engine: Engine) -> bytes:
    """Read the bytes of the plan. BackendError if they are not those that were built."""
    again = "build it again with `humanrt-export engine`"
    try:
        data = engine.path.read_bytes()
    except OSError as error:
        raise BackendError(f"engine {engine.path}: {error.strerror or error}; {again}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != engine.sha256:
        raise BackendError(
            f"engine {engine.path} is damaged: sha256 {digest[:12]}... is not the {engine.sha256[:12]}... "
            f"of {engine.listed.name}; {again}"
        )
    return data


def update_json(file: Path, name: str, entry: Mapping[str, Any] | None) -> None:
    """Set one engine's entry in a manifest or an ``engines.json`` (None removes it) and keep all others."""
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        engines = content.setdefault("engines", {})
        engines.pop(name, None)
    except (OSError, ValueError, AttributeError) as error:
        raise BundleError(f"{file} cannot be read ({error}); {_mended(file)}") from error
    if entry is not None:
        engines[name] = without_folders(dict(entry))
    write_atomically(file, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
