"""A worker of a batch on this machine: a process that does one step after the other."""

from __future__ import annotations

from multiprocessing.connection import Connection

from humanrt.batch.steps import Work, run_step

__all__ = ["run_steps"]


def run_steps(work: Work, steps: Connection) -> None:
    """Take steps from a pipe until it ends, and send what `run_step` yields."""
    try:
        while True:
            for message in run_step(work, steps.recv()):
                steps.send(message)
    except (EOFError, OSError, KeyboardInterrupt):
        return
