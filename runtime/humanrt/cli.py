"""``humanrt``: the command line of the lean runtime.

Exit status: 0; 2 for bad usage or bad input, with one line on stderr; 130 after Ctrl-C, 143 after SIGTERM, with
everything written so far closed and readable.

What is imported here must be light: until `main` runs, Ctrl-C is Python's own, with its traceback.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TextIO

from humanrt.address import redacted, redacted_address
from humanrt.errors import HumanrtError, printable

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["main"]


_COMMANDS = (
    "demo",
    "run",
    "batch",
    "generate",
    "coach",
    "edit",
    "convert",
    "index",
    "find",
    "view",
    "evaluate",
    "bench",
    "bundle",
    "doctor",
)
"""The commands, each a module of `humanrt.commands`, in the order of the help."""


class _Signals:
    """Handles SIGINT and SIGTERM while a command runs.

    Before the command itself begins (`begun`) they end the process at once: nothing is open, and an exception in the
    middle of numpy's imports would surface as another one. From then on they are raised as KeyboardInterrupt, so that
    recordings are closed; `caught` is the signal, even if a library turned the exception into another.
    """

    def __init__(self) -> None:
        self.begun = False
        self.caught: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        for which, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(which) == usual:  # otherwise the handler was set on purpose: `nohup`, `command &`
                self._previous[which] = usual
                signal.signal(which, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for which, usual in self._previous.items():
            signal.signal(which, usual)  # type: ignore[arg-type]

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if not self.begun:
            with contextlib.suppress(OSError):
                os.write(2, f"humanrt: {_word(signum)} before anything was begun\n".encode())
            os._exit(128 + signum)
        self.caught = signum
        raise KeyboardInterrupt


def _word(signum: int) -> str:
    return "terminated" if signum == signal.SIGTERM else "interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    name = "humanrt"
    with _Signals() as signals, _one_line_warnings(lambda line: _say(f"{name}: {line}")):
        _mend_streams()
        try:
            options = _parse(arguments)
            name = f"humanrt {options.command}"
            signals.begun = True
            status: int = options.run(options)
            sys.stdout.flush()
        except SystemExit as usage:
            status = usage.code if isinstance(usage.code, int) else 0
        except BaseException as error:
            status = _told(name, error, signals.caught, sys.argv[1:] if arguments is None else arguments)
        _forget_unwritten()
        return status


def _parse(arguments: Sequence[str] | None) -> Namespace:
    import argparse
    from importlib import import_module

    from humanrt import __version__

    class Parser(argparse.ArgumentParser):
        """Argument parser that reports usage errors in one line, like all other errors."""

        def error(self, message: str) -> None:  # type: ignore[override]
            if message.endswith("required: source"):
                message += ", before options that take several values"
            self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")

        def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
            if message:
                given = sys.argv[1:] if arguments is None else arguments
                message = _without_secrets(message.rstrip("\n"), given) + "\n"
            super().exit(status, message)

    parser = Parser(prog="humanrt", description="A camera in, human meshes and robot-hand motion out, live.")
    parser.add_argument("--version", action="version", version=f"humanrt {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Only the command that is asked for is imported: together they take several times as long.
    for name in given[:1] if given and given[0] in _COMMANDS else _COMMANDS:
        import_module(f"humanrt.commands.{name}").add_parser(subparsers)
    options, unknown = parser.parse_known_args(arguments)
    if unknown and options.command == "run" and not unknown[0].startswith("-"):
        parser.exit(
            2,
            f"humanrt run: one SOURCE a run, and here are {len(unknown) + 1}: {options.source} {' '.join(unknown)}; "
            "`humanrt batch` takes many, each with an output of its own (a folder of images is one source)\n",
        )
    if unknown and options.command == "find" and not any(one.startswith("-") for one in unknown):
        words = " ".join([*([] if options.words is None else [options.words]), *unknown])
        parser.exit(2, f'humanrt find: WORDS stand directly behind INDEX, in quotes: {options.index} "{words}"\n')
    if unknown:
        subparsers.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _without_secrets(message: str, arguments: Sequence[str]) -> str:
    """Return a message in one line, without the passwords of addresses in quoted arguments.

    This also covers an address given by mistake, such as for a file: a message may then name it as a path, or its
    folder.
    """
    for argument in sorted(arguments, key=len, reverse=True):
        for name in (argument, os.path.normpath(argument), os.path.dirname(os.path.normpath(argument))):  # noqa: PTH120
            shown = redacted_address(name)
            if shown != name:
                for quoted in (name, repr(name)[1:-1]):
                    message = message.replace(quoted, shown)
    return printable(redacted(message))


def _told(name: str, error: BaseException, caught: int | None, arguments: Sequence[str]) -> int:
    """Report in one line what ended a command and return its status; re-raise the error if it is a bug of humanrt."""
    if caught is not None or isinstance(error, KeyboardInterrupt):
        caught = caught or signal.SIGINT
        _say(f"{name}: {_word(caught)}; what was written is complete")
        return 128 + caught
    if isinstance(error, HumanrtError):
        _say(f"{name}: {_without_secrets(str(error), arguments)}")
        return error.exit_status
    if isinstance(error, BrokenPipeError):  # `humanrt ... | head`
        return 0
    if isinstance(error, OSError) and error.filename is not None:  # a name too long, a folder without permission
        line = f"{name}: {error.filename}: {error.strerror}; check this path or give another"
        _say(_without_secrets(line, arguments))
        return 2
    if isinstance(error, OSError) and not _flushes(sys.stdout, probe="\n"):
        _say(f"{name}: standard output cannot be written ({error.strerror}); free some space or send it elsewhere")
        return 2
    raise error


@contextlib.contextmanager
def _one_line_warnings(say: Callable[[str], object]) -> Iterator[None]:
    """Show humanrt's own warnings as one line, without a place in its source; others as usual."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if category.__module__.partition(".")[0] == "humanrt":
                say(printable(str(message)))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def _mend_streams() -> None:
    """Make the standard streams safe to write to.

    Closed ones are replaced by the null device, or the next file opened would be taken for one of them.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives on
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold what the locale cannot encode
            stream.reconfigure(errors="backslashreplace")


def _flushes(stream: TextIO, probe: str = "") -> bool:
    try:
        stream.write(probe)  # an unbuffered stream has no pending data on which a flush could fail
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _forget_unwritten() -> None:
    """Discard output that cannot be delivered, or Python reports it on exit, with a status of its own."""
    for stream in (sys.stdout, sys.stderr):
        if not _flushes(stream):
            with contextlib.suppress(OSError, ValueError):
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, stream.fileno())
                os.close(sink)


if __name__ == "__main__":
    sys.exit(main())
