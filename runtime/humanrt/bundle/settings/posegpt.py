"""Settings of bundles for the task ``posegpt``."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import MANIFEST, Bundle
from humanrt.bundle.settings.section import MAX_COUNT, Section, Shapes
from humanrt.errors import BundleError

__all__ = ["POSEGPT_VARIANTS", "UP_AXES", "PoseGptSettings", "StreamingGptSettings", "posegpt_model"]

POSEGPT_VARIANTS = ("causal", "online", "offline")
UP_AXES = ("x", "y", "z", "-x", "-y", "-z")


@dataclass(frozen=True)
class PoseGptSettings:
    """Settings of a bundle for the task ``posegpt``.

    Attributes:
        clock_hz: frames per second of its motion.
        joints: names of the joints whose rotations make a pose, root first.
        parents: indices of their parents, each before its children; -1 for the root.
        up: axis of the motion's world that points up, one of `UP_AXES`.
        factor: frames of a token.
        window: N, the largest number of tokens of a sequence.
        books, codes: number of books, and of codes in each.
        latent: numbers of a token before quantisation.
        variant: ``causal``: the encoder sees no later frame; ``online``: nor does the decoder, but for the next token;
            ``offline``: both see all.
        tail: how many of a decoded sequence's last frames change when it goes on, by the decoder's convolutions; of
            ``online`` bundles no others do.
        labels: names of the labels that generation takes, in the order of a k-hot label; empty if it takes none.
        durations: (shortest, longest) frames of a generated motion that the network was trained for.
        generates: whether the bundle has a GPT; without one it encodes and decodes.
    """

    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    up: str
    factor: int
    window: int
    books: int
    codes: int
    latent: int
    variant: str
    tail: int
    labels: tuple[str, ...]
    durations: tuple[int, int]
    generates: bool

    @classmethod
    def of(cls, bundle: Bundle) -> PoseGptSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        factor = settings.integer("factor", 1, 1024)
        encoder, decoder = Shapes(bundle, "encoder"), Shapes(bundle, "decoder")
        _, window, books = encoder.of("tokens", 1, "tokens", "books", dtype="int64")
        frames = window * factor
        width = encoder.of("motion", 1, frames, "numbers")[2]
        for name in ("present", "valid"):
            encoder.of(name, 1, frames, dtype="bool")
        latent = encoder.of("latents", 1, window, "numbers")[2]
        joints = settings.texts("joints", max(1, (width - 3) // 6))
        encoder.of("motion", 1, frames, 6 * len(joints) + 3)
        decoder.of("tokens", 1, window, books, dtype="int64")
        decoder.of("present", 1, window, dtype="bool")
        decoder.of("rotations", 1, frames, len(joints), 3, 3)
        decoder.of("deltas", 1, frames, 3)
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        codes = settings.integer("codes", 1, MAX_COUNT)
        labels = settings.texts("labels", default=())
        durations = settings.integers("durations", 1, frames, 2)
        if durations[0] > durations[1]:
            raise settings.error("durations", f"must be increasing, not {list(durations)}")
        generates = "gpt" in bundle.graphs
        if generates:
            _check_gpt(bundle, window, books, codes, len(labels))
        return cls(
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.choice("up", UP_AXES),
            factor,
            window,
            books,
            codes,
            latent,
            settings.choice("variant", POSEGPT_VARIANTS),
            settings.integer("tail", 0, frames),
            labels,
            (durations[0], durations[1]),
            generates,
        )


def _check_gpt(bundle: Bundle, window: int, books: int, codes: int, labels: int) -> None:
    """Check the shapes of a PoseGPT's two graphs of the GPT. BundleError names what does not fit."""
    whole, step = Shapes(bundle, "gpt"), Shapes(bundle, "gpt_step")
    whole.of("tokens", 1, window, books, dtype="int64")
    whole.of("logits", 1, window, books, codes)
    blocks, _, _, heads, _, width = whole.of("cache", "blocks", 2, 1, "heads", window, "numbers")
    step.of("token", 1, books, dtype="int64")
    step.of("position", 1, dtype="int64")
    step.of("cache", blocks, 2, 1, heads, window, width)
    step.of("logits", 1, 1, books, codes)
    step.of("row", blocks, 2, 1, heads, 1, width)
    for shapes in (whole, step):
        if labels:
            shapes.of("label", 1, labels)
        if "duration" in shapes:
            shapes.of("duration", 1, dtype="int64")


@dataclass(frozen=True)
class StreamingGptSettings:
    """Settings of a bundle for the task ``posegpt`` whose ``settings.model`` is ``streaming``: our own networks.

    Attributes:
        clock_hz: frames per second of its motion.
        joints: names of the joints whose rotations make a pose, root first.
        parents: indices of their parents, each before its children; -1 for the root.
        up: axis of the motion's world that points up.
        factor: frames of a token.
        reach: how many tokens back encoder and decoder look.
        books, codes: number of books, and of codes in each.
        labels: names of the labels.
    """

    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    up: str
    factor: int
    reach: int
    books: int
    codes: int
    labels: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> StreamingGptSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        settings.choice("model", ["streaming"])
        factor, reach = settings.integer("factor", 1, 1024), settings.integer("reach", 0, 1024)
        encoder, decoder = (Shapes(bundle, name) for name in ("encoder", "decoder"))
        joints = settings.texts("joints")
        numbers = 6 * len(joints) + 4
        for shapes in (encoder, decoder):
            _, count, books = shapes.of("tokens", 1, "tokens", "books", dtype="int64")
            shapes.of("frames", 1, count * factor, numbers)
            if count <= reach:
                raise settings.error("reach", f"is {reach}, as long as the {count} tokens of a graph")
        encoder.of("tokens", 1, "tokens", books, dtype="int64")
        encoder.of("latents", 1, encoder.of("tokens", 1, "tokens", books, dtype="int64")[1], "numbers")
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        codes, labels = settings.integer("codes", 1, MAX_COUNT), settings.texts("labels")
        for ending in ("", "_several"):
            step, read = (Shapes(bundle, f"{name}{ending}") for name in ("gpt_step", "gpt_books"))
            rows: str | int = "rows" if ending else 1
            rows, _ = step.of("token", rows, books, dtype="int64")
            step.of("place", 1, dtype="int64")
            step.of("label", rows, len(labels))
            blocks, _, _, heads, _, width = step.of("cache", "blocks", 2, rows, "heads", "window", "numbers")
            step.of("row", blocks, 2, rows, heads, 1, width)
            read.of("hidden", *step.of("hidden", rows, 1, "width"))
            read.of("token", rows, 1, books, dtype="int64")
            read.of("logits", rows, 1, books, codes)
        return cls(
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.choice("up", ["y"]),
            factor,
            reach,
            books,
            codes,
            labels,
        )


def posegpt_model(bundle: Bundle) -> str:
    """Return the kind of a bundle for the task ``posegpt``: ``published`` or ``streaming``."""
    kind = bundle.settings.get("model", "published")
    if kind not in ("published", "streaming"):
        raise BundleError(
            f"{bundle.path / MANIFEST}: `settings.model` is {short(kind)}; this version has: published, streaming"
        )
    return str(kind)
