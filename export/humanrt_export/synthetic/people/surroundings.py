"""Image-based lighting from HDR environment maps: `Environments`, `Surroundings`.

An environment is an equirectangular HDR environment map, y up. Its columns run to the right as seen from inside: the
first looks along z, the middle one along -z. Its brightest spot, a sun or a lamp, is the key light, which casts
shadows; all other light that reaches a surface depends on its normal alone and is nearly a polynomial of the second
degree (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001). The background
is what the camera sees of the same map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.synthetic.hand_scene import Camera

__all__ = ["Environment", "Environments", "Surroundings", "harmonics"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_BRIGHT = 10.0  # times the mean radiance: from there on it is a part of the key light
_SPOT = np.cos(np.radians(15))  # within this angle about the brightest spot
_BALANCE = 0.4, 1.0  # how much of the light's colour a camera's white balance takes away
_WHITE = 4.0  # radiance from which pictures are white
# By how much a cosine lobe weakens polynomials of degree 0, 1 and 2, over pi.
_LOBE = np.array([1.0, *[2 / 3] * 3, *[1 / 4] * 5])


def harmonics(directions: NDArray[Any]) -> Array:
    """Return the real spherical harmonics up to degree 2 of unit vectors [..., 3]: [..., 9]."""
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    one = np.ones_like(x)
    terms = [
        0.282095 * one,
        *(0.488603 * value for value in (y, z, x)),
        *(1.092548 * value for value in (x * y, y * z)),
        0.315392 * (3 * z * z - 1),
        1.092548 * x * z,
        0.546274 * (x * x - y * y),
    ]
    return np.stack(terms, axis=-1)


@dataclass(frozen=True)
class Environment:
    """An environment map and the light that comes from it.

    Attributes:
        name: its file's name.
        panorama: [H, 2 H, 3] radiance.
        key: [3] unit vector towards the key light, y up; key_radiance: [3] its irradiance on a surface that faces it,
            over pi.
        ambient: [9, 3] coefficients of `harmonics`: irradiance of the rest over pi, by normal.
    """

    name: str
    panorama: Floats
    key: Array
    key_radiance: Array
    ambient: Array

    @classmethod
    def of(cls, name: str, panorama: Floats) -> Environment:
        """Separate the key light of a panorama [H, 2 H, 3] from the rest."""
        height, width = panorama.shape[:2]
        theta, phi = (np.arange(height) + 0.5) * np.pi / height, (np.arange(width) + 0.5) * 2 * np.pi / width
        high, flat = np.cos(theta)[:, None], np.sin(theta)[:, None]
        towards = np.stack(np.broadcast_arrays(-flat * np.sin(phi), high, flat * np.cos(phi)), axis=-1)
        angle = np.broadcast_to(flat * (np.pi / height) * (2 * np.pi / width), (height, width))  # steradians
        power = panorama.astype(np.float64).mean(axis=-1) * angle
        mean = float(power.sum() / (4 * np.pi))
        limit = _BRIGHT * mean
        brightest = towards[np.unravel_index(power.argmax(), power.shape)]
        over = (panorama.mean(axis=-1) > limit) & (towards @ brightest > _SPOT)
        rest = panorama.astype(np.float64)
        key, radiance = np.array([0.0, 1.0, 0.0]), np.zeros(3)
        if over.any():
            excess = rest[over] * (1 - limit / rest[over].mean(axis=-1, keepdims=True))
            radiance = (excess * angle[over][:, None]).sum(axis=0) / np.pi
            key = (towards[over] * (excess.mean(axis=-1) * angle[over])[:, None]).sum(axis=0)
            key /= np.linalg.norm(key)
            rest = rest.copy()
            rest[over] -= excess
        ambient = np.einsum("hwk,hwc,hw->kc", harmonics(towards), rest, angle) * _LOBE[:, None]
        return cls(name, panorama, key, radiance, np.asarray(ambient))

    def level(self) -> Array:
        """Return the light [3] on upright surfaces, averaged over all directions: an exposure meter's reading."""
        around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        normals = np.stack([np.sin(around), np.zeros(16), np.cos(around)], axis=1)
        light = harmonics(normals) @ self.ambient + np.maximum(normals @ self.key, 0)[:, None] * self.key_radiance
        return np.asarray(light.mean(axis=0).clip(1e-6))


