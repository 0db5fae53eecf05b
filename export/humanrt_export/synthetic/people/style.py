"""Appearance of pictures: ranges of light, colours, backgrounds and camera artefacts, by name in `STYLES`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt_export.synthetic.hand_scene import Look

__all__ = ["STYLES", "Range", "Style", "find_style"]

Array = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """Ranges from which appearance is sampled: (low, high), uniform unless stated otherwise.

    Attributes:
        name: name of the style.
        exposure: factor on all light, log-uniform.
        key: radiance of the key light; at 1.5, white surfaces are white in the picture.
        elevation: elevation of the key light above the horizon [degrees].
        ambient: factor on the ambient light.
        colour: maximum deviation of lights from white, 0..1.
        shadow: darkness of the key light's shadows, 0..1.
        noise: standard deviation of the sensor noise, as a fraction of full scale, log-uniform.
        jpeg: compression quality.
        uncompressed, blurred, grey: fraction of pictures without compression, with motion blur, without colour.
        saturation, contrast: factors on the finished picture.
        backdrops: kind of background -> weight (`backdrop.KINDS`).
        ground: fraction of pictures with a visible ground; walls: fraction of those with walls.
        props: maximum number of objects in front of, behind and around people.
        overlays: fraction of pictures with something flat close to the lens.
        heat: thermal camera: people glow, their surroundings hardly.
    """

    name: str
    exposure: Range = (0.7, 1.7)
    key: Range = (0.3, 2.2)
    elevation: Range = (-5.0, 85.0)
    ambient: Range = (0.5, 1.7)
    colour: Range = (0.0, 0.35)
    shadow: Range = (0.3, 1.0)
    noise: Range = (0.001, 0.03)
    jpeg: tuple[int, int] = (35, 96)
    uncompressed: float = 0.3
    blurred: float = 0.15
    grey: float = 0.06
    saturation: Range = (0.5, 1.4)
    contrast: Range = (0.8, 1.2)
    backdrops: Mapping[str, float] = field(
        default_factory=lambda: {"gradient": 1.0, "noise": 1.5, "room": 1.5, "clutter": 2.0, "photo": 4.0}
    )
    ground: float = 0.55
    walls: float = 0.5
    props: int = 5
    overlays: float = 0.12
    heat: bool = False

    def light(self, generator: np.random.Generator, up: Array) -> Look:
        """Sample the light of one picture, in camera axes.

        Args:
            generator: source of all randomness.
            up: [3] the world's vertical in the camera's axes.
        """

        def tint() -> Array:
            return np.asarray((1 + generator.uniform(*self.colour) * generator.uniform(-1, 1, 3)).clip(0.05))

        elevation, azimuth = np.radians(generator.uniform(*self.elevation)), generator.uniform(0, 2 * np.pi)
        side = np.cross(up, [0.0, 0.0, 1.0])
        side /= max(float(np.linalg.norm(side)), 1e-6)
        away = np.cross(side, up)
        key = np.sin(elevation) * up + np.cos(elevation) * (np.cos(azimuth) * side + np.sin(azimuth) * away)
        exposure = _even_in_log(generator, self.exposure)
        around = generator.uniform(*self.ambient) * exposure
        return replace(
            Look.sample(generator),
            key=key,
            key_radiance=tint() * generator.uniform(*self.key) * exposure,
            fill_above=np.array([0.42, 0.43, 0.45]) * tint() * around,
            fill_below=np.array([0.28, 0.25, 0.22]) * tint() * around,
        )

    def exposed(self, generator: np.random.Generator) -> float:
        """Sample the factor on all light."""
        return _even_in_log(generator, self.exposure)

    def sensor_noise(self, generator: np.random.Generator) -> float:
        """Sample the standard deviation of the sensor noise, as a fraction of full scale."""
        return _even_in_log(generator, self.noise)

    def graded(self, picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
        """Return RGB [H, W, 3] with graded colours, as cameras and photo editors produce."""
        # Always sampled, so that later samples do not depend on the outcome.
        saturation, contrast = generator.uniform(*self.saturation), generator.uniform(*self.contrast)
        if generator.uniform() < self.grey:
            saturation = 0.0
        balance = 1 + 0.3 * generator.uniform(*self.colour) * generator.uniform(-1, 1, 3)
        luma = np.outer((0.299, 0.587, 0.114), np.ones(3))
        mix = (saturation * np.eye(3) + (1 - saturation) * luma) * contrast * (balance if saturation else 1.0)
        flat = picture.reshape(-1, 3).astype(np.float32) @ mix.astype(np.float32) + np.float32(128 * (1 - contrast))
        return np.asarray((flat + 0.5).clip(0, 255), np.uint8).reshape(picture.shape)

    def about(self) -> dict[str, Any]:
        """Return all settings, for storage."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}


def _even_in_log(generator: np.random.Generator, limits: Range) -> float:
    return float(np.exp(generator.uniform(*np.log(limits))))


_RANDOMISED = Style("randomised")

STYLES = {
    style.name: style
    for style in (
        _RANDOMISED,
        replace(
            _RANDOMISED,
            name="studio",
            exposure=(0.8, 1.2),
            key=(0.8, 1.6),
            elevation=(25.0, 65.0),
            ambient=(0.8, 1.4),
            colour=(0.0, 0.08),
            noise=(0.001, 0.006),
            jpeg=(80, 97),
            blurred=0.0,
            grey=0.0,
            saturation=(0.9, 1.1),
            contrast=(0.95, 1.1),
            backdrops={"gradient": 1.0},
            ground=0.3,
            walls=0.2,
            props=0,
            overlays=0.0,
        ),
        replace(
            _RANDOMISED,
            name="outdoor",
            exposure=(0.8, 1.4),
            key=(0.6, 2.4),
            elevation=(15.0, 80.0),
            ambient=(0.7, 1.3),
            colour=(0.0, 0.15),
            noise=(0.002, 0.012),
            backdrops={"photo": 3.0, "sky": 3.0, "noise": 0.5},
            ground=0.85,
            walls=0.1,
            props=5,
        ),
        replace(
            _RANDOMISED,
            name="night",
            exposure=(0.08, 0.3),
            key=(0.4, 2.4),
            elevation=(10.0, 80.0),
            ambient=(0.1, 0.6),
            colour=(0.2, 0.7),
            noise=(0.015, 0.06),
            jpeg=(30, 80),
            blurred=0.45,
            saturation=(0.4, 1.1),
            contrast=(0.9, 1.3),
        ),
        replace(
            _RANDOMISED,
            name="thermal",
            exposure=(0.6, 1.1),
            key=(0.0, 0.15),
            ambient=(0.25, 0.6),
            colour=(0.0, 0.0),
            noise=(0.004, 0.03),
            grey=1.0,
            saturation=(0.0, 0.0),
            contrast=(0.9, 1.2),
            backdrops={"gradient": 1.0, "noise": 2.0, "clutter": 1.0},
            heat=True,
        ),
    )
}
"""Styles by name: `randomised` for training, others to measure domain shifts."""


def find_style(name: str) -> Style:
    """Return the style of that name. HumanrtError if there is none; it lists the valid names."""
    if name not in STYLES:
        raise HumanrtError(f"unknown style `{name}`; choose one of: {choices(STYLES)}")
    return STYLES[name]
