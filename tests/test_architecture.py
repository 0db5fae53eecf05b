"""The layout that docs/architecture.md states: layers, no import cycles, a lean runtime."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import humanrt

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"humanrt": ROOT / "runtime" / "humanrt", "humanrt_export": ROOT / "export" / "humanrt_export"}
MAX_ROOT_MODULES = 12
HEAVY = {"torch", "onnx", "onnx_ir", "onnxscript", "scipy", "tflite", "anny", "humanrt_export"}


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for file in folder.rglob("*.py"):
            name = ".".join((package, *file.relative_to(folder).with_suffix("").parts))
            found[name.removesuffix(".__init__")] = file
    return found


MODULES = _modules()


def _statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at any depth, except those that only type checkers see."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in for_types:
            yield node


def _imported(module: str) -> set[str]:
    """Full names of the modules that a module imports; of this project's packages as exactly as they can be told."""
    file = MODULES[module]
    names: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        base = node.module or ""
        if node.level:
            package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
            base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            names.add(full if full in MODULES else base)
    return names


def _unit(module: str) -> str:
    """The package or root module that a module belongs to: ``humanrt.hands`` of ``humanrt.hands.tracker``."""
    return ".".join(module.split(".")[:2])


def _graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        needed = graph.setdefault(_unit(module), set())
        needed |= {_unit(name) for name in _imported(module) if name in MODULES} - {_unit(module), *PACKAGES}
    return graph


def _layers() -> dict[str, int]:
    """Unit -> layer, from the blocks ```layers of docs/architecture.md: lowest line first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = {}
    for package, block in re.findall(r"```layers (\w+)\n(.*?)```", text, re.DOTALL):
        for layer, line in enumerate(block.strip().splitlines()):
            layers |= {f"{package}.{unit}": layer for unit in line.split("#")[0].split()}
    return layers


def _cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """The units that remain when those without unresolved imports are removed again and again: [] without cycles."""
    left = {unit: set(needed) for unit, needed in graph.items()}
    while free := {unit for unit, needed in left.items() if not needed & left.keys()}:
        for unit in free:
            del left[unit]
    return sorted(left)


def test_every_unit_has_a_layer() -> None:
    units = {unit for unit in _graph() if unit not in PACKAGES}
    assert units == set(_layers())


def test_nothing_imports_from_a_higher_layer() -> None:
    layers = _layers()
    upward = [
        f"{module} imports {name}"
        for module in MODULES
        if module not in PACKAGES
        for name in sorted(_imported(module) & MODULES.keys())
        if name.split(".")[0] == module.split(".")[0]
        and name not in PACKAGES
        and layers[_unit(name)] > layers[_unit(module)]
    ]
    assert not upward


def test_no_import_cycle_between_packages() -> None:
    assert _cycle(_graph()) == []


def test_no_import_cycle_between_modules() -> None:
    graph = {module: _imported(module) & MODULES.keys() - {module} for module in MODULES}
    assert _cycle(graph) == []


def test_a_cycle_would_be_found() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.split(".")[0] == "humanrt"))
def test_the_runtime_is_lean(module: str) -> None:
    assert not {name.split(".")[0] for name in _imported(module)} & HEAVY


def test_the_root_of_the_runtime_is_small() -> None:
    modules = {file.name for file in PACKAGES["humanrt"].glob("*.py")}
    assert len(modules) <= MAX_ROOT_MODULES, sorted(modules)


@pytest.mark.parametrize("name", humanrt.__all__)
def test_every_public_name_is_found_where_it_is_said_to_be(name: str) -> None:
    assert getattr(humanrt, name) is not None


@pytest.mark.parametrize(
    ("pattern", "home"),
    [
        (r'"thumb",\s*"index",\s*"middle",\s*"ring",\s*"pinky"', "humanrt.geometry.hand"),
        (r"4, 8, 12, 16, 20\b", "humanrt.geometry.hand"),
        (r"np\.array\([(\[]-1(\.0)?, 1(\.0)?, 1(\.0)?", "humanrt.geometry.mirror"),
        (r"def project\(points", "humanrt.geometry.camera"),
        (r"0\.9 \* \S+ \+ 0\.1 \*", "humanrt.timing"),
        (r'= "fp32"$|"fp16", "int8"\)', "humanrt.backends.engines"),
    ],
)
def test_what_stands_once(pattern: str, home: str) -> None:
    """Of docs/architecture.md, "One of each": in another module this should be imported."""
    assert {name for name, file in MODULES.items() if re.search(pattern, file.read_text(), re.MULTILINE)} == {home}


def test_modules_that_are_run_end_in_one_way() -> None:
    """Apart: command lines, three whose `main` gives the status to tests and packs, and a file copied to users."""
    apart = {"humanrt.cli", "humanrt.commands.bench_peers", "humanrt.verdict.engines", "humanrt.verdict.rectangle"}
    apart |= {f"humanrt_export.{name}" for name in ("cli", "commands.robot_hand", "pack.selfcheck", "serving.client")}
    for name, file in MODULES.items():
        _, found, end = file.read_text().partition('\nif __name__ == "__main__":\n')
        if found and name not in apart:
            assert end == "    run_module(main)\n", f"{name}: end with `run_module(main)` of humanrt_export.entry"


def test_parsed_arguments_stay_in_the_command_line() -> None:
    """Functions take options, not an `argparse.Namespace`, so that they can be called from Python."""
    apart = {"humanrt_export.options", "humanrt_export.cli"}  # what turns one into the other
    takers = {
        name
        for name in MODULES.keys() - apart
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and "Namespace" in ast.unparse(node.args) and node.name != "run"
    }
    assert not takers
