"""Settings of bundles for the task ``posebert``."""

from __future__ import annotations

from dataclasses import dataclass

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_COUNT, Section, Shapes

__all__ = ["PoseBertSettings"]


@dataclass(frozen=True)
class PoseBertSettings:
    """Settings of a bundle for the task ``posebert``.

    Attributes:
        window: maximum window length in frames.
        clock_hz: frame rate that the network was trained for.
        joints: names of the joints whose rotations are predicted.
        parents: indices of their parents, each before its children; -1 for the root.
        origin: keypoints whose mean is the origin of the smoothed ones; empty if the network outputs none.
        rest: [J][3] m, joint positions at rest; empty if the bundle does not give them.
        input: format of the input keypoints or rotations (``hand21``, ``mediapipe33``, ...); empty if not given.
        kind: ``hand``, ``body``, or ``published`` for NAVER's networks; empty if not given.
    """

    window: int
    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    origin: tuple[int, ...]
    rest: tuple[tuple[float, ...], ...]
    input: str
    kind: str

    @classmethod
    def of(cls, bundle: Bundle, graph: str) -> PoseBertSettings:
        """Read and check them; ``graph``: any of the bundle's PoseBERTs. BundleError names what is wrong."""
        settings = Section.of(bundle)
        shapes = Shapes(bundle, graph)
        window = settings.integer("window", 2, MAX_COUNT)
        batch = shapes.of("mask", "windows", window, dtype="bool")[0]
        joints = settings.texts("joints", shapes.of("rotations", batch, window, "joints", 3, 3)[2])
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        points = shapes.of("keypoints", batch, window, "points", 3)[2] if "keypoints" in shapes else 0
        return cls(
            window,
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.integers("origin", 0, max(points - 1, 0), default=()),
            settings.rows("rest", len(joints), 3, -100.0, 100.0) if "rest" in settings else (),
            settings.text("input", default=""),
            settings.text("kind", default=""),
        )
