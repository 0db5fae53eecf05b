"""Truth that `humanrt-export fit` makes, against exact truth.

    python bench/fit_truth.py --motions ../shared/mocap/cmu_asfamc.tar.xz --work build/fit
    python bench/fit_truth.py --parts exact curves --work build/fit       no rendering, no networks

- ``exact``: people of random poses and shapes, landmarks without error: what is recovered.
- ``curves``: the same before four cameras, in motion, with errors of landmarks and cameras; what is accepted.
- ``networks``: rendered people who hold still (`humanrt-export data still`), seen by the landmark network.
- ``ranking``: everything that ships, scored on these films by the truth and by the fits (`fit_ranking`).
- ``real``: the man of ../shared/media/views: left-out views, halves of the views, silhouettes. There is no truth.
- ``pairs``: why halves of his views differ: angles between lines of sight, and whether left and right are exchanged.
- ``memory``: what is kept of one person in one picture.

Errors are of the twelve limb joints in place, mm. False: accepted, and off by more than 50 mm on average.
"""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fit_ranking import rank
from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.bundle.arrays import read_arrays
from humanrt.drawing.mesh_view import MeshView
from humanrt.evaluation.calibrated import View, triangulate
from humanrt.evaluation.running import RunOptions
from humanrt.files import opened_atomically, write_atomically
from humanrt.fitting.kernel import make_kernel
from humanrt.fitting.problem import Problem
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.inference.execution import Execution
from humanrt.metrics.silhouette import iou
from humanrt.stats import machine, write_report
from humanrt_export.commands.data import StillConfig, make_film
from humanrt_export.commands.fit import views_of
from humanrt_export.entry import run_module
from humanrt_export.multiview.acceptance import Verdict, halves, judge
from humanrt_export.multiview.dataset import Judged, write_data_set
from humanrt_export.multiview.fitting import SHAPE_SPREAD, PersonFit, PersonFitter, Views
from humanrt_export.multiview.persons import off_pixels, persons_of
from humanrt_export.multiview.scene import Scene, Sightings, load_scene, observe
from humanrt_export.multiview.silhouettes import Outline, outline_of
from humanrt_export.options import Option, parse
from kept import are_present

Array = NDArray[np.float64]

PARTS = ("exact", "curves", "networks", "ranking", "real", "pairs", "memory")
FALSE = 0.05  # m
SIZE = (1080, 1920)


@dataclass(frozen=True, kw_only=True)
class FitBench:
    """Options of this measurement.

    Attributes:
        work: folder for films, what networks saw of them, and results.
        motions: recordings for the rendered people; none: gestures.
        parts: what is measured.
        people: people of each point of the curves.
        times: of each of them.
        films: rendered, two people each.
        frames: of each film.
        ranked: frames of each film by which bundles are ranked.
        views: the real person before four cameras.
    """

    work: Annotated[Path, Option(metavar="DIR")]
    motions: Path | None = None
    parts: Annotated[tuple[str, ...], Option(choices=PARTS)] = PARTS
    people: int = 2
    times: int = 6
    films: int = 8
    frames: int = 16
    ranked: int = 5
    views: Path = Path(__file__).parents[2] / "shared" / "media" / "views"


# ---------------------------------------------------------------------------------------------- people by numbers


def cameras(angles: Sequence[float]) -> list[View]:
    """Return cameras at angles, rad, around the origin, 4 m away, that look at a point 1 m above it; z is up."""
    out = []
    K = np.array([[1500.0, 0, 540], [0, 1500, 960], [0, 0, 1]])
    for angle in angles:
        at = np.array([4 * np.cos(angle), 4 * np.sin(angle), 1.8])
        ahead = (np.array([0, 0, 1.0]) - at) / np.linalg.norm(np.array([0, 0, 1.0]) - at)
        right = np.cross(ahead, [0, 0, 1.0]) / np.linalg.norm(np.cross(ahead, [0, 0, 1.0]))
        R = np.stack([right, np.cross(ahead, right), ahead])
        out.append(View(f"{np.degrees(angle):.0f}", Path(), K, R, -R @ at, SIZE))
    return out


