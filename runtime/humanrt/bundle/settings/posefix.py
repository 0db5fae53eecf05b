"""Settings of bundles for the task ``posefix``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_COUNT, Section, Shapes
from humanrt.bundle.settings.text import TextSettings
from humanrt.errors import BundleError

__all__ = [
    "POSEFIX",
    "WRITER_MODES",
    "EditorSettings",
    "RetrievalSettings",
    "WordEditorSettings",
    "WriterSettings",
    "posefix_model",
]


@dataclass(frozen=True)
class EditorSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``editor``: a pose edited by words.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        text: of the text encoder.
        code: numbers of a latent code.
    """

    joints: tuple[str, ...]
    text: TextSettings
    code: int

    @classmethod
    def of(cls, bundle: Bundle) -> EditorSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "editor")
        joints, text = settings.texts("joints"), TextSettings.of(bundle)
        edit, reconstruct = Shapes(bundle, "edit"), Shapes(bundle, "reconstruct")
        code = edit.of("noise", 1, "numbers")[1]
        edit.of("text", 1, text.width)
        for shapes in (edit, reconstruct):
            shapes.of("pose", 1, len(joints), 3)
            shapes.of("rotations", 1, len(joints), 3, 3)
            for name in ("mean", "scale"):
                shapes.of(name, 1, code)
        return cls(joints, text, code)


@dataclass(frozen=True)
class WordEditorSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``word-editor``: our own editor.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        file: the list of words, one a line, in the order of their ids (`humanrt.editing.words`).
        count: of the words.
        channels: what it can change (`humanrt.editing.changes.CHANNELS`).
        places: where it can put hands (`humanrt.editing.changes.PLACES`).
        longest: words of the longest text; of a longer one the rest is not read.
        sure: least probability that a text asks for a change, for it to be done.
        unknown: largest share of words that are not in the list.
    """

    joints: tuple[str, ...]
    file: str
    count: int
    channels: tuple[str, ...]
    places: tuple[str, ...]
    longest: int
    sure: float
    unknown: float

    @classmethod
    def of(cls, bundle: Bundle) -> WordEditorSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "word-editor")
        words = settings.section("vocabulary")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        text, edit = Shapes(bundle, "text"), Shapes(bundle, "edit")
        longest = text.of("words", 1, "words", dtype="int64")[1]
        text.of("letters", 1, longest, "groups", dtype="int64")
        for name in ("numbers", "present"):
            text.of(name, 1, longest)
        vector = text.of("vector", 1, "numbers")[1]
        edit.of("text", 1, vector)
        channels = settings.texts("channels", edit.of("seen", 1, "channels", 3)[1])
        places = settings.texts("places", edit.of("place", 1, len(channels), "places")[2])
        for name in ("said", "absolute", "value"):
            edit.of(name, 1, len(channels))
        edit.of("way", 1, len(channels), 3)
        edit.of("sure", 1)
        return cls(
            settings.texts("joints"),
            file,
            words.integer("count", 1, MAX_COUNT),
            channels,
            places,
            longest,
            settings.number("sure", 0.0, 1.0),
            settings.number("unknown", 0.0, 1.0),
        )


WRITER_MODES = ("crossattention", "prompt")


@dataclass(frozen=True)
class WriterSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``writer``: words for two poses.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        mode: how the words see the poses, one of `WRITER_MODES`.
        words: how many words it knows.
        longest: tokens of the longest text.
        start, end, padding: ids of those marks.
    """

    joints: tuple[str, ...]
    mode: str
    words: int
    longest: int
    start: int
    end: int
    padding: int

    @classmethod
    def of(cls, bundle: Bundle) -> WriterSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "writer")
        joints, mode = settings.texts("joints"), settings.choice("mode", WRITER_MODES)
        compare, step = Shapes(bundle, "compare"), Shapes(bundle, "step")
        for name in ("pose_a", "pose_b"):
            compare.of(name, 1, len(joints), 3)
        blocks, _, heads, places, width = step.of("cache", "blocks", 2, "heads", "places", "numbers")
        words = step.of("logits", 1, "words")[1]
        step.of("token", 1, dtype="int64")
        step.of("place", 1, dtype="int64")
        step.of("row", blocks, 2, heads, 1, width)
        if mode == "prompt":
            begin = Shapes(bundle, "begin")
            begin.of("memory", *compare.of("memory", 1, "numbers"))
            begin.of("token", 1, dtype="int64")
            begin.of("logits", 1, words)
            begin.of("rows", blocks, 2, heads, 2, width)
        else:
            step.of("constants", *compare.of("constants", 1, blocks, "numbers"))
        longest = places - (mode == "prompt")
        if longest < 1:
            raise settings.error("mode", f"is {mode}, which leaves no place for words in a cache of {places}")
        start, end, padding = (settings.section("marks").integer(n, 0, words - 1) for n in ("start", "end", "padding"))
        return cls(joints, mode, words, longest, start, end, padding)


@dataclass(frozen=True)
class RetrievalSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``retrieval``.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        text: of the text encoder.
        pairs: whether pairs of poses are found, rather than single ones.
        temperature: what the products of unit vectors are multiplied by for the probabilities of a choice.
    """

    joints: tuple[str, ...]
    text: TextSettings
    pairs: bool
    temperature: float

    @classmethod
    def of(cls, bundle: Bundle) -> RetrievalSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "retrieval")
        joints, text = settings.texts("joints"), TextSettings.of(bundle)
        pairs = "pair" in bundle.graphs
        shapes = Shapes(bundle, "pair" if pairs else "pose")
        for name in ("pose_a", "pose_b") if pairs else ("pose",):
            shapes.of(name, 1, len(joints), 3)
        shapes.of("vector", 1, text.width)
        return cls(joints, text, pairs, settings.number("temperature", -1e6, 1e6))


_POSEFIX_CLASSES = {
    "editor": "PoseEditor",
    "word-editor": "PoseEditor",
    "writer": "PoseCoach",
    "retrieval": "PoseRetrieval",
}


def posefix_model(bundle: Bundle, wanted: str | None = None) -> str:
    """Return the kind of a bundle for the task ``posefix``.

    Args:
        bundle: the bundle.
        wanted: the only kind that can be used.

    Raises:
        BundleError: none that is known, or not the one that is wanted.
    """
    kind = Section.of(bundle).choice("model", list(POSEFIX))
    if wanted not in (None, kind):
        raise BundleError(
            f"bundle {bundle.path} is PoseFix's {kind}, not its {wanted}; {_POSEFIX_CLASSES[kind]} opens it"
        )
    return kind


POSEFIX: Mapping[
    str, type[EditorSettings] | type[WordEditorSettings] | type[WriterSettings] | type[RetrievalSettings]
] = {
    "editor": EditorSettings,
    "word-editor": WordEditorSettings,
    "writer": WriterSettings,
    "retrieval": RetrievalSettings,
}
