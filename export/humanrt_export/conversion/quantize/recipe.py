"""Read ``calibration/recipe.toml``, which says what is converted, and store results of calibration."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from humanrt.bundle import cache_folder
from humanrt.errors import HumanrtError
from humanrt.files import write_atomically

__all__ = ["LayerRule", "Recipe", "load_recipe", "load_result", "store_result"]

_RECIPE = "recipe.toml"


@dataclass(frozen=True)
class LayerRule:
    """Rule for the layers of a graph that become INT8.

    Attributes:
        operators: types of operators.
        keep_heads: number of last layers before an output that stay.
        only: patterns of node names.
        smooth: SmoothQuant's alpha; 0: no smoothing.
    """

    operators: tuple[str, ...]
    keep_heads: int
    only: tuple[str, ...] = ("*",)
    smooth: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """The recipe; for INT8 see `layers`.

    Attributes:
        fp32_operators: types of operators that stay in FP32 in FP16 graphs.
        fp32_heads: number of last layers before an output that stay in FP32 in FP16 graphs.
        fp32_graphs: patterns of names of graphs that are never converted.
        tables: content of the file.
    """

    fp32_operators: tuple[str, ...]
    fp32_heads: int
    fp32_graphs: tuple[str, ...]
    tables: Mapping[str, Any]

    def layers(self, precision: str, graph: str) -> LayerRule:
        """Return the rule for a graph at ``int8`` or ``int8-cpu``."""
        table = self.tables[precision]
        return LayerRule(
            tuple(table["operators"]),
            int(table["keep_heads"]),
            self.only(precision, graph),
            float(table.get("smooth", 0.0)),
        )

    def only(self, precision: str, graph: str) -> tuple[str, ...]:
        """Return patterns of names of the graph's nodes that may be converted."""
        table: Mapping[str, Sequence[str]] = self.tables[precision].get("only", {})
        return next((tuple(patterns) for name, patterns in table.items() if fnmatchcase(graph, name)), ("*",))


def _folder() -> Path:
    """Return ``calibration/`` inside the installed package, or at the root of the checkout."""
    package = Path(__file__).parents[2]
    installed = package / "calibration"
    return installed if installed.is_dir() else package.parents[1] / "calibration"


@cache
def load_recipe() -> Recipe:
    """Load the recipe. HumanrtError if it cannot be read."""
    file = _folder() / _RECIPE
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        fp16 = tables["fp16"]
        return Recipe(tuple(fp16["fp32_operators"]), int(fp16["fp32_heads"]), tuple(tables["fp32_graphs"]), tables)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HumanrtError(f"{file} cannot be read ({type(error).__name__}: {error}); install humanrt again") from error


def _result_folders() -> tuple[Path, ...]:
    """Return the folders of results: the project's ``calibration/`` and the user's cache, the writable one first."""
    own, user = _folder(), cache_folder() / "calibration"
    return (own, user) if os.access(own, os.W_OK) else (user, own)


def load_result(name: str) -> dict[str, Any] | None:
    """Return the result stored under ``name``; None if there is none or it is not a JSON object."""
    for folder in _result_folders():
        try:
            content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            return content
    return None


def store_result(name: str, content: Mapping[str, Any]) -> Path:
    """Store a result; returns its file. OutputError if it cannot be written."""
    file = _result_folders()[0] / f"{name}.json"
    write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())
    return file