@dataclass(frozen=True)
class Somebody:
    """A person at T times.

    Attributes:
        points, joints: landmarks [T, 33, 3] m, joints [T, J, 3] m.
        shape, stature: phenotypes [6]; m.
        x, turn, place: variables [T, V] rad of the joints, rotation [T, 3, 3] of the root, and place [T, 3] m.
    """

    points: Array
    joints: Array
    shape: Array
    stature: float
    x: Array
    turn: Array
    place: Array


def somebody(fitter: PersonFitter, seed: int, times: int) -> Somebody:
    """Return an adult who moves from one random pose towards another, at 60 frames a second."""
    random, rig = np.random.default_rng([seed, 5]), fitter.body.rig
    shape = np.array([random.uniform(0, 1), 2 / 3, *random.uniform(0.3, 0.7, 2), random.normal(0.4, 0.06), 0.0])
    shape[5] = random.uniform(0.2, 0.8)
    reach = 0.5 * random.uniform(rig.lower - rig.rest, rig.upper - rig.rest, (2, len(rig.rest)))
    part = np.arange(times) / 60  # from one to the other in a second
    x = np.clip(rig.rest + (1 - part[:, None]) * reach[0] + part[:, None] * reach[1], rig.lower, rig.upper)
    turn = np.stack([matrices_from_vectors(np.array([0, 0, 6.28 * (seed % 7) / 7 + one])) for one in part])
    place = np.stack([part - 0.1, np.zeros(times), np.ones(times)], axis=1)
    points, joints = zip(*(posed(fitter, shape, x[t], turn[t], place[t]) for t in range(times)), strict=True)
    return Somebody(np.array(points), np.array(joints), shape, fitter.body.rest(shape)[1], x, turn, place)


def posed(fitter: PersonFitter, shape: Array, x: Array, turn: Array, place: Array) -> tuple[Array, Array]:
    """Return landmarks [33, 3] m and joints [J, 3] m of a shape in a pose."""
    rig = fitter.body.rig
    p = Problem.of(rig, rig.shape(shape, fitter.body.rest, ()), np.zeros(0), np.zeros(0))
    p.max_iterations = 1
    p.x[...], p.rotation[...], p.position[...] = x, turn, place
    make_kernel(p).solve()
    return p.place.copy(), rig.joints_of(rig.rotations(p.world), fitter.body.rest(shape)[0]) + p.origin[0]


def unsure(fitter: PersonFitter, person: Somebody, noise: float) -> Array:
    """Return how far each joint can lie off [J] m, one standard deviation, if landmarks are off by ``noise`` m.

    By the Jacobian of landmarks and joints at the person's first pose, by root, pose and shape, and the fit's priors.
    """
    x, turn, place = person.x[0], person.turn[0], person.place[0]
    solved, count = np.flatnonzero(SHAPE_SPREAD), len(x)
    spreads = np.full(6, 10.0), fitter.options.rest_spread * fitter.body.rig.spread, SHAPE_SPREAD[solved]
    spread = np.concatenate(spreads)
    steps = np.concatenate([np.full(6 + count, 1e-3), np.where(person.shape[solved] < 0.5, -1e-2, 1e-2)])
    here = posed(fitter, person.shape, x, turn, place)
    columns = []
    for k, step in enumerate(steps.tolist()):
        d = np.zeros(len(steps))
        d[k] = step
        shape = person.shape.copy()
        shape[solved] += d[6 + count :]
        there = posed(fitter, shape, x + d[6 : 6 + count], matrices_from_vectors(d[:3]) @ turn, place + d[3:6])
        columns.append([((b - a) / step * spread[k]).ravel() for a, b in zip(here, there, strict=True)])
    marks, joints = (np.stack(one, axis=1) for one in zip(*columns, strict=True))
    covariance = np.linalg.inv(marks.T @ marks / noise**2 + np.eye(len(steps)))
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", joints, covariance, joints).reshape(-1, 3).sum(axis=1)))


@dataclass(frozen=True)
class Errors:
    """What is wrong with landmarks and cameras: px, fraction, degrees; number of views, and degrees between them."""

    noise: float = 3.0
    outliers: float = 0.0
    camera: float = 0.0
    views: int = 4
    arc: float = 252.0


