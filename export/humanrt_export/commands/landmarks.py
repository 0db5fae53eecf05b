"""The command `humanrt-export landmarks`."""

from __future__ import annotations

from humanrt_export.commands.mediapipe import MediapipeCommand
from humanrt_export.conversion.landmarks import export_landmarks

__all__ = ["configure", "run"]

_COMMAND = MediapipeCommand("landmarks", export_landmarks, "an image or video that shows people", "people.jpg")
configure, run = _COMMAND.configure, _COMMAND.run
