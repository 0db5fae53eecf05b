"""PoseBERT on toys whose answers are what went in: shapes, masks, batches, windows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt import PoseBERT, PoseBERTResult
from humanrt.errors import BundleError

T = 6
Shapes = dict[str, tuple[int, ...]]
# What a frame holds in each sort of bundle, and the joints that come out.
SORTS: dict[str, tuple[Shapes, int]] = {
    "smpl24": ({"features": (12,), "mask": ()}, 2),
    "h36m17": ({"features": (54,), "mask": ()}, 24),
    "hand21": ({"keypoints": (5, 3), "mask": (), "confidence": (5,)}, 4),
    "rotations": ({"rotations_in": (3, 3, 3), "mask": (), "confidence": (3,)}, 5),
    "strange": ({"image": (3,), "mask": ()}, 2),
}


def _graph(onnx: Any, frame: Shapes, joints: int, batch: int) -> Any:
    """Writes all inputs, as they are, into `rotations`: mask first, then the others, then zeros."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    count = sum(int(np.prod(shape)) for shape in frame.values())
    constants = [
        numpy_helper.from_array(np.array([batch, T, -1], np.int64), "flat"),
        numpy_helper.from_array(np.array([batch, T, joints, 3, 3], np.int64), "matrices"),
        numpy_helper.from_array(np.zeros((batch, T, 9 * joints - count), np.float32), "zeros"),
    ]
    nodes = [helper.make_node("Cast", ["mask"], ["mask_f"], to=onnx.TensorProto.FLOAT)]
    parts = []
    for name in ("mask", *(name for name in frame if name != "mask")):
        nodes.append(helper.make_node("Reshape", [f"{name}_f" if name == "mask" else name, "flat"], [f"{name}_flat"]))
        parts.append(f"{name}_flat")
    nodes.append(helper.make_node("Concat", [*parts, "zeros"], ["all"], axis=2))
    nodes.append(helper.make_node("Reshape", ["all", "matrices"], ["rotations"]))
    outputs = {"rotations": (batch, T, joints, 3, 3)}
    if "keypoints" in frame:
        nodes.append(helper.make_node("Add", ["keypoints", "keypoints"], ["smoothed"]))
        outputs["smoothed"] = (batch, T, *frame["keypoints"])
    kinds = {"mask": onnx.TensorProto.BOOL}
    inputs = {name: (batch, T, *shape) for name, shape in frame.items()}
    values = [
        [helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), shape) for name, shape in some]
        for some in (inputs.items(), outputs.items())
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "toy", *values, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


Toy = Callable[..., Path]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Writes a toy's bundle: ``toy("hand21", 1, 4)`` takes 1 or 4 windows a call."""
    onnx = pytest.importorskip("onnx", reason="the toy network is written with onnx: needs humanrt[export]")
    ir = pytest.importorskip("onnx_ir", reason="bundles are written with onnx-ir: needs humanrt[export]")
    from humanrt_export.conversion.bundle_writer import BundleWriter

    def make(sort: str, *batches: int, graph: str = "posebert", **settings: Any) -> Path:
        frame, joints = SORTS[sort]
        settings = {
            "kind": "toy",
            "input": sort,
            "clock_hz": 30.0,
            "window": T,
            "joints": [f"joint{place}" for place in range(joints)],
            "parents": list(range(-1, joints - 1)),
            **settings,
        }
        out = tmp_path_factory.mktemp("toy") / sort
        writer = BundleWriter(
            out, name=sort, task="posebert", version="1", licence="Apache-2.0", provenance={}, settings=settings
        )
        with writer:
            for batch in batches or (1,):
                model = ir.from_proto(_graph(onnx, frame, joints, batch))
                texts = ({value.name: "" for value in values} for values in (model.graph.inputs, model.graph.outputs))
                writer.add_graph(graph if len(batches) < 2 else f"{graph}_b{batch}", model, *texts)
            return writer.commit()

    return make