def seen(person: Somebody, errors: Errors, seed: int) -> Views:
    """Return what cameras see; their own errors are in what is said of them, not in the pictures."""
    random = np.random.default_rng([seed, 6])
    true = cameras(np.radians(np.linspace(0, errors.arc, errors.views)).tolist())
    pixels = np.stack([project(view.camera(person.points), view.K) for view in true])
    pixels += random.normal(0, 1, pixels.shape) * errors.noise
    wild = random.uniform(size=pixels.shape[:3]) < errors.outliers
    pixels += np.where(wild[..., None], random.uniform(-150, 150, pixels.shape), 0)
    said = []
    for view in true:
        turn = matrices_from_vectors(np.radians(errors.camera) * random.normal(size=3))
        said.append(replace(view, R=turn @ view.R, T=turn @ view.T))
    return Views(tuple(said), pixels, np.ones(pixels.shape[:3]), 60.0)


def exact(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Return what is recovered from landmarks without error: the largest errors, mm, and of which joints.

    ``unsure``: by how much joints are unknown if landmarks lie off by 0.2 mm; medians over people.
    """
    names = fitter.body.rig.joint_names
    some = [k for k, name in enumerate(names) if not name.startswith(("finger", "metacarpal", "toe"))]
    off, tall, known = [], [], []
    for seed in range(given.people * 6):
        person = somebody(fitter, 900 + seed, 1)
        known.append(1000 * unsure(fitter, person, 2e-4))
        fit = fitter.fit(seen(person, Errors(noise=0.0), seed))
        off.append(1000 * np.linalg.norm(fit.joints[0] - person.joints[0], axis=-1))
        tall.append(1000 * abs(fit.stature - person.stature))
    worst, open_to = np.max(off, axis=0), np.median(known, axis=0)
    return {
        "people": len(off),
        "limbs_max": float(worst[limb_indices(names)].max()),
        "body_max": float(worst[some].max()),
        "stature_max": max(tall),
        "worst": {names[k]: round(float(worst[k]), 2) for k in sorted(some, key=lambda k: -worst[k])[:5]},
        "unsure": {names[k]: round(float(open_to[k]), 2) for k in sorted(some, key=lambda k: -open_to[k])[:8]},
        "unsure_limbs": float(open_to[limb_indices(names)].max()),
    }


# What is wrong, and whether the fit is judged too, which takes eleven further fits.
SETTINGS: tuple[tuple[str, Errors, bool], ...] = (
    ("landmarks off by 1 px", Errors(noise=1), False),
    ("3 px", Errors(noise=3), True),
    ("10 px", Errors(noise=10), False),
    ("20 px", Errors(noise=20), True),
    ("3 px, 10 % outliers", Errors(outliers=0.1), False),
    ("3 px, 30 % outliers", Errors(outliers=0.3), True),
    ("3 px, cameras turned by 0.2 degrees", Errors(camera=0.2), False),
    ("3 px, cameras turned by 1 degree", Errors(camera=1.0), True),
    ("3 px, 2 views", Errors(views=2, arc=80), False),
    ("3 px, 3 views", Errors(views=3, arc=160), False),
    ("3 px, 6 views", Errors(views=6, arc=300), False),
    ("3 px, 4 views over 20 degrees", Errors(arc=20), False),
)


def curves(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Return errors and acceptance by what is wrong."""
    out = {}
    for name, errors, judged in SETTINGS:
        rows = []
        for seed in range(given.people):
            person = somebody(fitter, seed, given.times)
            views = seen(person, errors, seed)
            fit = fitter.fit(views)
            verdict = judge(fitter, views, fit, still=False) if judged else None
            rows.append((*_error(fit, person.joints), verdict))
        out[name] = _summary(rows)
        print(name, out[name], flush=True)
    return out


def _error(fit: PersonFit, joints: Array) -> tuple[Array, Array]:
    """Return errors of limb joints [T, 12] m, and their means [T]."""
    limbs = limb_indices(fit.joint_names)
    off = np.linalg.norm(fit.joints[:, limbs] - joints[:, limbs], axis=-1)
    return off, off.mean(axis=1)


def _summary(rows: Sequence[tuple[Array, Array, Verdict | None]]) -> dict[str, float]:
    off, mean = np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])
    out = {
        "times": float(len(mean)),
        "median": 1000 * float(np.median(off)),
        "p95": 1000 * float(np.percentile(off, 95)),
    }
    verdicts = [row[2] for row in rows if row[2] is not None]
    if verdicts:
        kept = np.concatenate([verdict.times for verdict in verdicts])
        out |= {"accepted": float(kept.mean()), "false": float((mean[kept] > FALSE).mean()) if kept.any() else 0.0}
        out["said"] = 1000 * float(np.median(np.concatenate([verdict.uncertainty for verdict in verdicts])))
        out["accepted_median"] = 1000 * float(np.median(off[kept])) if kept.any() else 0.0
    return out


