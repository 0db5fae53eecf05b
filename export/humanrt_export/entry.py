"""How modules that are run by ``python -m`` end: users' mistakes are one line on stderr, as in `humanrt_export.cli`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from humanrt.errors import HumanrtError

__all__ = ["run_module"]


def run_module(main: Callable[[], int]) -> NoReturn:
    """Run ``main`` and exit with its status; 2 after one line for a `HumanrtError`."""
    try:
        status = main()
    except HumanrtError as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        status = error.exit_status
    sys.exit(status)