def numbers(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def fed(rotations: NDArray[np.float32], *shapes: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """What a toy was given: mask, then an array for each of the shapes of a frame."""
    flat = rotations.reshape(*rotations.shape[:-3], -1)
    parts, start = [flat[..., 0]], 1
    for shape in shapes:
        stop = start + int(np.prod(shape))
        parts.append(flat[..., start:stop].reshape(*flat.shape[:-1], *shape))
        start = stop
    assert (flat[..., start:] == 0).all()
    return parts


def test_rotations_become_two_columns_row_by_row(toy: Toy) -> None:
    rotations = numbers(3, T, 2, 3, 3)
    observed = np.ones((3, T), bool)
    observed[1, 2] = False
    with PoseBERT(toy("smpl24")) as model:
        assert model.frames == T
        assert model.joints == ("joint0", "joint1")
        mask, features = fed(model.window(rotations, mask=observed), (2, 6))
    a, b = rotations[..., 0], rotations[..., 1]
    six = np.stack([a[..., 0], b[..., 0], a[..., 1], b[..., 1], a[..., 2], b[..., 2]], axis=-1)
    np.testing.assert_array_equal(mask, observed)
    np.testing.assert_array_equal(features, np.where(observed[..., None, None], six, 0))


def test_keypoints_go_in_without_the_hip_and_are_not_moved(toy: Toy) -> None:
    root, keypoints = numbers(2, T, 3, 3), numbers(2, T, 17, 3, seed=1)
    keypoints[0, 1, 0] = np.nan  # the hip's own row is not looked at
    keypoints[0, 3, 5, 1] = np.inf
    mask, six, points = fed(PoseBERT(toy("h36m17")).window(root=root, keypoints=keypoints), (3, 2), (16, 3))
    missing = np.zeros((2, T), bool)
    missing[0, 3] = True
    np.testing.assert_array_equal(mask, ~missing)
    np.testing.assert_array_equal(six[~missing], root[~missing][..., :2])
    np.testing.assert_array_equal(points[~missing], keypoints[~missing][:, 1:])
    assert (six[missing] == 0).all()
    assert (points[missing] == 0).all()


def test_our_bundles_smooth_keypoints_too(toy: Toy) -> None:
    model = PoseBERT(toy("hand21", origin=[0, 1]))
    assert model.origin == (0, 1)
    keypoints, confidence = numbers(T, 5, 3), numbers(T, 5, seed=1)
    keypoints[2] = np.nan
    confidence[4, 3] = np.nan
    result = model.refine(keypoints=keypoints, confidence=confidence)
    assert isinstance(result, PoseBERTResult)
    assert set(result.ms) == {"preprocess", "network"}
    assert result.keypoints is not None
    wanted = np.nan_to_num(keypoints)
    np.testing.assert_array_equal(result.keypoints, 2 * wanted)
    mask, points, sure = fed(result.rotations, (5, 3), (5,))
    np.testing.assert_array_equal(mask, np.arange(T) != 2)
    np.testing.assert_array_equal(points, wanted)
    np.testing.assert_array_equal(sure, np.nan_to_num(confidence) * (np.arange(T) != 2)[:, None])
    _, _, sure = fed(model.window(keypoints=keypoints, confidence=confidence[:, 0]), (5, 3), (5,))
    np.testing.assert_array_equal(sure, np.repeat(confidence[:, :1], 5, 1) * (np.arange(T) != 2)[:, None])
    _, _, sure = fed(model.window(keypoints=keypoints), (5, 3), (5,))
    np.testing.assert_array_equal(sure[:, 0], np.arange(T) != 2)


def test_our_bundles_may_take_rotations(toy: Toy) -> None:
    rotations = numbers(T, 3, 3, 3)
    result = PoseBERT(toy("rotations")).refine(rotations)
    assert result.keypoints is None
    np.testing.assert_array_equal(fed(result.rotations, (3, 3, 3), (3,))[1], rotations)


@pytest.mark.parametrize("batches", [(1,), (4,), (1, 4), (2, 3)])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 9])
def test_any_number_of_windows(toy: Toy, batches: tuple[int, ...], count: int) -> None:
    keypoints = numbers(count, T, 5, 3)
    result = PoseBERT(toy("hand21", *batches)).refine(keypoints=keypoints)
    assert result.rotations.shape == (count, T, 4, 3, 3)
    np.testing.assert_array_equal(result.keypoints, 2 * keypoints)


def test_short_windows_are_filled_with_missing_frames(toy: Toy) -> None:
    model = PoseBERT(toy("hand21"))
    keypoints = numbers(2, 4, 5, 3)
    result = model.refine(keypoints=keypoints)
    np.testing.assert_array_equal(result.keypoints, 2 * keypoints)
    assert result.rotations.shape == (2, 4, 4, 3, 3)
    keypoints[1] = np.nan
    with pytest.raises(ValueError, match="window 1 has none"):
        model.window(keypoints=keypoints)
    whole = np.full((T, 5, 3), np.nan)
    assert (fed(model.window(keypoints=whole), (5, 3), (5,))[0] == 0).all()


