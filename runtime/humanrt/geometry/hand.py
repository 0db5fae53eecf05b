"""The 21 keypoints of a hand in MediaPipe's order: the wrist, then four per finger from its base to its tip."""

from __future__ import annotations

from typing import Final

__all__ = ["CHAINS", "FINGERS", "KNUCKLES", "TIPS", "WRIST"]

FINGERS: Final = ("thumb", "index", "middle", "ring", "pinky")
"""The fingers, in the order of the keypoints."""

WRIST: Final = 0
KNUCKLES: Final = (1, 5, 9, 13, 17)
"""First keypoint of each finger; for the thumb the carpometacarpal joint."""
TIPS: Final = (4, 8, 12, 16, 20)
"""Last keypoint of each finger."""
CHAINS: Final = tuple((WRIST, *range(first, tip + 1)) for first, tip in zip(KNUCKLES, TIPS, strict=True))
"""The five keypoints of each finger from the wrist to its tip."""
