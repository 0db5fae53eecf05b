"""Options of a `PeopleEngine`: `EngineOptions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError, choices
from humanrt_export.synthetic.people.poses import PARTS, Part
from humanrt_export.synthetic.people.style import STYLES, Style

__all__ = ["EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """Everything that determines the samples.

    Attributes:
        size: width of the picture in px.
        height: height of the picture in px; None: its width.
        seed: seed of all randomness; together with an index it determines a sample.
        most: maximum number of people in a picture, 0 to 10.
        motions: recordings (a file, a folder or an archive, see `motion.load`); None: poses from joint limits only.
        part: part of the recordings: `train`, `val` (held out, see `motion.split`) or `all`.
        backgrounds: folder of photographs; None: procedural backgrounds only.
        assets: MakeHuman's garments, shoes and hair (a folder or an archive, see `garments.Wardrobe`), which people
            wear; None: clothes painted on the body.
        environments: folder of HDR environment maps (`surroundings.Environments`), from which light and background of
            most pictures and films come; None: other light and backgrounds only.
        faces: whether faces have expressions.
        resting: fraction of people who sit, on seats, or lie on the ground, 0 to 1; not in films.
        style: appearance of the pictures, see `STYLES`.
        letterboxed: fraction of square pictures with black bars, as non-square pictures have in the network's input.
        multisamples: samples per pixel.
    """

    size: int = 224
    height: int | None = None
    seed: int = 0
    most: int = 10
    motions: Path | None = None
    part: Part = "train"
    backgrounds: Path | None = None
    assets: Path | None = None
    environments: Path | None = None
    faces: bool = False
    resting: float = 0.0
    style: Style = STYLES["randomised"]
    letterboxed: float = 0.3
    multisamples: int = 4

    def __post_init__(self) -> None:
        for side in self.frame:
            if not 32 <= side <= 4096:
                raise HumanrtError(f"size is {side} px; it must be 32 to 4096")
        if not 0 <= self.most <= 10:
            raise HumanrtError(f"the maximum number of people is {self.most}; it must be 0 to 10")
        if not 0 <= self.resting <= 1:
            raise HumanrtError(f"the fraction of people who sit or lie is {self.resting}; it must be 0 to 1")
        if self.seed < 0:
            raise HumanrtError(f"seed is {self.seed}; it must be 0 or more")
        if self.part not in PARTS:
            raise HumanrtError(f"unknown part `{self.part}`; choose one of: {choices(PARTS)}")

    @property
    def frame(self) -> tuple[int, int]:
        """(W, H) px."""
        return self.size, self.height or self.size

    def about(self) -> dict[str, Any]:
        """Return what determines the samples, for storage; paths are reduced to their names."""
        paths = {
            "motions": self.motions,
            "backgrounds": self.backgrounds,
            "assets": self.assets,
            "environments": self.environments,
        }
        names = {key: None if path is None else path.name for key, path in paths.items()}
        about = vars(self) | names | {"style": self.style.about()}
        # Folders of samples from before there were these go on.
        later = ("assets", "environments", "faces", "resting")
        return {key: value for key, value in about.items() if key not in later or value}
