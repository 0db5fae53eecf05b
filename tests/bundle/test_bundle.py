"""Bundles are read strictly: what the manifest does not vouch for never reaches a parser."""

from __future__ import annotations

import json
import shutil
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


def test_a_folder_of_a_bundles_name_does_not_take_its_place(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain name is a shipped or cached bundle, whatever lies in the current folder; a path says that it is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
    shipped = load_bundle("hands").path
    Path("hands").mkdir()
    assert load_bundle("hands").path == shipped
    Path("hands").rmdir()
    mine = make_bundle({}, name="hands", licence="mine")
    assert load_bundle("hands").path == shipped
    for path in ("./hands", "hands/", Path("hands"), mine, str(mine)):
        found = load_bundle(path)
        assert found.licence == load_bundle(str(found.path)).licence == "mine"  # as messages name it
    mine.rename("own")
    with pytest.raises(BundleError, match=r"no bundle `own`; known: .*give \./own"):
        load_bundle("own")
    monkeypatch.chdir("own")
    assert load_bundle(".").licence == "mine"
    shutil.copytree(".", tmp_path / "cache" / "own")
    assert load_bundle("own").path == tmp_path / "cache" / "own"


@pytest.mark.parametrize("name", ["", "x" * 5000, "./" + "x" * 5000, "nul\0l", "./nul\0l", "~nobody-here/hands"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match="bundle"):
        load_bundle(name)


def tensor(**changes: object) -> dict[str, object]:
    """Graphs whose one input is changed so; None leaves a field out."""
    entry = {"shape": [1], "dtype": "float32", **changes}
    return {"net": {**GRAPH, "inputs": {"image": {k: v for k, v in entry.items() if v is not None}}}}


def graph(**changes: object) -> dict[str, object]:
    return {"net": {key: value for key, value in {**GRAPH, **changes}.items() if value is not None}}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"name": 3}, "`name` must be a string"),
        ({"task": None}, "`task` must be a string"),
        ({"settings": []}, "`settings` must be an object"),
        ({"graphs": []}, "`graphs` must be an object"),
        ({"arrays": []}, "`arrays` must be an object"),
        ({"files": []}, "`files` must be an object"),
        ({"files": {"net.onnx": "ab"}}, "`files.net.onnx` must be an object"),
        ({"files": {"net.onnx": {"bytes": 5}}}, "`files.net.onnx.sha256` is missing"),
        ({"files": {"net.onnx": {"sha256": 5}}}, "`files.net.onnx.sha256` must be a string"),
        ({"files": {"net.onnx": {"sha256": ""}, "a\0b": {"sha256": ""}}}, "net.onnx is damaged"),
        ({"files": {"a\0b": {"sha256": ""}}, "graphs": {}}, "null"),
        ({"arrays": {"x": 1}}, "`arrays.x` must be an object"),
        ({"arrays": {"x": {}}}, "`arrays.x.file` is missing"),
        ({"graphs": {"net": []}}, "`graphs.net` must be an object"),
        ({"graphs": graph(file=None)}, "`graphs.net.file` is missing"),
        ({"graphs": graph(file=1)}, "`graphs.net.file` must be a string"),
        ({"graphs": graph(inputs=None)}, "`graphs.net.inputs` is missing"),
        ({"graphs": graph(outputs=[])}, "`graphs.net.outputs` must be an object"),
        ({"graphs": tensor(shape=None)}, "`graphs.net.inputs.image.shape` is missing"),
        ({"graphs": tensor(shape="1")}, "shape` must be a list"),
        ({"graphs": tensor(shape=[1, "N"])}, "shape` must hold whole numbers"),
        ({"graphs": tensor(shape=[True])}, "shape` must hold whole numbers"),
        ({"graphs": tensor(dtype=None)}, "dtype` is missing"),
        ({"graphs": tensor(dtype="float33")}, "dtype` is no type of numbers: 'float33'"),
        ({"graphs": tensor(dtype="object")}, "dtype` is no type of numbers"),
        ({"graphs": tensor(dtype="(")}, "dtype` is no type of numbers"),
        ({"graphs": tensor(dtype=["f4"])}, "dtype` must be a string"),
        ({"graphs": tensor(description=1)}, "description` must be a string"),
    ],
)
def test_a_malformed_manifest_names_the_field(make_bundle: MakeBundle, entries: dict[str, object], words: str) -> None:
    folder = make_bundle({"net.onnx": b"graph"}, graphs={"net": GRAPH})
    edit(folder, **entries)
    with pytest.raises(BundleError) as refused:
        load_bundle(folder)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_manifest_too_deep_to_read_is_refused(make_bundle: MakeBundle) -> None:
    folder = make_bundle({})
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut short", None])
def test_an_array_that_is_none_is_refused(make_bundle: MakeBundle, tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        np.save(tmp_path / "one.npy", np.zeros(3))
        content = (tmp_path / "one.npy").read_bytes()
    bundle = load_bundle(make_bundle({"a.npz": content}, arrays={"x": {"file": "a.npz"}}))
    with pytest.raises(BundleError, match=r"a\.npz"):
        bundle.array("x")


def test_a_number_is_one(make_bundle: MakeBundle) -> None:
    settings = {"good": 3, "bad": {"text": "0.5", "flag": True, "none": None, "nan": float("nan"), "list": [1]}}
    bundle = load_bundle(make_bundle({}, settings=settings))
    assert bundle.number("good") == 3.0
    for key in settings["bad"]:  # type: ignore[attr-defined]
        with pytest.raises(BundleError, match=rf"settings\.bad\.{key}` must be a number"):
            bundle.number("bad", key)
