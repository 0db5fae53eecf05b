"""Triton's Python backend: keypoints of a sequence -> smoothed keypoints and rotations, by PoseBERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # the server's own

from humanrt.posebert.stream import Observation, PoseBERTStream


class TritonPythonModel:
    """Follows one sequence at a time, from its START on; any number of identities in it."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        self._stream = PoseBERTStream(folder / "bundle", backend="cpu", threads=1)

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            ids, points, scores, left, t, start = (
                pb.get_input_tensor_by_name(request, name).as_numpy()
                for name in ("ids", "keypoints", "confidence", "left", "t", "START")
            )
            if start.any():
                self._stream.reset()
            seen = {
                int(id): Observation(points[i], float(scores[i]), "left" if left[i] else "right")
                for i, id in enumerate(ids)
            }
            try:
                responses.append(self._response(self._stream.update(float(t[0]), seen)))
            except ValueError as error:
                responses.append(pb.InferenceResponse([], pb.TritonError(str(error))))
        return responses

    def _response(self, states: Any) -> Any:
        poses = list(states.values())
        if poses:
            keypoints, rotations = (np.stack([getattr(one, n) for one in poses]) for n in ("keypoints", "rotations"))
        else:
            keypoints = np.zeros((0, self._stream.points, 3), np.float32)
            rotations = np.zeros((0, len(self._stream.joints), 3, 3), np.float32)
        outputs = {
            "ids": np.array(list(states), np.int64),
            "keypoints": np.ascontiguousarray(keypoints, np.float32),
            "rotations": np.ascontiguousarray(rotations, np.float32),
            "filled": np.array([one.filled for one in poses], bool),
        }
        return pb.InferenceResponse([pb.Tensor(name, array) for name, array in outputs.items()])

    def finalize(self) -> None:
        self._stream.close()
