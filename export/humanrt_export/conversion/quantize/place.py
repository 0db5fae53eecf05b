"""Write variants into a bundle: their files and manifest entries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from humanrt.bundle import MANIFEST, Bundle, load_bundle, shipped_bundles
from humanrt.bundle.paths import without_folders
from humanrt.bundle.settings import Variant
from humanrt.errors import BundleError, OutputError
from humanrt.files import write_atomically
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.rewriting import to_bytes
from humanrt_export.conversion.settings import variant_entry

__all__ = ["place", "target"]


def target(bundle: Bundle, out: Path | None) -> Bundle:
    """Return the bundle to write into: the given one, or its copy at ``out``.

    Raises:
        OutputError: ``out`` holds something else or cannot be written, or the bundle itself ships with humanrt.
    """
    if out is None:
        if bundle.name in shipped_bundles() and load_bundle(bundle.name).path.resolve() == bundle.path.resolve():
            raise OutputError(
                f"bundle {bundle.name} is part of humanrt and must not change; give --out DIR for a copy with variants"
            )
        return bundle
    out = out.expanduser().absolute()
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        try:
            there = load_bundle(out)
        except BundleError as error:
            raise OutputError(f"{out} holds something other than a bundle; give --out a new folder") from error
        if there.name != bundle.name:
            raise OutputError(f"{out} holds bundle {there.name}, not {bundle.name}; give --out a new folder")
        return there
    try:
        shutil.copytree(bundle.path, out, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise OutputError(f"{out} cannot be written ({error}); choose another --out") from error
    return load_bundle(out)


def place(
    bundle: Bundle,
    variant: Variant,
    model: ir.Model,
    verdict: Mapping[str, Any],
) -> Bundle:
    """Write a variant and its verdict into a bundle, replacing one of the same name; returns the changed bundle.

    Args:
        bundle: the bundle.
        variant: its name, what it replaces, its precision and the backend that it is for.
        model: the graph; weights in files of their own stay there.
        verdict: from `humanrt.verdict.judge`.
    """
    name, file = variant.graph, f"{variant.graph}.onnx"
    data = to_bytes(model)
    write_atomically(bundle.path / file, data)
    manifest: dict[str, Any] = json.loads((bundle.path / MANIFEST).read_text(encoding="utf-8"))
    like = manifest["graphs"][variant.of]
    old = manifest["graphs"].get(name, {}).get("file")
    manifest["graphs"][name] = {"file": file, "inputs": like["inputs"], "outputs": like["outputs"]}
    manifest["files"][file] = {"sha256": sha256(data), "bytes": len(data)}
    settings = manifest.setdefault("settings", {})
    others = [other for other in settings.get("variants", []) if other["graph"] != name]
    settings["variants"] = [*others, variant_entry(variant)]
    manifest.get("parity", {}).pop(name, None)  # it belonged to the replaced graph
    manifest.setdefault("verdicts", {})[name] = {**verdict, "graph_sha256": sha256(data)}
    if old not in (None, file):
        manifest["files"].pop(old, None)
    content = json.dumps(without_folders(manifest), indent=1, ensure_ascii=False) + "\n"
    write_atomically(bundle.path / MANIFEST, content.encode())
    return load_bundle(bundle.path)
