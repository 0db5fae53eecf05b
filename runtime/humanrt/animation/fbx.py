"""FBX, written by the user's Blender from our glTF: the format is not published, and Blender's exporter is kept."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from humanrt.errors import MissingDependencyError, OutputError

__all__ = ["fbx"]

_SCRIPT = """\
import bpy, sys
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath={glb!r})
bpy.context.scene.render.fps = {fps}
bpy.ops.export_scene.fbx(filepath={fbx!r}, add_leaf_bones=False, bake_anim=True, path_mode="COPY", embed_textures=True)
"""
_LONGEST = 600  # s


def fbx(glb: bytes, fps: float) -> bytes:
    """Return a glTF file as FBX.

    Args:
        glb: the glTF file.
        fps: frames per second of the baked animation, rounded to a whole number.

    Raises:
        MissingDependencyError: there is neither Blender nor its module.
        OutputError: Blender failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "take.glb", Path(folder) / "take.fbx"
        source.write_bytes(glb)
        script = _SCRIPT.format(glb=str(source), fbx=str(result), fps=max(1, round(fps)))
        try:
            done = subprocess.run(_command(script), capture_output=True, text=True, timeout=_LONGEST, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"fbx: Blender could not be run ({type(error).__name__}); take --to glb") from None
        if not result.is_file():
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise OutputError(f"fbx: Blender wrote no file ({last[-1] if last else 'no message'}); take --to glb")
        return result.read_bytes()


def _command(script: str) -> list[str]:
    if blender := shutil.which("blender"):
        return [blender, "--background", "--factory-startup", "--python-expr", script]
    if importlib.util.find_spec("bpy"):
        return [sys.executable, "-c", script]
    raise MissingDependencyError(
        "fbx is written by Blender, and there is neither `blender` on the PATH nor the module bpy: install Blender, or "
        "`pip install bpy` (0.8 GB), or take --to glb"
    )
