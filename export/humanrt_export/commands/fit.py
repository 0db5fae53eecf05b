"""``humanrt-export fit``: pictures of people from several places -> where they truly were, for ``humanrt evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from humanrt import __version__
from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.errors import HumanrtError
from humanrt_export.multiview.acceptance import Limits, judge
from humanrt_export.multiview.colmap import scene_by_colmap
from humanrt_export.multiview.dataset import Judged, check_out, write_data_set
from humanrt_export.multiview.fitting import PersonFitter, Views
from humanrt_export.multiview.persons import persons_of
from humanrt_export.multiview.scene import Scene, Sightings, load_scene, observe
from humanrt_export.options import Group, Option

__all__ = ["CONFIG", "FitConfig", "run", "views_of"]


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Options of ``humanrt-export fit``.

    Attributes:
        views: folder with calibration.json and the videos, or that file under any name: synchronous cameras, or one
            that moved around still people. With `--cameras colmap` the video of one that moved.
        out: a new folder, which `humanrt evaluate --format films` reads.
        cameras: file: they are in calibration.json; colmap: COLMAP finds them in the video (the extra `colmap`).
        stature: m, height of the tallest person: gives the scale if the cameras' is unknown.
        least: number of pictures somebody must be found in.
        threads: number of CPU threads.
        limits: what a fit must reach to be accepted.
    """

    views: Annotated[Path, Option(metavar="DIR", positional=True)]
    out: Annotated[Path, Option(metavar="DIR")]
    cameras: Literal["file", "colmap"] = "file"
    stature: float | None = None
    least: int = 8
    threads: int = 1
    limits: Annotated[Limits, Group(prefix="limit-")] = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.stature is not None and not 0.5 <= self.stature <= 2.5:
            raise HumanrtError(f"--stature is {self.stature:g} m; it must be 0.5 to 2.5")
        if self.cameras == "colmap" and self.stature is None:
            raise HumanrtError(
                "--cameras colmap knows no metres: give --stature, the height of the tallest person in m"
            )
        if self.threads < 1 or self.least < 2:
            raise HumanrtError("--threads must be at least 1, --least at least 2")


CONFIG = FitConfig


def run(config: FitConfig) -> int:
    """Fit everybody, and write the data set and the report."""
    check_out(config.out)
    if config.cameras == "colmap":
        _tell("COLMAP looks for the cameras")
        scene = scene_by_colmap(config.views, threads=config.threads)
    else:
        scene = load_scene(config.views)
    with loaded_bundles() as used:
        bundle = load_bundle("holistic", task="people")
        seen = observe(scene, bundle, threads=config.threads, progress=_tell)
    with PersonFitter(bundle) as fitter:
        scene, people = _fitted(config, scene, seen, fitter)
        report = _report(scene, people, config) | {"bundles": used}
        names = fitter.body.rig.joint_names
    write_data_set(config.out, scene, people, names, report, _about(people))
    _tell("")
    for one in report["people"]:
        print(_line(one))
    print(f"{config.out}: {report['accepted']} of {len(people)} people accepted")
    return 0


def views_of(scene: Scene, seen: Sightings, at: np.ndarray[Any, np.dtype[np.intp]]) -> Views:
    """Return what all cameras saw of the person whose sightings are ``at`` [V, T], -1: none."""
    there = at >= 0
    pixels = np.where(there[..., None, None], seen.pixels[at], 0.0).astype(np.float64)
    weight = np.where(there[..., None], seen.weight[at], 0.0).astype(np.float64)
    outlines = tuple(tuple(seen.outlines[row] if row >= 0 else None for row in rows) for rows in at.tolist())
    return Views(scene.views, pixels, weight, scene.fps, outlines)


def _fitted(config: FitConfig, scene: Scene, seen: Sightings, fitter: PersonFitter) -> tuple[Scene, list[Judged]]:
    """Return the scene in metres, and everybody who is found often enough."""
    found = persons_of(scene, seen)
    often = [at for at in found if (at >= 0).sum() >= config.least and (at >= 0).any(axis=1).sum() >= 2]
    seen_as = [views_of(scene, seen, at) for at in often]
    if config.stature is not None and seen_as:
        factor = config.stature / max(fitter.stature(views) for views in seen_as)
        scene = replace(scene, views=tuple(replace(view, T=factor * view.T) for view in scene.views))
        seen_as = [replace(views, cameras=scene.views) for views in seen_as]
    people = []
    for number, views in enumerate(seen_as, 1):
        _tell(f"person {number}: fitting")
        fit = fitter.fit(views)
        _tell(f"person {number}: fitting to parts of the views")
        verdict = judge(fitter, views, fit, still=scene.still, limits=config.limits)
        people.append(Judged(number, views, fit, verdict))
    return scene, people


def _report(scene: Scene, people: Sequence[Judged], config: FitConfig) -> dict[str, Any]:
    rows = [
        {
            "id": one.id,
            "accepted": one.verdict.accepted,
            "reasons": list(one.verdict.reasons),
            "pictures": int((one.views.weight.max(axis=-1) > 0).sum()),
            "stature_m": one.fit.stature,
            "shape": one.fit.shape.tolist(),
            **one.verdict.measures,
        }
        for one in people
    ]
    accepted = [one for one in people if one.verdict.accepted]
    return {
        "humanrt": __version__,
        "views": [view.name for view in scene.views],
        "kind": "still people, moving camera" if scene.still else "synchronous cameras",
        "times": scene.count,
        "scale": "a person's height" if config.stature else "the cameras' own metres",
        "limits": asdict(config.limits),
        "accepted": len(accepted),
        "people": [_plain(row) for row in rows],
    }


def _plain(value: Any) -> Any:
    """Return numbers that are not finite as None, which JSON has."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _about(people: Sequence[Judged]) -> str:
    off = [one.verdict.measures["stability_mm"]["median"] for one in people if one.verdict.accepted]
    unsure = f"{np.mean(off):.0f} mm" if off and np.isfinite(off).all() else "an unknown distance"
    return f"people fitted to several views, without fingers; with half of the views joints move by {unsure} (median)"


def _line(row: dict[str, Any]) -> str:
    off, moved = row["held_out_reprojection"]["median_px"], row["stability_mm"]["median"]
    parts = [f"person {row['id']}: {row['stature_m']:.2f} m"]
    if off is not None:
        parts.append(f"left-out views {off:.1f} px")
    if moved is not None:
        parts.append(f"half of the views {moved:.0f} mm")
    parts.append("accepted" if row["accepted"] else f"rejected: {'; '.join(row['reasons'])}")
    return ", ".join(parts)


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
