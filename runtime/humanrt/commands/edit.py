"""``humanrt edit POSE "WORDS"``: a pose, or every pose of a motion, changed as words say."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.arrays import read_arrays
from humanrt.coach.poses import load_track, reference_file
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, given
from humanrt.errors import HumanrtError, SourceError, choices
from humanrt.files import opened_atomically
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.inference.execution import Execution
from humanrt.outputs.record import check_apart, check_writable
from humanrt.posefix.axes import from_training_axes, to_training_axes
from humanrt.posefix.editor import PoseEditor

__all__ = ["EditOptions", "add_parser", "edit", "run"]

_EXAMPLES = """\
examples:
  humanrt edit pose.npz "raise your left arm" --bundle ./posefix-editor --out raised.npz
  humanrt edit clip.jsonl:120 "sit lower" --bundle ./posefix-editor --out lower.npz         the person in frame 120
  humanrt edit pose.npz "sit lower" --bundle ./posefix-editor --samples 10 --out several.npz
"""
AXES = ("amass", "camera")
_BODY = set(SMPLX_BODY)


@dataclass(frozen=True)
class EditOptions:
    """What to edit.

    Attributes:
        pose: a .npz of `rotations` and `joint_names`, of one pose or several; or RECORDING.jsonl, of which :FRAME[:ID]
            is one.
        words: what to change.
        bundle: name or folder of a bundle for the task `posefix`.
        out: the .npz to write: `rotations` as edited, `before`, `joint_names`.
        axes: of the pose: camera (y down; it is turned, and its heading kept) or amass (z up, without heading, as the
            published models have it; used as it is); without, camera for recordings and amass for a .npz.
        samples: instead of the most probable pose, so many that the words may mean.
        seed: of the samples.
    """

    pose: str
    words: str
    bundle: str
    out: Path
    axes: str | None = None
    samples: int | None = None
    seed: int = 0


_FLAGS = {
    "axes": Flag(choices=AXES),
    "samples": Flag(metavar="N", type=int),
    "seed": Flag(metavar="N", type=int),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "edit",
        help="change a pose as words say, with a published PoseFix model",
        description="Change a pose, or every pose of a motion, as words say.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_fields(parser, {"pose": Flag(metavar="POSE", positional=True)}, EditOptions)
    add_fields(parser, {"words": Flag(metavar="WORDS", positional=True)}, EditOptions)
    add_fields(parser, {"bundle": Flag(metavar="NAME|PATH", required=True)}, EditOptions)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.npz", help="the file to write")
    add_fields(parser, _FLAGS, EditOptions)
    parser.add_argument("--backend", default="cpu", metavar="NAME", help="auto, cpu, cuda or tensorrt (default: cpu)")
    add_fields(parser, EXECUTION_FLAGS, Execution)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit, and print the file that was written."""
    values = vars(arguments)
    options = EditOptions(**given(values, EditOptions))
    print(edit(options, Execution(**{"backend": arguments.backend, **given(values, Execution)})))
    return 0


def edit(options: EditOptions, execution: Execution) -> Path:
    """Write the edited pose; returns its file.

    Raises:
        HumanrtError: an option is not possible; the message says what is.
    """
    out = options.out
    if out.suffix != ".npz":
        raise HumanrtError(f"--out {out}: must end in .npz")
    check_writable(out)
    check_apart({"--out": out}, {"the pose that is read": [reference_file(options.pose)]})
    recorded = not options.pose.lower().endswith(".npz")
    with PoseEditor(options.bundle, execution) as editor:
        poses, names = _recorded(options.pose) if recorded else _read(Path(options.pose))
        poses = _placed(poses, names, editor.joint_names, options.pose)
        camera = (options.axes or ("camera" if recorded else "amass")) == "camera"
        turned, turns = to_training_axes(poses) if camera else (poses, None)
        text = editor.encode_text(options.words)
        edited = np.stack([_edited(editor, pose, text, options) for pose in turned])
        if turns is not None:
            edited = from_training_axes(edited, turns if options.samples is None else turns[:, None])
        joint_names = editor.joint_names
    if len(edited) == 1:
        edited, poses = edited[0], poses[0]
    with opened_atomically(out) as stream:
        np.savez(
            stream,
            rotations=edited.astype(np.float32),
            before=poses.astype(np.float32),
            joint_names=np.array(joint_names),
        )
    return out


def _edited(editor: PoseEditor, pose: NDArray[Any], text: NDArray[Any], options: EditOptions) -> NDArray[Any]:
    if options.samples is None:
        return editor.edit(pose, text=text)
    return editor.sample(pose, text=text, count=options.samples, seed=options.seed)


def _recorded(name: str) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    return load_track(name).poses, SMPLX_BODY


def _read(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """Read poses [T, J, 3, 3] of a `.npz`, and the names of their joints if it has them."""
    try:
        entries = read_arrays(path, wanted=("rotations", "joint_names"))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check the name"
        ) from None
    if "rotations" not in entries:
        raise SourceError(f"{path}: no array `rotations`; a pose has `rotations` and `joint_names`")
    rotations, named = entries["rotations"], entries.get("joint_names")
    if rotations.dtype.kind not in "fiu":
        raise SourceError(f"{path}: `rotations` are {rotations.dtype}, not numbers")
    names = None if named is None else tuple(str(name) for name in named.ravel())
    array = rotations.astype(np.float64)
    if array.shape[-1:] == (3,) and (array.ndim == 2 or (array.ndim == 3 and array.shape[1] != 3)):
        array = matrices_from_vectors(array)
    if array.ndim not in (3, 4) or array.shape[-2:] != (3, 3) or not array.size:
        raise SourceError(
            f"{path}: `rotations` are {list(rotations.shape)}; a pose is [J, 3, 3], a motion [T, J, 3, 3]"
        )
    if names is not None and len(names) != array.shape[-3]:
        raise SourceError(f"{path}: {len(names)} `joint_names` for {array.shape[-3]} rotations")
    return array.reshape(-1, *array.shape[-3:]), names


def _placed(
    poses: NDArray[np.float64], names: Sequence[str] | None, wanted: Sequence[str], what: str
) -> NDArray[np.float64]:
    """Return poses with a bundle's joints, by their names. Joints beside the body that are not there do not turn."""
    if names is None:
        if poses.shape[1] != len(wanted):
            raise SourceError(
                f"{what}: {poses.shape[1]} joints without `joint_names`, and the bundle has {len(wanted)}; add it"
            )
        return poses
    missing = [name for name in wanted if name not in names]
    if needed := [name for name in missing if name in _BODY or not set(wanted) >= _BODY]:
        raise SourceError(f"{what}: no joints {choices(needed)}; the bundle's are {choices(wanted)}")
    if missing:
        sys.stderr.write(
            f"note: {len(missing)} joints that {what} does not have are held straight ({missing[0]}, ...); the models "
            "were trained with hands in their rest pose of AMASS\n"
        )
    placed = np.broadcast_to(np.eye(3), (len(poses), len(wanted), 3, 3)).copy()
    for place, name in enumerate(wanted):
        if name in names:
            placed[:, place] = poses[:, list(names).index(name)]
    return placed
