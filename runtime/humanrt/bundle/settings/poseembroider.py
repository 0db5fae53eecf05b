"""Settings of bundles for the task ``poseembroider``."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_COUNT, MAX_IMAGE_SIZE, Section, Shapes
from humanrt.bundle.settings.text import TextSettings
from humanrt.errors import BundleError

__all__ = [
    "MODALITIES",
    "OPEN_EMBEDDER",
    "PUBLISHED_EMBEDDER",
    "OpenEmbedderSettings",
    "PoseEmbroiderSettings",
    "poseembroider_model",
]

OPEN_EMBEDDER, PUBLISHED_EMBEDDER = "pose-embedder", "published"
"""Kinds of bundles for the task ``poseembroider``; one that does not say is a published one."""
MODALITIES = ("image", "pose", "text")
"""What a bundle for the task ``poseembroider`` may embed, in the order of its core's inputs."""


@dataclass(frozen=True)
class PoseEmbroiderSettings:
    """Settings of a bundle for the task ``poseembroider``.

    Attributes:
        width: D, numbers of an embedding.
        modalities: what it has encoders of, some of `MODALITIES`.
        together: how many modalities its training combined at most.
        joints: names of a pose's joints, root first; empty without an encoder of poses.
        image_size: (height, width) of the network's picture, px; (0, 0) without an encoder of pictures.
        text: of the text encoder; None without it.
        words: number of WordPieces; ids of tokens are below it. 0 if it neither reads nor writes words.
        start, end, padding: ids of those marks.
        body_joints: names of the joints that the head of the body predicts; empty without that head.
        shapes: number of its shape coefficients.
        longest: tokens of the longest instruction; 0 without the head that writes them.
    """

    width: int
    modalities: tuple[str, ...]
    together: int
    joints: tuple[str, ...]
    image_size: tuple[int, int]
    text: TextSettings | None
    words: int
    start: int
    end: int
    padding: int
    body_joints: tuple[str, ...]
    shapes: int
    longest: int

    @classmethod
    def of(cls, bundle: Bundle) -> PoseEmbroiderSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        core = Shapes(bundle, "core")
        width = core.of("embeddings", 1, len(MODALITIES), "numbers")[2]
        core.of("given", 1, len(MODALITIES), dtype="bool")
        core.of("token", 1, width)
        core.of("predicted", 1, len(MODALITIES), width)
        text = TextSettings.of(bundle) if "text" in settings else None
        if text and text.width != width:
            raise settings.error("text", f"is of vectors of {text.width} numbers, and the core takes {width}")
        longest, words = _writes(bundle, width)
        if text and words not in (0, text.words):
            raise settings.error("text", f"has {text.words} words, and graph `write` {words}")
        words = text.words if text else words
        ids = (0, 0, 0)
        if words:
            marks = settings.section("marks")
            start, end, padding = (marks.integer(name, 0, words - 1) for name in ("start", "end", "padding"))
            ids = (start, end, padding)
        joints: tuple[str, ...] = ()
        if "pose" in bundle.graphs:
            shapes = Shapes(bundle, "pose")
            joints = settings.texts("joints", shapes.of("axis_angle", 1, "joints", 3)[1])
            shapes.of("vector", 1, width)
        body_joints, count = _body_of(bundle, settings, width)
        return cls(
            width,
            tuple(name for name in MODALITIES if (text if name == "text" else name in bundle.graphs)),
            settings.integer("together", 1, len(MODALITIES)),
            joints,
            _picture_size(bundle, settings, width),
            text,
            words,
            *ids,
            body_joints,
            count,
            longest,
        )


