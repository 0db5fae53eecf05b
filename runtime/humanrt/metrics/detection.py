"""Who was found: precision, recall, F1, and errors normalised by F1, as AGORA ranks by them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Detection"]


@dataclass(frozen=True)
class Detection:
    """Counts of a set of pictures.

    Attributes:
        found: true people who were found.
        wrong: found people who are nobody, or somebody twice.
        missed: true people who were not found.
    """

    found: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Found people who are somebody, of all found; 0 without any."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """True people who were found, of all; 0 without any."""
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        """TP / (TP + (FP + FN) / 2); 0 if nobody was found."""
        return self.found / max(1.0, self.found + 0.5 * (self.wrong + self.missed))

    def normalised(self, error: float, *, rounded: bool = False) -> float:
        """Return an error divided by F1: NMJE of MPJPE, NMVE of PVE. Infinite if nobody was found.

        Args:
            error: mean error of the people found.
            rounded: F1 is first rounded to two decimals, as the code of AGORA and Multi-HMR does.
        """
        f1 = round(self.f1, 2) if rounded else self.f1
        return error / f1 if f1 else float("inf")
