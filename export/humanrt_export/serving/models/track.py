"""Triton's Python backend: frames of a sequence -> what humanrt sees in each, with identities, smoothed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # the server's own

from humanrt.outputs.record import json_line
from humanrt.sources.opening import Frame
from humanrt.tasks import TASKS


class TritonPythonModel:
    """Follows one sequence at a time, from its START on."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        task = TASKS[json.loads((folder / "settings.json").read_text(encoding="utf-8"))["task"]]
        self._pipeline = task.open(folder / "bundle", "cpu", task.options(), threads=1)
        self._index = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        responses = []
        for request in requests:
            frame, t, start = (
                pb.get_input_tensor_by_name(request, name).as_numpy() for name in ("frame", "t", "START")
            )
            if start.any():
                self._pipeline.reset()
                self._index = 0
            try:
                result = self._pipeline(Frame(np.ascontiguousarray(frame), float(t[0]), self._index))
                line = json_line(result.record()).rstrip(b"\n")
                responses.append(pb.InferenceResponse([pb.Tensor("record", np.array([line], object))]))
                self._index += 1
            except ValueError as error:
                responses.append(pb.InferenceResponse([], pb.TritonError(str(error))))
        return responses

    def finalize(self) -> None:
        self._pipeline.close()
