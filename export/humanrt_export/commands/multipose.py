"""The command `humanrt-export multipose`."""

from __future__ import annotations

from humanrt_export.commands.npm import NpmCommand
from humanrt_export.conversion.multipose import PACKAGE, export_multipose

__all__ = ["configure", "run"]

_COMMAND = NpmCommand("multipose", PACKAGE, export_multipose, "TF.js (in node)")
configure, run = _COMMAND.configure, _COMMAND.run
