"""Convert recordings to the files that other programs work with. A new format is an entry of `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from humanrt.animation.amass import amass
from humanrt.animation.bvh import bvh
from humanrt.animation.fbx import fbx
from humanrt.animation.glb import animated_glb
from humanrt.animation.ground import find_ground
from humanrt.animation.lerobot import demonstration, lerobot
from humanrt.animation.motion import record_motion, take_of_motion
from humanrt.animation.planting import planted
from humanrt.animation.rosbag2 import rosbag2
from humanrt.animation.rrd import rrd
from humanrt.animation.soles import soles_of
from humanrt.animation.tables import arrays, table
from humanrt.animation.take import Take, about_people, take_of
from humanrt.bundle import Bundle, load_bundle
from humanrt.checks import check_range
from humanrt.errors import BundleError, HumanrtError, OutputError, SourceError, choices
from humanrt.files import folder_atomically, write_atomically
from humanrt.geometry.ground import Ground
from humanrt.geometry.humanoid import Skeleton, SkeletonName, skeleton_of
from humanrt.motion.motion import Motion
from humanrt.outputs.record import Recording, check_apart, read_recording
from humanrt.outputs.tracks import Tracks
from humanrt.people.holistic import DEFAULT_BUNDLE
from humanrt.people.rig import BodyRig, open_rig

__all__ = [
    "FORMATS",
    "ConvertOptions",
    "Converted",
    "Format",
    "convert",
    "converted",
    "ground_of",
    "open_recorded_rig",
]

_GAP = 2.0  # s: between episodes
_FPS = 30.0  # of recordings that do not tell theirs: single frames


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What is converted, and how.

    Attributes:
        person: identity of the only person to convert. None: all.
        fps: frames per second of the file. None: the recording's; glb keeps its time stamps.
        ground: put people on the floor that their feet tell of, y (of AMASS z) up from it, and let feet stay where they
            stand; the camera must not move. Or the floor, where it is known.
        smooth: smooth motion over so many seconds, with the past and the future of each moment. None: as recorded.
        names: which skeleton, one of `SKELETONS`. None: the body's own bones.
        bundle: name or folder of the bundle with the body, or a loaded one. None: the one that the recording names.
        robot: for lerobot: whose joint angles are the actions. None: the only one.
        video: for lerobot: the film that was recorded, for pictures. None: without.
        task: for lerobot: what is done, in words. None: the robot's name.
        gap: for lerobot: seconds without a hand after which another episode begins. None: 2.
    """

    person: int | None = None
    fps: float | None = None
    smooth: float | None = None
    ground: Ground | bool = False
    names: SkeletonName | None = None
    bundle: Bundle | str | Path | None = None
    robot: str | None = None
    video: str | Path | None = None
    task: str | None = None
    gap: float | None = None


