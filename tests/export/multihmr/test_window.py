"""Rectangular networks: the middle of the square one, and what differs is only what black tokens say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from multihmr_stand_ins import official_args, official_state
from torch import Tensor

from humanrt.bundle import load_bundle
from humanrt.errors import BundleError, HumanrtError
from humanrt.people.multihmr import MultiHMR
from humanrt.verdict import rectangle
from humanrt_export.commands import multihmr as command
from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint
from humanrt_export.networks.attention import MASKED, Attention, plain
from humanrt_export.networks.camera import Window, default_intrinsics
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr
from humanrt_export.networks.trunk import PoseTrunk
from humanrt_export.options import parse

SIDE = 8
CONFIG = ModelConfig("dinov2_vits14", 14 * SIDE)
WINDOW = Window.of(SIDE, (2, 1))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("window") / "noise.pt"
    torch.save({"args": official_args(CONFIG), "model_state_dict": official_state(CONFIG)}, path)
    return path


@pytest.mark.parametrize(
    ("side", "aspect", "step", "size"),
    [
        (32, None, 1, (448, 448)),
        (32, (16, 9), 1, (448, 252)),
        (32, (9, 16), 1, (252, 448)),
        (32, (4, 3), 1, (448, 336)),
        (32, (1280, 853), 1, (448, 308)),  # 21.3 tokens: the next even number
        (48, (1920, 1080), 1, (672, 392)),
        (16, (16, 9), 2, (224, 168)),  # bars of a multiple of two tokens
    ],
)
def test_windows_hold_the_picture(side: int, aspect: tuple[int, int] | None, step: int, size: tuple[int, int]) -> None:
    window = Window.of(side, aspect, step)
    assert window.size == size
    assert (side - window.rows) % (2 * step) == (side - window.columns) % (2 * step) == 0
    assert len(window.cells) == window.tokens
    assert window.cells[0] == window.top * side + window.left


def ignoring_what_is_outside(window: Window) -> Attention:
    """Attention in which the square's tokens outside a window are not there."""
    outside = torch.ones(window.side**2, dtype=torch.bool)
    outside[window.cells] = False

    def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
        if (before := key.shape[1] - len(outside)) in (0, 1):  # a class token
            mask = torch.cat((torch.zeros(before), outside * MASKED))[None, None, None]
            bias = mask if bias is None else bias + mask
        return plain(query, key, value, heads, bias)

    return attention


def test_a_rectangular_network_is_the_square_one_that_ignores_the_rest(checkpoint: Path) -> None:
    square, middle = load_checkpoint(checkpoint), load_checkpoint(checkpoint)
    middle.crop(WINDOW)
    attention = ignoring_what_is_outside(WINDOW)
    square.use_attention(backbone=attention, head=attention)
    K = default_intrinsics(1, CONFIG.image_size)
    K[0, :2, 2] += torch.tensor([9.0, -5.0])
    moved = K.clone()
    moved[0, 1, 2] -= 14 * WINDOW.top
    compared = 0
    for seed in range(12):
        image = 4 * torch.nn.functional.avg_pool2d(
            torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(seed)), 9, 1, 4
        )
        with torch.inference_mode():
            expected = square(image, K, torch.zeros(1), 1)
            found = middle(image[:, :, 28:84], moved, torch.zeros(1), 1)
        row, column = divmod(int(expected.cells[0, 0]), SIDE)
        if int(found.cells[0, 0]) != (row - WINDOW.top) * SIDE + column:
            continue  # the best of all is outside, or beside what is
        compared += 1
        np.testing.assert_allclose(found.locations[0] + torch.tensor([0.0, 28.0]), expected.locations[0], atol=1e-3)
        for name in ("scores", "rotations", "shape", "expression", "translation"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=2e-4, err_msg=name)
    assert compared >= 2


