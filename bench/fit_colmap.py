"""``humanrt-export fit --cameras colmap`` on rendered films of people who hold still, against the truth.

    python bench/fit_truth.py --motions ../shared/mocap/cmu_asfamc.tar.xz --parts networks --work build/fit
    python bench/fit_colmap.py --work build/fit

The tallest person's true stature is what is given as scale. Needs pycolmap (the extra ``colmap``). Errors are of the
twelve limb joints in camera space, mm, medians over people who were accepted and frames: in place, about the pelvis,
and after a similarity; how far the cameras' centres are off after a similarity; focal length and size, as part of the
true ones.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.bundle.arrays import read_arrays
from humanrt.errors import SourceError
from humanrt.geometry.limbs import limb_indices
from humanrt.metrics.joints import procrustes_distances
from humanrt.stats import machine, write_report
from humanrt_export.commands.fit import FitConfig
from humanrt_export.commands.fit import run as fit
from humanrt_export.entry import run_module
from humanrt_export.multiview.fitting import PersonFitter
from humanrt_export.options import Option, parse

__all__ = ["ColmapBench", "errors_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ColmapBench:
    """Options of this measurement.

    Attributes:
        work: folder in whose ``films`` the rendered films lie; results are written there.
        films: numbers of those that are fitted.
    """

    work: Annotated[Path, Option(metavar="DIR")]
    films: tuple[int, ...] = (0, 1, 2)


def errors_of(film: Path, fitted: Path) -> dict[str, Any]:
    """Return how far a fit of a film is off, of whose camera nothing was known.

    Args:
        film: rendered, with its truth beside it.
        fitted: what ``humanrt-export fit`` wrote.
    """
    truth, found = (read_arrays(path, 1 << 32) for path in (film.with_suffix(".npz"), next(fitted.glob("*.npz"))))
    limbs = [limb_indices([str(name) for name in one["joint_names"]]) for one in (truth, found)]
    # A fit ends with the last frame whose camera COLMAP found.
    truth = truth | {name: truth[name][: len(found["joints"])] for name in ("joints", "to_world")}
    true, ours = (one["joints"].astype(np.float64)[:, :, some] for one, some in zip((truth, found), limbs, strict=True))
    roots = [[str(name) for name in one["joint_names"]].index("root") for one in (truth, found)]
    true_root, our_root = (
        one["joints"].astype(np.float64)[:, :, [root]] for one, root in zip((truth, found), roots, strict=True)
    )
    known = np.asarray(found["known"], bool)
    rows = []
    for person in np.flatnonzero(known.any(axis=0)).tolist():
        at = known[:, person]
        off = [
            float(np.median(np.linalg.norm(true[at, one] - ours[at, person], axis=-1))) for one in range(true.shape[1])
        ]
        one = int(np.argmin(off))
        a, b = ours[at, person], true[at, one]
        about = (a - our_root[at, person]) - (b - true_root[at, one])
        rows.append(
            {
                "in place": 1000 * off[one],
                "about the pelvis": 1000 * float(np.median(np.linalg.norm(about, axis=-1))),
                "after a similarity": 1000 * float(np.median(procrustes_distances(a, b))),
                "size": float(np.median(_size(a) / _size(b))),
            }
        )
    out: dict[str, Any] = {name: float(np.median([row[name] for row in rows])) for name in rows[0]} if rows else {}
    frames = np.isfinite(found["to_world"]).all(axis=(1, 2))
    centres, true_centres = (one["to_world"][frames, :3, 3].astype(np.float64)[None] for one in (found, truth))
    focal = np.median(np.broadcast_to(found["intrinsics"], (len(frames), 3, 3))[frames, 0, 0])
    return out | {
        "accepted": len(rows),
        "cameras": int(frames.sum()),
        "centres": 1000 * float(np.median(procrustes_distances(centres, true_centres))),
        "focal": float(focal / truth["intrinsics"][..., 0, 0].mean()),
    }


def _size(limbs: Array) -> Array:
    """Return how large people are [T]: the spread of their limb joints [T, 12, 3] m."""
    return np.asarray(np.linalg.norm(limbs - limbs.mean(axis=1, keepdims=True), axis=(1, 2)))


def main() -> int:
    given = parse(ColmapBench, text=__doc__.splitlines()[0])
    result: dict[str, Any] = {}
    films = {number: given.work / "films" / f"still{number}.mp4" for number in given.films}
    for film in films.values():
        if not film.is_file() or not film.with_suffix(".npz").is_file():
            raise SourceError(f"{film}: no such film with its truth; make it with bench/fit_truth.py --parts networks")
    with PersonFitter(load_bundle("holistic", task="people")) as fitter:
        tallest = {
            number: max(
                fitter.body.rest(shape.astype(np.float64))[1]
                for shape in read_arrays(film.with_suffix(".npz"), 1 << 32)["shape"][0]
            )
            for number, film in films.items()
        }
    for number, stature in tallest.items():
        film, out = films[number], given.work / "colmap" / f"still{number}"
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            fit(FitConfig(views=film, out=out, cameras="colmap", stature=stature))
            result[film.stem] = errors_of(film, out)
        except SourceError as error:
            result[film.stem] = {"refused": f"{error}"}
        sys.stdout.write(f"{film.stem}: {json.dumps(result[film.stem])}\n")
        sys.stdout.flush()
    write_report(given.work / "fit_colmap.json", result | {"machine": machine()})
    return 0


if __name__ == "__main__":
    run_module(main)
