"""Where one camera was that moved around people who hold still, found by COLMAP (the extra ``colmap``).

COLMAP finds the camera by what stands around the people, so there must be something with texture that does not move.
It knows no metres: the scene has those of its first pair of frames until somebody's height gives them
(``humanrt-export fit --stature``).
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanrt.errors import HumanrtError, SourceError
from humanrt.evaluation.calibrated import View
from humanrt.sources.opening import open_source
from humanrt_export.multiview.scene import Scene

__all__ = ["MOST_FRAMES", "scene_by_colmap"]

MOST_FRAMES = 60
"""Frames that are looked at, spread over the video."""

_LEAST = 8  # frames whose cameras are found
_PART = 0.5  # of the frames, likewise


def scene_by_colmap(video: Path, *, most: int = MOST_FRAMES, threads: int = 1) -> Scene:
    """Return the cameras of a video's frames, in units of their own.

    Args:
        video: of one camera that moves, and of people who do not.
        most: frames that are looked at.
        threads: of COLMAP.

    Raises:
        HumanrtError: pycolmap is not installed.
        SourceError: the video cannot be read, COLMAP fails, or finds the cameras of too few of its frames.
    """
    pycolmap = _pycolmap()
    with tempfile.TemporaryDirectory(prefix="humanrt-colmap-") as folder:
        frames, size, fps = _frames(video, Path(folder) / "frames", most)
        try:
            found = _mapped(pycolmap, Path(folder), threads)
        except (RuntimeError, ValueError, LookupError, OSError) as error:  # what C++ throws, in Python
            said = " ".join(f"{error}".split()) or type(error).__name__
            raise SourceError(
                f"{video}: COLMAP fails ({said}); is there space in {tempfile.gettempdir()}, and texture behind the "
                "people? Or give the cameras in calibration.json"
            ) from error
    if found is None or found.num_reg_images() < max(_LEAST, _PART * len(frames)):
        count = 0 if found is None else found.num_reg_images()
        raise SourceError(
            f"{video}: COLMAP finds the cameras of {count} of {len(frames)} frames; the camera must move, and textured "
            "things that hold still must be behind the people; or give the cameras in calibration.json"
        )
    views, numbers = [], []
    for image in sorted(found.images.values(), key=lambda image: str(image.name)):
        pose, camera = image.cam_from_world(), found.cameras[image.camera_id]
        # COLMAP counts pixels from the picture's corner, as humanrt does.
        K = np.asarray(camera.calibration_matrix(), np.float64)
        number = int(Path(image.name).stem)
        turn, place = np.asarray(pose.rotation.matrix(), np.float64), np.asarray(pose.translation, np.float64)
        views.append(View(f"{number}", video, K, turn, place, size))
        numbers.append(number)
    return Scene(tuple(views), tuple(numbers), 1, fps)


def _pycolmap() -> Any:
    try:
        return importlib.import_module("pycolmap")
    except ImportError as error:
        raise HumanrtError(
            f'--cameras colmap needs pycolmap ({error}): pip install "humanrt[colmap]", where it has wheels (Linux on '
            "x86-64, Windows, macOS); or give the cameras in calibration.json"
        ) from None


def _frames(video: Path, folder: Path, most: int) -> tuple[list[int], tuple[int, int], float]:
    """Write frames spread over a video as pictures; return their numbers, the size (width, height) px, and fps."""
    folder.mkdir()
    with open_source(video) as source:
        count, fps = sum(1 for _ in source), source.fps or 30.0
    wanted = sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
    size = (0, 0)
    with open_source(video) as source:
        for frame in source:
            if frame.index in wanted:
                size = (frame.image.shape[1], frame.image.shape[0])
                done, code = cv2.imencode(".png", frame.image[..., ::-1])
                if not done:
                    raise SourceError(f"{video}: frame {frame.index} cannot be encoded")
                try:
                    (folder / f"{frame.index:06d}.png").write_bytes(np.asarray(code).tobytes())
                except OSError as error:
                    raise SourceError(
                        f"{video}: its frames cannot be written to {folder} ({error.strerror}); "
                        "set TMPDIR to a folder with space"
                    ) from None
    return wanted, size, fps


def _mapped(pycolmap: Any, folder: Path, threads: int) -> Any | None:
    """Return COLMAP's largest reconstruction of the pictures in ``folder``/frames; None if there is none."""
    pycolmap.logging.minloglevel = 2
    pycolmap.set_random_seed(0)
    database, frames = folder / "database.db", folder / "frames"
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads, extraction.use_gpu = threads, False
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE"
    pycolmap.extract_features(
        database, frames, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader,
        extraction_options=extraction, device=pycolmap.Device.cpu,
    )  # fmt: skip
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads, matching.use_gpu = threads, False
    pycolmap.match_exhaustive(database, matching_options=matching, device=pycolmap.Device.cpu)
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.multiple_models = threads, False
    models = pycolmap.incremental_mapping(database, frames, folder, options)
    return max(models.values(), key=lambda model: model.num_reg_images(), default=None)
