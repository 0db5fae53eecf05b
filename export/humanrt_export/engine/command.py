"""``humanrt-export engine``: TensorRT plans of a bundle's graphs, listed in its manifest or in another folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from humanrt import __version__
from humanrt.backends.engines import (
    ENGINES,
    LIBRARIES,
    PRECISIONS,
    Engine,
    Recipe,
    engines_of,
    file_sha256,
    read_plan,
    shapes_of,
    this_platform,
    update_json,
    write_atomically,
)
from humanrt.bundle import MANIFEST, Bundle, GraphSpec, cache_folder, load_bundle
from humanrt.errors import BackendError, HumanrtError, choices

from .build import BuildOptions, Plan, build_plan
from .checks import check_graph, check_targets
from .library import Library, gpu_sm, load
from .precision import find_graphs, load_graph, source_files, to_fp16

__all__ = ["Built", "build_engines", "configure", "run"]


@dataclass(frozen=True)
class Built:
    """One engine: its entry's name, the plan's file, its size, and the build (None: it was there already)."""

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
        bundle: whose graphs.
        precision: ``fp32``, ``fp16`` or ``int8``.
        library: from `library.load`.
        sm: compute capabilities, such as 86; () is the GPU's that is here.
        out: folder for the plans and their ``engines.json``; None is the bundle's own folder and manifest.
        graphs: only these; () is all that engines can be built from.
        options: of the builder.
        force: build also what is there and intact.
        report: is told one line a graph.

    Raises:
        BackendError, OutputError: what is wrong and how to mend it.
    """
    targets = check_targets(library, sm, gpu_sm())
    options = options or BuildOptions()
    specs = find_graphs(bundle, precision)
    if unknown := set(graphs) - {spec.name for spec in specs}:
        names = choices(spec.name for spec in specs)
        raise BackendError(f"no engine can be built of graph {choices(unknown)} in {precision}; there are: {names}")
    made = []
    for spec in specs:
        if graphs and spec.name not in graphs:
            continue
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
        )
        listed = (bundle.path / MANIFEST) if out is None else (out / ENGINES)
        name = f"{spec.name}-{precision}-{library.name}-sm{'-'.join(map(str, targets))}"
        kept = None if force else _intact(spec, name, recipe, listed)
        if kept is not None:
            report(f"{name}: there already, {kept.stat().st_size / 1e6:.1f} MB")
            made.append(Built(name, kept, kept.stat().st_size, None))
            continue
        made.append(_build(bundle, spec, recipe, library, options, name, listed))
        plan = made[-1].plan
        assert plan is not None
        report(f"{name}: {made[-1].bytes / 1e6:.1f} MB in {plan.seconds:.1f} s; {_types(plan)}")
    return made


def _build(
    bundle: Bundle, spec: GraphSpec, recipe: Recipe, library: Library, options: BuildOptions, name: str, listed: Path
) -> Built:
    model = load_graph(spec)
    kept: list[str] = []
    if recipe.precision == "fp16":
        model, kept = to_fp16(model, bundle.settings)
    check_graph(model, spec, recipe.precision, library, recipe.sm)
    cache = cache_folder() / "timing" / f"{library.name}-{library.version}-sm{recipe.sm[0]}.cache"
    plan = build_plan(library, model, spec, recipe.sm, options, cache)
    # The key in the name: a plan of another recipe is another file, and a running process keeps the one it opened.
    file = f"engines/{name}-{recipe.key[:12]}.plan" if listed.name == MANIFEST else f"{name}-{recipe.key[:12]}.plan"
    path = listed.parent / file
    write_atomically(path, plan.data)
    details = {"layers": plan.layers, "fp32_nodes": kept, "warnings": plan.warnings, "report": plan.report}
    write_atomically(path.with_suffix(".json"), (json.dumps(details, indent=1) + "\n").encode())
    entry = {
        "file": file,
        "sha256": file_sha256(path),
        "bytes": len(plan.data),
        "key": recipe.key,
        "recipe": recipe.to_json(),
        "verdicts": {},
    }
    update_json(listed, name, entry)
    return Built(name, path, len(plan.data), plan)


def _intact(spec: GraphSpec, name: str, recipe: Recipe, listed: Path) -> Path | None:
    """The plan of this very recipe, where it is there and whole."""
    folders = [] if listed.name == MANIFEST else [listed.parent]
    try:
        kept: list[Engine] = [e for e in engines_of(spec, folders) if (e.name, e.listed) == (name, listed)]
        if kept and kept[0].key == kept[0].recipe.key == recipe.key:
            read_plan(kept[0])
            return kept[0].path
    except HumanrtError:  # damaged: built anew
        return None
    return None


def _types(plan: Plan) -> str:
    """How many layers compute in which type, constants and casts apart."""
    counts: dict[str, int] = {}
    for kind, count in plan.layers.items():
        layer, _, dtype = kind.partition(" ")
        if layer not in ("CONSTANT", "CAST", "SHUFFLE", "SHAPE"):
            counts[dtype or "none"] = counts.get(dtype or "none", 0) + count
    return ", ".join(f"{count} layers {dtype}" for dtype, count in sorted(counts.items(), key=lambda item: -item[1]))


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="name or folder of the bundle")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument("--for", dest="library", choices=LIBRARIES, default="tensorrt-rtx")
    parser.add_argument(
        "--sm", type=int, nargs="+", default=[], metavar="N", help="compute capabilities, e.g. 86 89 120"
    )
    parser.add_argument("--graph", action="append", default=[], metavar="NAME", help="only this graph (repeatable)")
    parser.add_argument("--out", type=Path, help="folder for plans and engines.json (default: the bundle's own)")
    parser.add_argument("--level", type=int, choices=range(6), help="how long tensorrt looks for fast kernels")
    parser.add_argument("--tf32", action="store_true", help="let FP32 layers multiply with 10-bit mantissas")
    parser.add_argument("--force", action="store_true", help="build also what is there already")


def run(options: argparse.Namespace) -> int:
    """Build, one line a graph."""
    name: str = options.bundle
    bundle = load_bundle(Path(name) if Path(name).is_dir() else name)
    built = build_engines(
        bundle,
        options.precision,
        load(options.library),
        options.sm,
        out=None if options.out is None else options.out.expanduser().absolute(),
        graphs=options.graph,
        options=BuildOptions(level=options.level, tf32=options.tf32),
        force=options.force,
        report=print,
    )
    print(f"{len(built)} engines; each needs a verdict on its GPU: python -m humanrt.backends.verdict {bundle.path}")
    return 0
