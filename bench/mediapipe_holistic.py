"""The yardstick for whole bodies: MediaPipe's own Holistic, of the wheel, in an environment of its own.

    python bench/mediapipe_holistic.py --install --heavy-tflite pose_landmark_heavy.tflite

makes the environment; `MediaPipeHolistic` starts this file there as a worker and sends it frames. The wheel needs an
older numpy than humanrt, and lacks the heavy model, which it would fetch from the network: the npm package
@mediapipe/holistic 0.5.1675471629 has it (sha256 59e42d71...).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PEERS = (
    *("mediapipe==0.10.21", "numpy==1.26.4", "opencv-python-headless==4.10.0.84", "protobuf==4.25.8"),
    *("absl-py", "attrs", "flatbuffers", "matplotlib"),
)
"""mediapipe and, of what it asks for, what Holistic imports: jax, scipy and sounddevice are left out."""
HEAVY = "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"
PYTHON = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "humanrt" / "bench-mediapipe" / "bin" / "python"
)


class MediaPipeHolistic:
    """MediaPipe's Holistic on a CPU, in another process; use it inside `with`.

    Args:
        complexity: of the pose model: 0 lite, 1 full, 2 heavy.
        python: of the environment that has mediapipe.
    """

    def __init__(self, complexity: int = 1, python: Path = PYTHON) -> None:
        if not python.exists():
            sys.exit(f"{python} is missing; run: python {Path(__file__).name} --install (see --help)")
        self._file = tempfile.NamedTemporaryFile(suffix=".rgb")  # noqa: SIM115 (closed with the object)
        self._shape: tuple[int, ...] = ()
        self._process = subprocess.Popen(
            [str(python), __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "GLOG_minloglevel": "2"},
        )
        self.versions: dict[str, str] = self._ask(complexity=complexity)

    def __call__(self, rgb: Any) -> dict[str, Any]:
        """Process the next frame, uint8 RGB [H, W, 3].

        Returns:
            ``ms`` of ``process()`` alone; ``pose_2d`` [33, 2] px, ``visibility`` [33], ``pose_3d`` [33, 3] m relative
            to the hips, or None without a person; ``left_hand``, ``right_hand`` [21, 2] px, ``face`` [468, 2] px, or
            None each.
        """
        import numpy as np

        if rgb.shape != self._shape:
            self._shape = rgb.shape
            self._file.truncate(int(np.prod(rgb.shape)))
            self._map = np.memmap(self._file.name, np.uint8, "r+", shape=rgb.shape)
            self._ask(file=self._file.name, shape=rgb.shape)
        np.copyto(self._map, rgb)
        answer = self._ask(process=True)
        return {key: np.array(value, np.float32) if isinstance(value, list) else value for key, value in answer.items()}

    def reset(self, complexity: int) -> None:
        """Begin anew: the next frame is of another scene."""
        self._ask(complexity=complexity)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        self._file.close()

    def __enter__(self) -> MediaPipeHolistic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            sys.exit(
                f"MediaPipe's process ended with status {self._process.returncode}; --install makes its place anew"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def worker() -> None:
    """Runs in MediaPipe's environment: a request per line on stdin, an answer per line on stdout."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what mediapipe prints must not be taken for an answer
    import mediapipe
    import numpy as np

    holistic: Any = None
    shared: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if "complexity" in request:
            if holistic is not None:
                holistic.close()
            holistic = mediapipe.solutions.holistic.Holistic(model_complexity=request["complexity"])
            answer = {"mediapipe": mediapipe.__version__, "numpy": np.__version__}
        elif "shape" in request:
            shared = np.memmap(request["file"], np.uint8, "r", shape=tuple(request["shape"]))
        else:
            rgb = np.array(shared)
            begin = time.perf_counter()
            found = holistic.process(rgb)
            answer["ms"] = (time.perf_counter() - begin) * 1e3
            size = np.array([rgb.shape[1], rgb.shape[0]])
            for name, landmarks in (
                ("pose_2d", found.pose_landmarks),
                ("left_hand", found.left_hand_landmarks),
                ("right_hand", found.right_hand_landmarks),
                ("face", found.face_landmarks),
            ):
                answer[name] = landmarks and (np.array([(p.x, p.y) for p in landmarks.landmark]) * size).tolist()
            metric = found.pose_world_landmarks
            answer["visibility"] = metric and [p.visibility for p in metric.landmark]
            answer["pose_3d"] = metric and [(p.x, p.y, p.z) for p in metric.landmark]
        out.write(json.dumps(answer) + "\n")
        out.flush()


def install(python: Path, heavy: Path) -> None:
    """Make the environment, and put the heavy model where the wheel looks for it."""
    if hashlib.sha256(heavy.read_bytes()).hexdigest() != HEAVY:
        sys.exit(f"{heavy} is not pose_landmark_heavy.tflite of @mediapipe/holistic 0.5.1675471629")
    folder = python.parent.parent
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", *PEERS[:1]], check=True)
    subprocess.run([*pip, *PEERS[1:]], check=True)
    (modules,) = folder.glob("lib/python*/site-packages/mediapipe/modules/pose_landmark")
    shutil.copy(heavy, modules / "pose_landmark_heavy.tflite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="make the environment")
    parser.add_argument("--heavy-tflite", type=Path, help="pose_landmark_heavy.tflite, for --install")
    parser.add_argument("--python", type=Path, default=PYTHON, help="of the environment")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
    elif arguments.install and arguments.heavy_tflite:
        install(arguments.python, arguments.heavy_tflite)
    else:
        parser.error("give --install and --heavy-tflite")


if __name__ == "__main__":
    main()