# ---------------------------------------------------------------------------------------------- rendered people


def films(given: FitBench) -> Iterator[Path]:
    """Yield films of people who hold still; what is there is not made again."""
    for k in range(given.films):
        path = given.work / "films" / f"still{k}.mp4"
        if not path.with_suffix(".npz").is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            config = StillConfig(
                out=path, seed=2200 + k, people=2, width=640, height=640, fps=10.0, seconds=given.frames / 10,
                arc=(60.0, 90.0, 120.0)[k % 3], motions=given.motions, part="val" if given.motions else "train",
                style=("outdoor", "randomised")[k % 2],
            )  # fmt: skip
            make_film(config)
        yield path


def looked(scene: Scene, kept: Path) -> Sightings:
    """Return what the landmark network sees, from a file if it is there, of bundles that are the same now."""
    arrays = read_arrays(kept, 1 << 32) if kept.is_file() else {}
    if "bundles" in arrays and are_present(json.loads(str(arrays.pop("bundles")))):
        ends = arrays.pop("ends").tolist()
        points, normals = arrays.pop("points"), arrays.pop("normals")
        outlines = tuple(
            Outline(points[first:end], normals[first:end]) if end > first else None
            for first, end in zip([0, *ends[:-1]], ends, strict=True)
        )
        return Sightings(**arrays, outlines=outlines)
    with loaded_bundles() as used:
        seen = observe(scene, load_bundle("holistic", task="people"))
    some = [one for one in seen.outlines if one is not None]
    arrays = {name: value for name, value in vars(seen).items() if name != "outlines"}
    arrays["ends"] = np.cumsum([0 if one is None else len(one.points) for one in seen.outlines])
    for name in ("points", "normals"):
        arrays[name] = np.concatenate([np.zeros((0, 2), np.float32), *(getattr(one, name) for one in some)])
    with opened_atomically(kept) as stream:
        np.savez(stream, allow_pickle=False, bundles=np.array(json.dumps(used)), **arrays)
    return seen


