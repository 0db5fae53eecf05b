"""A text encoder of word vectors and one bidirectional GRU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["GruText", "GruTextConfig"]


@dataclass(frozen=True)
class GruTextConfig:
    """Sizes of a `GruText`.

    Attributes:
        words: number of words.
        inputs: numbers of a word's vector.
        width: D of the result, half of it from each direction.
    """

    words: int
    inputs: int
    width: int


class GruText(nn.Module):
    """A vector for a text: the last states of a GRU forward and of one backward."""

    def __init__(self, config: GruTextConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.words, config.inputs)
        self.gru = nn.GRU(config.inputs, config.width // 2, batch_first=True, bidirectional=True)
        self._emitted: tuple[Tensor, Tensor, Tensor] | None = None

    def emit_operator(self, on: bool) -> None:
        """Emit ONNX's own GRU, which stops at each text's end, while traced; a module that does cannot run."""
        self._emitted = self._reordered() if on else None

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return vectors [B, D] of tokens int64 [B, L], of which ``present`` bool [B, L] belong to the text."""
        vectors, lengths = self.words(tokens), present.sum(1)
        if self._emitted is not None:
            half, (length, texts) = self.gru.hidden_size, (tokens.shape[1], tokens.shape[0])
            _, last = torch.onnx.ops.symbolic_multi_out(
                "GRU",
                (vectors.transpose(0, 1), *self._emitted, lengths.to(torch.int32)),
                attrs={"direction": "bidirectional", "hidden_size": half, "linear_before_reset": 1},
                dtypes=(vectors.dtype, vectors.dtype),
                shapes=((length, 2, texts, half), (2, texts, half)),
                version=14,
            )
        else:
            packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
            _, last = self.gru(packed)
        return torch.cat((last[0], last[1]), dim=-1)

    def _reordered(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return input weights, state weights and biases of both directions, update before reset as ONNX has them."""
        parts: dict[str, list[Tensor]] = {}
        for direction in ("", "_reverse"):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                reset, update, new = getattr(self.gru, f"{name}_l0{direction}").detach().chunk(3)
                parts.setdefault(name, []).append(torch.cat((update, reset, new)))
        biases = torch.cat((torch.stack(parts["bias_ih"]), torch.stack(parts["bias_hh"])), dim=1)
        return torch.stack(parts["weight_ih"]), torch.stack(parts["weight_hh"]), biases
