"""Triton's Python backend: the outputs of network and body -> the people of the frame, in its own pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # the server's own

from humanrt.geometry.camera import Letterbox
from humanrt.people.multihmr_networks import decoded, occupied


class TritonPythonModel:
    """Takes the slots that hold somebody."""

    def initialize(self, args: dict[str, str]) -> None:
        text = Path(args["model_repository"], args["model_version"], "settings.json").read_text(encoding="utf-8")
        settings = json.loads(text)
        self._size, self._names = tuple(settings["size"]), settings["names"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [
            pb.InferenceResponse([pb.Tensor(name, array) for name, array in self._people(request).items()])
            for request in requests
        ]

    def _people(self, request: Any) -> dict[str, Any]:
        def tensor(name: str) -> Any:
            return pb.get_input_tensor_by_name(request, name).as_numpy()

        outputs = {name: tensor(name) for name in self._names}
        width, height = tensor("frame_size")
        box = Letterbox.fit((int(width), int(height)), self._size)
        slot = occupied(outputs, 0)
        mesh = tensor("vertices")[0][slot], tensor("joints")[0][slot]
        given = tensor("given_camera").astype(np.float64)
        (people,) = decoded(outputs, given, [slot], [mesh], [box])
        names = ("scores", "locations", "translations", "rotations", "shape", "expression", "vertices", "joints")
        values = {name: getattr(people, name) for name in (*names, "joints_2d", "intrinsics")}
        return {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
