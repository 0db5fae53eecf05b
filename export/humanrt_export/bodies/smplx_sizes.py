"""Sizes of SMPL-X as Multi-HMR uses it."""

from __future__ import annotations

__all__ = ["EXPRESSIONS", "ROTATIONS"]

ROTATIONS = 53
"""Number of rotations: root, 21 body, 15 left hand, 15 right hand, jaw."""
EXPRESSIONS = 10
