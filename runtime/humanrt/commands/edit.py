"""``humanrt edit POSE "WORDS"``: a pose, or every pose of a motion, changed as words say."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.edited import edited_glb, edited_picture
from humanrt.bundle.arrays import read_arrays
from humanrt.coach.poses import load_track, reference_file
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, given
from humanrt.errors import HumanrtError, SourceError, choices
from humanrt.files import opened_atomically, write_atomically
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.inference.execution import Execution
from humanrt.outputs.record import check_apart, check_writable
from humanrt.posefix.axes import CAMERA_FROM_TRAINING, from_training_axes, to_training_axes
from humanrt.posefix.editor import PoseEditor

__all__ = ["EditOptions", "add_parser", "edit", "run"]

_EXAMPLES = """\
examples:
  humanrt edit pose.npz "raise your left arm" --out raised.npz raised.glb raised.png
  humanrt edit clip.jsonl:120 "sit lower and look up" --out lower.npz                       the person in frame 120
  humanrt edit pose.npz "sit lower" --bundle ./posefix-editor --samples 10 --out several.npz     a published PoseFix
"""
AXES = ("amass", "camera")
_BODY = set(SMPLX_BODY)
_COUNTS = (22, 24, 52, 53, 55)
_ENDINGS = (".npz", ".glb", ".png")
_FPS = 30.0  # of the animation that a motion makes


@dataclass(frozen=True)
class EditOptions:
    """What to edit.

    Attributes:
        pose: a .npz of `rotations` and `joint_names`, of one pose or several; or RECORDING.jsonl, of which :FRAME[:ID]
            is one.
        words: what to change.
        out: files to write: .npz (`rotations` as edited, `before`, `joint_names`); .glb, bodies before and after; .png,
            the same of the first pose as a picture.
        bundle: name or folder of a bundle for the task `posefix`, such as of a published PoseFix; without, the editor
            that ships.
        axes: of the pose: camera (y down) or amass (z up); without, camera, but for a .npz with a published PoseFix
            amass. Those models know no heading, so it is taken out of poses in camera axes, and put back.
        samples: instead of the most probable pose, so many that the words may mean. Of published models.
        seed: of the samples; without, 0.
    """

    pose: str
    words: str
    out: tuple[Path, ...]
    bundle: str | None = None
    axes: str | None = None
    samples: int | None = None
    seed: int | None = None


_FLAGS = {
    "out": Flag(metavar="FILE", type=Path, several=True, required=True),
    "bundle": Flag(metavar="NAME|PATH"),
    "axes": Flag(choices=AXES),
    "samples": Flag(metavar="N", type=int),
    "seed": Flag(metavar="N", type=int),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "edit",
        help="change a pose as words say",
        description="Change a pose, or every pose of a motion, as words say.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_fields(parser, {"pose": Flag(metavar="POSE", positional=True)}, EditOptions)
    add_fields(parser, {"words": Flag(metavar="WORDS", positional=True)}, EditOptions)
    add_fields(parser, _FLAGS, EditOptions)
    parser.add_argument("--backend", default="cpu", metavar="NAME", help="auto, cpu, cuda or tensorrt (default: cpu)")
    add_fields(parser, EXECUTION_FLAGS, Execution)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Edit, and print the files that were written."""
    values = vars(arguments)
    options = EditOptions(**given(values, EditOptions))
    options = replace(options, out=tuple(options.out))
    for path in edit(options, Execution(**{"backend": arguments.backend, **given(values, Execution)})):
        print(path)
    return 0


def edit(options: EditOptions, execution: Execution) -> tuple[Path, ...]:
    """Write the edited pose; returns its files.

    Raises:
        HumanrtError: an option is not possible; the message says what is.
    """
    for out in options.out:
        if out.suffix not in _ENDINGS:
            raise HumanrtError(f"--out {out}: must end in {', '.join(_ENDINGS)}")
        check_writable(out)
        check_apart({"--out": out}, {"the pose that is read": [reference_file(options.pose)]})
    if options.seed is not None and options.samples is None:
        raise HumanrtError("--seed is of --samples: give it too, or leave --seed out")
    recorded = not options.pose.lower().endswith(".npz")
    with PoseEditor(options.bundle, execution) as editor:
        poses, names = _recorded(options.pose) if recorded else _read(Path(options.pose))
        axes = options.axes or ("camera" if recorded or editor.camera else "amass")
        if editor.camera:
            done = _ours(editor, poses, names, axes, options)
        else:
            done = _published(editor, poses, names, axes, options)
    for out in options.out:
        if out.suffix == ".npz":
            with opened_atomically(out) as stream:
                np.savez(
                    stream,
                    rotations=_single(done.after).astype(np.float32),
                    before=_single(done.before).astype(np.float32),
                    joint_names=np.array(done.joint_names),
                )
        else:
            write_atomically(out, _shown(done, options, out))
    return options.out


