"""Training windows: observations of a front end beside the ground truth.

Two sources are mixed: pairs of a real front end, and clean motion with noise fitted to such pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.geometry.mirror import MIRROR, MIRROR_ROTATION
from humanrt_export.batches import Batch
from humanrt_export.data.poses.clips import Clip

__all__ = ["Corruption", "Noise", "PoseBatch", "Windows", "resampled"]

Array = NDArray[Any]

Noise = Callable[[Array, Array, np.random.Generator], tuple[Array, ...]]
"""From ground truth [T, K, 3] m (or rotations [T, J, 3, 3]), t [T] s and a generator to observed, likewise (NaN where
lost), score [T], confidence [T, K], and, for networks that take them, rays [T, K, 3] (0 where lost)."""


def resampled(clip: Clip, rate: float, phase: float = 0.0) -> dict[str, Array]:
    """Resample a clip to the model's clock, as a stream does: rows between observations are interpolated, gaps are NaN.

    Args:
        clip: a clip with any time stamps.
        rate: frames per second.
        phase: offset of the clock, in steps, 0..1.
    """
    t = np.asarray(clip["t"], np.float64)
    step = 1 / rate
    grid = np.arange(t[0] + phase * step, t[-1] + 1e-6, step)
    after = np.clip(np.searchsorted(t, grid - 1e-9), 1, len(t) - 1)
    before = after - 1
    gap = t[after] - t[before]
    share = np.clip((grid - t[before]) / np.maximum(gap, 1e-9), 0, 1)
    nearest = np.where(share > 0.5, after, before)

    observed, there = clip["observed"], _whole(clip["observed"])
    a, b = observed[before], observed[after]
    w = share[:, None, None].astype(np.float32)
    between = there[before] & there[after] & (gap <= 1.5 * step + 1e-6)
    # An observation at exactly that instant is used unchanged, whatever its neighbour.
    exact = there[nearest] & (np.abs(grid - t[nearest]) < 0.25 * step)
    weight = _per_frame(w[:, 0, 0], a)
    mixed = a * (1 - weight) + b * weight
    if _turns(a):
        mixed = _orthonormal(np.where(_per_frame(between, a), mixed, np.eye(3)))
    mixed = np.where(_per_frame(between, a), mixed, np.nan)
    rows: dict[str, Array] = {"t": grid, "observed": np.where(_per_frame(exact, a), observed[nearest], mixed)}
    lost = ~_whole(rows["observed"])
    if "rays" in clip:
        mixed = clip["rays"][before] * (1 - w) + clip["rays"][after] * w
        sight = np.where(exact[:, None, None], clip["rays"][nearest], mixed)
        rows["rays"] = np.where(lost[:, None, None], 0.0, sight)
    rows["score"] = np.where(lost, 0.0, clip["score"][nearest])
    confidence = (
        clip["confidence"][nearest] if "confidence" in clip else np.repeat(rows["score"][:, None], a.shape[1], 1)
    )
    rows["confidence"] = np.where(lost[:, None], 0.0, confidence)
    rows["keypoints"] = clip["keypoints"][before] * (1 - w) + clip["keypoints"][after] * w
    # Rotations: interpolate linearly and project back to rotations; neighbours are a few degrees apart.
    mean = clip["rotations"][before] * (1 - w[..., None]) + clip["rotations"][after] * w[..., None]
    rows["rotations"] = _orthonormal(mean)
    return {name: value.astype(np.float32) if name != "t" else value for name, value in rows.items()}


def _orthonormal(R: Array) -> Array:
    """Return rotations approximately nearest to matrices close to rotations (Gram-Schmidt on columns)."""
    a = R[..., 0] / np.linalg.norm(R[..., 0], axis=-1, keepdims=True)
    b = R[..., 1] - (a * R[..., 1]).sum(-1, keepdims=True) * a
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.stack((a, b, np.cross(a, b)), axis=-1)


@dataclass(frozen=True)
class Corruption:
    """Corruption of windows in addition to the front end's errors.

    Attributes:
        bursts: mean number of removed spans per window, of up to `longest` frames each.
        singles: fraction of frames removed individually.
        turn: maximum rotation about the optical axis, rad; pi: any.
        tilt: spread of rotations about the other axes, rad; for clean motion three times as much.
        yaw: maximum rotation of clean motion about the vertical, rad.
        real: fraction of windows that are pairs of the real front end, if there is also clean motion with noise.
        upended: fraction of windows rotated about the optical axis by any angle.
        sightless: fraction of windows with rays whose rays are removed.
        lens: spread of the log of the focal length's error, in a third of the windows with rays.
    """

    bursts: float = 0.8
    longest: int = 12
    singles: float = 0.03
    turn: float = np.pi
    tilt: float = 0.15
    yaw: float = 0.0
    real: float = 0.5
    upended: float = 0.0
    sightless: float = 0.0
    lens: float = 0.0


@dataclass(frozen=True)
class PoseBatch(Batch):
    """Windows of T frames, observations and ground truth: K keypoints, J joints.

    Attributes:
        values: float32 [B, T, K, 3] m, observed keypoints in camera axes (x right, y down, z forward), any origin, or
            [B, T, J, 3, 3], observed rotations; 0 where a frame is hidden.
        mask: bool [B, T], frames that were observed.
        confidence: float32 [B, T, K], 0..1; 0 where a frame is hidden.
        keypoints: float32 [B, T, K, 3], ground truth relative to its origin, in units of its own length (`Windows`).
        rotations: float32 [B, T, J, 3, 3], ground truth relative to the parent joint; the root's to camera axes.
        rows: float32 [B, T], weight of each frame in the losses.
        lookahead: number of frames after the output frame that the network may see; None: the whole window.
        rays: float32 [B, T, K, 3] of the keypoints (`humanrt.posebert.rays`), 0 where unknown; None: no rays.
    """

    values: Tensor
    mask: Tensor
    confidence: Tensor
    keypoints: Tensor
    rotations: Tensor
    rows: Tensor
    lookahead: int | None = None
    rays: Tensor | None = None


@dataclass
class Windows:
    """Samples batches of windows.

    Attributes:
        pairs: clips of a real front end, on the model's clock.
        clean: clips whose `observed` is not used.
        noise: generates observations of clean motion; None: pairs only.
        frames: length of a window, T.
        origin, lengths: as in `StreamingConfig`: origin and unit of the ground truth; empty where rotations go in.
        flips: permutations of keypoints and joints for mirroring; None: no mirroring (all hands are right hands).
        corruption: see `Corruption`.
    """

    pairs: Sequence[Clip]
    clean: Sequence[Clip]
    noise: Noise | None
    frames: int
    origin: tuple[int, ...]
    lengths: tuple[tuple[int, int], ...]
    flips: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    corruption: Corruption = field(default_factory=Corruption)
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    def batch(self, seed: int, step: int, size: int) -> PoseBatch:
        """Sample ``size`` windows."""
        generator = np.random.default_rng([seed, step])
        windows = [self._window(generator, seed, step // _FRESH) for _ in range(size)]
        return PoseBatch(**{name: torch.from_numpy(np.stack([one[name] for one in windows])) for name in windows[0]})

    def _window(self, generator: np.random.Generator, seed: int, epoch: int) -> dict[str, Array]:
        real = not self.clean or self.noise is None or generator.uniform() < self.corruption.real
        if real:
            clip = self.pairs[int(generator.integers(len(self.pairs)))]
        else:
            clip = self._noisy(int(generator.integers(len(self.clean))), seed, epoch)
        start = int(generator.integers(max(1, len(clip["t"]) - self.frames + 1)))
        rows = slice(start, start + self.frames)
        names = ("observed", "confidence", "keypoints", "rotations", *(["rays"] if "rays" in clip else []))
        window = {name: clip[name][rows] for name in names}
        # Rays belong to one view: it can be rotated only about its axis.
        window = _turned(window, self._turn(generator, 0.0 if "rays" in window else 1.0))
        if self.flips and generator.uniform() < 0.5:
            window = _flipped(window, *self.flips)
        return self._padded(self._measured(**window, generator=generator))

    def _noisy(self, index: int, seed: int, epoch: int) -> Clip:
        """Return clean motion as a front end might see it: rotated, with noise; the same for `_FRESH` steps."""
        if self._made.get("epoch") != epoch:
            self._made.clear()
            self._made["epoch"] = epoch
        if index not in self._made:
            assert self.noise is not None
            generator = np.random.default_rng([seed, epoch, index, 3])
            yaw = _about(1, generator.uniform(-1, 1) * self.corruption.yaw)
            clip = _turned(self.clean[index], self._turn(generator, 3.0) @ yaw)
            truth = clip["rotations" if _turns(clip["observed"]) else "keypoints"]
            observed, _, confidence, *rays = self.noise(truth, clip["t"], generator)
            made = {**clip, "observed": observed, "confidence": confidence}
            self._made[index] = made | ({"rays": rays[0]} if rays else {})
        noisy: Clip = self._made[index]
        return noisy

    def _turn(self, generator: np.random.Generator, more: float) -> Array:
        """Sample a rotation of the whole view. A front end's noise rotates with the picture, but not with depth:
        existing observations are tilted only slightly, clean motion arbitrarily."""
        upended = self.corruption.upended > 0 and generator.uniform() < self.corruption.upended
        about = generator.uniform(-1, 1) * (np.pi if upended else self.corruption.turn)
        tilt, nod = generator.normal(0, self.corruption.tilt * more, 2)
        return np.asarray(_about(2, about) @ _about(0, nod) @ _about(1, tilt))

    def _measured(
        self,
        observed: Array,
        confidence: Array,
        keypoints: Array,
        rotations: Array,
        generator: np.random.Generator,
        rays: Array | None = None,
    ) -> dict[str, Array]:
        mask = _whole(observed)
        taken = self.hidden(generator, len(mask))
        if (mask & ~taken).sum() >= 4:
            mask = mask & ~taken
        since = _since(mask)
        rows = np.where(since <= self.corruption.longest, 1.0, 0.0)
        unit = 1.0
        if self.lengths:
            keypoints = keypoints - keypoints[:, list(self.origin)].mean(1, keepdims=True)
            ends = np.array(self.lengths)
            unit = float(np.linalg.norm(keypoints[:, ends[:, 0]] - keypoints[:, ends[:, 1]], axis=-1).mean())
        sight = {}
        if rays is not None:
            sight["rays"] = np.where(mask[:, None, None], self._sight(rays, generator), 0).astype(np.float32)
        return sight | {
            "values": np.where(_per_frame(mask, observed), observed, 0).astype(np.float32),
            "mask": mask,
            "confidence": np.where(mask[:, None], confidence, 0).astype(np.float32),
            "keypoints": (keypoints / unit).astype(np.float32),
            "rotations": rotations.astype(np.float32),
            "rows": rows.astype(np.float32),
        }

    def _sight(self, rays: Array, generator: np.random.Generator) -> Array:
        """Return rays of a camera whose focal length is not known exactly, or no rays."""
        if generator.uniform() < self.corruption.sightless:
            return np.zeros_like(rays)
        wrong = generator.normal(0, self.corruption.lens) if generator.uniform() < 1 / 3 else 0.0
        return np.asarray(rays * (1, 1, np.exp(wrong)))

    def hidden(self, generator: np.random.Generator, frames: int) -> NDArray[np.bool_]:
        """Sample the frames to remove, [frames]."""
        hidden = generator.uniform(size=frames) < self.corruption.singles * generator.choice([0, 1, 3])
        for _ in range(generator.poisson(self.corruption.bursts)):
            length = int(generator.integers(1, self.corruption.longest + 1))
            at = int(generator.integers(-length // 2, frames))
            hidden[max(at, 0) : max(at + length, 0)] = True
        return np.asarray(hidden)

    def _padded(self, window: dict[str, Array]) -> dict[str, Array]:
        """Pad a clip shorter than a window with missing frames at the beginning."""
        short = self.frames - len(window["mask"])
        if not short:
            return window
        return {
            name: np.concatenate((np.repeat(value[:1], short, 0) * (name in ("keypoints", "rotations")), value)).astype(
                value.dtype
            )
            for name, value in window.items()
        }


_FRESH = 1000  # steps for which a clean clip keeps its noise: generating it costs more than a window


def _turned(clip: Clip, R: Array) -> dict[str, Array]:
    """Rotate everything in a clip."""
    R = R.astype(np.float32)
    turned = {**clip, **{name: clip[name] @ R.T for name in ("observed", "keypoints") if not _turns(clip[name])}}
    if "rays" in clip:
        turned["rays"] = np.concatenate([clip["rays"][..., :2] @ R[:2, :2].T, clip["rays"][..., 2:]], axis=-1)
    for name in ("rotations", *(["observed"] if _turns(clip["observed"]) else [])):
        turned[name] = clip[name].copy()
        turned[name][:, 0] = R @ clip[name][:, 0]
    return turned


def _flipped(clip: Clip, points: tuple[int, ...], joints: tuple[int, ...]) -> dict[str, Array]:
    """Return the mirror image."""
    turns = _turns(clip["observed"])
    places = () if turns else ("observed", "keypoints", *(["rays"] if "rays" in clip else []))
    flipped = {**clip, **{name: clip[name][:, points] * MIRROR for name in places}}
    flipped["confidence"] = clip["confidence"][:, joints if turns else points]
    for name in ("rotations", *(["observed"] if turns else [])):
        flipped[name] = (clip[name] * MIRROR_ROTATION)[:, joints]
    return flipped


def _turns(observed: Array) -> bool:
    """Return whether a clip's observations are rotations [T, J, 3, 3], not keypoints [T, K, 3]."""
    return observed.ndim == 4


def _per_frame(values: Array, like: Array) -> Array:
    """Return values [T] with as many axes as an array [T, ...]."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _whole(observed: Array) -> NDArray[np.bool_]:
    """Return which frames [T] of [T, ...] have no missing point."""
    return np.asarray(np.isfinite(observed).all(axis=tuple(range(1, observed.ndim))))


def _since(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of frames since the last observed one; a large number before the first."""
    index = np.arange(len(mask))
    last = np.maximum.accumulate(np.where(mask, index, -(10**6)))
    return np.asarray(index - last)


def _about(axis: int, angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    R = np.eye(3)
    R[i, i] = R[j, j] = c
    R[i, j], R[j, i] = -s, s
    return R
