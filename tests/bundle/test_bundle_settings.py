"""Settings of bundles are refused by name where their type, range or agreement with the graphs is not right."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import HandTracker, MultiHMR, PoseBERT, load_bundle
from humanrt.bundle import Bundle, shipped_bundles
from humanrt.bundle.settings import MultiHmrSettings, check_settings, face_indices, variants_of
from humanrt.errors import BundleError, HumanrtError
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.posebert.stream import PoseBERTStream
from shipped import shipped

JUNK = ("x", -1, 10**6, None, [], {}, True, float("nan"), 1e308, 10**400, 0.5, "\u2028", "x" * 5000)


@lru_cache
def loaded(name: str) -> Bundle:
    """A shipped bundle; its files are hashed once."""
    return load_bundle(shipped(name))


def changed(name: str, path: tuple[str | int, ...], value: Any) -> Bundle:
    """A shipped bundle with one entry of its manifest replaced."""
    bundle = loaded(name)
    manifest = copy.deepcopy(dict(bundle.manifest))
    node: Any = manifest
    for key in path[:-1]:
        node = node[key]
    if value is MISSING:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return replace(bundle, manifest=manifest)


MISSING = object()


@pytest.mark.parametrize("name", shipped_bundles())
def test_those_of_shipped_bundles_are_right(name: str) -> None:
    check_settings(load_bundle(name))


@pytest.mark.parametrize(
    ("name", "path", "value", "says"),
    [
        ("hands", ("palm", "input_size"), MISSING, "`settings.palm.input_size` is missing"),
        ("hands", ("palm", "input_size"), "192", "whole number from 1 to 4096, not '192'"),
        ("hands", ("palm", "input_size"), 224, r"`image` is float32 \[1, 3, 192, 192\]; the settings need .*224"),
        ("hands", ("palm", "box_scale"), 10**400, "`settings.palm.box_scale` must be a number"),
        ("hands", ("palm", "nms_iou"), float("nan"), "from 0 to 1, not nan"),
        ("hands", ("palm", "wrist"), 7, "whole number from 0 to 6, not 7"),
        ("hands", ("palm", "keypoints"), 8, "`boxes` is float32"),
        ("hands", ("palm", "middle_mcp"), 0, "must differ from `wrist`"),
        ("hands", ("landmarks", "models"), ["full", "huge"], "names 'huge', for which there is no graph"),
        ("hands", ("landmarks", "region", "keypoints"), [3, 3], "at least two keypoints"),
        ("hands", ("landmarks", "region", "up", "to"), {"21": 1.0}, "indices below 21"),
        ("hands", ("landmarks", "region", "up", "to"), {"5": "much"}, r"up.to.5` must be a number"),
        ("landmarks", ("person", "input_range"), [1.0, -1.0], "must be increasing"),
        ("landmarks", ("body", "joint_names", 5), {"a": 1}, "joint_names.5` must be one line of text"),
        ("landmarks", ("body", "joint_names", 5), "root", "names 'root' twice"),
        ("landmarks", ("body", "joint_names", 83), MISSING, "has 115 entries, not 116"),
        ("landmarks", ("body", "default", "proportions"), MISSING, "default.proportions` is missing"),
        ("landmarks", ("body", "sizes", 8), 1e308, "sizes.8` must be an object"),
        ("landmarks", ("body", "sizes", 4, "height"), [], "sizes.4.height` must be a number from 0 to 1"),
        ("landmarks", ("body", "vertices"), 1000, r"`vertices` is float32 \[1, 1, 1229, 3\]"),
        ("landmarks", ("tracking", "max_people"), 10**9, "whole number from 1 to 1000"),
        ("landmarks", ("landmarks", "circle"), 39, "whole number from 0 to 38"),
        ("multihmr-anny", ("image_size",), 224, r"`image` is float32 \[1, 3, 448, 448\]"),
        ("multihmr-anny", ("input_size",), [400, 336], "longer side must be image_size, 448"),
        ("multihmr-anny", ("input_size",), [448, 336], "principal_point_px` must be a list|`image` is float32"),
        ("multihmr-anny", ("normalisation", "mean"), [1] * 1000, "must be a list of 3 numbers"),
        ("multihmr-anny", ("normalisation", "std"), [1, 1, 0], "std.2` must be a number from 1e-06"),
        ("multihmr-anny", ("max_people",), 17, "whole number from 16 to 16, not 17"),
        ("multihmr-anny", ("body", "topologies", 0, "graph"), "bodies", "no graph `bodies`"),
        ("posebert-hand", ("window",), 41, r"`mask` is bool \[1, 40\]"),
        ("posebert-hand", ("parents", 3), 3, "parent before the joint"),
        ("posebert-hand", ("origin", 0), 21, "origin.0` must be a whole number from 0 to 20"),
        ("posebert-hand", ("rest", 2), [0, 1], "rest.2` must be a list of 3 numbers"),
        ("posebert-hand", ("clock_hz",), 0, "clock_hz` must be a number from 0.1"),
    ],
)
def test_what_is_wrong_is_named(name: str, path: tuple[str | int, ...], value: Any, says: str) -> None:
    with pytest.raises(BundleError, match=says) as refused:
        check_settings(changed(name, ("settings", *path), value))
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ((0, "cpu"), ["amx_bf16", 2147483648], "cpu.1` must be one line of text"),
        ((0, "graph"), "gone", "names 'gone', which is not a graph"),
        ((0, "precision"), MISSING, "variants.0.precision` is missing"),
        ((1,), "network", "variants.1` must be an object"),
    ],
)
def test_variants_are_checked_whatever_the_task(path: tuple[str | int, ...], value: Any, says: str) -> None:
    bundle = changed("multihmr-anny", ("settings", "variants", *path), value)
    with pytest.raises(BundleError, match=says):
        variants_of(bundle)
    with pytest.raises(BundleError, match=says):
        MultiHMR(bundle)


def paths(node: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*at, key))


@pytest.mark.parametrize("name", shipped_bundles())
def test_any_entry_replaced_by_anything_is_accepted_or_refused_by_name(name: str) -> None:
    everything = list(paths(loaded(name).settings))
    random = np.random.default_rng(5)
    for index in random.choice(len(everything), min(60, len(everything)), replace=False):
        for junk in (MISSING, *JUNK):
            bundle = changed(name, ("settings", *everything[index]), junk)
            said = refusal(bundle)
            assert len(said) < 400
            assert said.isprintable()


def refusal(bundle: Bundle) -> str:
    """Empty where the settings are accepted."""
    try:
        check_settings(bundle)
    except BundleError as error:
        return str(error)
    return ""


def test_pipelines_check_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("a graph was opened")

    monkeypatch.setattr("humanrt.backends.onnxruntime_cpu.OnnxRuntimeCpu.open", opened)
    openers: dict[str, tuple[Callable[[Bundle], object], tuple[str | int, ...]]] = {
        "hands": (HandTracker, ("palm", "input_size")),
        "landmarks": (LandmarkPeople, ("body", "head_joint")),
        "multihmr-anny": (MultiHMR, ("image_size",)),
        "posebert-body": (PoseBERT, ("window",)),
        "posebert-lift": (PoseBERT, ("window",)),
        "posebert-people": (PoseBERT, ("window",)),
        "posebert-hand": (PoseBERTStream, ("window",)),
    }
    for name, (opener, path) in openers.items():
        with pytest.raises(BundleError, match=str(path[-1])):
            opener(changed(name, ("settings", *path), 1e308))


def test_faces_and_anchors_must_fit_the_mesh_and_the_graph(make_bundle: Callable[..., Path]) -> None:
    from humanrt.backends import open_backend
    from humanrt.perception.ssd import SingleShotDetector

    def bundle(name: str, **arrays: np.ndarray) -> Bundle:
        file = Path(name + ".npz")
        np.savez(file, **arrays)
        content = file.read_bytes()
        file.unlink()
        return load_bundle(make_bundle({f"{name}.npz": content}, name, arrays={name: {"file": f"{name}.npz"}}))

    np.testing.assert_array_equal(face_indices(bundle("good", faces=np.array([[0, 1, 2]])), "good", 3), [[0, 1, 2]])
    for name, faces in {
        "beyond": [[0, 1, 3]],
        "before": [[0, 1, -1]],
        "pairs": [[0, 1]],
        "reals": [[0.0, 1.0, 2.0]],
    }.items():
        with pytest.raises(BundleError, match="indices below 3"):
            face_indices(bundle(name, faces=np.array(faces)), name, 3)
    with pytest.raises(BundleError, match="indices below 3"):
        face_indices(bundle("other", vertices=np.zeros(3)), "other", 3)
    hands = load_bundle(shipped("hands"))
    anchors = hands.array("anchors")["anchors"]
    for wrong in (anchors[:-1], anchors * np.nan, anchors[:, :1]):
        broken = replace(hands)
        object.__setattr__(broken, "array", lambda _, wrong=wrong: {"anchors": wrong})
        with pytest.raises(BundleError, match="`anchors` must be"):
            SingleShotDetector(broken, open_backend("cpu"), "palm_detector", "palm")


def test_the_command_line_says_one_short_line(tmp_path: Path) -> None:
    folder = tmp_path / "hands"
    shutil.copytree(shipped("hands"), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["graphs"]["palm_detector"]["inputs"]["image"]["shape"][1] = "x" * 5000
    (folder / "manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "humanrt", "run", str(tmp_path), "--headless", "--bundle", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 500


def test_settings_of_toys_are_read_as_they_are(make_bundle: Callable[..., Path]) -> None:
    settings = MultiHmrSettings.of(load_bundle(shipped("multihmr-anny")))
    assert (settings.image_size, settings.max_people, settings.batch) == (448, 16, 1)
    assert settings.topologies[0].vertices == 1229
    assert settings.field_of_view == 60.0
    unknown = load_bundle(make_bundle({}, task="music", settings={"tempo": []}))
    check_settings(unknown)  # nothing is known of such settings
    with pytest.raises(HumanrtError, match=r"`settings\.variants` must be a list"):
        check_settings(load_bundle(make_bundle({}, "other", task="music", settings={"variants": 3})))


def test_a_posebert_without_a_mask_is_refused() -> None:
    inputs = loaded("posebert-body-h36m").manifest["graphs"]["posebert"]["inputs"]
    for value in (MISSING, {**inputs["mask"], "shape": []}):
        bundle = changed("posebert-body-h36m", ("graphs", "posebert", "inputs", "mask"), value)
        for opener in (PoseBERT, PoseBERTStream):
            with pytest.raises(BundleError, match="no input `mask`"):
                opener(bundle)
