"""MoveNet MultiPose: decoding its heads, and the bundle that ships, against TF.js."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiposeSettings
from humanrt.geometry.region import Region
from humanrt.people.multipose import Heads, Multipose, decoded
from humanrt.people.windows import whole_picture
from humanrt.sources.opening import open_source
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "runtime" / "humanrt" / "data" / "demo_people.mp4"
TFJS = ROOT / "tests" / "data" / "multipose_tfjs.npz"
"""What TF.js finds in the first frame of the clip: [6, 56], as the published graph returns it."""

SETTINGS = MultiposeSettings(64, 0.3, 0.127, 0.3, 3)
_CELLS = 16


def _heads(centres: dict[tuple[int, int], float]) -> Heads:
    """People at cells (y, x); their keypoint k is k cells to the right, and a quarter beyond, by the heat map."""
    heat = np.full((17, _CELLS, _CELLS), 0.01, np.float32)
    regressed = np.zeros((34, _CELLS, _CELLS), np.float32)
    regressed[1::2] = np.arange(17, dtype=np.float32)[:, None, None] * 0.4
    offsets = np.zeros_like(regressed)
    offsets[1::2] = 0.25
    scores = np.zeros((1, _CELLS, _CELLS), np.float32)
    for (y, x), score in centres.items():
        scores[0, y, x] = score
        for k in range(17):
            heat[k, y, min(round(x + 0.4 * k), _CELLS - 1)] = 0.8
    boxes = np.full((2, _CELLS, _CELLS), 14.0, np.float32)
    return Heads(scores, regressed, heat, offsets, np.zeros_like(boxes), boxes)


def test_people_are_decoded_from_the_heads() -> None:
    (one,) = decoded(_heads({(5, 3): 0.9}), SETTINGS)
    # By the heat map: the cell nearest to where the centre expects it, its offset, 4 px a cell.
    np.testing.assert_allclose(one.regressed[5], [(3 + 2) * 4, 5 * 4], atol=1e-4)
    np.testing.assert_allclose(one.keypoints[5], [(3 + 2 + 0.25) * 4, 5 * 4], atol=1e-4)
    assert one.keypoint_scores[5] == pytest.approx(0.8, abs=1e-3)
    assert 0.9 * 0.7 < one.score < 0.9 * 0.8


def test_two_people_are_two_and_neighbouring_cells_are_one() -> None:
    assert len(decoded(_heads({(2, 2): 0.9, (12, 2): 0.5}), SETTINGS)) == 2
    assert len(decoded(_heads({(2, 2): 0.9, (2, 3): 0.8}), SETTINGS)) == 1
    assert len(decoded(_heads({(2, 2): 0.9, (12, 2): 0.2}), SETTINGS)) == 1
    crowd = _heads({(y, 2): 0.5 + y / 100 for y in range(0, 16, 3)})
    assert len(decoded(crowd, SETTINGS)) == SETTINGS.max_people
    assert decoded(_heads({}), SETTINGS) == []


def test_a_keypoint_outside_of_the_box_is_where_the_centre_expects_it() -> None:
    heads = _heads({(5, 3): 0.9})
    small = replace(heads, box_sizes=np.full_like(heads.box_sizes, 3.0))
    (one,) = decoded(small, SETTINGS)
    np.testing.assert_allclose(one.keypoints[16], one.regressed[16])
    assert one.keypoint_scores[16] < SETTINGS.keypoint_threshold


@pytest.fixture(scope="module")
def network() -> Multipose:
    return Multipose(load_bundle(shipped("multipose")), open_backend("cpu", BackendOptions(threads=2)))


def test_the_bundle_sees_what_tfjs_sees(network: Multipose) -> None:
    """Weights are rounded to 8 bits: people move by a pixel or two of the 256, and scores by a few hundredths."""
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    size = max(image.shape[:2])
    expected = np.load(TFJS)["people"]
    expected = expected[expected[:, 55] > 0.2]
    found = network(image, whole_picture((image.shape[1], image.shape[0])))
    assert len(expected) >= 2
    for person in expected:
        points = person[:51].reshape(17, 3)
        # TF.js saw the same square: y, x in 0..1 of it.
        seen = points[:, 1::-1] * size - (size - np.array([image.shape[1], image.shape[0]])) / 2
        sure = points[:, 2] > 0.3
        gaps = [np.linalg.norm(one.keypoints - seen, axis=1)[sure].mean() for one in found]
        assert min(gaps) < 2.5 * size / 256
        assert found[int(np.argmin(gaps))].score == pytest.approx(person[55], abs=0.08)


def test_people_turn_with_the_region(network: Multipose) -> None:
    with open_source(str(CLIP)) as source:
        image = next(iter(source)).image
    upright = network(image, whole_picture((image.shape[1], image.shape[0])))[0]
    turned = np.ascontiguousarray(np.rot90(image))  # counter-clockwise
    middle = turned.shape[1] / 2, turned.shape[0] / 2
    found = network(turned, Region(*middle, float(max(turned.shape)), -np.pi / 2))
    back = np.stack([image.shape[1] - found[0].keypoints[:, 1], found[0].keypoints[:, 0]], axis=1)
    assert np.linalg.norm(back - upright.keypoints, axis=1).mean() < 0.03 * max(image.shape)


def test_nobody_is_in_a_black_picture(network: Multipose) -> None:
    assert network(np.zeros((90, 120, 3), np.uint8), whole_picture((120, 90))) == []
