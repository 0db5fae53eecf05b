"""The PoseBERT networks: the published architecture, ours, and the differences between them.

Both embed every frame, replace missing frames by a learned token, let frames attend to the observed ones, and after
each block apply a regressor, shared by all blocks, that corrects the prediction: ``y <- y + MLP(cat(x, y))``.

`PublishedPoseBert` is the published architecture: learned absolute positions, every frame attends to every other.
`StreamingPoseBert` is ours, designed for streams. It differs in four ways:

- All blocks but the last are causal, and positions are relative (rotary: Su et al., RoFormer, 2021). The
  look-ahead of a frame is therefore only what the last block sees beyond it: row ``now - lag`` of one inference is
  the streaming output at that lag, row ``now`` is the output without delay, and masked rows after it are the
  prediction. In training every row of a window is a streaming output, so that the jitter between consecutive rows
  can be part of the loss.
- The output starts as a weighted mean of the observed frames, with weights computed by the network: an adaptive filter
  like One-Euro, with a window instead of a recursion. The regressors correct this mean, not a mean pose.
- Each keypoint has a confidence.
- It is independent of scale and position: points are centred and measured in lengths of the body's or hand's own bones.

Three additions are optional (`StreamingConfig`). With ``rays`` (`humanrt.posebert.rays`), the keypoints' places in the
picture correct the weighted mean beside the line of sight, and are features of every frame. With
``spread``, a head says how far off the network's answers are; it has no influence on them. With ``rest``, rotations are
corrections of inverse kinematics of the network's keypoints, so that poses unlike any in training are not pulled to
those that were.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.networks.body_ik import BodyIK
from humanrt_export.networks.rotations import matrices_from_rows, rows_from_matrices

__all__ = [
    "LEARNED",
    "READER_WIDTH",
    "PublishedConfig",
    "PublishedPoseBert",
    "Refined",
    "StreamingConfig",
    "StreamingPoseBert",
]

_MASKED = -1e4
"""Added to the logits of frames that may not be seen: exp() of it is exactly 0 in FP32, and it fits in FP16."""
_ABSENT = -1e30
"""Likewise, and it takes the place of any logit that it is added to: in an empty window all frames count alike, as in
the published models."""


class Block(nn.Module):
    """Self-attention and MLP, each pre-norm and residual; q, k and v without bias."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, hidden)
        self.mlp_out = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor, turn: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Apply the block to x [B, T, width]; bias [B or 1, 1, T or 1, T] is added to the logits; turn: `_rotary`."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        if turn:
            q, k = _turned(q, turn), _turned(k, turn)
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias
        seen = (torch.softmax(logits, dim=-1) @ v).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.attention_out(seen))
        out: Tensor = x + self.dropout(self.mlp_out(self.dropout(functional.gelu(self.mlp_in(self.mlp_norm(x))))))
        return out


class Regressor(nn.Module):
    """Correct a prediction y [B, T, outputs] given features [B, T, width]."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width + outputs, width)
        self.out = nn.Linear(width, outputs)
        nn.init.xavier_uniform_(self.out.weight, gain=0.01)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = self.dropout(functional.gelu(self.hidden(torch.cat((self.norm(x), y), dim=-1))))
        out: Tensor = y + self.out(hidden)
        return out


@dataclass(frozen=True)
class PublishedConfig:
    """The published architecture; its checkpoints differ only in the content of a frame.

    Attributes:
        inputs: values per frame: 144 (24 rotations, 6-d `rows`) or 54 (6-d root and 16 joints).
        joints: number of output rotations.
        frames: maximum window length that has positions.
    """

    inputs: int = 144
    joints: int = 24
    width: int = 512
    depth: int = 4
    heads: int = 8
    hidden: int = 512
    frames: int = 1024
    dropout: float = 0.1


class PublishedPoseBert(nn.Module):
    """Compute the rotations of every frame from the features of a window."""

    mean_pose: Tensor

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.inputs, config.width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.zeros(1, config.frames, config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.hidden, config.dropout) for _ in range(config.depth)
        )
        self.regressor = Regressor(config.width, 6 * config.joints, config.dropout)
        self.register_buffer("mean_pose", torch.eye(3)[:, :2].reshape(1, 1, 6).repeat(1, 1, config.joints))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Map features [B, T, inputs] and mask [B, T], True where a frame was observed, to [B, T, joints, 3, 3].

        The values of `features` in masked frames have no influence.
        """
        frames = features.shape[1]
        x = torch.where(mask[..., None], self.embed(features), self.mask_token) + self.positions[:, :frames]
        bias = _hidden(mask, _ABSENT)
        y = self.mean_pose.expand(*features.shape[:2], -1)
        for block in self.blocks:
            x = block(x, bias)
            y = self.regressor(x, y)
        return matrices_from_rows(y.unflatten(-1, (-1, 6)))


