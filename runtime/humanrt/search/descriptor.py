"""What an index holds of a pose: `humanrt.geometry.pose_descriptor`."""

from __future__ import annotations

from humanrt.geometry.pose_descriptor import GROUPS, NAME, POINTS, describe, points_of, without_heading

__all__ = ["GROUPS", "NAME", "POINTS", "describe", "points_of", "without_heading"]
