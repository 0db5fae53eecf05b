"""Packed graphs: every byte comes back, what is no packed file is refused, and what ships is what it was unpacked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanrt.backends import open_backend
from humanrt.bundle import load_bundle
from humanrt.bundle.packed import pack, unpack
from humanrt.errors import BundleError

UNPACKED = {
    ("hands", "palm_detector"): "9d0b79e8a5c9e78f7c32b6190d975148db0ced1e88ffd859c0b63da081e2b75d",
    ("hands", "landmarks_full"): "6c9a5a95df35fc5287c3c1cb7a9514a3821d028ea09d31216a3e3a57e07976bc",
    ("hands", "landmarks_lite"): "e2fb425dffc2859fec23f30134b35411c7fc41a3c74de43f1bc94e7fddc5b59e",
    ("landmarks", "person_detector"): "a19782578d2727320a97c9fb99f472c1e05ce21880f051ded85e3606474a943f",
    ("landmarks", "body_landmarks"): "16bba8b31f4b280f87257aaec8ac45f3e2770510c433c213979f672b6875cc07",
    ("landmarks", "body"): "6a013e134817072152e5114c5574ad8b0ca9e97e4a4ed2b2412a83b4582dc927",
    ("posebert-body-h36m", "posebert"): "87b3063ce38de914b72994d9ea464d49152668c893856289fa4f57b6e329a638",
}
"""sha256 of the ONNX files as the exporters made them, before any was packed."""


@given(st.binary(max_size=64))
def test_every_byte_comes_back(data: bytes) -> None:
    assert unpack(pack(data)) == data


def test_weights_become_smaller() -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(0, 0.1, 20000)
    for kind, most in ((np.float16, 0.90), (np.float32, 0.92)):
        data = b"odd" + weights.astype(kind).tobytes()
        assert unpack(pack(data)) == data
        assert len(pack(data)) < most * len(data)
    sparse = np.where(rng.random(20000) < 0.75, 0, weights).astype(np.float16).tobytes()
    assert unpack(pack(sparse)) == sparse
    assert len(pack(sparse)) < 0.5 * len(sparse)


@pytest.mark.parametrize("data", [b"", b"\x03abc", b"\x02not zlib", pack(b"graph" * 9)[:-3]])
def test_what_is_not_packed_is_refused(data: bytes, make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(data)
    graph = {"file": "net.onnx.z", "inputs": {}, "outputs": {}}
    bundle = load_bundle(make_bundle({"net.onnx.z": data}, graphs={"net": graph}))
    with pytest.raises(BundleError, match=r"net\.onnx\.z: .*export the bundle again"):
        open_backend("cpu").open(bundle.graph("net"))


def test_shared_weights_follow_the_graph(make_bundle: Callable[..., Path]) -> None:
    files = {"net.onnx.z": pack(b"graph"), "weights.onnx.z": pack(b"weights")}
    entry = {"file": "net.onnx.z", "weights": "weights.onnx.z", "inputs": {}, "outputs": {}}
    folder = make_bundle(files, graphs={"net": entry})
    assert load_bundle(folder).graph("net").source == b"graphweights"
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights": "weights', '"weights": "other'))
    with pytest.raises(BundleError, match=r"`other\.onnx\.z` has no sha256"):
        load_bundle(folder)


@pytest.mark.parametrize(("name", "graph"), UNPACKED)
def test_what_ships_is_what_it_was(name: str, graph: str) -> None:
    source = load_bundle(name).graph(graph).source
    assert isinstance(source, bytes)
    assert hashlib.sha256(source).hexdigest() == UNPACKED[name, graph]