@dataclass(frozen=True)
class StreamingConfig:
    """Configuration of one of our networks.

    Attributes:
        source: ``"keypoints"`` or ``"rotations"``: the content of a frame.
        points: number of keypoints per frame; 0 for rotations.
        joints: number of output (and, for rotations, input) rotations.
        origin: keypoints whose mean is the origin of the others.
        lengths: pairs of keypoints whose mean distance in the window is the unit of length.
        readers: number of weighted means that the output starts from; each point uses its own mixture of them.
        rate: frames per second.
        rays: keypoints come with their rays.
        spread: the network also says how far off its answers are.
        rest: [33][3], of MediaPipe's landmarks in the T-pose, any unit: rotations start from inverse kinematics of the
            network's own keypoints instead of from a mean pose; empty: they do not.
        blend: rotations are sums of those observed, weighted by joint and frame, and nothing is added to them. Weights
            sum to 1 and may be negative, so that motion is followed and goes on; what does not move comes out as it
            went in, whether the training knew such poses or not.
        begins: cut-off in Hz of the filter that the sums of ``blend`` are before training: as One-Euro, its speed not
            considered, of what a frame may see. 0: means of all widths alike.
        relative: what ``blend`` decides by are changes and deviations from the mean of what was seen before, not poses,
            of which few pairs are learned by heart.
    """

    source: str = "keypoints"
    points: int = 21
    joints: int = 16
    origin: tuple[int, ...] = tuple(range(21))
    lengths: tuple[tuple[int, int], ...] = ((0, 5), (0, 9), (0, 13), (0, 17))
    width: int = 128
    depth: int = 4
    heads: int = 4
    hidden: int = 256
    readers: int = 8
    dropout: float = 0.0
    rate: float = 30.0
    rays: bool = False
    spread: bool = False
    rest: tuple[tuple[float, ...], ...] = ()
    blend: bool = False
    begins: float = 0.0
    relative: bool = False

    @property
    def values(self) -> int:
        """Number of values per frame."""
        return 3 * self.points if self.source == "keypoints" else 6 * self.joints


class Refined(NamedTuple):
    """Output for a window.

    Attributes:
        rotations: [B, T, joints, 3, 3].
        keypoints: [B, T, points, 3] in the input's unit, relative to their origin; None for rotation input.
        unit: [B, 1, 1, 1], the length, in the input's unit, that the network uses as its unit.
        spread: [B, T, joints] standard deviation of each rotation's error about each axis, rad; None without the head.
        keypoint_spread: [B, T, points, 2] that of a keypoint's error along each axis beside the line of sight, and
            along it, in the input's unit.
    """

    rotations: Tensor
    keypoints: Tensor | None
    unit: Tensor | None
    spread: Tensor | None = None
    keypoint_spread: Tensor | None = None


