"""Entry point of ``python -m humanrt``."""

import sys

from humanrt.cli import main

sys.exit(main())
