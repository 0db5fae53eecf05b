"""Bundles are read strictly: what the manifest does not vouch for never reaches a parser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt.bundle import load_bundle, shipped_bundles
from humanrt.errors import BundleError

MakeBundle = Callable[..., Path]
GRAPH = {
    "file": "net.onnx",
    "inputs": {"image": {"shape": [1, 3, 8, 8], "dtype": "float32", "description": "RGB 0..1"}},
    "outputs": {"score": {"shape": [1], "dtype": "float32"}},
}


def edit(folder: Path, **entries: object) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.update(entries)
    path.write_text(json.dumps(manifest))


def test_reads_what_the_manifest_says(make_bundle: MakeBundle) -> None:
    folder = make_bundle({"net.onnx": b"graph"}, graphs={"net": GRAPH}, settings={"a": {"b": 3}})
    bundle = load_bundle(folder, task="hands")
    graph = bundle.graph("net")
    assert (graph.path, graph.inputs[0].shape, graph.inputs[0].nbytes) == (
        folder / "net.onnx",
        (1, 3, 8, 8),
        768,
    )
    assert bundle.setting("a", "b") == 3


def test_every_shipped_bundle_is_whole() -> None:
    assert "hands" in shipped_bundles()
    for name in shipped_bundles():
        assert load_bundle(name).licence


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_file_is_refused_by_name(make_bundle: MakeBundle, damage: str) -> None:
    folder = make_bundle({"net.onnx": b"graph"}, graphs={"net": GRAPH})
    file = folder / "net.onnx"
    if damage == "flip":
        file.write_bytes(b"grapi")
    elif damage == "truncate":
        file.write_bytes(b"grap")
    else:
        file.unlink()
    with pytest.raises(BundleError, match=r"net\.onnx"):
        load_bundle(folder)


def test_an_unlisted_graph_file_is_refused(make_bundle: MakeBundle) -> None:
    folder = make_bundle({"net.onnx": b"graph"}, graphs={"net": GRAPH})
    edit(folder, files={})
    with pytest.raises(BundleError, match="no sha256"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_file_outside_the_bundle_is_refused(make_bundle: MakeBundle, name: str) -> None:
    folder = make_bundle({}, arrays={})
    edit(folder, files={name: {"sha256": "0" * 64, "bytes": 1}})
    with pytest.raises(BundleError, match="outside the bundle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"format": 2}, "format 2 is not 1"),
        ({"task": "people"}, "for task `people`"),
        ({"format": None}, "format"),
    ],
)
def test_wrong_format_or_task_is_refused(make_bundle: MakeBundle, entries: dict[str, object], words: str) -> None:
    folder = make_bundle({})
    edit(folder, **entries)
    with pytest.raises(BundleError, match=words):
        load_bundle(folder, task="hands")


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_manifest_that_is_none_is_refused(make_bundle: MakeBundle, text: str) -> None:
    folder = make_bundle({})
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(folder)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no bundle `feet`; known: .*hands"):
        load_bundle("feet")
    with pytest.raises(BundleError, match="does not exist"):
        load_bundle(tmp_path / "feet")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        load_bundle(tmp_path)


def test_unknown_graph_array_and_setting_are_named(make_bundle: MakeBundle) -> None:
    bundle = load_bundle(make_bundle({"net.onnx": b"graph"}, graphs={"net": GRAPH}, settings={"a": 1}))
    with pytest.raises(BundleError, match="no graph `body`; it has: net"):
        bundle.graph("body")
    with pytest.raises(BundleError, match="no array `x`"):
        bundle.array("x")
    with pytest.raises(BundleError, match=r"settings\.a\.b"):
        bundle.setting("a", "b")


def test_arrays_are_never_unpickled(make_bundle: MakeBundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", x=np.array([{"a": 1}], dtype=object))
    content = (tmp_path / "evil.npz").read_bytes()
    bundle = load_bundle(make_bundle({"evil.npz": content}, arrays={"x": {"file": "evil.npz"}}))
    with pytest.raises(BundleError, match=r"evil\.npz"):
        bundle.array("x")


def test_cached_bundles_are_found_by_name(make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_bundle({}, name="mine")
    monkeypatch.setenv("HUMANRT_CACHE", str(folder.parent))
    assert load_bundle("mine").path == folder
