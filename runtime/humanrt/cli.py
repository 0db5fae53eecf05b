"""``humanrt``: the command line of the lean runtime.

Exit status: 0; 2 for bad usage or bad input, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM, with
everything written so far closed and readable.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from humanrt import __version__
from humanrt.errors import HumanrtError

__all__ = ["main"]


class _Terminated(BaseException):
    """SIGTERM, raised like KeyboardInterrupt so that recordings are closed."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


class _Parser(argparse.ArgumentParser):
    """Usage errors in one line, as all other errors are."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    from humanrt.commands import bench, demo, doctor, run

    parser = _Parser(prog="humanrt", description="A camera in, human meshes and robot-hand motion out, live.")
    parser.add_argument("--version", action="version", version=f"humanrt {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in (demo, run, bench, doctor):
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        status: int = options.run(options)
        return status
    except HumanrtError as error:
        print(f"humanrt {options.command}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"humanrt {options.command}: interrupted; what was written is complete", file=sys.stderr)
        return 130
    except _Terminated:
        print(f"humanrt {options.command}: terminated; what was written is complete", file=sys.stderr)
        return 143
    except BrokenPipeError:  # `humanrt ... | head`
        sys.stderr.close()
        return 0
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    sys.exit(main())
