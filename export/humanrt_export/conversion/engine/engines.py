"""Build TensorRT plans of a bundle's graphs and list them in its manifest or in another folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import onnx_ir as ir

from humanrt import __version__
from humanrt.backends.engines import (
    ENGINES,
    Engine,
    Recipe,
    engines_of,
    read_plan,
    shapes_of,
    this_platform,
    update_json,
)
from humanrt.bundle import MANIFEST, Bundle, GraphSpec, cache_folder
from humanrt.errors import BackendError, choices
from humanrt.files import file_sha256, write_atomically
from humanrt_export.conversion.engine.build import BuildOptions, Plan, build_plan
from humanrt_export.conversion.engine.checks import check_graph, check_targets
from humanrt_export.conversion.engine.library import Library, gpu_sm
from humanrt_export.conversion.half_graphs import find_graphs, load_graph, source_files, to_fp16
from humanrt_export.conversion.quantize.recipe import load_recipe
from humanrt_export.conversion.rewriting import name_nodes, self_contained

__all__ = ["Built", "build_engines"]


@dataclass(frozen=True)
class Built:
    """An engine.

    Attributes:
        name: name of its entry in the list of engines.
        path: file of the plan.
        bytes: size of the plan.
        plan: the build; None: the engine existed already.
    """

    name: str
    path: Path
    bytes: int
    plan: Plan | None


def build_engines(
    bundle: Bundle,
    precision: str,
    library: Library,
    sm: Sequence[int] = (),
    *,
    out: Path | None = None,
    graphs: Sequence[str] = (),
    options: BuildOptions | None = None,
    force: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[Built]:
    """Build the engines of a bundle and list them.

    Args:
        bundle: the bundle.
        precision: ``fp32``, ``fp16`` or ``int8``.
        library: from `library.load`.
        sm: compute capabilities, such as 86; (): that of this machine's GPU.
        out: folder for the plans and their ``engines.json``; None: the bundle's own folder and manifest.
        graphs: build only these; (): all that engines can be built from.
        options: options of the builder.
        force: also build engines that exist and are intact.
        report: called with a line for each graph.

    Raises:
        BackendError, OutputError: what is wrong and how to fix it.
    """
    here = gpu_sm()
    targets = check_targets(library, sm, here)
    options = options or BuildOptions()
    specs = find_graphs(bundle, precision)
    if unknown := set(graphs) - {spec.name for spec in specs}:
        names = choices(spec.name for spec in specs)
        raise BackendError(f"no engine can be built of graph {choices(unknown)} in {precision}; choose one of: {names}")
    built = []
    for spec in specs:
        if graphs and spec.name not in graphs:
            continue
        model, kept = _prepared(bundle, spec, precision)
        check_graph(model, spec, precision, library, targets)
        recipe = Recipe(
            graph=spec.name,
            sources={path.relative_to(bundle.path).as_posix(): file_sha256(path) for path in source_files(spec)},
            precision=precision,
            library=library.name,
            version=library.version,
            sm=targets,
            platform=this_platform(),
            cuda=library.cuda,
            shapes=shapes_of((*spec.inputs, *spec.outputs)),
            options=options.to_json(),
            tool=__version__,
            network=hashlib.sha256(self_contained(model)).hexdigest(),
        )
        listed = (bundle.path / MANIFEST) if out is None else (out / ENGINES)
        name = f"{spec.name.removesuffix('-int8')}-{precision}-{library.name}-sm{'-'.join(map(str, targets))}"
        existing, reason = _listed(spec, name, recipe, listed)
        if existing is not None and not reason and not force:
            report(f"{name}: there already, {existing.path.stat().st_size / 1e6:.1f} MB")
            built.append(Built(name, existing.path, existing.path.stat().st_size, None))
            continue
        if reason:
            report(f"{name}: {reason}; built anew")
        plan = build_plan(library, model, spec, targets, options, _timing_cache(library, here))
        built.append(_write(plan, kept, recipe, name, listed))
        if existing is not None and existing.path != built[-1].path:  # no entry names it any more
            for leftover in (existing.path, existing.path.with_suffix(".json")):
                leftover.unlink(missing_ok=True)
        report(f"{name}: {built[-1].bytes / 1e6:.1f} MB in {plan.seconds:.1f} s; {plan.report.lines()}")
    return built


def _prepared(bundle: Bundle, spec: GraphSpec, precision: str) -> tuple[ir.Model, list[str]]:
    """Return the graph in its final precision, its nodes named uniquely, and the names of those kept in FP32."""
    model = load_graph(spec)
    kept: list[str] = []
    if precision == "fp16" and any(fnmatchcase(spec.name, name) for name in load_recipe().fp32_graphs):
        kept = ["all"]  # a mesh in metres, which FP16 would round to 1 mm and more
    elif precision == "fp16":
        model, kept = to_fp16(model, bundle.settings)
    name_nodes(model)
    return model, kept


def _timing_cache(library: Library, here: int | None) -> Path:
    """Return the file of measured kernel times of this library on this kind of GPU."""
    return cache_folder() / "timing" / f"{library.name}-{library.version}-sm{here}.cache"


def _write(plan: Plan, kept: list[str], recipe: Recipe, name: str, listed: Path) -> Built:
    """Write plan, report and entry, in this order and atomically: an entry never names a file that does not exist."""
    # The key is in the name: a plan of another recipe is another file, and a running process keeps the one it opened.
    file = f"engines/{name}-{recipe.key[:12]}.plan" if listed.name == MANIFEST else f"{name}-{recipe.key[:12]}.plan"
    path = listed.parent / file
    write_atomically(path, plan.data)
    details = {**plan.report.to_json(), "fp32_nodes": kept, "warnings": plan.warnings}
    write_atomically(path.with_suffix(".json"), (json.dumps(details, indent=1) + "\n").encode())
    entry = {
        "file": file,
        "sha256": hashlib.sha256(plan.data).hexdigest(),
        "bytes": len(plan.data),
        "key": recipe.key,
        "recipe": recipe.to_json(),
        "verdicts": {},
    }
    update_json(listed, name, entry)
    return Built(name, path, len(plan.data), plan)


def _listed(spec: GraphSpec, name: str, recipe: Recipe, listed: Path) -> tuple[Engine | None, str]:
    """Return the listed engine of this name (None: there is none), and why it cannot be kept ("": it can).

    Raises:
        BundleError: the list cannot be read, so nothing can be added to it.
    """
    folders = [] if listed.name == MANIFEST else [listed.parent]
    engine = next((e for e in engines_of(spec, folders) if (e.name, e.listed) == (name, listed)), None)
    if engine is None:
        return None, ""
    if engine.key != engine.recipe.key:
        return engine, f"its key is not that of its recipe ({listed} was edited)"
    before, now = engine.recipe.to_json(), recipe.to_json()
    if changed := [field for field in now if before[field] != now[field]]:
        return engine, f"it was built with other {choices(changed)}"
    try:
        read_plan(engine)
    except BackendError as error:
        return engine, str(error).rpartition(";")[0]
    return engine, ""
