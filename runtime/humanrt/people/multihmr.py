"""MultiHMR: body meshes of the people in an image, in pixels of that image and in metres."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import MULTIHMR, MultiHmrSettings, face_indices, people_model, topology_of
from humanrt.checks import check_probability
from humanrt.errors import BundleError
from humanrt.geometry.camera import check_intrinsics, field_of_view_intrinsics, project
from humanrt.geometry.letterbox import Preprocessor
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.people.frame_runners import frame_runner
from humanrt.people.landmarks import Quality
from humanrt.people.multihmr_networks import Networks
from humanrt.people.refinement import BodyRefinement, check_refinable, quality_of
from humanrt.people.results import People
from humanrt.people.rig import BodyRig, open_rig
from humanrt.resource import releasing
from humanrt.sources.image import as_image
from humanrt.timing import Stopwatch

__all__ = ["AUTO", "DEFAULT_BUNDLE", "MultiHMR", "Preprocessor"]

DEFAULT_BUNDLE = "multihmr-anny"
"""The shipped bundle for people: finds more of them, more accurately, than `landmarks` (docs/use/people.md)."""

AUTO: Final = "auto"
"""Value of `fov` that selects the network's own estimate."""

_Image = NDArray[np.uint8] | str | Path


class MultiHMR(Model):
    """Recover the body meshes of all people in an image. Not thread-safe.

    >>> model = MultiHMR()                               # shipped bundle; or a folder of `humanrt-export multihmr`
    >>> people = model(rgb)                              # uint8 [H, W, 3] -> People, in px of the image and in metres
    >>> each = model([rgb, "photo.jpg"])                 # several images -> a list of People, by batches of the bundle

    Args:
        bundle: name or folder of a bundle for the task ``people``, or a loaded one; by default the shipped one.
        fov: degrees over the longer side of the image, assumed where no intrinsics are given; ``auto``: the network's
            own estimate, if it has one (Anny); None: the bundle's setting (60 degrees for NAVER's models, the estimate
            for our own on Anny). Depth is proportional to the focal length: a wrong angle moves people away or nearer.
        meshes: also compute vertices and joints. Otherwise the body model is not even loaded.
        topology: name of the mesh, if the bundle has several; None takes its first.
        refine: correct everybody's pose and place by the landmark network's points where it sees them
            (`humanrt.people.refinement`): ``fast``, ``balanced`` or ``best``, see `QUALITIES`; True is ``balanced``.
            For bundles on Anny. Not for `infer`, whose images have lost what these networks look at.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        faces: int32 [F, 3], triangles of every mesh.
        joint_names: [J] names of the joints.
        refine: one of `humanrt.people.landmarks.QUALITIES`; None: people stay as the network sees them.
        image_size: px, longer side of the network's input.
        input_size: (width, height) px of it.
        resize: how images are scaled to the network's input (`humanrt.geometry.letterbox`): the bundle's setting.

    Raises:
        BundleError, BackendError, CameraError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("__call__", "submit", "result", "posed", "infer")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = DEFAULT_BUNDLE,
        backend: Execution | Backend | str = "cpu",
        *,
        fov: float | Literal["auto"] | None = None,
        meshes: bool = True,
        topology: str | None = None,
        refine: bool | Quality = False,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "people", Execution.of(backend, execution))
        if people_model(self.bundle) != MULTIHMR:
            raise BundleError(
                f"bundle `{self.bundle.name}` is not Multi-HMR's: `humanrt.tasks.open_people` opens it (for the times "
                "of its stages: `humanrt run` with --record); give multihmr-anny or a bundle of "
                "`humanrt-export multihmr`"
            )
        self.refine = quality_of(refine)
        if self.refine is not None:
            check_refinable(self.bundle)
        settings = MultiHmrSettings.of(self.bundle)
        self.image_size = settings.image_size
        degrees = settings.field_of_view if fov is None or (isinstance(fov, str) and fov == AUTO) else fov
        self.input_size = settings.input_size
        self._intrinsics = field_of_view_intrinsics(self.input_size, degrees, settings.principal_point)
        self.fov = float(degrees)
        mesh = topology_of(self.bundle, settings, topology)
        self._topology = topology
        self._threshold = settings.threshold
        self.resize = settings.resize
        if fov == AUTO and not settings.estimates:
            raise BundleError(
                f"the network of bundle {self.bundle.name} does not estimate the field of view; give it in degrees, or "
                "leave it out"
            )
        if fov == AUTO or (fov is None and settings.estimated):
            self._intrinsics = np.zeros((3, 3))  # not known: the network estimates them
        self._networks = self.own(Networks(self.bundle, self.backend, settings, mesh if meshes else None))
        self._frames = self.own(frame_runner(self._networks, self._intrinsics))
        self._refinement = None if self.refine is None else self.own(BodyRefinement(self.refine, self.backend))
        self._unrefined: deque[tuple[NDArray[np.uint8], bool]] = deque()  # submitted images, and whether with meshes
        self.faces: NDArray[np.int32] = face_indices(self.bundle, mesh.faces, mesh.vertices)
        self.joint_names: tuple[str, ...] = settings.joint_names

    @cached_property
    def rig(self) -> BodyRig:
        """The skeleton and skin of the body, as animation programs understand them. SkeletonError: of another body."""
        return self.own(open_rig(self.bundle, self.backend, topology=self._topology))

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a name is a sequence of names, by its type
        self, rgb: _Image, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> People: ...

    @overload
    def __call__(
        self,
        rgb: Sequence[_Image],
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> list[People]: ...

    def __call__(
        self,
        rgb: _Image | Sequence[_Image],
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> People | list[People]:
        """Return the people in one image, or of each image of a list.

        Args:
            rgb: uint8 [H, W, 3], or the name of an image file; or a list or tuple of those, of any sizes: they fill
                batches of the network (``humanrt-export multihmr --batch``), of which the last is padded.
            intrinsics: K [3, 3] of the camera in px of this image; of a list one for all or [B, 3, 3]. None assumes
                `fov` and the image's centre.
            threshold: minimum score of a person, 0..1; None takes the bundle's (0.3 for the published models).

        Raises:
            ValueError: an image is not uint8 [H, W, 3], or the threshold is not a probability; or results of
                submitted images are still pending.
            CameraError: the intrinsics are not valid.
        """
        if self.in_flight:
            raise ValueError(f"{self.in_flight} submitted images are pending; take their results first")
        if isinstance(rgb, Sequence) and not isinstance(rgb, str):
            return self._each(rgb, intrinsics, threshold)
        self.submit(as_image(rgb), intrinsics, threshold)
        return self.result()

    def _each(self, images: Sequence[_Image], intrinsics: ArrayLike | None, threshold: float | None) -> list[People]:
        people: list[People] = []
        if not images:
            return people
        cameras = [None] * len(images) if intrinsics is None else list(check_intrinsics(intrinsics, len(images)))
        try:
            for index, (image, K) in enumerate(zip(images, cameras, strict=True)):
                try:
                    rgb = as_image(image)
                except ValueError as error:
                    raise ValueError(f"image {index} of the list: {error}") from None
                if self.full:
                    people.append(self.result())
                self.submit(rgb, K, threshold)
        finally:  # an image that is refused leaves nothing behind
            people += [self.result() for _ in range(self.in_flight)]
        return people

    @property
    def overlaps(self) -> bool:
        """Whether it pays to submit several images: on a GPU, and with a bundle for batches of more than one."""
        return self._frames.overlaps

    @property
    def in_flight(self) -> int:
        """Number of submitted images whose results were not taken."""
        return self._frames.in_flight

    @property
    def full(self) -> bool:
        """Whether a result must be taken before the next image is submitted."""
        return self._frames.full

    def submit(
        self,
        rgb: NDArray[np.uint8],
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        *,
        meshes: bool = True,
    ) -> None:
        """Submit an image to the network; `result` returns its people. Arguments and errors as for the call itself.

        On a GPU the next image is uploaded while this one is computed and the previous one downloaded (`full` tells
        when to take a result first). A bundle for batches of more than one computes when as many are submitted, or a
        result is asked for; else a CPU computes at once. With ``meshes=False`` the people have parameters
        only, from which `posed` makes meshes later.
        """
        threshold = self._checked(threshold)
        K = None if intrinsics is None else check_intrinsics(intrinsics)
        if self._refinement is None:
            self._frames.submit(rgb, K, threshold, meshes=meshes)
            return
        self._frames.submit(rgb, K, threshold, meshes=False)
        self._unrefined.append((rgb if self.overlaps is False else rgb.copy(), meshes))

    def result(self) -> People:
        """Return the people in the image submitted first.

        Raises:
            ValueError: no image is pending.
        """
        people = self._frames.result()
        if self._refinement is None:
            return people
        rgb, meshes = self._unrefined.popleft()
        refined = self._refinement(rgb, people)
        if not meshes or self._networks.body is None:
            return refined
        watch = Stopwatch()
        posed = self.posed(refined)
        watch.lap("body")
        return replace(posed, ms={**posed.ms, "body": posed.ms["body"] + watch.ms["body"]})

    def posed(self, people: People) -> People:
        """Return people with the vertices and joints of their parameters, such as smoothed ones.

        Of a model without meshes (``meshes=False``) they are returned as they are.
        """
        body = self._networks.body
        if body is None:
            return people
        parameters = {
            "translation": people.translations,
            "rotations": people.rotations,
            "shape": people.shape,
            "expression": people.expression,
        }
        vertices, joints = body.posed(parameters)
        pixels = project(joints, people.intrinsics).astype(np.float32)
        return replace(people, vertices=vertices, joints=joints, joints_2d=pixels)

    def _checked(self, threshold: float | None) -> float:
        check_probability(threshold, "threshold")
        return self._threshold if threshold is None else float(threshold)

    def infer(
        self, images: NDArray[np.float32], intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> list[People]:
        """Return the people in images that are already in the network's input format, in pixels of this input.

        Args:
            images: float32 [B, 3, H, W] of `input_size`: RGB, letterboxed, normalised. Any B: the bundle's batch is
                padded. No people are found in an image that holds NaN or infinity; an image of zeros is treated like
                any other.
            intrinsics: K [B, 3, 3] or [3, 3], px of this input; None assumes `fov` and the centre.
            threshold: minimum score of a person, 0..1; None takes the bundle's.

        Returns:
            B results. `People.ms` is the time of all the images of a run together.

        Raises:
            ValueError: images of another shape or dtype, or the threshold is not a probability.
            CameraError: the intrinsics are not valid.
        """
        images = np.asarray(images)
        width, height = self.input_size
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != (3, height, width):
            raise ValueError(
                f"images must be float32 [B, 3, {height}, {width}], not {images.dtype} {list(images.shape)}; "
                "call the model itself for uint8 images of any size"
            )
        K = np.broadcast_to(self._intrinsics, (len(images), 3, 3))
        if intrinsics is not None:
            K = check_intrinsics(intrinsics, len(images))
        people: list[People] = []
        batch = self._networks.shape[0]
        for start in range(0, len(images), batch):
            watch = Stopwatch()
            some, cameras = images[start : start + batch], K[start : start + batch]
            count = len(some)
            if count < batch:  # shapes are static: the batch is padded, and the padding ignored
                some = np.concatenate((some, np.zeros((batch - count, *some.shape[1:]), np.float32)))
                cameras = np.concatenate((cameras, np.broadcast_to(self._intrinsics, (batch - count, 3, 3))))
            people += self._networks.people(some, cameras, self._checked(threshold), watch, [None] * count)
        return people