def networks(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Fit what the landmark network sees of rendered people; return errors, and write the fits beside the films."""
    rows, people = [], []
    limbs = limb_indices(fitter.body.rig.joint_names)
    for path in films(given):
        scene = load_scene(path.with_suffix(".json"))
        looks = looked(scene, path.with_suffix(".seen.npz"))
        truth = read_arrays(path.with_suffix(".npz"), 1 << 32)
        to_world = truth["to_world"][0]
        joints = truth["joints"][0].astype(np.float64) @ to_world[:3, :3].T + to_world[:3, 3]
        judged: list[Judged] = []
        for at in persons_of(scene, looks):
            if (at >= 0).sum() < 8:
                continue
            views = views_of(scene, looks, at)
            fit = fitter.fit(views)
            verdict = judge(fitter, views, fit, still=True)
            nearest = min(joints, key=lambda one: float(np.linalg.norm(one[limbs] - fit.joints[0, limbs])))
            rows.append((*_error(fit, nearest[None]), verdict))
            people.append(f"{path.stem}: {1000 * rows[-1][1][0]:.0f} mm, {verdict.accepted} {list(verdict.reasons)}")
            print(people[-1], flush=True)
            judged.append(Judged(len(judged) + 1, views, fit, verdict))
        out = given.work / "fits" / path.stem
        shutil.rmtree(out, ignore_errors=True)
        write_data_set(out, scene, judged, fitter.body.rig.joint_names, {}, "fits of rendered people")
    return {**_summary(rows), "each": people}


def ranking(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Score bundles on the films, by the truth and by the fits."""
    how = RunOptions(max_frames=given.ranked, execution=Execution("cpu", threads=1))
    return rank(given.work / "films", given.work / "fits", how, given.work / "ranked")


def real(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Measure the fit of a real person by what it can be asked without truth."""
    scene = load_scene(given.views)
    looks = looked(scene, given.work / "views.seen.npz")
    at = persons_of(scene, looks)[0]
    views = views_of(scene, looks, at)
    fit = fitter.fit(views)
    limbs = limb_indices(fit.joint_names)
    out: dict[str, Any] = {"stature": fit.stature, "overlap": _overlap(fitter, scene, looks, at, fit)}
    marks, count = limb_indices(MEDIAPIPE_33), len(scene.views)
    for one in range(count):
        kept = [k for k in range(count) if k != one]
        off = off_pixels([scene.views[one]], fitter.fit(views.only(kept)).points, views.pixels[[one]])[0]
        sure = views.weight[one] > 0.5
        name = scene.views[one].name
        out[f"without {name}, px"] = float(np.median(off[sure]))
        out[f"without {name}, limbs px"] = float(np.median(off[:, marks][sure[:, marks]]))
    every = []
    for half in halves(count):
        part = fitter.fit(views.only(half))
        moved = 1000 * np.linalg.norm(part.joints[:, limbs] - fit.joints[:, limbs], axis=-1)
        every.append(moved)
        out[f"{' and '.join(scene.views[k].name for k in half)}, mm"] = float(np.median(moved))
        print(out, flush=True)
    return out | {"halves, mm": float(np.median(every))}


def pairs(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Return what two cameras say of the real person's landmarks against all, and how often sides are exchanged.

    In how many pictures landmarks lie nearer to what the other cameras say if left and right are exchanged: of all
    landmarks of the body, of the arms and of the legs; and by what factor they are nearer as they are, at least.
    """
    scene = load_scene(given.views)
    looks = looked(scene, given.work / "views.seen.npz")
    views = views_of(scene, looks, persons_of(scene, looks)[0])
    body = triangulate(views.cameras, views.pixels, views.weight + 1e-9, rounds=20)
    middle = np.nanmedian(body.reshape(-1, 3), axis=0)
    sights = [(middle - one.centre) / np.linalg.norm(middle - one.centre) for one in views.cameras]
    out: dict[str, Any] = {}
    for half in halves(len(sights)):
        some = views.only(half)
        moved = (triangulate(some.cameras, some.pixels, some.weight + 1e-9) - body)[:, 11:]  # without the face
        a, b = (sights[k] for k in half)
        along = np.abs(moved @ ((a - b) / np.linalg.norm(a - b)))
        out[" and ".join(one.name for one in some.cameras)] = {
            "degrees": float(np.degrees(np.arccos(a @ b))),
            "mm": 1000 * float(np.median(np.linalg.norm(moved, axis=-1))),
            "along, mm": 1000 * float(np.median(along)),
        }
    names = list(MEDIAPIPE_33)
    swap = {"left": "right", "right": "left"}
    other = [names.index("_".join(swap.get(part, part) for part in name.split("_"))) for name in names]
    for label, some_marks in (("body", range(11, 33)), ("arms", range(11, 23)), ("legs", range(23, 33))):
        marks, ratios = list(some_marks), []
        for k in range(len(sights)):
            rest, one = views.only([i for i in range(len(sights)) if i != k]), views.only([k])
            there = triangulate(rest.cameras, rest.pixels, rest.weight + 1e-9)
            costs = []
            for order in (list(range(33)), other):
                off = off_pixels(one.cameras, there, one.pixels[:, :, order])[0] / (0.05 * one.scale[0])[:, None]
                weight = one.weight[0][:, order][:, marks]
                costs.append(((off**2 / (1 + off**2))[:, marks] * weight).sum(axis=-1))
            ratios.append(costs[1] / costs[0])
        out[f"exchanged, {label}"] = {"pictures": int((np.array(ratios) < 1).sum()), "of": int(np.size(ratios)),
                                      "least": float(np.min(ratios))}  # fmt: skip
    return out


def _overlap(fitter: PersonFitter, scene: Scene, looks: Sightings, at: NDArray[np.intp], fit: PersonFit) -> float:
    """Return the mean IoU of the drawn body and the network's silhouettes, at every tenth time, both without holes."""
    values = []
    head = fit.joint_names.index("head")
    with MeshView(samples=0) as drawn:
        for t in range(0, scene.count, 10):
            mesh, joints = fitter.mesh.pose(fit.shape, fit.rotations[t])
            vertices = mesh - joints[fitter.mesh.joint_names.index("head")] + fit.joints[t, head]
            for k, view in enumerate(scene.views):
                drawn.size = view.size
                outline = looks.outlines[at[k, t]] if at[k, t] >= 0 else None
                if outline is None:
                    continue
                mask = drawn.mask([view.camera(vertices).astype(np.float32)], fitter.mesh.faces, view.K) > 0
                rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                values.append(iou(_filled(view, rims), _filled(view, [outline.points - 0.5])))
    return float(np.mean(values))


def _filled(view: View, rims: Sequence[Array]) -> NDArray[np.bool_]:
    """Return what lies within closed lines [N, 2] or [N, 1, 2] px, which count from the first pixel's centre."""
    mask = np.zeros(view.size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(one) * 16).astype(np.int32).reshape(-1, 1, 2) for one in rims], 1, shift=4)
    return np.asarray(mask > 0)


