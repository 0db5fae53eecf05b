"""How good `multihmr-anny` is: on rendered people of known truth, beside what else could be said, and on photos.

    python bench/multihmr_anny.py --data DIR [--train DIR] [--photos FILE ...] [--log run/log.jsonl] --out results

DIR holds samples that nothing was trained on (`humanrt-export data people --part val`). Rows of the table:

- ``multihmr-anny``: the bundle through the runtime, the camera known;
- ``mean pose``: the mean of --train's labels, turn of the body included, at the true place of the head;
- ``landmarks``: the shipped pipeline (MediaPipe's landmarks, PoseBERT, an adult body), each picture by itself.

Each is measured on those of the wanted people whom it finds, and the first two also on those whom the others find.
Pictures of the worst and median people are written beside the numbers. On photographs there is no truth: MediaPipe's 33
landmarks stand in for it, in px and in parts of the person's extent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_view import MeshView
from humanrt.geometry.anny import smpl_from_anny
from humanrt.geometry.camera import project
from humanrt.people.body_points import STATURE, LandmarkPoints
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.metrics import Bodies, PeopleMetrics
from humanrt.people.multihmr import MultiHMR
from humanrt.people.results import People
from humanrt.sources.opening import open_source
from humanrt.stats import write_report
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.data.people.truth import NEAREST, truth_of
from humanrt_export.entry import run_module
from humanrt_export.options import parse
from humanrt_export.synthetic.people import PeopleLabels, Shards

Array = NDArray[Any]

_CLOSE = 1 / 3  # part of the picture that a person fills who counts as close


@dataclass
class Row:
    """One way, everywhere and on close people only."""

    everybody: PeopleMetrics
    close: PeopleMetrics

    @classmethod
    def new(cls, names: Sequence[str]) -> Row:
        return cls(PeopleMetrics(names), PeopleMetrics(names))

    def add(self, found: Bodies, truth: Bodies, side: int) -> list[tuple[int, int]]:
        assert truth.extents is not None
        assert truth.wanted is not None
        self.close.add(found, replace(truth, wanted=truth.wanted & (truth.extents >= _CLOSE * side)))
        return self.everybody.add(found, truth)


def bodies(people: People) -> Bodies:
    assert people.joints is not None
    assert people.vertices is not None
    return Bodies(people.joints, people.locations, people.vertices)


def only(truth: Bodies, places: set[int]) -> Bodies:
    """Of the wanted, those alone."""
    assert truth.wanted is not None
    return replace(truth, wanted=truth.wanted & np.isin(np.arange(len(truth.heads)), list(places)))


def posed(body: AnnyBody, labels: PeopleLabels) -> tuple[Array, Array]:
    with torch.inference_mode():
        out = body(*(torch.from_numpy(x) for x in (labels.rotations, labels.shape, labels.translation)))
    return out.joints.numpy(), out.vertices.numpy()


def mean_pose(shards: Shards, most: int = 2000) -> tuple[Array, Array]:
    """Mean rotations [R, 3, 3] (nearest to the mean matrix) and mean shape [6] of labels."""
    some = [shards[index].people for index in range(0, len(shards), max(1, len(shards) // most))]
    total = np.concatenate([one.rotations for one in some]).mean(0)
    u, _, vt = np.linalg.svd(total)
    u[..., -1] *= np.linalg.det(u @ vt)[:, None]
    return (u @ vt).astype(np.float32), np.concatenate([one.shape for one in some]).mean(0)


def measure(
    model: MultiHMR, landmarks: LandmarkPeople, shards: Shards, train: Shards, samples: int | None = None
) -> dict[str, Any]:
    """The table, and who is how far off: (error mm, sample, true person, found person).

    Args:
        model, landmarks: what is measured.
        shards: held-out samples.
        train: samples whose mean pose is the baseline's.
        samples: the first so many; None: all.
    """
    body = AnnyBody(load_anny("10pc")).eval()
    rotations, shape = mean_pose(train)
    names = model.joint_names
    rows = {
        name: Row.new(names)
        for name in (
            *("multihmr-anny", "mean pose, of whom multihmr-anny finds", "landmarks"),
            *("multihmr-anny, of whom landmarks find", "landmarks, of whom multihmr-anny finds"),
        )
    }
    everybody: list[tuple[float, int, int, int]] = []
    count = min(len(shards), samples or len(shards))
    for index in range(count):
        sample = shards[index]
        labels, side = sample.people, sample.image.shape[1]
        truth = truth_of(labels, posed(body, labels)[1], sample.image.shape[1::-1])
        labels = labels.take(labels.translation[:, 2] > NEAREST)
        ours, theirs = (
            bodies(model(sample.image, sample.intrinsics)),
            bodies(landmarks(sample.image, sample.intrinsics)),
        )
        pairs = rows["multihmr-anny"].add(ours, truth, side)
        others = rows["landmarks"].add(theirs, truth, side)
        seen, seen_too = {j for _, j in pairs}, {j for _, j in others}
        n = len(labels)
        mean = replace(labels, rotations=np.tile(rotations, (n, 1, 1, 1)), shape=np.tile(shape, (n, 1)))
        joints, vertices = posed(body, mean)
        guess = Bodies(joints, truth.heads, vertices)
        rows["mean pose, of whom multihmr-anny finds"].add(guess, only(truth, seen), side)
        rows["multihmr-anny, of whom landmarks find"].add(ours, only(truth, seen_too), side)
        rows["landmarks, of whom multihmr-anny finds"].add(theirs, only(truth, seen), side)
        for i, j in pairs:
            assert ours.vertices is not None
            assert truth.vertices is not None
            offsets = ours.vertices[i] - ours.joints[i, :1], truth.vertices[j] - truth.joints[j, :1]
            everybody.append((float(1000 * np.linalg.norm(offsets[0] - offsets[1], axis=-1).mean()), index, j, i))
    summary = {name: {"all": row.everybody.summary(), "close": row.close.summary()} for name, row in rows.items()}
    return {"samples": count, "rows": summary, "people": everybody}


def write_table(result: dict[str, Any], out: Path) -> str:
    columns = (
        "people",
        "precision",
        "recall",
        "mpjpe",
        "pa_mpjpe",
        "pve",
        "pa_pve",
        "hands",
        "pa_hands",
        "position",
        "depth",
    )
    heads = "people | precision | recall | MPJPE | PA-MPJPE | PVE | PA-PVE | hands | PA-hands | position | depth"
    lines = [f"| | {heads} |", "| --- " * (len(columns) + 1) + "|"]
    for which in ("all", "close"):
        for name, both in result["rows"].items():
            row = both[which]
            found = "of whom" in name
            cells = []
            for column in columns:
                value = row.get(column, float("nan"))
                if column in ("precision", "recall"):
                    cells.append("" if found else f"{value:.2f}")
                else:
                    cells.append(f"{100 * value:.0f} %" if column == "depth" else f"{value:.0f}")
            lines.append(f"| {name}, {which} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    (out / "table.md").write_text(text)
    return text


# --- pictures


def overlay(view: MeshView, image: Array, people: People, faces: Array, scale: int = 1) -> Array:
    """Meshes over a picture, enlarged."""
    big = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    assert people.vertices is not None
    zoom = np.diag([scale, scale, 1.0])
    colours = [colour_of(k + 1) for k in range(len(people))]
    return np.asarray(view.draw(big, list(people.vertices), faces, zoom @ people.intrinsics, colours))


def sheet(shards: Shards, model: MultiHMR, people: list[Any], out: Path) -> None:
    """The median and the worst, each beside its picture."""
    order = sorted(people)
    close = [one for one in order if _extent(shards[one[1]].people, one[2]) > _CLOSE]
    parts = {"median": close[len(close) // 2 - 6 : len(close) // 2 + 6], "worst": close[-12:]}
    for name, some in parts.items():
        cells = []
        with MeshView() as view:
            for error, index, *_ in some:
                sample = shards[index]
                drawn = overlay(view, sample.image, model(sample.image, sample.intrinsics), model.faces)
                cell = np.hstack((sample.image, drawn))
                cv2.putText(
                    cell, f"{error:.0f} mm", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA
                )
                cells.append(cell)
        rows = [np.hstack(cells[k : k + 3]) for k in range(0, len(cells) - 2, 3)]
        if rows:
            cv2.imwrite(str(out / f"{name}.jpg"), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def _extent(people: PeopleLabels, person: int) -> float:
    points = people.take(people.translation[:, 2] > NEAREST).joints_2d[person]
    inside = points[((points >= 0) & (points < 1e4)).all(-1)]
    return float(np.ptp(inside, axis=0).max() / 224) if len(inside) else 0.0


def curve(log: Path, out: Path) -> None:
    """The losses and validations of a training, as a picture: each on its own scale, from its largest value to 0."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line for line in lines if "total" in line]
    checks = [(line["step"], line["validation"]) for line in lines if "validation" in line]
    shown = {
        name: [(line["step"], line[name]) for line in losses]
        for name in ("detection", "rotations", "joints", "distance")
    }
    for name in ("recall", "pve", "pa_pve"):
        shown[f"val {name}"] = [(step, values[name]) for step, values in checks if name in values]
    height, width, margin = 150, 420, 34
    tiles = []
    for name, points in shown.items():
        tile = np.full((height, width, 3), 255, np.uint8)
        if points:
            steps, values = np.array(points, float).T
            top = values.max() * 1.05
            x = margin + steps / max(steps.max(), 1) * (width - margin - 10)
            y = height - 20 - values / top * (height - 40)
            cv2.polylines(tile, [np.stack((x, y), 1).round().astype(np.int32)], False, (180, 90, 20), 2, cv2.LINE_AA)
            label = f"{name}: {values[0]:.3g} to {values[-1]:.3g}, {int(steps.max())} steps"
            cv2.putText(tile, label, (margin, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        cv2.line(tile, (margin, height - 20), (width - 10, height - 20), (120, 120, 120), 1)
        cv2.line(tile, (margin, 20), (margin, height - 20), (120, 120, 120), 1)
        tiles.append(tile)
    tiles += [np.full((height, width, 3), 255, np.uint8)] * (-len(tiles) % 2)
    picture = np.vstack([np.hstack(tiles[k : k + 2]) for k in range(0, len(tiles), 2)])
    cv2.imwrite(str(out / "curve.png"), picture)


# --- photographs


def photograph(model: MultiHMR, landmarks: LandmarkPeople, path: Path, out: Path) -> dict[str, Any]:
    """How far our bodies' 33 landmarks are from MediaPipe's in one photograph."""
    with open_source(str(path), realtime=False) as source:
        rgb = next(iter(source)).image
    people = model(rgb)
    landmarks.reset()
    marks = [body.landmarks for body in landmarks.tracker(rgb, 0.0)]
    points_of = LandmarkPoints(model.joint_names)
    own, seen = [], [mark.landmarks_2d for mark in marks]
    for k in range(len(people)):
        assert people.joints is not None
        rotations = smpl_from_anny(people.rotations[k].astype(np.float64))
        assert people.vertices is not None
        stature = float(np.ptp(people.vertices[k], axis=0).max())
        own.append(project(points_of(people.joints[k], rotations, stature or STATURE), people.intrinsics))
    pairs = []
    for mark in seen:
        extent = float(np.ptp(mark, axis=0).max())
        nearest = min(
            range(len(own)), key=lambda k: float(np.linalg.norm(own[k][:11].mean(0) - mark[:11].mean(0))), default=None
        )
        if nearest is not None and np.linalg.norm(own[nearest][:11].mean(0) - mark[:11].mean(0)) < 0.3 * extent:
            error = float(np.linalg.norm(own[nearest] - mark, axis=1).mean())
            pairs.append({"px": error, "of_extent": error / extent})
    with MeshView() as view:
        drawn = overlay(view, rgb, people, model.faces)
    cv2.imwrite(str(out / f"photo-{path.stem}.jpg"), drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return {
        "found": len(people),
        "by_landmarks": len(marks),
        "matched": pairs,
        "scores": people.scores.round(2).tolist(),
    }


@dataclass(frozen=True, kw_only=True)
class AnnyBenchOptions:
    """Options of the measurement.

    Attributes:
        bundle: what is measured.
        data: held-out samples.
        train: samples whose mean pose is the baseline's; without it, --data.
        samples: the first so many.
        photos: to be drawn on.
        log: log.jsonl of the training: its curve.
        threads: of the CPU.
        out: folder of the results.
    """

    bundle: str = "multihmr-anny"
    data: Path | None = None
    train: Path | None = None
    samples: int | None = None
    photos: tuple[Path, ...] = ()
    log: Path | None = None
    threads: int = 1
    out: Path


def main() -> int:
    options = parse(AnnyBenchOptions, text=__doc__.partition("\n")[0])
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    model = MultiHMR(options.bundle, threads=options.threads, topology="10pc")
    landmarks = LandmarkPeople(threads=options.threads)
    result: dict[str, Any] = {}
    if options.data:
        shards = Shards(options.data)
        result = measure(model, landmarks, shards, Shards(options.train or options.data), options.samples)
        print(write_table(result, options.out))
        sheet(shards, model, result.pop("people"), options.out)
    if options.log:
        curve(options.log, options.out)
    result["photos"] = {path.name: photograph(model, landmarks, path, options.out) for path in options.photos}
    for name, found in result["photos"].items():
        print(name, found)
    write_report(options.out / "result.json", result)
    return 0


if __name__ == "__main__":
    run_module(main)
