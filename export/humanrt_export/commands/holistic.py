"""The command `humanrt-export holistic`."""

from __future__ import annotations

from humanrt_export.commands.npm import NpmCommand
from humanrt_export.conversion.holistic import PACKAGE, export_holistic

__all__ = ["configure", "run"]

_COMMAND = NpmCommand("holistic", PACKAGE, export_holistic, "LiteRT")
configure, run = _COMMAND.configure, _COMMAND.run
