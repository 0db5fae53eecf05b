"""What the tests of training methods share: a tiny task on pictures. Without torch there is nothing to test here."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
