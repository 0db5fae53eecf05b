"""A person's picture for the network: what is cut out, padded, scaled, and refused."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.embedding.picture import cut_out, network_picture
from humanrt.errors import InvalidInputError

SIZE = (256, 192)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_of_the_input_s_form_is_scaled_as_pillow_does() -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    given = picture(500, 375)
    expected = np.asarray(image.fromarray(given).resize((192, 256), image.BICUBIC), np.float32) / 255
    found = network_picture(given, SIZE)
    assert (found.dtype, found.shape) == (np.float32, (3, 256, 192))
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(400, 100), (100, 400), (12, 12), (7, 300)])
def test_other_forms_are_padded_with_black_and_keep_their_proportions(height: int, width: int) -> None:
    filled = np.full((height, width, 3), 255, np.uint8)
    found = network_picture(filled, SIZE).mean(0) > 0.5
    rows, columns = found.any(1).sum(), found.any(0).sum()
    scale = min(256 / height, 192 / width)
    assert abs(rows - scale * height) <= 2
    assert abs(columns - scale * width) <= 2
    # In the middle, to a pixel.
    for there in (found.any(1), found.any(0)):
        at = np.flatnonzero(there)
        assert abs(at[0] - (len(there) - 1 - at[-1])) <= 2


def test_a_box_gets_5_percent_of_its_diagonal_on_each_side_and_black_beyond_the_image() -> None:
    image = picture(100, 200)
    found = cut_out(image, (50, 20, 80, 60))  # 30 x 40: a diagonal of 50, a margin of 2.5
    np.testing.assert_array_equal(found, image[17:63, 47:83])
    edge = cut_out(image, (-30, -40, 30, 40))
    assert edge.shape == (90, 70, 3)
    assert not edge[:45].any()
    assert not edge[:, :35].any()
    np.testing.assert_array_equal(edge[45:, 35:], image[:45, :35])
    assert cut_out(image, (-1e9, -1e9, 1e9, 1e9)).shape == (300, 600, 3)


def test_network_input_is_passed_on() -> None:
    ready = np.random.default_rng(0).random((3, *SIZE), np.float32)
    assert network_picture(ready, SIZE) is ready


@pytest.mark.parametrize(
    ("image", "box", "message"),
    [
        (np.zeros((3, 256, 192)), None, r"uint8 \[H, W, 3\]"),
        (np.full((3, 256, 192), 2, np.float32), None, "from 0 to 1"),
        (np.full((3, 256, 192), np.nan, np.float32), None, "from 0 to 1"),
        (np.zeros((3, 256, 192), np.float32), (0, 0, 5, 5), "has no box"),
        ("people.jpg", None, "must be an array, .* not a str"),
        (np.zeros((0, 4, 3), np.uint8), None, r"uint8 \[H, W, 3\]"),
        (np.zeros((9, 9, 3), np.uint8), (5, 5, 5, 8), "left < right"),
        (np.zeros((9, 9, 3), np.uint8), (1, 2, 3), "left < right"),
        (np.zeros((9, 9, 3), np.uint8), (0, 0, np.inf, 4), "left < right"),
        (np.zeros((9, 9, 3), np.uint8), (20, 20, 30, 30), "lies outside of the image of 9 x 9 px"),
        (np.zeros((9, 9, 3), np.uint8), "all", "box"),
    ],
)
def test_what_is_no_picture_is_refused(image: object, box: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        network_picture(image, SIZE, box)
