"""Ask a Triton server that serves a repository of ``humanrt-export triton``.

Needs: pip install 'tritonclient[grpc]' opencv-python-headless

    python client.py MODEL PICTURE [HOST:PORT]            Multi-HMR: the people of a picture
    python client.py MODEL VIDEO [HOST:PORT]              hands, landmarks, holistic: a sequence, a line for each frame
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np

try:
    from tritonclient import grpc  # type: ignore[import-not-found]  # of the user
except ImportError:
    sys.exit("client.py needs tritonclient: pip install 'tritonclient[grpc]'")


def ask(client: Any, model: str, values: dict[str, Any], **sequence: Any) -> Any:
    inputs = []
    for name, value in values.items():
        kind = {"uint8": "UINT8", "float32": "FP32", "float64": "FP64"}[value.dtype.name]
        inputs.append(grpc.InferInput(name, value.shape, kind))
        inputs[-1].set_data_from_numpy(np.ascontiguousarray(value))
    return client.infer(model, inputs, **sequence)


def main(model: str, path: str, server: str = "localhost:8001") -> None:
    video = cv2.VideoCapture(path)
    ok, bgr = video.read()
    if not ok:
        sys.exit(f"{path}: not a readable picture or video; check the name")
    client = grpc.InferenceServerClient(server)
    about = client.get_model_metadata(model, as_json=True)
    sizes = {one["name"]: [int(size) for size in one["shape"]] for one in about["inputs"]}
    if "t" not in sizes:
        values = {"frame": bgr[..., ::-1], "intrinsics": np.zeros((3, 3), np.float32)}  # zeros: not known
        values["threshold"] = np.full(sizes["threshold"], 0.3, np.float32)
        people = ask(client, model, values)
        for score, where in zip(people.as_numpy("scores"), people.as_numpy("translations"), strict=True):
            print(f"{score:.2f} at {where} m")
        return
    t, start = 0.0, True
    while ok:
        values = {"frame": bgr[..., ::-1], "t": np.array([t])}
        result = ask(client, model, values, sequence_id=1, sequence_start=start)
        print(result.as_numpy("record")[0].decode())
        t, start = video.get(cv2.CAP_PROP_POS_MSEC) / 1000, False
        ok, bgr = video.read()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
