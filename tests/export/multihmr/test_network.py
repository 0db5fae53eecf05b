"""How the network behaves at its edges: full, empty, batched, and on images that are not images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from multihmr_stand_ins import Graph, opened
from numpy.typing import NDArray

from golden_people import SmallMultiHmr
from humanrt_export.networks.camera import default_intrinsics
from humanrt_export.networks.multihmr import MultiHmr, NetworkOutput

IMAGE_SIZE = 112
PEOPLE = 5
EYE = np.eye(3, dtype=np.float32)


@pytest.fixture(scope="module")
def exported(small_multihmr: SmallMultiHmr) -> tuple[MultiHmr, Graph]:
    """The PyTorch network and its graph for the CPU."""
    return small_multihmr.model, opened(small_multihmr.bundle / "network-cpu.onnx")


@pytest.fixture(scope="module")
def image() -> NDArray[np.float32]:
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    smooth: NDArray[np.float32] = (4 * torch.nn.functional.avg_pool2d(noise, 9, stride=1, padding=4)).numpy()
    return smooth


@pytest.fixture(scope="module")
def peaks(exported: tuple[MultiHmr, Graph], image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Scores of all peaks of each image, best first."""
    model = exported[0]
    with torch.inference_mode():
        heat_map = model.detection.heat_map(model.backbone(torch.from_numpy(image))).flatten(1).numpy()
    return [np.sort(scores[scores > 0])[::-1] for scores in heat_map]


def off_centre() -> NDArray[np.float32]:
    """Two different cameras: principal points off the centre, pixels not square, one with skew."""
    K = default_intrinsics(2, IMAGE_SIZE).numpy().copy()
    K[0] = [[140, 1.5, 31], [0, 120, 70], [0, 0, 1]]
    K[1, :2, 2] += (12, -7)
    return K


def asked(image: NDArray[np.float32], threshold: float) -> dict[str, NDArray[np.float32]]:
    return {"image": image, "intrinsics": off_centre(), "threshold": np.array([threshold], np.float32)}


def in_pytorch(model: MultiHmr, feeds: dict[str, NDArray[np.float32]], people: int = PEOPLE) -> NetworkOutput:
    with torch.inference_mode():
        output: NetworkOutput = model(*map(torch.from_numpy, feeds.values()), people)
    return output


def assert_nobody(out: dict[str, NDArray[Any]], image: int) -> None:
    """Everything of an image's slots has its defined empty value; nothing is NaN."""
    assert not out["valid"][image].any()
    for name in ("scores", "locations", "translation", "shape", "expression"):
        assert (out[name][image] == 0).all(), name
    assert (out["rotations"][image] == EYE).all()


def between(scores: NDArray[np.float32], count: int) -> float:
    """A threshold that ``count`` of these scores reach."""
    return float(scores[count - 1] + scores[count]) / 2


def test_the_graph_is_the_network_on_other_cameras(exported, image, peaks) -> None:  # type: ignore[no-untyped-def]
    model, graph = exported
    feeds = asked(image, between(peaks[0], 3))
    got, expected = graph(**feeds), in_pytorch(model, feeds)
    np.testing.assert_array_equal(got["valid"], expected.valid)
    for name, value in expected._asdict().items():
        if name == "cells":
            np.testing.assert_array_equal(got[name][got["valid"]], value[expected.valid])
        else:
            np.testing.assert_allclose(got[name], value, atol=2e-4, rtol=1e-4, err_msg=name)


def test_of_more_people_than_slots_the_best_are_kept(exported, image, peaks) -> None:  # type: ignore[no-untyped-def]
    _, graph = exported
    assert all(len(scores) > PEOPLE for scores in peaks)
    out = graph(**asked(image, 0.0))
    assert out["valid"].all()
    for index, scores in enumerate(peaks):
        np.testing.assert_allclose(out["scores"][index], scores[:PEOPLE], atol=1e-5)


def test_nobody_reaches_the_threshold(exported, image) -> None:  # type: ignore[no-untyped-def]
    out = exported[1](**asked(image, 1.0))
    assert_nobody(out, 0)
    assert_nobody(out, 1)


def test_the_threshold_itself_is_reached(exported, image, peaks) -> None:  # type: ignore[no-untyped-def]
    graph = exported[1]
    best = graph(**asked(image, 0.0))["scores"].max()
    assert graph(**asked(image, float(best)))["valid"].sum() == 1


def test_one_image_of_two_is_empty(exported, image, peaks) -> None:  # type: ignore[no-untyped-def]
    model, graph = exported
    with_people, without = (0, 1) if peaks[0][0] > peaks[1][0] else (1, 0)
    threshold = (peaks[with_people][0] + peaks[without][0]) / 2
    feeds = asked(image, float(threshold))
    out = graph(**feeds)
    assert_nobody(out, without)
    assert out["valid"][with_people].any()
    expected = in_pytorch(model, feeds)
    np.testing.assert_allclose(out["rotations"], expected.rotations, atol=2e-4)


def test_empty_slots_change_nothing(exported, image, peaks) -> None:  # type: ignore[no-untyped-def]
    """Exactly two slots for two people give what many slots give."""
    model, _ = exported
    count = 2
    feeds = asked(image[:1], between(peaks[0], count))
    feeds["intrinsics"] = feeds["intrinsics"][:1]
    exact, roomy = in_pytorch(model, feeds, count), in_pytorch(model, feeds, 16)
    assert exact.valid.all()
    for name in NetworkOutput._fields:
        torch.testing.assert_close(getattr(roomy, name)[:, :count], getattr(exact, name), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_unreadable_image_shows_nobody_and_spoils_no_other(exported, image, bad) -> None:  # type: ignore[no-untyped-def]
    graph = exported[1]
    clean = graph(**asked(image, 0.0))
    spoilt = image.copy()
    spoilt[0, 1, 50, 60] = bad
    out = graph(**asked(spoilt, 0.0))
    assert_nobody(out, 0)
    for name, value in out.items():
        np.testing.assert_allclose(value[1], clean[name][1], atol=1e-5, err_msg=name)


def test_a_black_image_is_an_image(exported, image) -> None:  # type: ignore[no-untyped-def]
    model, graph = exported
    feeds = asked(np.zeros_like(image), 0.0)
    out, expected = graph(**feeds), in_pytorch(model, feeds)
    assert all(np.isfinite(value).all() for value in out.values())
    np.testing.assert_allclose(out["scores"], expected.scores, atol=1e-5)


def test_depth_is_clamped(exported, image) -> None:  # type: ignore[no-untyped-def]
    """A telephoto lens would put people at kilometres: 50 m is the end of the world."""
    feeds = asked(image, 0.0)
    feeds["intrinsics"] = default_intrinsics(2, IMAGE_SIZE, field_of_view=0.5).numpy()
    out = exported[1](**feeds)
    assert (out["translation"][..., 2] >= 0).all()
    assert out["translation"][..., 2].max() <= 50.0
