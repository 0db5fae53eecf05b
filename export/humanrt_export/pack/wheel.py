"""Build a wheel of humanrt for a pack's target machine, with requirements pinned to the versions tested here.

It contains the packages as imported here (checkout or installation), without the bundles that ship. The compiled
library is the local one, or (from a checkout, with ziglang) cross-compiled for the target processor.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import platform
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from types import ModuleType

import humanrt
import humanrt_export
from humanrt import native
from humanrt.errors import BackendError, MissingDependencyError, choices

__all__ = ["PLATFORMS", "REQUIREMENTS", "make_wheel", "pinned", "this_platform"]

REQUIREMENTS = ("numpy", "onnxruntime", "opencv-python-headless")
"""Of the lean runtime."""

PLATFORMS = {"linux-x86_64": ("linux", "x86_64"), "linux-aarch64": ("linux", "aarch64")}
_LIBRARIES = {".so", ".dylib", ".dll"}
_ENTRY_POINTS = "[console_scripts]\nhumanrt = humanrt.cli:main\nhumanrt-export = humanrt_export.cli:main\n"


def this_platform() -> str:
    """Return the name of this platform, such as ``linux-x86_64``."""
    return f"{sys.platform}-{platform.machine()}"


def pinned() -> dict[str, str]:
    """Return {requirement: installed version}.

    Raises:
        MissingDependencyError: a requirement is not installed, or only under another name (``onnxruntime-gpu``).
    """
    try:
        return {name: metadata.version(name) for name in REQUIREMENTS}
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            f"{error.name} is not installed here, so there is no tested version to pack; run: pip install {error.name}"
        ) from error


def make_wheel(target: str) -> tuple[str, bytes]:
    """Build the wheel; returns its file name and bytes, identical for identical content.

    Args:
        target: one of `PLATFORMS`.

    Raises:
        BackendError: there is no compiled library for the target, and none can be built here.
    """
    library, tag = _library(target)
    name = f"humanrt-{humanrt.__version__}"
    info = f"{name}.dist-info"
    files: dict[str, bytes] = {"humanrt/_native/humanrt.so": library}
    for package in (humanrt, humanrt_export):
        assert package.__file__ is not None
        root = Path(package.__file__).parent
        for path in root.rglob("*"):
            parts = path.relative_to(root).parts
            if path.is_dir() or "__pycache__" in parts or path.suffix in _LIBRARIES:
                continue
            if parts[0] != "engines" or package is humanrt_export:  # an installation's bundles
                files["/".join((root.name, *parts))] = path.read_bytes()
    files |= _calibration(files)
    requires = "".join(f"Requires-Dist: {name}=={version}\n" for name, version in pinned().items())
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: humanrt\nVersion: {humanrt.__version__}\nLicense: Apache-2.0\n"
        f"Requires-Python: >=3.11\n{requires}"
    ).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: humanrt-export pack\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n"
    ).encode()
    files[f"{info}/entry_points.txt"] = _ENTRY_POINTS.encode()
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for path, data in sorted(files.items())
    )
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(inside), data, zipfile.ZIP_DEFLATED)  # the zip epoch, mode 600
    return f"{name}-py3-none-{tag}.whl", content.getvalue()


def _calibration(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the precision recipe, which is beside the packages in a checkout and inside them once installed."""
    inside = "humanrt_export/calibration/recipe.toml"
    if inside in files:
        return {}
    return {inside: (_checkout() / "calibration" / "recipe.toml").read_bytes()}


def _checkout() -> Path:
    assert humanrt_export.__file__ is not None
    return Path(humanrt_export.__file__).parents[2]


def _library(target: str) -> tuple[bytes, str]:
    """Return the compiled library for a platform, and the tag of a wheel containing it."""
    if target not in PLATFORMS:
        raise BackendError(f"unknown platform `{target}`; choose one of: {choices(PLATFORMS)}")
    build = _checkout() / "hatch_build.py"
    tag = f"manylinux_2_17_{PLATFORMS[target][1]}"
    if target == this_platform():
        if reason := native.problem():
            raise BackendError(f"the compiled library cannot be packed: {reason}")
        return native.LIBRARY.read_bytes(), tag
    if not build.is_file():
        raise BackendError(f"a library for {target} can only be compiled in a checkout of humanrt; pack there")
    if importlib.util.find_spec("ziglang") is None:
        raise MissingDependencyError(
            f"ziglang, which compiles for {target}, is not installed; run: pip install ziglang"
        )
    compiler = _module(build)
    with tempfile.TemporaryDirectory(prefix="humanrt-pack-") as folder:
        try:
            made, _ = compiler.compile_library(*PLATFORMS[target], Path(folder))
        except (OSError, RuntimeError) as error:
            raise BackendError(f"the library cannot be compiled for {target}: {str(error).splitlines()[-1]}") from error
        return made.read_bytes(), tag


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
