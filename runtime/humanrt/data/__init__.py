"""The clips that ship. They are rendered, not filmed, so that every joint is known (README.md beside this file).

For the demo, benchmarks, tests and examples: a source that is always there.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CLIP", "PEOPLE_CLIP", "PEOPLE_TRUTH", "TRUTH"]

CLIP = Path(__file__).parent / "demo_hand.mp4"
"""A right hand, 11 s."""

TRUTH = CLIP.with_suffix(".npz")
"""Keypoints, finger angles and camera of `CLIP` (`humanrt.hands.truth.Truth`)."""

PEOPLE_CLIP = CLIP.with_name("demo_people.mp4")
"""Three people, 6 s."""

PEOPLE_TRUTH = PEOPLE_CLIP.with_suffix(".npz")
"""Joints, meshes' parameters and camera of `PEOPLE_CLIP` (`humanrt.people.truth.PeopleTruth`)."""
