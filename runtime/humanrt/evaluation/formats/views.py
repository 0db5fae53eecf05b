"""One person before several synchronous calibrated cameras: calibration.json and a video of each camera.

Every camera is a film; where the person is, the cameras together say (`humanrt.evaluation.calibrated`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np

from humanrt.evaluation.calibrated import CALIBRATION, View, ViewsTruth, frames_of, load_truth, load_views
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import version_of
from humanrt.geometry.limbs import LIMBS
from humanrt.sources.opening import open_source

__all__ = ["read_views"]

_ABOUT = "one real person; joints on which landmarks of all views agree, 15 to 20 mm uncertain"


def read_views(folder: Path) -> DataSet:
    """Return the cameras of a folder. The truth is made when the first picture is asked for, and kept in the cache."""
    views = load_views(folder)
    truth = cache(partial(load_truth, views))
    version = version_of(folder / CALIBRATION, *(view.video for view in views))
    clips = []
    for number, view in enumerate(views):
        with open_source(view.video) as source:
            fps = source.fps or 30.0
        clips.append(Clip(view.name, partial(_shots, view, number, truth), LIMBS, fps=fps, version=version))
    return DataSet("views", tuple(clips), "hips", everybody=False, about=_ABOUT)


def _shots(view: View, number: int, truth: Callable[[], ViewsTruth]) -> Iterator[Shot]:
    known = truth()
    joints = view.camera(known.joints)
    for frame in frames_of(view):
        if frame.index >= len(joints):
            break

        def mask(person: int, index: int = frame.index) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
            return known.silhouette(number, index, view.size)

        people = TruePeople(joints[None, frame.index], (0,), np.ones(1, bool), np.full(1, np.nan), masks=mask)
        yield Shot(frame, people, view.K)
