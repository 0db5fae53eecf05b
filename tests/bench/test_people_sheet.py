"""Contact sheets: cells where they belong, and nothing but them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from people_sheet import sheet, write


def test_cells_are_scaled_and_stand_in_rows(tmp_path: Path) -> None:
    red = np.full((200, 100, 3), (255, 0, 0), np.uint8)
    green = np.full((100, 100, 3), (0, 255, 0), np.uint8)
    whole = sheet([red, green, red], 2, 100)
    assert whole.shape == (200, 200, 3)
    assert (whole[:100, :50] == (255, 0, 0)).all()
    assert (whole[:100, 50:100] == 0).all()  # the narrower cell's rest
    assert (whole[:100, 100:] == (0, 255, 0)).all()
    assert (whole[100:, 50:] == 0).all()
    assert sheet([red], 5, 0).shape == red.shape
    write(tmp_path / "sheet.png", whole, 0)
    assert (cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1] == whole).all()
