"""Compiles the native library with ziglang: no system compiler needed. A hatch build hook, for wheels and editable
installs alike; in a checkout, ``python hatch_build.py`` compiles in place.

It is a plain shared library called through ctypes (humanrt/native.py), so one wheel serves every Python:
py3-none-PLATFORM.
Where it cannot be compiled the wheel is pure, with a loud warning; ``humanrt doctor`` then says so.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, outside a build
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "runtime" / "humanrt" / "_native"
IN_WHEEL = "humanrt/_native"
FOR = "HUMANRT_WHEEL_FOR"
"""Environment variable that names the platform of a wheel, such as ``linux-aarch64``; unset: this machine's."""

# The oldest systems that the wheel promises to run on, and the processor features that all of them have.
TARGETS = {
    ("linux", "x86_64"): ("x86_64-linux-gnu.2.17", "x86_64", "manylinux_2_17_x86_64", ".so"),
    ("linux", "aarch64"): ("aarch64-linux-gnu.2.17", "generic", "manylinux_2_17_aarch64", ".so"),
    ("darwin", "x86_64"): ("x86_64-macos.11.0", "x86_64", "macosx_11_0_x86_64", ".dylib"),
    ("darwin", "arm64"): ("aarch64-macos.11.0", "apple_m1", "macosx_11_0_arm64", ".dylib"),
    ("win32", "AMD64"): ("x86_64-windows-gnu", "x86_64", "win_amd64", ".dll"),
    ("win32", "ARM64"): ("aarch64-windows-gnu", "generic", "win_arm64", ".dll"),
}


def compile_library(
    system: str = sys.platform, machine: str = platform.machine(), folder: Path = SOURCES
) -> tuple[Path, str]:
    """Compiles, for this machine or another; returns the library and the platform tag of a wheel that holds it."""
    try:
        target, cpu, tag, suffix = TARGETS[system, machine]
    except KeyError:
        raise RuntimeError(f"no target is listed for {system} on {machine}") from None
    here = (system, machine) == (sys.platform, platform.machine())
    if here and system == "linux" and "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        target, tag = target.replace("gnu.2.17", "musl"), tag.replace("manylinux_2_17", "musllinux_1_2")
    library = folder / f"humanrt{suffix}"
    part = library.with_name(f"humanrt.part{suffix}")
    command = [
        *(sys.executable, "-m", "ziglang", "cc"),
        *("-target", target, f"-mcpu={cpu}", "-std=c99", "-O3", "-fno-math-errno", "-fno-sanitize=all"),
        *("-Wall", "-Wextra", "-shared", "-fPIC", "-s", "-o", str(part)),
        *(str(source) for source in sorted(SOURCES.glob("*.c"))),
        *(["-lm"] if system == "linux" else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    part.replace(library)  # a running process keeps the old one
    for leftover in (*folder.glob("humanrt.part*"), *folder.glob("*.lib"), *folder.glob("*.pdb")):
        leftover.unlink()
    return library, tag


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles before the wheel is packed, and tags the wheel for the platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        try:
            library, tag = self._compiled()
        except (OSError, RuntimeError) as error:
            self.app.display_warning(
                "\n*** humanrt is built WITHOUT its compiled library: retargeting will be about 100 times slower "
                "(numpy), a frame of hands about 1 ms and one of people 5 to 60 ms (OpenCV, numpy). "
                f"The compiler said:\n{error}\n***"
            )
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        if version != "editable":
            build_data["force_include"][str(library)] = f"{IN_WHEEL}/{library.name}"

    def _compiled(self) -> tuple[Path, str]:
        """Compile for this machine in place, for another one elsewhere: an editable installation keeps its own."""
        system, _, machine = os.environ.get(FOR, "").partition("-")
        if not system or (system, machine) == (sys.platform, platform.machine()):
            return compile_library()
        self._folder = tempfile.TemporaryDirectory(prefix="humanrt-library-")  # until the wheel is packed
        return compile_library(system, machine, Path(self._folder.name))


if __name__ == "__main__":
    made, wheel_tag = compile_library()
    sys.stdout.write(f"{made.relative_to(ROOT)} ({made.stat().st_size} bytes), wheels tagged py3-none-{wheel_tag}\n")