@dataclass(frozen=True)
class OpenEmbedderSettings:
    """Settings of a bundle for the task ``poseembroider`` whose ``settings.model`` is ``pose-embedder``: our own.

    Attributes:
        width: D, numbers of an embedding.
        joints: names of a pose's joints, root first.
        file: the list of words, one a line, in the order of their ids (`humanrt.editing.words`).
        count: of the words.
        longest: words of the longest text; of a longer one the rest is not read.
        unknown: largest share of words that are not in the list.
        landmarks: bundle with the landmark network that looks at pictures.
        picture_numbers: of what is read of a picture.
        pose_numbers, poses: of what is read of a pose, and poses read at once.
        body_joints: names of the joints that the head of the body predicts.
    """

    width: int
    joints: tuple[str, ...]
    file: str
    count: int
    longest: int
    unknown: float
    landmarks: str
    picture_numbers: int
    pose_numbers: int
    poses: int
    body_joints: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> OpenEmbedderSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        poseembroider_model(bundle, OPEN_EMBEDDER)
        words = settings.section("vocabulary")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        core = Shapes(bundle, "core")
        width = core.of("embeddings", 1, len(MODALITIES), "numbers")[2]
        core.of("given", 1, len(MODALITIES), dtype="bool")
        core.of("token", 1, width)
        core.of("predicted", 1, len(MODALITIES), width)
        text = Shapes(bundle, "text")
        longest = text.of("words", 1, "words", dtype="int64")[1]
        text.of("letters", 1, longest, "groups", dtype="int64")
        text.of("present", 1, longest)
        text.of("vector", 1, width)
        picture, pose = Shapes(bundle, "picture"), Shapes(bundle, "pose")
        picture.of("vector", 1, width)
        picture.of("heading", 1, 2)
        poses, numbers = pose.of("numbers", "poses", "numbers")
        pose.of("vectors", poses, width)
        joints = settings.texts("joints")
        body_joints, _ = _body_of(bundle, settings, width)
        return cls(
            width,
            joints,
            file,
            words.integer("count", 1, MAX_COUNT),
            longest,
            settings.number("unknown", 0.0, 1.0),
            settings.text("landmarks"),
            picture.of("numbers", 1, "numbers")[1],
            numbers,
            poses,
            body_joints,
        )


def poseembroider_model(bundle: Bundle, wanted: str | None = None) -> str:
    """Return the kind of a bundle for the task ``poseembroider``: `OPEN_EMBEDDER`, or `PUBLISHED_EMBEDDER`.

    Args:
        bundle: the bundle.
        wanted: the only kind that can be used.

    Raises:
        BundleError: none that is known, or not the one that is wanted.
    """
    settings = Section.of(bundle)
    kinds = [PUBLISHED_EMBEDDER, OPEN_EMBEDDER]
    kind = settings.choice("model", kinds) if "model" in settings else PUBLISHED_EMBEDDER
    if wanted not in (None, kind):
        raise BundleError(f"bundle {bundle.path} is a {kind} embedder, not {wanted}")
    return kind


def _picture_size(bundle: Bundle, settings: Section, width: int) -> tuple[int, int]:
    """Return (height, width) px of an embedder's picture; (0, 0) without an encoder of pictures."""
    if "image" not in bundle.graphs:
        return 0, 0
    shapes = Shapes(bundle, "image")
    shapes.of("vector", 1, width)
    height, across = shapes.of("image", 1, 3, "height", "width")[2:]
    if max(height, across) > MAX_IMAGE_SIZE:
        raise settings.error("image", f"is {height} x {across} px; at most {MAX_IMAGE_SIZE} are possible")
    return height, across


def _body_of(bundle: Bundle, settings: Section, width: int) -> tuple[tuple[str, ...], int]:
    """Return the joints of the head that reads a body, and the number of its shape coefficients; none without it."""
    if "body" not in bundle.graphs:
        return (), 0
    shapes = Shapes(bundle, "body")
    shapes.of("token", 1, width)
    joints = settings.texts("body_joints", shapes.of("rotations", 1, "joints", 3, 3)[1])
    return joints, shapes.of("shape", 1, "shapes")[1] if "shape" in shapes else 0


def _writes(bundle: Bundle, width: int) -> tuple[int, int]:
    """Return tokens of the longest instruction, and the number of words; zeros if there are no graphs that write."""
    if "write" not in bundle.graphs:
        return 0, 0
    compare, step = Shapes(bundle, "compare"), Shapes(bundle, "write")
    for name in ("token_a", "token_b"):
        compare.of(name, 1, width)
    _, blocks, numbers = compare.of("constants", 1, "blocks", "numbers")
    compare.of("memory", 1, 1, numbers)
    heads, longest, part = step.of("cache", blocks, 2, "heads", "places", "numbers")[2:]
    step.of("token", 1, dtype="int64")
    step.of("place", 1, dtype="int64")
    step.of("constants", 1, blocks, numbers)
    step.of("row", blocks, 2, heads, 1, part)
    return longest, step.of("logits", 1, "words")[1]
