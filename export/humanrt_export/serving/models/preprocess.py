"""Triton's Python backend: a frame of any size -> the network's input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # the server's own

from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.letterbox import Preprocessor


class TritonPythonModel:
    """Letterboxes and normalises frames, uint8 [H, W, 3], RGB."""

    def initialize(self, args: dict[str, str]) -> None:
        text = Path(args["model_repository"], args["model_version"], "settings.json").read_text(encoding="utf-8")
        settings = json.loads(text)
        self._shape = settings["shape"]
        self._camera = np.array(settings["camera"])
        self._fit = Preprocessor(
            (self._shape[-1], self._shape[-2]), settings["mean"], settings["std"], settings["resize"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            frame = pb.get_input_tensor_by_name(request, "frame").as_numpy()
            given = pb.get_input_tensor_by_name(request, "intrinsics").as_numpy()
            try:
                outputs = self._prepared(frame, given)
                responses.append(pb.InferenceResponse([pb.Tensor(name, array) for name, array in outputs.items()]))
            except ValueError as error:
                responses.append(pb.InferenceResponse([], pb.TritonError(str(error))))
        return responses

    def _prepared(self, frame: Any, given: Any) -> dict[str, Any]:
        image = np.zeros(self._shape, np.float32)
        box = self._fit(np.ascontiguousarray(frame), image[0])
        K = box.intrinsics_to_input(check_intrinsics(given)) if given.any() else self._camera
        return {
            "image": image,
            "camera": np.broadcast_to(K, (len(image), 3, 3)).astype(np.float32),
            "frame_size": np.array([frame.shape[1], frame.shape[0]], np.int32),
        }
