"""Human Prediction Head: one query per person, cross-attending to all tokens, regresses pose, shape and depth.

After Baradel et al., Multi-HMR (ECCV 2024), written from the description of the published weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from humanrt_export.bodies.smplx_sizes import EXPRESSIONS, ROTATIONS
from humanrt_export.networks.attention import MASKED, Attention
from humanrt_export.networks.camera import Window
from humanrt_export.networks.decoder import DecoderLayer
from humanrt_export.networks.detection import gather_tokens
from humanrt_export.networks.rotations import matrices_from_columns

__all__ = ["HumanHead", "Predictions"]


_CAMERA = 3
_WIDTH = 1024


@dataclass(frozen=True)
class Predictions:
    """Raw predictions of the head for every slot, before geometry.

    Attributes:
        rotations: [B, P, 53, 3, 3], relative to the parent joint; the root relative to the camera.
        nearness: [B, P], the network's depth, see `model.MultiHmr`.
        shape: [B, P, betas].
        expression: [B, P, 10].
    """

    rotations: Tensor
    nearness: Tensor
    shape: Tensor
    expression: Tensor


class HumanHead(nn.Module):
    """Predict `Predictions` from context [B, side^2, C] and detected cells."""

    mean_pose: Tensor
    mean_shape: Tensor
    mean_camera: Tensor
    mean_expression: Tensor

    def __init__(self, context: int, side: int, betas: int, depth: int, heads: int) -> None:
        super().__init__()
        self.columns = side
        pose = 6 * ROTATIONS
        # One learned vector per row and per column of tokens; they tie a checkpoint to its input size.
        self.query_rows = nn.Parameter(torch.zeros(side, context))
        self.query_columns = nn.Parameter(torch.zeros(side, context))
        self.value_rows = nn.Parameter(torch.zeros(side, context))
        self.value_columns = nn.Parameter(torch.zeros(side, context))
        for name, size in (("pose", pose), ("shape", betas), ("camera", _CAMERA), ("expression", EXPRESSIONS)):
            self.register_buffer(f"mean_{name}", torch.zeros(1, size))
        self.embed = nn.Linear(context + pose + betas + _CAMERA, _WIDTH)
        self.position = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.layers = nn.ModuleList(DecoderLayer(_WIDTH, context, heads, _WIDTH, bias=False) for _ in range(depth))
        self.pose = nn.Linear(_WIDTH, pose)
        self.shape = nn.Linear(_WIDTH, betas)
        self.camera = nn.Linear(_WIDTH, _CAMERA)
        self.expression = nn.Linear(_WIDTH, EXPRESSIONS)

    def forward(self, context: Tensor, cells: Tensor, valid: Tensor) -> Predictions:
        """Predict every slot; the content of empty slots does not affect the others.

        Args:
            context: [B, N, C] tokens with the encoding of their rays.
            cells: [B, P] int64, the token of each slot.
            valid: [B, P] bool, False for empty slots.
        """
        rows, columns = cells // self.columns, cells % self.columns
        features = gather_tokens(context, cells) + _pick(self.query_rows, rows) + _pick(self.query_columns, columns)
        means = torch.cat((self.mean_pose, self.mean_shape, self.mean_camera), dim=-1)
        people = torch.cat((features, means.expand(*features.shape[:2], -1)), dim=-1)
        x = self.embed(people) + self.position

        # A product with a one-hot matrix, because TensorRT has no scatter-add.
        tokens = torch.arange(context.shape[1], device=cells.device)
        chosen = ((cells[..., None] == tokens) & valid[..., None]).to(context.dtype)
        values = _pick(self.value_rows, rows) + _pick(self.value_columns, columns)
        context = context + chosen.transpose(1, 2) @ values

        bias = torch.where(valid, 0.0, MASKED).to(context.dtype)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, context, bias)
        return Predictions(
            rotations=matrices_from_columns((self.pose(x) + self.mean_pose).unflatten(-1, (ROTATIONS, 6))),
            nearness=(self.camera(x) + self.mean_camera)[..., 0],
            shape=self.shape(x) + self.mean_shape,
            expression=self.expression(x) + self.mean_expression,
        )

    def crop(self, window: Window) -> None:
        """Expect the tokens of a window only."""
        self.columns = window.columns
        for name, start, count in (("rows", window.top, window.rows), ("columns", window.left, window.columns)):
            for table in (f"query_{name}", f"value_{name}"):
                setattr(self, table, nn.Parameter(getattr(self, table).detach()[start : start + count].clone()))

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `attention`)."""
        for layer in self.layers:
            layer.attention = attention


def _pick(table: Tensor, indices: Tensor) -> Tensor:
    """Return the rows of a table [R, C] at ``indices`` [B, P] as [B, P, C]."""
    return torch.index_select(table, 0, indices.reshape(-1)).unflatten(0, indices.shape)
