"""``humanrt doctor``: report what this machine can run, and for the rest the reason and the command that fixes it."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

from humanrt import __version__
from humanrt.errors import HumanrtError

__all__ = ["Finding", "add_parser", "examine", "run"]

State = Literal["yes", "no", "broken"]

# Distributions that install the same files: with two of them, the last one installed wins in part.
_RIVALS = (
    (
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
        "onnxruntime",
    ),
    (
        "opencv",
        (
            "opencv-python",
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        ),
        "opencv-python-headless",
    ),
)

_AGAIN = "install humanrt again: `pip install --force-reinstall --no-deps .` in its checkout, or its wheel"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``broken``: must be fixed before humanrt can be trusted at all."""

    what: str
    state: State
    detail: str
    fix: str = ""


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the installed ones of the distributions, with their versions."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def examine(find_installed: Callable[[tuple[str, ...]], dict[str, str]] = installed) -> Iterator[Finding]:
    """Yield all findings, in the order in which a user should fix them."""
    yield Finding(
        "python",
        "yes",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores{_load()}",
    )
    for what, rivals, default in _RIVALS:
        yield _one_of(what, find_installed(rivals), default)
    yield from _bundles()
    yield from _backends()
    yield _compiled()
    yield _amx()
    yield _int16()
    yield _retargeting()
    yield _video()
    yield from _cameras()
    yield _window()


def _load() -> str:
    """Return how busy the machine is, as load affects every measurement."""
    return f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def _one_of(what: str, installed: dict[str, str], default: str) -> Finding:
    if not installed:
        return Finding(what, "broken", "not installed", f"pip install {default}")
    listed = ", ".join(f"{name} {version}" for name, version in installed.items())
    if len(installed) == 1:
        return Finding(what, "yes", listed)
    keep = next((name for name in installed if name != default), default) if what == "onnxruntime" else default
    return Finding(
        what,
        "broken",
        f"{listed} overwrite each other's files; exactly one may be installed",
        f"pip uninstall -y {' '.join(installed)} && pip install {keep}",
    )


def _bundles() -> Iterator[Finding]:
    from humanrt.bundle import load_bundle, shipped_bundles

    names = shipped_bundles()
    if not names:
        yield Finding("bundles", "broken", "this installation has none", _AGAIN)
    for name in names:
        try:
            bundle = load_bundle(name)
        except HumanrtError as error:
            yield Finding(f"bundle {name}", "broken", str(error), _AGAIN)
        else:
            yield Finding(f"bundle {name}", "yes", f"{bundle.task}, {bundle.licence}, sha256 verified, {bundle.path}")


def _backends() -> Iterator[Finding]:
    try:
        import onnxruntime
    except ImportError as error:
        yield Finding("backend cpu", "broken", f"onnxruntime cannot be loaded ({error})", "pip install onnxruntime")
        return
    yield Finding("backend cpu", "yes", f"ONNX Runtime {onnxruntime.__version__}")
    from humanrt.backends.onnxruntime_cuda import INSTALL, why_not

    if reason := why_not():
        why = reason.removesuffix(f": {INSTALL}")
        yield Finding("backend cuda", "no", why, INSTALL if why != reason else "")
    else:
        yield Finding("backend cuda", "yes", "ONNX Runtime with CUDA, GPU 0")
    yield _tensorrt()


def _tensorrt() -> Finding:
    from humanrt.backends.tensorrt import installed_libraries, problem

    if reason := problem():
        why, _, fix = reason.partition("; run: ")
        return Finding("backend tensorrt", "no", why, fix)
    versions = ", ".join(f"{name} {module.__version__}" for name, module in installed_libraries().items())
    return Finding("backend tensorrt", "yes", f"{versions}, pycuda; `humanrt-export engine`, docs/deploy/engines.md")


def _compiled() -> Finding:
    from humanrt import native

    if problem := native.problem():
        return Finding(
            "compiled library",
            "no",
            f"{problem}; OpenCV and numpy replace it with the same results: hands take about 1 ms per frame "
            "longer, people 5 to 60 ms, retargeting about 100 times as long",
            _AGAIN,
        )
    return Finding("compiled library", "yes", f"crops, letterboxes, smoothing and retargeting: {native.LIBRARY.name}")


def _amx() -> Finding:
    from humanrt import native

    if problem := native.amx_problem():
        return Finding("AMX operators", "no", f"{problem}: people networks take about 1.5 times as long on the CPU")
    return Finding("AMX operators", "yes", "people networks run in bfloat16 tiles, as accurate as in float")


def _int16() -> Finding:
    from humanrt import native

    what = "int16 operators"
    if problem := native.int16_problem():
        return Finding(what, "no", f"{problem}: bundles with `--precision int16` do not run that here")
    if native.library().humanrt_int16() == 1:
        return Finding(what, "yes", "on AVX2: `--precision int16` runs, and may be slower than fp32: compare both")
    return Finding(what, "yes", "on AVX-512 VNNI: `--precision int16`, for processors without AMX")


def _retargeting() -> Finding:
    from humanrt.retarget import Retargeter, robots

    names = robots()
    return Finding("retargeting", "yes", f"{', '.join(names)}; solver: {Retargeter(names[0]).kernel}")


def _video() -> Finding:
    import cv2

    build = cv2.getBuildInformation()
    ffmpeg = any("FFMPEG" in line and "YES" in line for line in build.splitlines())
    detail = f"OpenCV {cv2.__version__}, FFmpeg {'built in' if ffmpeg else 'missing'}"
    return Finding(
        "video files",
        "yes" if ffmpeg else "no",
        detail,
        "" if ffmpeg else "pip install opencv-python-headless",
    )


def _cameras() -> Iterator[Finding]:
    from humanrt.sources.opening import list_cameras

    cameras = list_cameras()
    if not cameras:
        fix = "plug one in, or give a video: humanrt run VIDEO --task hands"
        yield Finding("cameras", "no", "none found", fix)
    for camera in cameras:
        what = f"camera {camera.index}"
        if camera.problem is None:
            yield Finding(what, "yes", f"{camera.name} ({camera.path})")
        else:
            yield Finding(what, "no", f"{camera.name} ({camera.path})", camera.problem)


def _window() -> Finding:
    from humanrt.outputs.window import has_display

    if find_spec("pygame") is None:
        return Finding("live window", "no", "pygame-ce is not installed", "pip install 'humanrt[view]'")
    if not has_display():
        return Finding(
            "live window",
            "no",
            "no display (DISPLAY and WAYLAND_DISPLAY are unset)",
            "use --headless --video",
        )
    return Finding("live window", "yes", f"pygame-ce {metadata.version('pygame-ce')}")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("doctor", help="what this machine can run, and how to fix what it cannot")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 2 if something is broken, else 0."""
    print(f"humanrt {__version__}, {sys.executable}")
    broken = 0
    with warnings.catch_warnings():
        # A finding says it. By its text, as importing what warns may be what is broken.
        warnings.filterwarnings("ignore", "the compiled library is refused")
        for finding in examine():
            mark = {"yes": "ok", "no": "--", "broken": "!!"}[finding.state]
            print(f" {mark}  {finding.what:<17} {finding.detail}")
            if finding.fix:
                print(f"     {'':<17} -> {finding.fix}")
            broken += finding.state == "broken"
    print(f"{broken} broken: fix the lines marked !!" if broken else "ready (-- is optional)")
    return 2 if broken else 0
