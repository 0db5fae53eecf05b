"""Person detection: a heat map over the tokens, its peaks, and a fixed number of slots for them.

Shapes never change: `P` slots are always filled with the best peaks, and `valid` marks those that are people.
Everything here must stay in FP32: peaks are found by equality.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.camera import PATCH, Window

__all__ = ["THRESHOLD", "Detection", "Detections", "gather_tokens"]

THRESHOLD = 0.3
"""From this score on somebody is there, unless the user says otherwise."""

_LOWEST, _HIGHEST = 1e-4, 1 - 1e-4
_FINITE = 1e30


@dataclass(frozen=True)
class Detections:
    """The best `P` peaks of every image, highest score first.

    Attributes:
        scores: [B, P], 0 where the slot is empty.
        valid: [B, P] bool, False where the slot is empty.
        cells: [B, P] int64, ``row * side + column`` of the token. Distinct, in empty slots too.
        locations: [B, P, 2] (u, v) px of the network's input: the head.
        heat_map: [B, side, side], the score where a token is a peak, else 0.
    """

    scores: Tensor
    valid: Tensor
    cells: Tensor
    locations: Tensor
    heat_map: Tensor


class Detection(nn.Module):
    """Compute `Detections` from tokens [B, side^2, D].

    Args:
        width: D.
        side: tokens along one side of the image.
        clamped: whether scores are clamped away from 0 and 1, as in the models on SMPL-X.
    """

    def __init__(self, width: int, side: int, *, clamped: bool = True) -> None:
        super().__init__()
        self.rows = self.columns = side
        self.clamped = clamped
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.offset = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, tokens: Tensor, image: Tensor, threshold: Tensor, max_people: int) -> Detections:
        """Find people.

        Args:
            tokens: [B, side^2, D] backbone tokens.
            image: [B, 3, S, S] network input; an image with NaN or infinity yields no detections.
            threshold: [1]; a peak is a person when its score is at least this.
            max_people: P.
        """
        heat_map = self.heat_map(tokens)
        # NaN compares false, so it can reach neither the threshold nor the slots.
        readable = image.mean(dim=(1, 2, 3), keepdim=True)[:, 0].abs() < _FINITE
        people = (heat_map >= threshold) & readable
        candidates = torch.where(people, heat_map, torch.zeros_like(heat_map)).flatten(1)
        scores, cells = torch.topk(candidates, max_people, dim=1)
        rows, columns = cells // self.columns, cells % self.columns
        offsets = self.offset(gather_tokens(tokens, cells))
        centres = torch.stack((columns, rows), dim=-1).to(offsets.dtype) + 0.5
        return Detections(scores, scores > 0, cells, (centres + offsets) * PATCH, heat_map)

    def crop(self, window: Window) -> None:
        """Expect the tokens of a window only."""
        self.rows, self.columns = window.rows, window.columns

    def heat_map(self, tokens: Tensor) -> Tensor:
        """Return the peaks of the score over 3 x 3 tokens, [B, rows, columns]; ties are both kept, non-peaks are 0."""
        logits = self.score(tokens).unflatten(1, (self.rows, self.columns))[..., 0]
        scores = torch.sigmoid(logits)
        if self.clamped:
            scores = scores.clamp(_LOWEST, _HIGHEST)
        highest = functional.max_pool2d(scores[:, None], kernel_size=3, stride=1, padding=1)[:, 0]
        return torch.where(scores == highest, scores, torch.zeros_like(scores))


def gather_tokens(tokens: Tensor, cells: Tensor) -> Tensor:
    """Return the tokens [B, N, D] at ``cells`` [B, P] as [B, P, D]. Flat indices make it one ONNX `Gather`."""
    batch, count, width = tokens.shape
    first = torch.arange(batch, device=cells.device)[:, None] * count
    flat = (cells + first).reshape(-1)
    return torch.index_select(tokens.reshape(batch * count, width), 0, flat).reshape(batch, -1, width)
