"""What a frozen trunk sees, computed by ONNX Runtime: on a CPU several times as fast as by PyTorch."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from torch import Tensor, nn

from humanrt_export.conversion.graphs import trace
from humanrt_export.networks.keypoint_backbone import KeypointBackbone, KeypointMaps
from humanrt_export.networks.movenet import LowerMaps

__all__ = ["FrozenMaps"]


class FrozenMaps:
    """Compute the maps of images [B, 3, S, S] with the weights that a backbone has now.

    Args:
        backbone: its trunk is taken over.
        size: S.
        threads: of ONNX Runtime; 0: as it likes.
        lower: only its lower layers are frozen: compute `LowerMaps`.
    """

    def __init__(self, backbone: KeypointBackbone, size: int, threads: int = 0, *, lower: bool = False) -> None:
        image = torch.zeros(1, 3, size, size)
        self._kind: type[KeypointMaps | LowerMaps] = LowerMaps if lower else KeypointMaps
        graph = ir.to_proto(trace(_Maps(backbone, lower).eval(), {"image": image}, self._kind._fields, "maps"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), options, ["CPUExecutionProvider"])

    def __call__(self, images: Tensor) -> KeypointMaps | LowerMaps:
        # One image at a time, whose maps stay in the processor's cache.
        found = [self._session.run(list(self._kind._fields), {"image": image[None].numpy()}) for image in images]
        return self._kind(*(torch.from_numpy(np.concatenate(maps)) for maps in zip(*found, strict=True)))


class _Maps(nn.Module):
    def __init__(self, backbone: KeypointBackbone, lower: bool) -> None:
        super().__init__()
        self.backbone, self.lower = backbone, lower

    def forward(self, image: Tensor) -> KeypointMaps | LowerMaps:
        return self.backbone.lower(image) if self.lower else self.backbone.maps(image)
