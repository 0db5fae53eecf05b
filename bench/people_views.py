"""How well a bundle follows a real person: every view for itself, live, against four views together.

    python bench/people_views.py --bundle landmarks multihmr-anny holistic:fast --raw full heavy --out results

One man before four calibrated cameras (`real_views.py`). Every program sees all frames of one camera, with their times
and the camera's intrinsics, in order and without looking ahead; the joints that it reports are compared with those that
the four views agree on, at every ``--stride``-th frame. ``--raw`` are the landmarks of a network as they come: those in
metres, moved to where they project onto those in pixels (`humanrt.people.landmark_people.solve_translation`, equal
weights).

With ``--lags`` every bundle looks once, and is sent through each of ``--smooth`` (`oneeuro`, `posebert`): what is known
so many thirtieths of a second later is compared with the joints of a frame, in all frames but those of the largest lag
at the end. `holistic` and `landmarks` link frames themselves before; a Multi-HMR does not.

Columns; joints are the twelve of `humanrt.geometry.limbs.LIMBS`, metres are of the camera's space:

- **found**: frames in which somebody is where the man is: the mean distance of the twelve joints in the picture is at
  most 0.3 of the larger side of the man's box. Of several, the nearest is he. **filled**: how many of these were filled
  in, for want of a find in that frame.
- **extra**: further people a frame, filled ones too; one find of the bystander (the middle of the joints is in his box)
  is not counted.
- **ids**: identities that the man had, all views together (4 is best).
- **beside**: `joint_errors.beside`, median and 90 % over joints and frames, mm.
- **hips**: `hips_aligned`, **similarity**: `similarity`, mean over joints and frames, mm.
- **acceleration**: `acceleration` over all frames, whatever the stride: mean over joints and frames, mm/frame^2, 60
  frames a second; the truth's own, which is smoothed, stands below.
- **IoU**: the mesh, drawn alone, against the silhouette that the heavy network saw of the man in that view and frame
  (`ViewsTruth.silhouette`), over the pixels of the whole picture; mean over frames.

Nothing may be tuned on these views: one man, 100 frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings import MULTIHMR, people_model
from humanrt.drawing.mesh_view import MeshView
from humanrt.evaluation.calibrated import View, ViewsTruth, frames_of, load_views
from humanrt.files import write_atomically
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import ANNY_LIMBS
from humanrt.metrics.silhouette import iou
from humanrt.people.body_turns import BodyTurns
from humanrt.people.landmark_people import solve_translation
from humanrt.people.pose_smoother import POSES
from humanrt.people.raw_tracker import Seen
from humanrt.people.smoother import FOLLOWED, OneEuroPeople, PeopleSmootherOptions
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.sources.opening import Frame
from humanrt.stats import machine, write_report
from humanrt.tasks import PeopleOptions, named_quality, open_people
from joint_errors import MEDIAPIPE, acceleration, beside, hips_aligned, similarity
from raw_landmarks import raw_tracker
from real_views import BYSTANDER, VIEWS, truth_of
from smoothing_runs import Run, as_seen, lagging, look, through
from smoothing_runs import Seen as Looked
from smoothing_runs import frames_of as frames_of_lag

__all__ = [
    "Follower",
    "Score",
    "SeenPerson",
    "bundle_follower",
    "bundle_options",
    "measure",
    "raw_follower",
    "report",
    "score",
]

Array = NDArray[Any]

_REACH = 0.3  # of the man's box, how far off a find of him may be


@dataclass(frozen=True)
class SeenPerson:
    """One person in one frame, as a program under test sees them.

    Attributes:
        id: identity.
        joints: [12, 3] m, camera space.
        filled: the program says that it did not see them in this frame.
        vertices: [V, 3] m, or None without a mesh.
    """

    id: int
    joints: Array
    filled: bool = False
    vertices: Array | None = None


@dataclass(frozen=True)
class Follower:
    """A program under test.

    Attributes:
        name: in the table.
        follow: people in each of the frames of a view, in order.
        left_out: number of frames at the end of a view, once followed, of which it says nothing.
        faces: [F, 3] of every mesh, or None without meshes.
    """

    name: str
    follow: Callable[[View, Iterable[Frame]], Iterable[Sequence[SeenPerson]]]
    faces: NDArray[np.int32] | None = None
    left_out: Callable[[View], int] = lambda view: 0


@dataclass
class Score:
    """What is measured of one program, view after view (see the module's text for the columns).

    Attributes:
        frames, found, filled, extra: counts.
        ids: identities of the man in each view.
        beside, hips, similarity: [found, 12] m.
        acceleration: m / frame^2 of every joint and triple of frames.
        iou: of every found frame; empty without meshes.
    """

    frames: int = 0
    found: int = 0
    filled: int = 0
    extra: int = 0
    ids: list[int] = field(default_factory=list)
    beside: list[Array] = field(default_factory=list)
    hips: list[Array] = field(default_factory=list)
    similarity: list[Array] = field(default_factory=list)
    acceleration: list[Array] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return the columns by name."""
        row = {name: float(getattr(self, name)) for name in ("frames", "found", "filled")}
        row |= {"extra": self.extra / max(1, self.frames), "ids": float(sum(self.ids))}
        if self.found:
            off = 1000 * np.concatenate(self.beside)
            row |= {"beside": float(np.median(off)), "beside_90": float(np.percentile(off, 90))}
            row["hips"] = 1000 * float(np.mean(np.concatenate(self.hips)))
            row["similarity"] = 1000 * float(np.mean(np.concatenate(self.similarity)))
        bends = np.concatenate([np.zeros(0), *(one.ravel() for one in self.acceleration)])
        if np.isfinite(bends).any():
            row["acceleration"] = 1000 * float(np.nanmean(bends))
        if self.iou:
            row["iou"] = float(np.mean(self.iou))
        return row


def measure(
    people: Sequence[Sequence[SeenPerson]],
    truth: Array,
    K: Array,
    *,
    stride: int = 1,
    bystander: tuple[float, float, float, float] | None = None,
    overlap: Callable[[int, Array], float] | None = None,
) -> Score:
    """Measure one view.

    Args:
        people: of each of T frames.
        truth: [T, 12, 3] m, the man's joints, camera space.
        K: [3, 3] px.
        stride: of the frames that are measured; acceleration is of all frames.
        bystander: box x0, y0, x1, y1 px.
        overlap: from a frame's number and the vertices [V, 3] to an IoU; None: no silhouettes.
    """
    score = Score()
    followed = np.full(truth.shape, np.nan)
    ids = set()
    for number, (some, true) in enumerate(zip(people, truth, strict=True)):
        at = _picture(true, K)
        pictures = [_picture(one.joints, K) for one in some]
        off = [float(np.linalg.norm(points - at, axis=1).mean()) for points in pictures]
        nearest = int(np.argmin(off)) if off else -1
        if nearest >= 0 and off[nearest] > _REACH * float(np.ptp(at, axis=0).max()):
            nearest = -1
        if nearest >= 0:
            followed[number] = some[nearest].joints
        if number % stride:
            continue
        score.frames += 1
        others = [points.mean(0) for rank, points in enumerate(pictures) if rank != nearest]
        excused = bystander is not None and any(_inside(middle, bystander) for middle in others)
        score.extra += len(others) - excused
        if nearest < 0:
            continue
        one = some[nearest]
        score.found += 1
        score.filled += one.filled
        ids.add(one.id)
        joints = one.joints[None].astype(np.float64)
        score.beside.append(beside(joints, true[None]))
        score.hips.append(hips_aligned(joints, true[None]))
        score.similarity.append(similarity(joints, true[None]))
        if overlap and one.vertices is not None:
            score.iou.append(overlap(number, one.vertices))
    score.ids.append(len(ids))
    score.acceleration.append(acceleration(followed))
    return score


def score(
    follower: Follower, views: Sequence[View], truth: ViewsTruth, stride: int, drawn: MeshView | None = None
) -> tuple[Score, dict[str, Score]]:
    """Return the score of a program over all views, and of each view."""
    whole, single = Score(), {}
    for at, view in enumerate(views):
        people = list(follower.follow(view, frames_of(view)))
        expected = len(truth.joints) - follower.left_out(view)
        if len(people) != expected:
            raise SystemExit(f"{follower.name}, {view.name}: followed through {len(people)} frames, not {expected}")

        def overlap(number: int, vertices: Array, *, at: int = at, view: View = view) -> float:
            assert drawn is not None
            assert follower.faces is not None
            drawn.size = view.size
            mesh = drawn.mask([vertices], follower.faces, view.K) > 0
            return iou(mesh, truth.silhouette(at, number, view.size))

        one = measure(
            people,
            view.camera(truth.joints)[:expected],
            view.K,
            stride=stride,
            bystander=BYSTANDER.get(view.name),
            overlap=overlap if drawn is not None and follower.faces is not None else None,
        )
        single[view.name] = one
        for item in fields(Score):
            setattr(whole, item.name, getattr(whole, item.name) + getattr(one, item.name))
    return whole, single


def bundle_options(text: str, **options: Any) -> tuple[Bundle, PeopleOptions]:
    """Return bundle and options of ``NAME|PATH[:QUALITY]``; ``options`` are further fields of `PeopleOptions`."""
    bundle, more = named_quality(text)
    return bundle, PeopleOptions(**more, **options)


def bundle_follower(text: str, threads: int, smooth: str | None = None) -> Follower:
    """Return a bundle for people, ``NAME|PATH[:QUALITY]``, with a smoother or its own, as a program under test."""

    def follow(view: View, frames: Iterable[Frame]) -> Iterable[Sequence[SeenPerson]]:
        bundle, options = bundle_options(text, intrinsics=view.K, smooth=smooth)
        with open_people(bundle, "cpu", options, threads=threads) as pipeline:
            limbs = [pipeline.model.joint_names.index(name) for name in ANNY_LIMBS]
            for frame in frames:
                people = []
                for one in pipeline(frame).persons:
                    assert one.joints is not None
                    people.append(SeenPerson(one.id, one.joints[limbs], one.filled, one.vertices))
                yield people

    bundle, options = bundle_options(text)
    with open_people(bundle, "cpu", options, threads=threads) as pipeline:
        faces = pipeline.model.faces
    return Follower(Path(text).name + (f", {smooth}" if smooth else ""), follow, faces)


def lagging_followers(text: str, threads: int, smooth: Sequence[str], lags: Sequence[int]) -> list[Follower]:
    """Return a bundle for people as it is, and behind it each of the smoothers at each lag, in 1/30 s."""
    bundle, _ = named_quality(text)
    followed = people_model(bundle) != MULTIHMR
    _, options = bundle_options(text, smooth=None if followed else "none")
    usual = replace(FOLLOWED if followed else PeopleSmootherOptions(), fill_seconds=0.0)
    kept: dict[str, list[Looked]] = {}

    def left_out(view: View) -> int:
        return frames_of_lag(kept[view.name], max(lags))

    def smoothed(name: str, lag: int, turns: BodyTurns) -> Run:
        if name == "oneeuro":
            return through(partial(OneEuroPeople, usual), lag)
        return as_seen if name == "as seen" else lagging(POSES, turns, lag, usual)

    def follower(name: str, lag: int) -> Follower:
        def follow(view: View, frames: Iterable[Frame]) -> Iterable[Sequence[SeenPerson]]:
            with open_people(bundle, "cpu", replace(options, intrinsics=view.K), threads=threads) as pipeline:
                if view.name not in kept:
                    kept[view.name] = look(pipeline, frames)
                seen, model = kept[view.name], pipeline.model
                bones = model.rig.bones
                results = smoothed(name, lag, BodyTurns(bones, len(bones)))(view.size, seen)
                limbs = [model.joint_names.index(limb) for limb in ANNY_LIMBS]
                for result in results[: len(seen) - left_out(view)]:
                    assert result is not None
                    joints = model.posed(result.people).joints
                    assert joints is not None
                    yield [SeenPerson(id, one[limbs]) for id, one in zip(result.ids, joints, strict=True)]

        called = f"{Path(text).name}, {name}" + (f", lag {lag}" if name != "as seen" else "")
        return Follower(called, follow, left_out=left_out)

    return [follower("as seen", 0), *(follower(name, lag) for name, lag in product(smooth, lags))]


Watch = Callable[[View, Iterable[Frame]], Iterable[tuple[float, Sequence[Seen]]]]
"""Times and people of a landmark network in the frames of a view."""


def watch(network: str | Path, threads: int) -> Watch:
    """Return what a landmark network sees: ``full``, ``heavy``, or an ONNX file. Views are kept."""
    kept: dict[str, list[tuple[float, Sequence[Seen]]]] = {}

    def seen(view: View, frames: Iterable[Frame]) -> Iterable[tuple[float, Sequence[Seen]]]:
        if view.name not in kept:
            with raw_tracker(network, silhouettes=False, threads=threads) as tracker:
                kept[view.name] = [(frame.t, tracker.observe(frame)) for frame in frames]
        return kept[view.name]

    return seen


def raw_follower(name: str, seen: Watch) -> Follower:
    """Return a landmark network alone as a program under test."""

    def follow(view: View, frames: Iterable[Frame]) -> Iterable[Sequence[SeenPerson]]:
        for _, people in seen(view, frames):
            yield [SeenPerson(one.id, placed(one.marks.landmarks_3d, one.marks.landmarks_2d, view.K)) for one in people]

    return Follower(f"raw {name}", follow)


def lifted_follower(name: str, seen: Watch, bundle: str) -> Follower:
    """Return a landmark network and a PoseBERT bundle behind it: its keypoints, without lag, placed as raw ones are."""

    def follow(view: View, frames: Iterable[Frame]) -> Iterable[Sequence[SeenPerson]]:
        with PoseBERTStream(bundle) as stream:
            for t, people in seen(view, frames):
                marks = {one.id: one.marks for one in people}
                given = {
                    identity: Observation(one.landmarks_3d, one.visibility, pixels=one.landmarks_2d, intrinsics=view.K)
                    for identity, one in marks.items()
                }
                states = stream.update(t, given)
                yield [
                    SeenPerson(identity, placed(states[identity].keypoints, one.landmarks_2d, view.K))
                    for identity, one in marks.items()
                    if identity in states
                ]

    return Follower(f"{name}, lifted by {Path(bundle).name}", follow)


def placed(metric: Array, pixels: Array, K: Array) -> Array:
    """Return the twelve joints [12, 3] m of landmarks [33, 3] m, moved to where they project onto [33, 2] px."""
    points = metric.astype(np.float64)
    return np.asarray((points + solve_translation(points, pixels, np.ones(len(points)), K))[list(MEDIAPIPE)])


_COLUMNS = {
    "filled": ("of them filled in", "{:.0f}"),
    "extra": ("extra a frame", "{:.2f}"),
    "ids": ("ids", "{:.0f}"),
    "hips": ("hips-aligned mm", "{:.0f}"),
    "similarity": ("similarity mm", "{:.0f}"),
    "acceleration": ("acceleration mm/frame²", "{:.1f}"),
    "iou": ("IoU", "{:.2f}"),
}


def report(rows: dict[str, dict[str, float]], own: float | None = None) -> str:
    """Return the table in Markdown; ``own`` is the acceleration of the man himself."""
    heads = ["", "found", "beside mm (median, 90 %)", *(head for head, _ in _COLUMNS.values())]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for name, row in rows.items():
        cells = [name, f"{row['found']:.0f} of {row['frames']:.0f}"]
        cells.append(f"{row['beside']:.0f}, {row['beside_90']:.0f}" if "beside" in row else "")
        cells += [form.format(row[key]) if key in row else "" for key, (_, form) in _COLUMNS.items()]
        lines.append("| " + " | ".join(cells) + " |")
    if own is not None:
        lines.append("| the man himself | " + "| " * 7 + f"{own:.1f} | |")
    return "\n".join(lines) + "\n"


def _picture(joints: Array, K: Array) -> Array:
    ahead = np.maximum(joints[:, 2:], 0.05)  # a joint behind the camera has no picture
    return project(np.concatenate([joints[:, :2], ahead], 1), K)


def _inside(point: Array, box: tuple[float, float, float, float]) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path, default=VIEWS, help="the folder media/views")
    parser.add_argument("--heavy", default="heavy", metavar="FILE.onnx", help="another network for the truth")
    parser.add_argument("--bundle", nargs="*", default=[], metavar="NAME|PATH[:QUALITY]", help="bundles for people")
    parser.add_argument("--smooth", nargs="*", metavar="NAME", help="of each bundle: these smoothers")
    parser.add_argument("--lags", nargs="*", type=int, metavar="N", help="of smoothers behind each bundle, in 1/30 s")
    parser.add_argument("--raw", nargs="*", default=[], metavar="full|heavy|FILE.onnx", help="landmarks as they come")
    parser.add_argument("--lifted", nargs="*", default=[], metavar="NAME|PATH", help="PoseBERT behind each of --raw")
    parser.add_argument("--stride", type=int, default=2, help="compute errors for every N-th frame (default: 2)")
    parser.add_argument("--no-mesh", action="store_true", help="draw nothing: no IoU")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for people_views.json and people_views.md")
    arguments = parser.parse_args()
    views = load_views(arguments.views)
    truth = truth_of(views, arguments.heavy, threads=arguments.threads)
    followers: list[Follower] = []
    for bundle in arguments.bundle:
        if arguments.lags:
            smoothers = arguments.smooth or ["oneeuro", "posebert"]
            followers += lagging_followers(bundle, arguments.threads, smoothers, arguments.lags)
        else:
            followers += [bundle_follower(bundle, arguments.threads, one) for one in arguments.smooth or [None]]
    for name in arguments.raw:
        seen = watch(name, arguments.threads)
        followers.append(raw_follower(Path(name).stem, seen))
        followers += [lifted_follower(Path(name).stem, seen, bundle) for bundle in arguments.lifted]
    rows, single = {}, {}
    with ExitStack() as stack:
        drawn = None if arguments.no_mesh else stack.enter_context(MeshView(samples=0))
        for follower in followers:
            whole, parts = score(follower, views, truth, arguments.stride, drawn)
            rows[follower.name] = whole.summary()
            single[follower.name] = {name: part.summary() for name, part in parts.items()}
            print(f"{follower.name}: {rows[follower.name]}", flush=True)
    own = 1000 * float(acceleration(truth.joints).mean())
    text = report(rows, own)
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        result = {
            "machine": machine(),
            "stride": arguments.stride,
            "own_acceleration": own,
            "rows": rows,
            "views": single,
        }
        write_report(arguments.out / "people_views.json", result)
        write_atomically(arguments.out / "people_views.md", text.encode())


if __name__ == "__main__":
    main()
