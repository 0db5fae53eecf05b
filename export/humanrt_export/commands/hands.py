"""The command `humanrt-export hands`."""

from __future__ import annotations

from humanrt_export.commands.mediapipe import MediapipeCommand
from humanrt_export.conversion.hands import export_hands

__all__ = ["configure", "run"]

_COMMAND = MediapipeCommand("hands", export_hands, "a video that shows a hand", "hand.mp4")
configure, run = _COMMAND.configure, _COMMAND.run
