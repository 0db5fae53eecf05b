"""Rerun: people's skeletons in motion, for the viewer of rerun.io. Needs the package rerun-sdk (about 500 MB)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from humanrt.animation.take import Take
from humanrt.drawing.colours import colour_of
from humanrt.errors import MissingDependencyError
from humanrt.geometry.humanoid import Skeleton

__all__ = ["rrd"]


def rrd(takes: Sequence[Take], skeleton: Skeleton) -> bytes:
    """Return a Rerun recording: a skeleton per person, named joint by joint, on the time line ``t``, s.

    Axes are the camera's (x right, y down, z forward), m.

    Raises:
        MissingDependencyError: rerun-sdk is not installed.
    """
    rr = _import_rerun()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "take.rrd"
        with rr.RecordingStream("humanrt") as stream:
            stream.save(path)
            stream.log("people", rr.ViewCoordinates.RDF, static=True)
            for take in takes:
                _log(rr, stream, take, skeleton)
            stream.flush()
            stream.disconnect()
        return path.read_bytes()


def _log(rr: ModuleType, stream: object, take: Take, skeleton: Skeleton) -> None:
    entity = f"people/{take.id}"
    log, set_time = stream.log, stream.set_time  # type: ignore[attr-defined]
    joints = [rr.AnnotationInfo(id=k, label=name) for k, name in enumerate(skeleton.joints)]
    bones = [(parent, k) for k, parent in enumerate(skeleton.parents) if parent >= 0]
    about = rr.ClassDescription(
        info=rr.AnnotationInfo(id=1, label=f"person {take.id}", color=colour_of(take.id)),
        keypoint_annotations=joints,
        keypoint_connections=bones,
    )
    log(entity, rr.AnnotationContext(about), static=True)
    heads = take.heads()[:, skeleton.places].mean(axis=2)
    for t, points in zip(take.t, heads, strict=True):
        set_time("t", duration=float(t))
        log(entity, rr.Points3D(points, class_ids=1, keypoint_ids=range(len(points)), radii=0.01))
    for _, end in take.present:  # nobody is there until they come back
        set_time("t", duration=float(end) + 1e-3)
        log(entity, rr.Clear(recursive=False))


def _import_rerun() -> ModuleType:
    try:
        import rerun
    except ImportError:
        raise MissingDependencyError(
            "rrd files need rerun-sdk (500 MB), which is not installed; run: pip install 'humanrt[rerun]'"
        ) from None
    return rerun  # type: ignore[no-any-return]
