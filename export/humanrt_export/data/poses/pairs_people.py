"""Pairs for rotations: what a Multi-HMR on Anny sees of rendered moving people, beside the exact ground truth.

::

    python -m humanrt_export.data.poses.pairs_people --motions FILE --part train --out DIR --seed 1 --clips 40

A film depends only on (seed, index), see `synthetic.people.film`; each of its people is a clip:
people_SEED_INDEX.npz, people_SEED_INDEX_1.npz, ... Identities come from `PeopleTracker`, as in live use. Existing
clips are kept, so that a run can be resumed.

A clip is one .npz (T frames; camera axes x right, y down, z forward):

    t [T] s; observed [T, 24, 3, 3] rotations of SMPL's joints, NaN where lost; score [T], 0 where lost; confidence
    [T, 24], the score
    rotations [T, 24, 3, 3], ground truth, relative to parents, the root's to camera axes; keypoints [T, 0, 3], none
    source: command that made it; motion: its name
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES, smpl_from_anny
from humanrt.geometry.skeleton import SMPL_24
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline, PeopleResult
from humanrt.sources.opening import Frame
from humanrt_export.data.poses.clips import PairsConfig, follow, save_pairs
from humanrt_export.entry import run_module
from humanrt_export.motion.split import Part
from humanrt_export.options import Option, parse
from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.film import Film, draw_film, shoot_film
from humanrt_export.synthetic.people.options import EngineOptions
from humanrt_export.synthetic.people.sample import PeopleLabels
from humanrt_export.synthetic.people.style import find_style

__all__ = ["PeoplePairsConfig", "main", "make_pairs"]

Array = NDArray[Any]

_BODY = tuple(bone for bone in ANNY_BONES if not bone.startswith(("finger", "metacarpal")))
_NEAR = 0.4  # sizes of a body: a detection nearer than this is the person
_FPS = 30.0


@dataclass(frozen=True, kw_only=True)
class PeoplePairsConfig(PairsConfig):
    """Options of ``python -m humanrt_export.data.poses.pairs_people``.

    Attributes:
        out: folder; gets people_SEED_INDEX.npz.
        clips: number of films.
        motions: recordings (file, folder or archive); without any, people stand and gesture.
        part: part of the recordings.
        people: number of people in a film, 1 to 4.
        width: width of the picture in px; it is three quarters as high.
        style: appearance of the pictures.
    """

    clips: int = 12
    seconds: float = 2.5
    bundle: str = "multihmr-anny"
    motions: Annotated[Path | None, Option(metavar="PATH")] = None
    part: Part = "train"
    people: int = 2
    width: int = 448
    style: str = "randomised"


def make_pairs(config: PeoplePairsConfig) -> None:
    """Render films, look at them as in live use, and save what was seen beside the truth."""
    torch.set_num_threads(1)
    options = EngineOptions(
        size=config.width,
        height=config.width * 3 // 4 // 2 * 2,
        seed=config.seed,
        motions=config.motions,
        part=config.part,
        style=find_style(config.style),
    )
    with (
        PeopleEngine(options) as engine,
        PeoplePipeline(MultiHMR(config.bundle, "cpu", threads=1)) as pipeline,
    ):
        if pipeline.model.rig.bones != ANNY_BONES:
            raise SystemExit(f"--bundle {config.bundle}: its bones are not Anny's; films show Anny")

        def make(index: int) -> list[dict[str, Any]]:
            film = draw_film(engine, index, config.seconds, _FPS, config.people)
            return _seen(engine, film, index, pipeline, config)

        save_pairs(config, "people", make)


def _seen(
    engine: PeopleEngine, film: Film, index: int, pipeline: PeoplePipeline, config: PeoplePairsConfig
) -> list[dict[str, Any]]:
    """Return a clip of every person of a film."""
    pipeline.reset()
    results: list[PeopleResult] = []
    truth: list[PeopleLabels] = []
    for number, sample in enumerate(shoot_film(engine, film, index)):
        pipeline.intrinsics = sample.intrinsics.astype(np.float64)
        results.append(pipeline(Frame(sample.image, number / film.fps, number, cut=number == 0)))
        truth.append(sample.people)
    # A person is recognised by the body's joints in the picture.
    names = pipeline.model.joint_names
    seen = [_by_identity(result, [names.index(bone) for bone in _BODY]) for result in results]
    bones = [engine.joint_names.index(bone) for bone in _BODY]
    clips = []
    for person, motion in enumerate(film.clips):
        true = np.stack([labels.joints_2d[person, bones] for labels in truth]).astype(np.float64)
        chosen = follow([{id: at for id, (at, _, _) in people.items()} for people in seen], true, _NEAR)
        count = len(chosen)
        observed, score = np.full((count, len(SMPL_24), 3, 3), np.nan), np.zeros(count)
        for frame, id in enumerate(chosen):
            if id is not None:
                _, rotations, score[frame] = seen[frame][id]
                observed[frame] = smpl_from_anny(rotations)
        rotations = np.stack([labels.rotations[person] for labels in truth]).astype(np.float64)
        floats = {
            "observed": observed,
            "score": score,
            "confidence": np.repeat(score[:, None], len(SMPL_24), axis=1),
            "rotations": smpl_from_anny(rotations[:, : len(ANNY_BONES)]),
            "keypoints": np.zeros((count, 0, 3)),
            "visible": np.array([labels.visible[person] for labels in truth]),
        }
        clips.append(
            {
                "t": np.arange(count) / film.fps,
                "motion": motion,
                "source": f"humanrt_export.data.poses.pairs_people --seed {config.seed} --first {index} "
                f"--seconds {config.seconds:g} --people {config.people} --bundle {config.bundle}",
                **{name: np.asarray(value, np.float32) for name, value in floats.items()},
            }
        )
    return clips


def _by_identity(result: PeopleResult, body: list[int]) -> dict[int, tuple[Array, Array, float]]:
    """Return each person's joints of the body [K, 2] px, rotations [R, 3, 3] and score."""
    people = result.people
    assert people.joints_2d is not None
    return {
        id: (people.joints_2d[i, body].astype(np.float64), people.rotations[i].astype(np.float64), float(score))
        for i, (id, score) in enumerate(zip(result.ids, people.scores, strict=True))
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    prog = "python -m humanrt_export.data.poses.pairs_people"
    make_pairs(parse(PeoplePairsConfig, words, prog=prog, text="render films, look at them as live, and keep both"))
    return 0


if __name__ == "__main__":
    run_module(main)