class StreamingPoseBert(nn.Module):
    """Compute rotations and keypoints of every frame from a window of keypoints (or rotations) with confidences."""

    mean_pose: Tensor
    frequencies: Tensor

    def __init__(self, config: StreamingConfig) -> None:
        super().__init__()
        self.config = config
        points = config.points if config.source == "keypoints" else config.joints
        # Features of a frame: its values, their change since the previous frame (small, so scaled up), and confidences.
        self.embed = nn.Linear(2 * config.values + points + config.rays * (4 * points + 2), config.width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.hidden, config.dropout) for _ in range(config.depth)
        )
        keypoints = config.source == "keypoints"
        if not config.blend:
            self.regressor = Regressor(
                config.width, config.values + (6 * config.joints if keypoints else 0), config.dropout
            )
        self.reader_norm = nn.LayerNorm(config.width)
        self.reader_query = nn.Linear(config.width, config.readers * READER_WIDTH, bias=False)
        self.reader_key = nn.Linear(config.width, config.readers * READER_WIDTH, bias=False)
        self.reader_decay = nn.Parameter(torch.linspace(-2.0, 2.0, config.readers))
        self.reader_mix = nn.Parameter(torch.zeros(points, config.readers))
        if config.blend:
            self.reader_trend = nn.Parameter(torch.zeros(points, config.readers))
            self.reader_now = nn.Linear(config.width, 2 * points * config.readers)
            nn.init.xavier_uniform_(self.reader_now.weight, gain=0.1)
            nn.init.zeros_(self.reader_now.bias)
            if config.begins:
                self._begin(config.begins)
        if config.rays:
            self.ray_share = nn.Parameter(torch.zeros(points))
        if config.rest:
            self.ik = BodyIK(torch.tensor(config.rest))
            self.ik_share = nn.Parameter(torch.tensor([float(name not in LEARNED) for name in SMPL_24]))
        if config.spread:
            outputs = config.values + 6 * config.joints
            self.spread_norm = nn.LayerNorm(config.width)
            self.spread_hidden = nn.Linear(config.width + outputs, _SPREAD_WIDTH)
            self.spread_out = nn.Linear(_SPREAD_WIDTH, config.joints + 2 * points)
            nn.init.xavier_uniform_(self.spread_out.weight, gain=0.01)
            nn.init.constant_(self.spread_out.bias, -1.5)
        self.register_buffer("mean_pose", torch.eye(3)[:, :2].reshape(1, 1, 6).repeat(1, 1, config.joints))
        width = config.width // config.heads
        self.register_buffer("frequencies", 1.0 / 100 ** (torch.arange(0, width, 2) / width), persistent=False)

    def _begin(self, cutoff: float) -> None:
        """Make the answers nearly those of an exponential filter of a cut-off in Hz: its reader has most of the mix."""
        step = 1 / self.config.rate
        kept = 1 - step / (step + 1 / (2 * pi * cutoff))  # from frame to frame, as One-Euro's
        with torch.no_grad():
            self.reader_decay.copy_(torch.linspace(*_DECAYS, self.config.readers))
            self.reader_decay[0] = log(-log(kept))
            self.reader_mix[:, 0] = _SURE
            self.reader_query.weight.mul_(0.1)  # frames differ by their age alone
            nn.init.zeros_(self.reader_now.weight)

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        confidence: Tensor,
        lookahead: int | None = None,
        rays: Tensor | None = None,
    ) -> Refined:
        """Process one window.

        Args:
            values: [B, T, points, 3] keypoints in any one unit, or [B, T, joints, 3, 3]; ignored where masked.
            mask: [B, T], True where a frame was observed.
            confidence: [B, T, points or joints] in 0..1.
            lookahead: number of later frames that a frame's output may depend on; None: all.
            rays: [B, T, points, 3] as `humanrt.posebert.rays.rays` returns them, in the same unit; 0 where not known.
        """
        config = self.config
        unit, sighted = None, None
        if config.source == "keypoints":
            values = values - values[:, :, list(config.origin)].mean(dim=2, keepdim=True)
            unit = self._unit(values, mask)
            if rays is not None:
                sighted = self._sighted(values, torch.where(mask[..., None, None], rays, 0.0), unit)
            y = (values / unit).flatten(2)
        else:
            y = rows_from_matrices(values).flatten(2)
        there = mask[..., None]
        y = torch.where(there, y, 0.0)
        refined, features = self._refine(y, mask, torch.where(there, confidence, 0.0), lookahead, sighted)
        turned = refined[..., -6 * config.joints :].unflatten(-1, (-1, 6))
        if config.rest:
            by_ik = rows_from_matrices(self.ik(refined[..., : config.values].unflatten(-1, (-1, 3))))
            turned = turned + self.ik_share[:, None] * (by_ik - self.mean_pose.unflatten(-1, (-1, 6)))
        rotations = matrices_from_rows(turned)
        spread, keypoint_spread = None, None
        if config.spread:
            # Nothing flows back: the head reads the network, and does not change it.
            known = torch.cat((self.spread_norm(features.detach()), refined.detach()), dim=-1)
            logs = self.spread_out(functional.gelu(self.spread_hidden(known))).clamp(_LEAST_SPREAD, _MOST_SPREAD).exp()
            spread = logs[..., : config.joints]
            if unit is not None:
                keypoint_spread = logs[..., config.joints :].unflatten(-1, (-1, 2)) * unit
        if unit is None:
            return Refined(rotations, None, None, spread)
        keypoints = refined[..., : config.values].unflatten(-1, (-1, 3))
        keypoints = keypoints - keypoints[:, :, list(config.origin)].mean(dim=2, keepdim=True)
        return Refined(rotations, keypoints * unit, unit, spread, keypoint_spread)

    def _sighted(self, values: Tensor, rays: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Return what rays add to values, both [B, T, points, 3]: in units of the network.

        Returns:
            [B, T, points, 2] from each keypoint to its ray, in the plane of the keypoint's own depth; 0 where rays are
            not known; and [B, T, 2]: how large the person appears, and whether it is known.
        """
        inverse = rays[..., 2:]
        # Rays meet the plane of the origin's depth; a point nearer than it lies on its ray nearer to the axis.
        at = rays[..., :2] * (1 + inverse * values[..., 2:])
        at = at - at[:, :, list(self.config.origin)].mean(dim=2, keepdim=True)
        known = (inverse > 0).to(values.dtype)
        beside = ((at - values[..., :2]) / unit * known).clamp(-4, 4)
        return beside, torch.cat((inverse[:, :, 0] * unit[:, :, 0], known[:, :, 0]), dim=-1)

    def _unit(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the mean length of `StreamingConfig.lengths` in the observed frames, [B, 1, 1, 1]."""
        ends = list(zip(*self.config.lengths, strict=True))
        bones = values[:, :, list(ends[0])] - values[:, :, list(ends[1])]
        length = ((bones * bones).sum(-1) + 1e-12).sqrt().mean(-1)
        seen = mask.to(values.dtype)
        mean = torch.where(mask, length, 0.0).sum(1) / seen.sum(1).clamp(min=1)
        return mean.clamp(min=1e-6)[:, None, None, None]

    def _refine(
        self,
        y: Tensor,
        mask: Tensor,
        confidence: Tensor,
        lookahead: int | None,
        sighted: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Refine y [B, T, values], 0 where masked, to [B, T, outputs]; also returns features [B, T, width]."""
        config, frames = self.config, y.shape[1]
        both = (mask[:, 1:] & mask[:, :-1])[..., None]
        change = functional.pad(torch.where(both, y[:, 1:] - y[:, :-1], 0.0), (0, 0, 1, 0))
        parts = [_deviations(y, mask) if config.relative else y, (_CHANGE * change).clamp(-4, 4), confidence]
        if config.rays:
            beside, size = sighted if sighted is not None else (y.new_zeros(*y.shape[:2], config.points, 2), None)
            # Values with what the rays correct; the change of the place in the picture is the steadiest of all.
            moved = functional.pad(beside * self.ray_share[:, None], (0, 1)).flatten(2)
            flat = y.unflatten(-1, (-1, 3))[..., :2] + beside
            drift = functional.pad(torch.where(both[..., None], flat[:, 1:] - flat[:, :-1], 0.0), (0, 0, 0, 0, 1, 0))
            drift = drift * size[..., None, 1:] if size is not None else torch.zeros_like(drift)
            parts += [beside.flatten(2), (_CHANGE * drift).clamp(-4, 4).flatten(2)]
            parts += [y.new_zeros(*y.shape[:2], 2) if size is None else size]
            y = torch.where(mask[..., None], y + moved, 0.0)
        x = self.embed(torch.cat(parts, dim=-1))
        x = torch.where(mask[..., None], x, self.mask_token)
        missing = _hidden(mask)
        age = torch.arange(frames, device=y.device)
        age = age[:, None] - age[None, :]  # [T, T], of the attended frame; negative: it is in the future
        causal = missing + torch.where(age >= 0, 0.0, _MASKED)
        last = missing if lookahead is None else missing + torch.where(age >= -lookahead, 0.0, _MASKED)
        turn = _rotary(frames, self.frequencies)
        for block in self.blocks[:-1]:
            x = block(x, causal, turn)
        # Keys and values come from the causal part; otherwise the look-ahead would accumulate.
        past, x = x, self.blocks[-1](x, last, turn)
        y = self._read(x, past, y, last, age)
        if config.blend:  # a sum of nothing is no rotation, nor has it a gradient
            y = torch.where(mask.any(dim=1)[:, None, None], y, self.mean_pose.flatten(2))
        if config.source == "keypoints":
            y = torch.cat((y, self.mean_pose.expand(*y.shape[:2], -1)), dim=-1)
        for _ in range(0 if config.blend else _CORRECTIONS):
            y = self.regressor(x, y)
        return y, x

    def _read(self, x: Tensor, past: Tensor, y: Tensor, bias: Tensor, age: Tensor) -> Tensor:
        """Return weighted means of the observed frames of y [B, T, values]; x [B, T, width] queries ``past``."""
        config = self.config
        query = self.reader_query(self.reader_norm(x)).unflatten(-1, (config.readers, -1)).transpose(1, 2)
        key = self.reader_key(self.reader_norm(past)).unflatten(-1, (config.readers, -1)).transpose(1, 2)
        near = -torch.exp(self.reader_decay)[:, None, None] * age.abs().to(y.dtype)
        weights = torch.softmax(query @ key.transpose(-1, -2) * READER_WIDTH**-0.5 + near + bias, dim=-1)
        if config.blend:
            share, trend = self.reader_now(self.reader_norm(x)).unflatten(-1, (2, -1, config.readers)).unbind(-3)
            trend = self.reader_trend + trend
            mix = torch.softmax(self.reader_mix + share, dim=-1) + trend - trend.mean(-1, keepdim=True)
            by_joint = (mix @ weights.transpose(1, 2)).transpose(1, 2)  # [B, joints, T, T]
            return (by_joint @ y.unflatten(-1, (by_joint.shape[1], -1)).transpose(1, 2)).transpose(1, 2).flatten(2)
        means = weights @ y[:, None]  # [B, readers, T, values]
        mixture = torch.softmax(self.reader_mix, dim=-1)  # [points, readers]
        means = means.unflatten(-1, (mixture.shape[0], -1))
        return (means * mixture.T[None, :, None, :, None]).sum(1).flatten(2)


LEARNED = tuple(
    name for name in SMPL_24 if any(part in name for part in ("neck", "head", "wrist", "hand", "ankle", "foot"))
)
"""Joints that begin without inverse kinematics: their landmarks are too close to each other to say much."""

READER_WIDTH = 16
"""Width of a reader's query and key."""
_DECAYS = -3.5, 2.0  # logarithms of readers' decays a frame, where they begin as a filter
_SURE = 5.0  # logit of its reader beside the others' 0
_SPREAD_WIDTH = 64
_LEAST_SPREAD, _MOST_SPREAD = -4.6, 0.7  # logarithms: 0.01 and 2 rad, or units of the network
_CHANGE = 8.0
_DEVIATION = 2.0
_CORRECTIONS = 2


def _hidden(mask: Tensor, masked: float = _MASKED) -> Tensor:
    """Return a bias [B, 1, 1, T] for the logits that keeps frames from attending to missing ones."""
    return torch.where(mask, 0.0, masked)[:, None, None, :]


def _deviations(y: Tensor, mask: Tensor) -> Tensor:
    """Return how far y [B, T, values], 0 where masked, is from its mean over the frames seen until then."""
    seen = mask[..., None].to(y.dtype)
    mean = y.cumsum(1) / seen.cumsum(1).clamp(min=1.0)
    return _DEVIATION * (y - mean) * seen


def _rotary(frames: int, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines [T, width of a head] of rotary positions."""
    angles = torch.arange(frames, device=frequencies.device)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of features by their frame's angles."""
    half = x.shape[-1] // 2
    cosine, sine = turn
    return x * cosine + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sine
