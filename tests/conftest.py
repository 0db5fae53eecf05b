"""What several tests need: the shared input, where it is there, and small bundles made on the spot."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from golden_people import golden, golden_bodies, make_golden, small_multihmr  # noqa: F401 (fixtures: made once)

# The same examples in every run, so that a red CI is the change's doing; look for new ones with
# `pytest --hypothesis-profile explore`. A machine that is busy with other work is no failure.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", derandomize=False)
settings.load_profile("steady")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def hand_video() -> Path:
    """The real hand of shared/media, which is not part of the project."""
    path = SHARED / "media" / "hand.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is not here: it is shared with developers and CI only")
    return path


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle of given files and manifest entries: ``make_bundle({"a.onnx": b"..."}, graphs={...})``."""

    def make(files: dict[str, bytes], name: str = "toy", **entries: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        manifest = {
            "format": 1,
            "name": name,
            "task": "hands",
            "licence": "Apache-2.0",
            "graphs": {},
            "files": {
                file: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for file, content in files.items()
            },
            **entries,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """``run`` of a kernel, compiled once."""
    folder, made = tmp_path_factory.mktemp("kernels"), {}

    def run(name: str) -> Any:
        from cpu_kernels import compile_for_cpu
        from humanrt.kernels import source_path

        if name not in made:
            made[name] = compile_for_cpu(source_path(name), name, folder / f"{name}.so")
        return made[name]

    return run


@pytest.fixture
def gpu(
    compiled: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """Opens ``cuda`` or ``tensorrt`` on one fake GPU; all that was made of it must be gone at the end."""
    import fake_cuda
    from humanrt.backends import cuda, onnxruntime_cuda, open_backend, tensorrt
    from humanrt.backends.options import BackendOptions
    from humanrt.kernels import loader

    fake_cuda.LIVE.clear()
    fake_cuda.GRAPHS.clear()
    fake_cuda.Memory.pool.clear()
    fake_cuda.Stream.by_handle.clear()
    monkeypatch.setattr(fake_cuda, "KERNELS", [compiled])
    monkeypatch.setattr(fake_cuda.Memory, "limit", 1 << 26)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake_cuda.make_driver())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_cuda.make_tensorrt())
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    library = fake_cuda.Libcuda()
    monkeypatch.setattr(cuda, "_libcuda", lambda: library)
    monkeypatch.setattr(onnxruntime_cuda, "why_not", lambda device=0: None)
    monkeypatch.setattr(loader, "_compile", lambda name, source, sm: name.encode())
    cpu = open_backend("cpu", BackendOptions(threads=1))

    def session(spec: Any, options: object, providers: list[tuple[str, dict[str, str]]]) -> Any:
        assert providers[0][0] == "CUDAExecutionProvider"
        return fake_cuda.Session(cpu.open(spec), providers[0][1])

    def select(spec: Any, engines: object, **_: object) -> SimpleNamespace:
        fake_cuda.GRAPHS[spec.name] = cpu.open(spec)
        recipe = SimpleNamespace(library="tensorrt-rtx")
        return SimpleNamespace(name=spec.name, path=spec.path, key="0" * 64, recipe=recipe)

    monkeypatch.setattr(onnxruntime_cuda, "open_session", session)
    monkeypatch.setattr(tensorrt, "select", select)
    monkeypatch.setattr(tensorrt, "read_plan", lambda engine: b'{"graph": "%s"}' % engine.name.encode())
    yield lambda name, **options: open_backend(name, BackendOptions(**options))
    assert not fake_cuda.Context.stack
    assert not any(fake_cuda.LIVE.values()), fake_cuda.LIVE
