"""The published models' own numbers: official checkpoint file -> `humanrt-export posebert` -> ONNX Runtime.

Two FP32 computations of these cases differ by more than 1e-5 in a few of their 27648 numbers, whoever makes them: the
stand-in weights leave some rotations nearly undefined, which enlarges rounding up to 17 times. Even FP64 is
1.4e-5 (rotations) and 1.9e-5 (keypoints) from what was recorded. So here nearly all numbers have to be within 1e-5, and
none may be further off than rounding explains.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from humanrt import PoseBERT
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.results import People
from humanrt.people.tracking import Identities
from humanrt_export.cli import main
from humanrt_export.conversion.posebert_checkpoint import load_checkpoint
from humanrt_export.networks.posebert import PublishedPoseBert

CASES = ("posebert_smpl", "posebert_h36m")

AHEAD_ROWS = 12  # 0.4 s, which the smoother keeps for predictions


def check(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.shape == expected.shape
    errors = np.abs(found - expected)
    assert errors.max() < 1e-4
    assert errors.mean() < 1e-6
    assert (errors <= 1e-5).mean() > 0.995


@dataclass(frozen=True)
class Golden:
    case: Any
    model: PublishedPoseBert
    export: Callable[..., Path]


@pytest.fixture(scope="module", params=CASES)
def golden(
    request: pytest.FixtureRequest, golden_case: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory
) -> Golden:
    case = golden_case(request.param)

    def export(*options: str) -> Path:
        out: Path = tmp_path_factory.mktemp("bundles") / request.param
        assert main(["posebert", str(case.checkpoint), "--out", str(out), *options]) == 0
        return out

    return Golden(case, load_checkpoint(case.checkpoint), export)


@torch.inference_mode()
def torch_answer(model: PublishedPoseBert, given: dict[str, NDArray[Any]], mask: NDArray[Any]) -> NDArray[Any]:
    """What the network itself makes of the arguments of `PoseBERT.window`."""
    parts = [given[name][..., :2].reshape(*mask.shape, -1) for name in ("rotations", "root") if name in given]
    if "keypoints" in given:
        parts.append(given["keypoints"][:, :, 1:].reshape(*mask.shape, -1))
    dtype = model.mean_pose.dtype
    answer = model(torch.from_numpy(np.concatenate(parts, -1)).to(dtype), torch.from_numpy(mask))
    return np.asarray(answer.numpy())


def test_pytorch_gives_the_published_numbers(golden: Golden) -> None:
    case = golden.case
    check(torch_answer(golden.model, case.given, case.mask), case.output)
    # Without rounding of ours: what is left is the recording's own.
    exact = torch_answer(copy.deepcopy(golden.model).double(), case.given, case.mask)
    assert np.abs(exact - case.output).max() < 2e-5
    assert (np.abs(exact - case.output) > 1e-5).sum() <= 10


def test_onnx_runtime_gives_the_published_numbers(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    case = golden.case
    out = golden.export()
    told = capsys.readouterr()
    assert told.out.strip() == str(out)
    assert "CC-BY-NC-SA-4.0" in told.err
    with PoseBERT(out, backend="cpu") as model:
        assert model.bundle.licence == "CC-BY-NC-SA-4.0"
        assert model.bundle.setting("kind") == "published"
        assert (out / "LICENCE-NOTE.txt").is_file()
        assert model.frames == 64
        assert len(model.joints) == len(model.parents) == 24
        check(model.window(**case.given, mask=case.mask), case.output)
        # What masked frames hold has no influence, and not a number is as good as masked.
        spoilt = {name: value.copy() for name, value in case.given.items()}
        for value in spoilt.values():
            value[~case.mask] = np.nan
        check(model.window(**spoilt), case.output)
        one = {name: value[1] for name, value in case.given.items()}
        check(model.window(**one, mask=case.mask[1]), case.output[1])


def masks(batch: int, frames: int) -> dict[str, NDArray[np.bool_]]:
    random = np.random.default_rng(frames)
    everything = np.ones((batch, frames), bool)
    burst, future = everything.copy(), everything.copy()
    burst[:, frames // 4 : frames // 4 + 10] = False
    burst[:, 0] = True
    future[:, frames // 2 + 1 :] = False
    singles = random.random((batch, frames)) > 0.2
    singles[:, -1] = True
    start = ~future
    start[:, -1] = True
    return {"everything": everything, "burst": burst, "future": future, "singles": singles, "start": start}


@pytest.mark.parametrize(
    "window", [pytest.param(1, marks=pytest.mark.slow), 16, pytest.param(100, marks=pytest.mark.slow)]
)
def test_other_windows_and_masks(golden: Golden, window: int) -> None:
    random = np.random.default_rng(window)
    given = {
        name: (
            value[:, random.integers(0, 64, window)] + 0.01 * random.standard_normal((2, window, *value.shape[2:]))
        ).astype(np.float32)
        for name, value in golden.case.given.items()
    }
    model = PoseBERT(golden.export("--window", str(window)))
    exact = copy.deepcopy(golden.model).double()

    def same(given: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> None:
        """As near to FP64 as PyTorch's FP32 is, rounding being enlarged in both where rotations are ill-defined."""
        truth = torch_answer(exact, given, mask)
        rounding = np.abs(torch_answer(golden.model, given, mask) - truth)
        errors = np.abs(model.window(**given, mask=mask) - truth)
        assert errors.max() < max(1e-5, 6 * rounding.max())
        assert errors.mean() < max(1e-6, 2 * rounding.mean())

    for mask in (*masks(2, window).values(), np.zeros((2, window), bool)):
        same(given, mask)
    shorter = max(1, window // 2)
    cut = {name: value[:, :shorter] for name, value in given.items()}
    for mask in masks(2, shorter).values():
        same(cut, mask)


def test_nothing_observed_is_the_same_for_any_input(golden: Golden) -> None:
    """An empty window: every frame counts alike, so that the answer is finite and does not depend on the input."""
    given = {name: value[:, :16] for name, value in golden.case.given.items()}
    nothing = np.zeros((2, 16), bool)
    answer = torch_answer(golden.model, given, nothing)
    assert np.isfinite(answer).all()
    np.testing.assert_array_equal(answer, torch_answer(golden.model, {k: 2 * v for k, v in given.items()}, nothing))


def test_people_are_smoothed_by_the_published_weights_for_rotations(golden: Golden) -> None:
    if "rotations" not in golden.case.given:
        pytest.skip("these weights take keypoints")
    rotations, mask = golden.case.given["rotations"][0], golden.case.mask[0]
    count = len(SMPLX_BONES)
    whole = np.broadcast_to(np.eye(3, dtype=np.float32), (len(rotations), 1, count, 3, 3)).copy()
    whole[:, 0, :22] = rotations[:, :22]
    found = []
    bundle = golden.export()
    with PoseBertPeople(SMPLX_BONES, count, bundle) as smoother:
        for number in np.flatnonzero(mask)[:20]:
            people = People(
                scores=np.ones(1, np.float32),
                locations=np.full((1, 2), 100, np.float32),
                translations=np.array([[0.0, 0, 3]], np.float32),
                rotations=whole[number],
                shape=np.zeros((1, 10), np.float32),
                expression=np.zeros((1, 10), np.float32),
                intrinsics=np.array([[500.0, 0, 100], [0, 500, 100], [0, 0, 1]]),
            )
            smoothed = smoother(people, Identities((1,)), float(number) / 30, (200, 200))
            found.append(smoothed.people.rotations[0, :22])
    # The last row of what was seen, alone in a window of its length: hands do not turn, as no people model gives them.
    seen = np.flatnonzero(mask)[:20]
    given = rotations[: seen[-1] + 1].copy()
    given[:, 22:] = np.eye(3)
    model = PoseBERT(bundle)
    window = model.frames - AHEAD_ROWS
    padded = np.broadcast_to(np.eye(3, dtype=np.float32), (model.frames, 24, 3, 3)).copy()
    there = np.zeros(model.frames, bool)
    padded[window - len(given) : window] = given
    there[window - len(given) : window] = np.isin(np.arange(len(given)), seen)
    expected = model.refine(padded, mask=there).rotations[window - 1]
    toes = [10, 11]
    body = [k for k in range(22) if k not in toes]
    np.testing.assert_allclose(found[-1][body], expected[body], atol=2e-4)