@dataclass(frozen=True)
class Surroundings:
    """An environment about a scene.

    Attributes:
        environment: the environment.
        turn: [3, 3] from the world's axes (y up) to the panorama's, about the vertical.
        gain: [3] factors on all of its light, by colour.
    """

    environment: Environment
    turn: Array
    gain: Array

    @property
    def key(self) -> Array:
        """The direction of the key light [3], in the world's axes."""
        return np.asarray(self.environment.key @ self.turn)

    @property
    def key_radiance(self) -> Array:
        """The key light's irradiance over pi [3], scaled."""
        return np.asarray(self.gain * self.environment.key_radiance)

    @property
    def shade(self) -> float:
        """How dark the key light's shadow on the ground is, 0 to 1."""
        up = np.array([0.0, 1.0, 0.0])
        sun = max(float(self.environment.key[1]), 0.0) * float(self.environment.key_radiance.mean())
        rest = float((harmonics(up) @ self.environment.ambient).mean())
        return sun / max(sun + rest, 1e-9)

    def ambient(self, to_camera: Array) -> Floats:
        """Return [9, 3] coefficients of `harmonics` of normals in camera axes: ambient irradiance over pi.

        Args:
            to_camera: [3, 3] from the world's axes to the camera's.
        """
        generator = np.random.default_rng(0)
        normals = generator.standard_normal((32, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        light = harmonics(normals @ (self.turn @ to_camera.T).T) @ self.environment.ambient
        # Turned harmonics of a degree are sums of those of the same degree, so that this is exact.
        return np.asarray(self.gain * np.linalg.lstsq(harmonics(normals), light, rcond=None)[0], np.float32)

    def backdrop(self, camera: Camera, to_camera: Array) -> Floats:
        """Return what the camera sees of the panorama: linear light [H, W, 3]."""
        width, height = camera.size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
        rays = rays @ (self.turn @ to_camera.T).T
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        rows, columns = self.environment.panorama.shape[:2]
        down = np.arccos(rays[..., 1].clip(-1, 1)) / np.pi * rows - 0.5
        along = np.mod(np.arctan2(-rays[..., 0], rays[..., 2]) / (2 * np.pi), 1) * columns - 0.5
        panorama = np.minimum(self.environment.panorama, _WHITE / self.gain)  # lamps do not glow over their edges
        wide = np.concatenate([panorama[:, -2:], panorama, panorama[:, :2]], axis=1)
        maps = (along + 2).astype(np.float32), down.astype(np.float32)
        seen = cv2.remap(wide, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(self.gain * seen.clip(0), np.float32)


class Environments:
    """The environments of a folder.

    Args:
        folder: equirectangular HDR environment maps (Radiance .hdr), twice as wide as high;
            `humanrt-export data environments` fetches some.

    Attributes:
        all: the environments, by name.

    Raises:
        SourceError: there is none, or one cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("*.hdr")) if folder.is_dir() else []
        if not paths:
            raise SourceError(
                f"{folder}: no panoramas (.hdr) there; get some: humanrt-export data environments --out DIR"
            )
        self.all = [Environment.of(path.stem, _read(path)) for path in paths]

    def draw(self, generator: np.random.Generator, exposure: float) -> Surroundings:
        """Sample an environment from any side; ``exposure``: 1 is light in which white is just white."""
        environment = self.all[int(generator.integers(len(self.all)))]
        turn = turn_about_vertical(generator.uniform(0, 2 * np.pi))
        level = environment.level()
        balance = (level.mean() / level) ** generator.uniform(*_BALANCE)
        return Surroundings(environment, turn, exposure * balance / float((balance * level).mean()))


def _read(path: Path) -> Floats:
    read: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if read is None or read.ndim != 3 or read.shape[1] != 2 * read.shape[0] or not np.isfinite(read).all():
        raise SourceError(f"{path}: no HDR environment map (equirectangular, twice as wide as high)")
    return np.ascontiguousarray(read[..., ::-1], np.float32)
