"""A worker of a batch that the system kills. Worker processes import it by this name, however pytest was started."""

from __future__ import annotations

import os
import signal
from typing import Any


def die_at_b(work: Any, steps: Any) -> None:
    """A worker that the system kills when it meets a certain file."""
    from humanrt.batch.worker import run_steps

    class Fatal:
        def recv(self) -> Any:
            step = steps.recv()
            if step.name.endswith("b.mp4"):
                os.kill(os.getpid(), signal.SIGKILL)
            return step

        def send(self, message: Any) -> None:
            steps.send(message)

    run_steps(work, Fatal())  # type: ignore[arg-type]