def test_the_trunks_whole_picture_has_blacks_map_around_the_window() -> None:
    trunk = PoseTrunk().eval()
    window = Window.of(16, (4, 3), 2)
    picture = torch.rand(1, 3, 192, 256, generator=torch.Generator().manual_seed(1))
    black = torch.zeros(1, 3, 256, 256)
    with torch.inference_mode():
        _, expected = trunk(black)
        trunk.crop(window)
        maps, found = trunk(black[:, :, :192])
        _, other = trunk(picture)
    assert maps[-1].shape[-2:] == (6, 8)
    assert found.shape == expected.shape
    # Not equal: at the window's edge convolutions see nothing instead of black.
    assert (found - expected).abs().max() <= 0.3 * expected.abs().max() + 1e-3
    assert not torch.equal(found, other)


def run(*words: str) -> int:
    return command.run(parse(command.CONFIG, words))


def test_aspects_that_make_no_sense_are_refused(checkpoint: Path, smplx_folder: Path, tmp_path: Path) -> None:
    options = (str(checkpoint), "--body-models", str(smplx_folder), "--out", str(tmp_path / "out"))
    for odd in ("16", "16:0", "wide", "16:9:1", "-4:3"):
        with pytest.raises(HumanrtError, match="such as 16:9"):
            run(*options, f"--aspect={odd}")
    with pytest.raises(BundleError, match="too narrow for a network of 112 px"):
        run(*options, "--aspect", "9:1")
    with pytest.raises(BundleError, match="a network of 112 x 56 px has 1 to 32 slots"):
        run(*options, "--aspect", "2:1", "--max-people", "33")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_rectangular_bundle(checkpoint: Path, smplx_folder: Path, tmp_path: Path) -> None:
    """Export, run and judge: people come in px of the picture, whichever network sees them."""
    for name, more in (("square", ()), ("middle", ("--aspect", "1280x640"))):
        run(
            str(checkpoint),
            "--body-models",
            str(smplx_folder),
            "--out",
            str(tmp_path / name),
            "--max-people",
            "4",
            *more,
        )
    bundle = load_bundle(tmp_path / "middle", task="people")
    assert bundle.name == "multihmr-112x56-s"
    assert bundle.settings["input_size"] == [112, 56]
    assert bundle.settings["camera"]["principal_point_px"] == [56, 28]
    noise = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
    rgb = np.kron(noise, np.ones((16, 16, 1), np.uint8))  # 320 x 160
    model: MultiHmr = load_checkpoint(checkpoint)
    model.crop(WINDOW)
    with MultiHMR(bundle) as rectangular, MultiHMR(load_bundle(tmp_path / "square")) as square:
        people, others = rectangular(rgb, threshold=0), square(rgb, threshold=0)
        assert len(people) == len(others) == 4
        assert ((people.locations >= -40) & (people.locations <= [360, 200])).all()
        np.testing.assert_allclose(people.intrinsics, others.intrinsics, atol=1e-3)
        with pytest.raises(ValueError, match=r"float32 \[B, 3, 56, 112\]"):
            rectangular.infer(np.zeros((1, 3, 112, 112), np.float32))
        given = np.zeros((1, 3, 56, 112), np.float32)
        box = rectangular._frames._preprocess(rgb, given[0])  # type: ignore[attr-defined]
        assert (box.scaled, box.offset) == ((112, 56), (0, 0))
    K = default_intrinsics(1, 112)
    K[0, :2, 2] = torch.tensor(WINDOW.centre)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(given), K, torch.zeros(1), 4)
    np.testing.assert_allclose(people.locations, box.points_to_source(wanted.locations[0].numpy()), atol=0.05)
    np.testing.assert_allclose(people.translations, wanted.translation[0], rtol=1e-3, atol=1e-4)
    picture = tmp_path / "picture.png"
    import cv2

    cv2.imwrite(str(picture), rgb[..., ::-1])
    command_line = [str(tmp_path / "middle"), "--against", str(tmp_path / "square"), "--source", str(picture)]
    assert rectangle.main([*command_line, "--threshold", "0"]) in (0, 1)
    verdict = json.loads((tmp_path / "middle" / "manifest.json").read_text())["rectangle"]
    assert verdict["detections"]["reference"] == 4
    assert verdict["frames"] == 1
    cv2.imwrite(str(picture), rgb[:, :160, ::-1])
    assert rectangle.main(command_line) == 2
