"""Bundles over a data set: every clip of every bundle to `Scores`, of which files are kept and not made twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import MANIFEST, Bundle, loaded_bundles
from humanrt.bundle.manifest import add_named
from humanrt.drawing.mesh_view import MeshView
from humanrt.errors import HumanrtError, choices
from humanrt.evaluation.correspondence import Correspondence, correspond
from humanrt.evaluation.dataset import Clip, DataSet, Root, Shot
from humanrt.evaluation.scoring import ClipScorer, Predicted, Scores
from humanrt.files import file_sha256
from humanrt.inference.execution import Execution
from humanrt.metrics.matching import MATCHERS, MIN_OVERLAP
from humanrt.people.rig import BodyRig, open_rig
from humanrt.tasks import AnyPeoplePipeline, PeopleOptions, named_quality, open_people

__all__ = ["Candidate", "Run", "RunOptions", "file_name", "score_bundles", "scores_depend_on"]

Array = NDArray[Any]

_VERSION = 3  # of what a file of scores holds: raised whenever the same bundle, data and options score otherwise


@dataclass(frozen=True)
class RunOptions:
    """How bundles are scored.

    Attributes:
        matcher: who is who, one of `MATCHERS`.
        min_overlap: minimum IoU of the boxes of a pair's limb joints.
        root: where people are aligned; None: as the data set's own papers do.
        silhouettes: draw meshes and compare silhouettes, where the data has any (needs EGL).
        smooth: how people of a film are smoothed; None: as the bundle does.
        max_frames: of each clip; None: all.
        options: further fields of `PeopleOptions`.
        execution: where and how the networks run.
    """

    matcher: str = next(iter(MATCHERS))
    min_overlap: float = MIN_OVERLAP
    root: Root | None = None
    silhouettes: bool = False
    smooth: str | None = None
    max_frames: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    execution: Execution = field(default_factory=lambda: Execution(backend="cpu"))

    def __post_init__(self) -> None:
        if self.matcher not in MATCHERS:
            raise HumanrtError(f"unknown matcher `{self.matcher}`; choose one of: {choices(MATCHERS)}")
        if not 0 <= self.min_overlap < 1:
            raise HumanrtError(f"the minimum overlap is {self.min_overlap:g}; give an IoU from 0 up to 1")

    def results_depend_on(self) -> dict[str, str]:
        """Return what scores of other options differ by: the number of threads is not part of it."""
        execution = self.execution
        backend = execution.backend if isinstance(execution.backend, str) else execution.backend.name
        values = {**vars(self), "execution": f"{backend} {execution.precision}"}
        return {name: str(value) for name, value in sorted(values.items())}


def scores_depend_on(
    data: DataSet, clip: Clip, options: RunOptions, bundles: Mapping[str, str], of: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what is kept beside the scores of a clip (`Scores.save`): they are made again where any of it is another.

    Args:
        data, clip, options: what is scored, and how.
        bundles: every bundle that the results are made by: name -> SHA-256 of its manifest.
        of: options of the candidate's own.
    """
    return {
        "version": _VERSION,
        "bundles": bundles,
        "of": dict(of or {}),
        "options": options.results_depend_on(),
        "format": data.name,
        "clip": clip.name,
        "content": clip.version,
    }


@dataclass(frozen=True)
class Candidate:
    """A bundle under test.

    Attributes:
        name: in reports, as it was asked for.
        bundle: the loaded bundle.
        options: of `PeopleOptions`, that it was asked for with.
    """

    name: str
    bundle: Bundle
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Candidate:
        """Return the candidate of ``NAME|PATH[:QUALITY]``. BundleError if there is no such bundle."""
        bundle, options = named_quality(text)
        return cls(Path(text).name, bundle, options)


@dataclass(frozen=True)
class Run:
    """What was scored of one bundle.

    Attributes:
        name: of the candidate.
        clips: scores by the name of the clip.
        joints: which joints were compared; of the first clip.
        vertices: number of vertices of the bundle's mesh; PVE of another mesh is another metric.
        bundles: every bundle that the results are made by, the companions included: name -> SHA-256 of its manifest;
            names of `humanrt.bundle.manifest.add_named`, as a companion may have the name of the candidate's folder.
    """

    name: str
    clips: Mapping[str, Scores]
    joints: Correspondence
    vertices: int = 0
    bundles: Mapping[str, str] = field(default_factory=dict)


def score_bundles(
    candidates: Sequence[Candidate],
    data: DataSet,
    options: RunOptions,
    out: Path | None = None,
    progress: Callable[[str, str, int], None] = lambda bundle, clip, frames: None,
) -> list[Run]:
    """Score bundles on all clips of a data set.

    Args:
        candidates: the bundles.
        data: the data set.
        options: how.
        out: folder where the scores of each clip are kept: the same command then goes on where it was cut off. None:
            nothing is kept. Scores are made again whose bundle, companions of it, data or options are others now.
        progress: is told bundle, clip and number of frames, after every frame.

    Raises:
        HumanrtError: the data or a bundle is damaged, or the joints of the two cannot be compared.
    """
    names = [candidate.name for candidate in candidates]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise HumanrtError(f"bundle `{repeated[0]}` is given twice, or two bundles have this name; rename a folder")
    return [_run(candidate, data, options, out, progress) for candidate in candidates]