@dataclass(frozen=True)
class _Done:
    """Poses before [T, J, 3, 3] and after [T(, N), J, 3, 3], the names of their joints, and their axes."""

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    joint_names: tuple[str, ...]
    camera: bool


def _single(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    return poses[0] if len(poses) == 1 else poses


def _shown(done: _Done, options: EditOptions, out: Path) -> bytes:
    """Return the bytes of a .glb or .png."""
    if options.samples is not None:
        raise HumanrtError(
            f"--out {out}: shows one pose after the edit, not samples; leave out --samples, or write .npz"
        )
    body = [done.joint_names.index(name) for name in SMPLX_BODY if name in done.joint_names]
    if len(body) != len(SMPLX_BODY):
        raise HumanrtError(f"--out {out}: these poses lack joints of SMPL's body; write .npz")
    before, after = done.before[:, body], done.after[:, body]
    if not done.camera:
        before, after = (from_training_axes(poses, CAMERA_FROM_TRAINING) for poses in (before, after))
    if out.suffix == ".glb":
        return edited_glb(before, after, _FPS)
    return edited_picture(before, after, options.words)


def _ours(
    editor: PoseEditor,
    poses: NDArray[np.float64],
    names: Sequence[str] | None,
    axes: str,
    options: EditOptions,
) -> _Done:
    """Edit with the editor that ships: SMPL's body among any joints, of which the others stay."""
    if options.samples is not None:
        raise HumanrtError("--samples is of published models: give their --bundle, or leave it out")
    if names is None:
        if poses.shape[1] not in _COUNTS:
            raise SourceError(f"{options.pose}: {poses.shape[1]} joints without `joint_names`; add that array")
        names = (
            SMPLX_BODY
            if poses.shape[1] == len(SMPLX_BODY)
            else SMPLX_BODY + tuple(f"joint_{index}" for index in range(len(SMPLX_BODY), poses.shape[1]))
        )
    if missing := [name for name in SMPLX_BODY if name not in names]:
        raise SourceError(f"{options.pose}: no joints {choices(missing)}; the editor changes SMPL's body")
    body = [list(names).index(name) for name in SMPLX_BODY]
    given_body = poses[:, body]
    if axes == "amass":
        given_body = from_training_axes(given_body, CAMERA_FROM_TRAINING)
    text = editor.encode_text(options.words)
    if not editor.changes(given_body[0], text=text).said.any():
        editor.edit(given_body[0], options.words)  # says what is understood
    edited = np.stack([editor.edit(pose, text=text) for pose in given_body]).astype(np.float64)
    sys.stderr.write(f"understood: {editor.changes(given_body[0], text=text).text()}\n")
    if axes == "amass":
        edited = from_training_axes(edited, CAMERA_FROM_TRAINING.T)
    after = poses.copy()
    after[:, body] = edited
    return _Done(poses, after, tuple(names), axes == "camera")


def _published(
    editor: PoseEditor,
    poses: NDArray[np.float64],
    names: Sequence[str] | None,
    axes: str,
    options: EditOptions,
) -> _Done:
    """Edit with a published model: all joints of its bundle, and no heading."""
    poses = _placed(poses, names, editor.joint_names, options.pose)
    turned, turns = to_training_axes(poses) if axes == "camera" else (poses, None)
    text = editor.encode_text(options.words)
    edited = np.stack([_edited(editor, pose, text, options) for pose in turned]).astype(np.float64)
    if turns is not None:
        edited = from_training_axes(edited, turns if options.samples is None else turns[:, None])
    return _Done(poses, edited, editor.joint_names, axes == "camera")


def _edited(editor: PoseEditor, pose: NDArray[Any], text: NDArray[Any], options: EditOptions) -> NDArray[Any]:
    if options.samples is None:
        return editor.edit(pose, text=text)
    return editor.sample(pose, text=text, count=options.samples, seed=options.seed or 0)


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
