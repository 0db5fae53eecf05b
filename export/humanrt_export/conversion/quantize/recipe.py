"""What is converted and what stays: ``calibration/recipe.toml``, and where calibration's results are kept."""

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

__all__ = ["LayerRule", "Recipe", "keep_json", "kept_json", "load_recipe"]

_RECIPE = "recipe.toml"


@dataclass(frozen=True)
class LayerRule:
    """Which layers of a graph become INT8.

    Attributes:
        operators: of these kinds.
        keep_heads: not the last so many before an output.
        only: patterns of node names.
        smooth: SmoothQuant's alpha; 0: none.
    """

    operators: tuple[str, ...]
    keep_heads: int
    only: tuple[str, ...] = ("*",)
    smooth: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """The recipe. ``fp32_operators`` and ``fp32_heads`` are of FP16; for INT8 see `layers`.

    ``fp32_graphs``: patterns of names of graphs that are never converted.
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
        """Patterns of the names of a graph's nodes that may be converted."""
        table: Mapping[str, Sequence[str]] = self.tables[precision].get("only", {})
        return next((tuple(patterns) for name, patterns in table.items() if fnmatchcase(graph, name)), ("*",))


def _folder() -> Path:
    """``calibration/`` inside the installed package, or at the root of the checkout."""
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


def _places() -> tuple[Path, ...]:
    """Where results are kept: the project's ``calibration/`` where it can be written, and the user's cache."""
    own, user = _folder(), cache_folder() / "calibration"
    return (own, user) if os.access(own, os.W_OK) else (user, own)


def kept_json(name: str) -> dict[str, Any] | None:
    """Return the result stored under ``name``; None if there is none or it is not a JSON object."""
    for folder in _places():
        try:
            content = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            return content
    return None


def keep_json(name: str, content: Mapping[str, Any]) -> Path:
    """Store a result; returns its file. OutputError if it cannot be written."""
    file = _places()[0] / f"{name}.json"
    write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())
    return file