@dataclass(frozen=True)
class Scene:
    """What a writer gets.

    Attributes:
        tracks: the recording, of the chosen people.
        takes: the motion of the people in this file; empty for tables.
        skeleton: their skeleton; None for tables.
        rig: their body, for formats with a mesh.
        fps: frames per second.
        path: the recording.
        options: what is converted, and how.
    """

    tracks: Tracks
    takes: Sequence[Take]
    skeleton: Skeleton | None
    rig: BodyRig | None
    fps: float
    path: Path
    options: ConvertOptions


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        suffix: of its files; empty: it is a folder.
        help: what it is, in a few words.
        write: makes the content of a file; of a folder, makes the folder that it is given.
        takes: whether it holds takes: a body in motion. The others hold all that was recorded.
        mesh: whether it needs the body's mesh, and so the bundle.
        single: whether a file holds one person only.
        names: whether the skeleton can be chosen.
        own: options that only it has.
    """

    suffix: str
    help: str
    write: Callable[[Scene], bytes] | Callable[[Scene, Path], None]
    takes: bool = True
    mesh: bool = False
    single: bool = False
    names: bool = False
    own: tuple[str, ...] = ()


def _glb(scene: Scene) -> bytes:
    assert scene.skeleton is not None
    assert scene.rig is not None
    return animated_glb(scene.takes, scene.skeleton, scene.rig)


def _bvh(scene: Scene) -> bytes:
    assert scene.skeleton is not None
    return bvh(scene.takes[0], scene.skeleton, scene.fps)


def _rrd(scene: Scene) -> bytes:
    assert scene.skeleton is not None
    return rrd(scene.takes, scene.skeleton)


def _rosbag2(scene: Scene, folder: Path) -> None:
    rosbag2(read_recording(scene.path), scene.options.person, folder)


def _lerobot(scene: Scene, folder: Path) -> None:
    options = scene.options
    found = demonstration(scene.tracks, options.robot, _GAP if options.gap is None else options.gap)
    video = None if options.video is None else Path(options.video)
    lerobot(found, scene.fps, options.task or f"move {found.robot}", video, folder)


FORMATS: Mapping[str, Format] = {
    "glb": Format(".glb", "glTF: skinned, animated characters with expressions", _glb, mesh=True, names=True),
    "bvh": Format(".bvh", "a skeleton in motion, a file per person", _bvh, single=True, names=True),
    "amass": Format(
        ".npz", "SMPL-X parameters, a file per person", lambda scene: amass(scene.takes[0], scene.fps), single=True
    ),
    "fbx": Format(
        ".fbx", "as glb, written by your Blender", lambda scene: fbx(_glb(scene), scene.fps), mesh=True, names=True
    ),
    "rrd": Format(".rrd", "skeletons for Rerun's viewer, written by your rerun-sdk", _rrd, names=True),
    "csv": Format(".csv", "a table, a row per person and frame", lambda scene: table(scene.tracks), takes=False),
    "npz": Format(".npz", "numpy arrays per person and hand", lambda scene: arrays(scene.tracks), takes=False),
    "rosbag2": Format("", "a ROS 2 bag (MCAP), a folder, written by your rosbags", _rosbag2, takes=False),
    "lerobot": Format(
        "",
        "a robot's motion as LeRobot data set, a folder, written by your lerobot",
        _lerobot,
        takes=False,
        own=("robot", "video", "task", "gap"),
    ),
}
"""All formats by name."""


@dataclass(frozen=True)
class Converted:
    """What was made of a recording.

    Attributes:
        files: that were written.
        ground: the floor that people were put on; None: on none.
    """

    files: tuple[Path, ...]
    ground: Ground | None = None


def convert(
    recording: str | Path | Recording | Motion,
    out: str | Path,
    to: str | None = None,
    options: ConvertOptions | None = None,
    **chosen: Any,
) -> tuple[Path, ...]:
    """Convert a recording, or a motion, and return the files that were written.

    >>> humanrt.convert("take.jsonl", "take.glb")
    >>> humanrt.convert("take.jsonl", "take.bvh", person=1, names="mixamo", fps=60)

    Args:
        recording: its file, or a recording of which nothing was read yet. Or a motion with SMPL's joints, such as
            `PoseGPT` generates: it is shown on the body of the bundle ``holistic`` unless another one is given.
        out: the file to write. For formats that hold one person: if there are several, ``take.bvh`` becomes
            ``take-1.bvh`` and so on, by identity. A folder gets files named after the recording.
        to: a name of `FORMATS`; None: by the suffix of ``out``, which for ``.npz`` is plain arrays.
        options, chosen: see `ConvertOptions`; its fields may be given as keywords instead.

    Raises:
        HumanrtError: the recording, an option, the bundle or the output is wrong, in one line that says what to do.
    """
    if options is None:
        options = ConvertOptions(**chosen)
    return converted(recording, out, to, options).files


def converted(
    recording: str | Path | Recording | Motion, out: str | Path, to: str | None, options: ConvertOptions
) -> Converted:
    """Convert as `convert`, and say on which floor people were put."""
    if isinstance(recording, Motion):
        return _convert_motion(recording, Path(out), to, options)
    if not isinstance(recording, Recording):
        recording = read_recording(recording)
    out = Path(out)
    name = to or _by_suffix(out)
    if name not in FORMATS:
        raise HumanrtError(f"--to: no format `{name}`; choose one of: {choices(FORMATS)}")
    kind = FORMATS[name]
    _check(name, kind, options)
    if not kind.suffix:
        return Converted((_convert_to_folder(recording, out, kind, options),))
    folder = out.is_dir() or not out.suffix
    kept = "" if kind.suffix == f".{name}" else f"-{name}"  # amass and npz have the same suffix
    target = out / f"{recording.path.stem}{kept}{kind.suffix}" if folder else out
    if target.suffix.lower() != kind.suffix:
        raise OutputError(f"--out {out}: {name} files end in {kind.suffix}; name it *{kind.suffix}, or give a folder")
    everybody = recording.tracks()
    tracks = _chosen(recording, everybody, options.person)
    fps = options.fps or tracks.fps or _FPS
    if not kind.takes:
        if not tracks.people and not tracks.hands:
            raise SourceError(f"{recording.path}: there is nobody in it; record a source with people or hands")
        return Converted((_written(target, kind, Scene(tracks, (), None, None, fps, recording.path, options)),))
    if not tracks.people:
        raise SourceError(
            f"{recording.path}: there are no people in it; hands are converted to: csv, npz, rosbag2, lerobot"
        )
    with ExitStack() as stack:
        needed = kind.mesh or options.bundle or options.ground
        rig = stack.enter_context(open_recorded_rig(recording, options.bundle)) if needed else None
        takes = [take_of(track, tracks.header, rig) for track in tracks.people.values()]
        ground = None
        if options.ground:
            assert rig is not None
            # Everybody tells of the floor, whoever is converted.
            ground = options.ground if isinstance(options.ground, Ground) else _ground_of(everybody, rig)
        if options.smooth is not None:
            takes = [take.smoothed(options.smooth) for take in takes]
        if ground is not None:
            assert rig is not None
            takes = [planted(take, soles_of(rig, take.shape), ground) for take in takes]
        if options.fps:
            takes = [take.at_rate(options.fps) for take in takes]
        skeleton = skeleton_of(takes[0].tree, options.names)
        scenes = [[take] for take in takes] if kind.single else [takes]
        files = tuple(
            _written(
                target.with_name(f"{target.stem}-{some[0].id}{target.suffix}") if len(scenes) > 1 else target,
                kind,
                Scene(tracks, some, skeleton, rig, fps, recording.path, options),
            )
            for some in scenes
        )
    return Converted(files, ground)


def ground_of(recording: str | Path | Recording, bundle: Bundle | str | Path | None = None) -> Ground:
    """Return the floor and gravity before the fixed camera of a recording, from the people who walk and stand on it.

    >>> print(humanrt.ground_of("take.jsonl"))
    camera 1.50 m above the floor, looking 11.8 degrees down, rolled by 0.3 degrees (the floor's normal within 1.9)

    Args:
        recording: its file, or a recording of which nothing was read yet.
        bundle: name or folder of the bundle with the body, or a loaded one. None: the one that the recording names.

    Raises:
        HumanrtError: nobody in it stands upright, or the recording or the bundle is wrong.
    """
    if not isinstance(recording, Recording):
        recording = read_recording(recording)
    tracks = recording.tracks()
    with open_recorded_rig(recording, bundle) as rig:
        return _ground_of(tracks, rig)


def _ground_of(tracks: Tracks, rig: BodyRig) -> Ground:
    """Return the floor on which the people of a recording stand."""
    takes = [take_of(track, tracks.header, rig) for track in tracks.people.values()]
    return find_ground(takes, [soles_of(rig, take.shape) for take in takes])


def _convert_motion(motion: Motion, out: Path, to: str | None, options: ConvertOptions) -> Converted:
    """Convert a motion by way of a recording of it."""
    bundle = options.bundle or DEFAULT_BUNDLE
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task="people")
    with open_rig(loaded) as rig, TemporaryDirectory() as folder:
        path = Path(folder) / "motion.jsonl"
        record_motion(motion, path, rig, loaded.name)
        takes = FORMATS.get(to or _by_suffix(out))
        if options.ground is True:  # gravity is known, and where the soles are
            take = take_of_motion(motion, rig)
            lowest = soles_of(rig, take.shape).at(take)[..., 1].max(axis=(1, 2))
            options = replace(options, ground=Ground(np.array([0.0, -1.0, 0.0]), float(np.median(lowest)), 0.0))
        return converted(path, out, to, replace(options, bundle=loaded if takes and takes.takes else None))


def _by_suffix(out: Path) -> str:
    for name, kind in FORMATS.items():
        if kind.suffix == out.suffix.lower() == f".{name}":
            return name
    raise HumanrtError(f"--out {out}: the suffix names no format; say which: --to {choices(FORMATS)}")


def _check(name: str, kind: Format, options: ConvertOptions) -> None:
    """Raise HumanrtError if an option is wrong, or does nothing for this format."""
    if options.fps is not None:
        check_range(options.fps, "fps", 0.1, 1000.0)
    if options.smooth is not None:
        check_range(options.smooth, "smooth", 0.0, 10.0, above=True)
    if options.gap is not None:
        check_range(options.gap, "gap", 0.0, 3600.0)
    ignored = [
        *(["--fps"] if options.fps is not None and not kind.takes else []),
        *(["--smooth"] if options.smooth is not None and not kind.takes else []),
        *(["--ground"] if options.ground and not kind.takes else []),
        *(["--names"] if options.names is not None and not kind.names else []),
        *(["--bundle"] if options.bundle is not None and not kind.takes else []),
        *(
            f"--{one}"
            for one in ("robot", "video", "task", "gap")
            if getattr(options, one) is not None and one not in kind.own
        ),
    ]
    for flag in ignored:
        raise HumanrtError(f"{flag} does nothing for --to {name}; leave it out")


def _chosen(recording: Recording, tracks: Tracks, person: int | None) -> Tracks:
    """Return of the tracks of a recording all, or only those of a person and without the hands."""
    if person is None:
        return tracks
    if person not in tracks.people:
        known = ", ".join(map(str, tracks.people)) or "nobody"
        raise HumanrtError(f"--person {person}: not in {recording.path}; in it: {known}")
    return Tracks(tracks.header, tracks.t, {person: tracks.people[person]}, {})


def open_recorded_rig(recording: Recording, bundle: Bundle | str | Path | None) -> BodyRig:
    """Open the body of a recording: that of the given bundle, or of the one that the recording names.

    Raises:
        SourceError: neither is known.
        BundleError, SkeletonError: see `open_rig`.
    """
    if isinstance(bundle, Bundle):
        return open_rig(bundle)
    about = about_people(recording.header).get("bundle")
    named = about.get("name") if isinstance(about, Mapping) else None
    if bundle is None and not isinstance(named, str):
        raise SourceError(f"{recording.path}: its header names no bundle; give it: --bundle NAME|PATH")
    try:
        return open_rig(load_bundle(bundle or str(named), task="people"))
    except BundleError as error:
        if bundle is not None:
            raise
        raise BundleError(
            f"{error} (the bundle that the recording names; if it lies elsewhere: --bundle PATH)"
        ) from None


def _written(path: Path, kind: Format, scene: Scene) -> Path:
    check_apart({"--out": path}, {"the recording": [scene.path]})
    content = kind.write(scene)  # type: ignore[call-arg]
    assert content is not None
    write_atomically(path, content)
    return path


def _convert_to_folder(recording: Recording, out: Path, kind: Format, options: ConvertOptions) -> Path:
    """Write a folder, whole or not at all."""
    if out.exists():
        raise OutputError(f"--out {out}: exists already; name a folder that does not")
    tracks = _chosen(recording, recording.tracks(), options.person)
    if not tracks.people and not tracks.hands:
        raise SourceError(f"{recording.path}: there is nobody in it; record a source with people or hands")
    scene = Scene(tracks, (), None, None, options.fps or tracks.fps or _FPS, recording.path, options)
    try:
        with folder_atomically(out) as part:
            kind.write(scene, part)  # type: ignore[call-arg]
    except OSError as error:
        raise OutputError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    return out