def _run(
    candidate: Candidate,
    data: DataSet,
    options: RunOptions,
    out: Path | None,
    progress: Callable[[str, str, int], None],
) -> Run:
    kept: dict[str, Scores] = {}
    correspondence: Correspondence | None = None
    # Opened even if all scores are there: only so it is known which other bundles it works with.
    with _Tested(candidate, options) as tested:
        for clip in data.clips:
            file = None if out is None else out / "scores" / file_name(candidate.name) / f"{file_name(clip.name)}.npz"
            clip_about = scores_depend_on(data, clip, options, tested.bundles, candidate.options)
            scores = None if file is None else Scores.load(file, clip_about)
            if scores is None or correspondence is None:
                correspondence = correspond(tested.joint_names, clip.joint_names, options.root or data.root)
            if scores is None:
                scores = tested.score(clip, correspondence, partial(progress, candidate.name, clip.name))
                if file is not None:
                    scores.save(file, clip_about)
            kept[clip.name] = scores
        assert correspondence is not None
        vertices = int(tested.pipeline.model.faces.max()) + 1
    return Run(candidate.name, kept, correspondence, vertices, tested.bundles)


def file_name(name: str) -> str:
    """Return a name as a path below a folder, whatever it is: without what file systems refuse, and never upwards."""
    parts = ("".join(c if c.isalnum() or c in "._-+" else "_" for c in part) for part in name.split("/"))
    return "/".join(part for part in parts if part.strip(".")) or "_"


class _Tested(ExitStack):
    """An open bundle under test."""

    def __init__(self, candidate: Candidate, options: RunOptions) -> None:
        super().__init__()
        self._options = options
        try:
            people = PeopleOptions(smooth=options.smooth, **{**options.options, **candidate.options})
            with loaded_bundles() as companions:
                self.pipeline: AnyPeoplePipeline = open_people(candidate.bundle, options.execution, people)
            own = candidate.bundle.path
            self.bundles = dict(companions)
            add_named(self.bundles, own.name, file_sha256(own / MANIFEST))
            self.callback(self.pipeline.close)
            self._rig: BodyRig | None = None
            self._no_rig = False
            self._bundle = candidate.bundle
            self._view = self.enter_context(MeshView(samples=0)) if options.silhouettes else None
        except BaseException:
            self.close()
            raise

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(self.pipeline.model.joint_names)

    def score(self, clip: Clip, joints: Correspondence, progress: Callable[[int], None]) -> Scores:
        scorer = ClipScorer(clip, joints, MATCHERS[self._options.matcher], self._options.min_overlap)
        self.pipeline.reset()
        for number, shot in enumerate(clip.shots()):
            if number == self._options.max_frames:
                break
            if shot.frame.cut or not clip.film:
                self.pipeline.reset()
            self.pipeline.intrinsics = shot.intrinsics
            # The first frame of a film is no photograph, in which people are kept whom the next frames do not show.
            people = self.pipeline(replace(shot.frame, cut=not clip.film)).people
            assert people.joints is not None
            found = Predicted(tuple(range(len(people))), people.joints, people.vertices)
            silhouettes = None
            if self._view is not None and shot.people.masks is not None and people.vertices is not None:
                height, width = shot.frame.image.shape[:2]
                self._view.size = (width, height)
                silhouettes = self._view.mask(list(people.vertices), self.pipeline.model.faces, shot.intrinsics)
            scorer.add(shot, found, silhouettes, self._true_vertices(shot, people.vertices))
            progress(number + 1)
        return scorer.finish()

    def _true_vertices(self, shot: Shot, predicted: Array | None) -> Array | None:
        """Return [N, V, 3] m of the true people on the bundle's own mesh; None where they have none."""
        people = shot.people
        if predicted is None:
            return None
        if people.vertices is not None:
            return people.vertices if people.vertices.shape[1] == predicted.shape[1] else None
        if people.parameters is None or self._no_rig:
            return None
        if self._rig is None:
            self._rig = self._open_rig()
        rig, given = self._rig, people.parameters
        if rig is None or given.sizes != (len(rig.bones), len(rig.default_shape)):
            self._no_rig = True
            return None
        vertices = np.full((len(people), predicted.shape[1], 3), np.nan)
        for j in np.flatnonzero(people.wanted):
            mesh, posed = rig.pose(given.shape[j], given.rotations[j])
            vertices[j] = mesh - posed[rig.joint_names.index("head")] + given.heads[j]
        return vertices

    def _open_rig(self) -> BodyRig | None:
        try:
            return self.enter_context(open_rig(self._bundle, topology=self._options.options.get("topology")))
        except HumanrtError:  # a body whose bones this version does not know: no vertices, everything else
            return None