def memory(given: FitBench, fitter: PersonFitter) -> dict[str, Any]:
    """Return how many bytes are kept of each find, with as many points of its outline as there can be."""
    scene, times = Scene(tuple(cameras([0.0, 1.4, 2.8, 4.4])), None, 500, 60.0), np.arange(500)
    angles = np.linspace(0, 6.28, 256)
    disk = np.zeros((64, 64), np.uint8)
    cv2.fillPoly(disk, [(32 + 20 * np.c_[np.cos(angles), np.sin(angles)]).astype(np.int32)], 1)
    logits, crop = np.where(disk > 0, 127, -127).astype(np.int8), np.array([540, 960, 500, 0], np.float32)
    tracemalloc.start()
    rows = [
        (view, time, view, np.zeros((33, 2), np.float32), np.ones(33, np.float32), crop.copy())
        for view in range(4)
        for time in times.tolist()
    ]
    outlines = tuple(outline_of(logits, crop, SIZE) for _ in rows)
    looks = Sightings(*(np.array(column) for column in zip(*rows, strict=True)), outlines)
    del rows
    views = views_of(scene, looks, np.arange(2000).reshape(4, 500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert views.outlines[0][0] is not None
    return {"points": len(views.outlines[0][0].points), "bytes": peak / len(looks)}


def main() -> int:
    given = parse(FitBench, text=__doc__.splitlines()[0])
    cv2.setNumThreads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.work / "fit_truth.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    with PersonFitter(load_bundle("holistic", task="people")) as fitter:
        for part in given.parts:
            result[part] = _MEASURED[part](given, fitter)
            print(part, json.dumps(result[part], indent=1), flush=True)
            write_report(path, result | {"machine": machine()})
    write_atomically(given.work / "fit_truth.md", _table(result).encode())
    return 0


_MEASURED: Mapping[str, Callable[[FitBench, PersonFitter], dict[str, Any]]] = {
    "exact": exact, "curves": curves, "networks": networks, "ranking": ranking, "real": real,
    "pairs": pairs,
    "memory": memory,
}  # fmt: skip


def _table(result: dict[str, Any]) -> str:
    heads = ("median mm", "95 % mm", "accepted", "of these, median mm", "false", "half of the views, mm")
    lines = ["| | " + " | ".join(heads) + " |", "|" + " --- |" * (len(heads) + 1)]
    for name, row in [*result.get("curves", {}).items(), ("rendered people, networks", result.get("networks"))]:
        if row:
            cells = [f"{row['median']:.1f}", f"{row['p95']:.1f}"]
            if "accepted" in row:
                cells += [f"{row['accepted']:.0%}", f"{row['accepted_median']:.1f}", f"{row['false']:.1%}"]
                cells.append(f"{row['said']:.1f}")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_module(main)
