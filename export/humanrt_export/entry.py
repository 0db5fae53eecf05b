"""Entry point of modules run by ``python -m``: user errors become one line on stderr, as in `humanrt_export.cli`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from humanrt.errors import HumanrtError

__all__ = ["run_module"]


def run_module(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and exit with its status (None: 0), or 2 after one line for a `HumanrtError` or an `OSError`."""
    try:
        status = main()
    except (HumanrtError, OSError) as error:
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        name = spec.name if spec else sys.argv[0]
        print(f"{name}: {error}", file=sys.stderr)
        status = getattr(error, "exit_status", 2)
    sys.exit(status)