@pytest.mark.parametrize(
    ("sort", "arguments", "says"),
    [
        ("smpl24", {}, "takes rotations [B, 6, 2, 3, 3], not nothing"),
        ("smpl24", {"keypoints": numbers(T, 17, 3)}, "takes rotations [B, 6, 2, 3, 3], not keypoints"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "root": numbers(T, 3, 3)}, "not rotations, root"),
        ("smpl24", {"rotations": numbers(T, 3, 3, 3)}, "`rotations` is [6, 3, 3, 3]"),
        ("smpl24", {"rotations": numbers(2, 3)}, "`rotations` is [2, 3]"),
        ("smpl24", {"rotations": numbers(1, 1, T, 2, 3, 3)}, "(B may be left out)"),
        ("smpl24", {"rotations": numbers(2, 3, 3)}, "(B may be left out)"),
        ("smpl24", {"rotations": numbers(T + 1, 2, 3, 3)}, "7 frames are more than the window of 6"),
        ("smpl24", {"rotations": numbers(0, 2, 3, 3)}, "at least one frame"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "mask": np.ones(T + 1, bool)}, "`mask` must be bool [6]"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "mask": np.ones((1, T), bool)}, "`mask` must be bool [6]"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "mask": np.full(T, 0.5)}, "`mask` must be bool [6]"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "mask": ["yes"] * T}, "`mask` must be bool [6]"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3), "confidence": np.ones(T)}, "and no confidence"),
        ("smpl24", {"rotations": [["a"]]}, "must hold numbers"),
        ("smpl24", {"rotations": [[1], [1, 2]]}, "`rotations` is not a numeric array"),
        ("smpl24", {"rotations": numbers(T, 2, 3, 3).astype(complex)}, "must hold numbers, not complex128"),
        ("h36m17", {"keypoints": numbers(T, 17, 3)}, "takes root [B, 6, 3, 3], keypoints [B, 6, 17, 3], not keypoints"),
        ("h36m17", {"root": numbers(T, 3, 3), "keypoints": numbers(T, 16, 3)}, "`keypoints` is [6, 16, 3]"),
        ("h36m17", {"root": numbers(T, 3, 3), "keypoints": numbers(2, T, 17, 3)}, "have different B or T"),
        ("hand21", {"keypoints": numbers(T, 5, 3), "confidence": np.ones((T, 4))}, "`confidence` is [6, 4]"),
        ("hand21", {"keypoints": numbers(T, 5, 3), "confidence": np.full(T, 1.5)}, "outside of 0..1"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(toy: Toy, sort: str, arguments: Any, says: str) -> None:
    model = PoseBERT(toy(sort))
    with pytest.raises(ValueError) as caught:
        model.window(**arguments)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message


def test_masks_of_numbers_are_masks(toy: Toy) -> None:
    model = PoseBERT(toy("smpl24"))
    observed = np.arange(T) % 2
    for mask in (observed, observed.astype(np.float32), observed.tolist()):
        np.testing.assert_array_equal(fed(model.window(numbers(T, 2, 3, 3), mask=mask), (2, 6))[0], observed)


def test_numbers_of_other_types_are_converted(toy: Toy) -> None:
    model = PoseBERT(toy("smpl24"))
    rotations = np.ones((T, 2, 3, 3))
    for same in (rotations.astype(int), rotations.tolist(), rotations.astype(np.float16)):
        np.testing.assert_array_equal(model.window(same), model.window(rotations))
    rotations[1] = 1e300  # too large for the network's type: as good as infinite
    assert fed(model.window(rotations), (2, 6))[0].tolist() == [1, 0, 1, 1, 1, 1]


def test_other_bundles_are_refused(toy: Toy) -> None:
    with pytest.raises(BundleError, match="inputs image, mask are not supported"):
        PoseBERT(toy("strange"))
    with pytest.raises(BundleError, match="no graph `posebert`"):
        PoseBERT(toy("smpl24", graph="other"))
    with pytest.raises(BundleError, match=r"settings\.window"):
        PoseBERT(toy("smpl24", window="long"))
    with pytest.raises(BundleError, match="for task `hands`"):
        PoseBERT("hands")
