"""The body: files in their official formats, and what must hold of any posed body."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import Hostile
from multihmr_stand_ins import smplx_arrays
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt_export.bodies.smplx import JOINT_NAMES, BodyFileError, SmplxBody, find_smplx, load_smplx
from humanrt_export.networks.rotations import matrices_from_vectors

HEAD = JOINT_NAMES.index("head")


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return smplx_arrays()


@pytest.fixture(scope="module")
def body(smplx_folder: Path) -> SmplxBody:
    return SmplxBody(load_smplx(find_smplx(smplx_folder)))


def person(count: int = 2, angle: float = 0.4, seed: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return matrices_from_vectors(angle * draw(count, 53, 3)), draw(count, 10), draw(count, 10), draw(count, 3)


def slow_reference(data: Any, rotations: torch.Tensor, shape: Any, expression: Any, translation: Any) -> Any:
    """SMPL-X as its papers write it, for one person, joint by joint, in float64."""
    joint_of = [*range(22), *range(25, 55), 22]
    R = np.tile(np.eye(3), (55, 1, 1))
    R[joint_of] = rotations.double().numpy()
    rest = data.template + data.directions @ np.concatenate((shape, expression)).astype(float)
    joints = data.regressor @ rest
    rest = rest + data.pose_directions @ (R[1:] - np.eye(3)).reshape(-1)
    world = np.zeros((55, 4, 4))
    for joint, parent in enumerate(data.parents):
        local = np.eye(4)
        local[:3, :3] = R[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world[joint] = world[parent] @ local if parent >= 0 else local
    moved = world.copy()
    moved[:, :3, 3] -= np.einsum("jab,jb->ja", world[:, :3, :3], joints)
    blended = np.einsum("vj,jab->vab", data.weights, moved)
    vertices = np.einsum("vab,vb->va", blended[:, :3, :3], rest) + blended[:, :3, 3]
    shift = np.asarray(translation) - world[HEAD, :3, 3]
    return vertices + shift, world[:, :3, 3] + shift


def test_it_is_linear_blend_skinning(body: SmplxBody, smplx_folder: Path) -> None:
    data = load_smplx(find_smplx(smplx_folder))
    people = person()
    posed = body(*people)
    for index in range(2):
        vertices, joints = slow_reference(data, *(value[index] for value in people))
        np.testing.assert_allclose(posed.vertices[index], vertices, atol=2e-5)
        np.testing.assert_allclose(posed.joints[index, :55], joints, atol=2e-5)


def test_the_head_lands_on_the_translation(body: SmplxBody) -> None:
    people = person()
    torch.testing.assert_close(body(*people).joints[:, HEAD], people[3], atol=1e-5, rtol=0)


def test_the_root_turns_the_whole_body(body: SmplxBody) -> None:
    rotations, shape, expression, translation = person()
    still = rotations.clone()
    still[:, 0] = torch.eye(3)
    turned, before = body(rotations, shape, expression, translation), body(still, shape, expression, translation)
    for name in ("vertices", "joints"):
        relative = getattr(before, name) - before.joints[:, :1]
        expected = relative @ rotations[:, 0].transpose(1, 2) + turned.joints[:, :1]
        torch.testing.assert_close(getattr(turned, name), expected, atol=2e-5, rtol=0)


def test_slots_of_images_keep_their_place(body: SmplxBody) -> None:
    people = person(6)
    flat = body(*people)
    stacked = body(*(value.unflatten(0, (2, 3)) for value in people))
    assert stacked.vertices.shape == (2, 3, 10475, 3)
    torch.testing.assert_close(stacked.joints.flatten(0, 1), flat.joints)


def test_small_files_keep_expressions_after_ten_shapes(arrays: dict[str, Any], tmp_path: Path) -> None:
    small = {**arrays, "shapedirs": arrays["shapedirs"][..., :20]}
    np.savez(tmp_path / "SMPLX_NEUTRAL.npz", **small)
    data = load_smplx(find_smplx(tmp_path))
    np.testing.assert_array_equal(data.directions, small["shapedirs"])
    with pytest.raises(BodyFileError, match="too few"):
        load_smplx(tmp_path / "SMPLX_NEUTRAL.npz", num_betas=11)


def _fake(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """A class as a library that need not be installed would define it."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    created = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, created)
    return created


def test_pickles_of_the_authors_are_read_without_their_libraries(
    arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy arrays, a scipy sparse regressor, a chumpy array: none of it is imported."""
    regressor = arrays["J_regressor"]
    rows, columns = np.nonzero(regressor.T)
    sparse = _fake("scipy.sparse.csc", "csc_matrix", monkeypatch)()
    # Compressed by column: the transpose's rows.
    sparse.__dict__.update(
        data=regressor.T[rows, columns],
        indices=columns,
        indptr=np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=regressor.shape[1])))),
        _shape=regressor.shape,
    )
    chumpy = _fake("chumpy.ch", "Ch", monkeypatch)()
    chumpy.__dict__["x"] = arrays["v_template"]
    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    with path.open("wb") as stream:
        pickle.dump({**arrays, "J_regressor": sparse, "v_template": chumpy}, stream, protocol=2)
    monkeypatch.undo()
    data = load_smplx(path)
    np.testing.assert_allclose(data.regressor, regressor)
    np.testing.assert_allclose(data.template, arrays["v_template"])


def test_object_members_of_an_npz_are_read_safely(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    wrapped = np.empty((), dtype=object)
    wrapped[()] = arrays["J_regressor"]
    np.savez(path, **{**arrays, "J_regressor": wrapped, "part2num": np.array({"hips": 0}, dtype=object)})
    np.testing.assert_allclose(load_smplx(path).regressor, arrays["J_regressor"])


@pytest.mark.parametrize("suffix", ["npz", "pkl"])
def test_hostile_files_run_nothing(arrays: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    target, path = tmp_path / "owned", tmp_path / f"SMPLX_NEUTRAL.{suffix}"
    if suffix == "npz":
        np.savez(path, **{**arrays, "weights": np.array(Hostile(target), dtype=object)})
    else:
        path.write_bytes(pickle.dumps({**arrays, "weights": Hostile(target)}))
    with pytest.raises(HumanrtError, match=r"refused.*system") as caught:
        load_smplx(path)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def with_one(array: NDArray[Any], value: float) -> NDArray[Any]:
    """A copy with one other number in its middle."""
    copy = array.copy()
    copy.flat[copy.size // 2] = value
    return copy


def test_a_damaged_archive_is_refused_by_its_member(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(BodyFileError, match=r"damaged: its member `\w+.npy`.*; download it again$"):
        load_smplx(path)
    path.write_bytes(content[:middle])
    with pytest.raises(BodyFileError, match="damaged: its end is missing"):
        load_smplx(path)


def test_files_that_are_no_bodies(arrays: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BodyFileError, match="SMPLX_NEUTRAL"):
        find_smplx(tmp_path)
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    for content, named in (
        ({key: value for key, value in arrays.items() if key != "posedirs"}, "posedirs"),
        ({**arrays, "weights": arrays["weights"][:, :24]}, "weights"),
        ({**arrays, "v_template": np.full((10475, 3), np.nan)}, "`v_template` holds NaN"),
        ({**arrays, "shapedirs": with_one(arrays["shapedirs"], np.nan)}, "`shapedirs` holds NaN"),
        ({**arrays, "posedirs": with_one(arrays["posedirs"], -np.inf)}, "`posedirs` holds infinity"),
        ({**arrays, "weights": with_one(arrays["weights"], np.inf)}, "`weights` holds infinity"),
        ({**arrays, "weights": arrays["weights"] * (np.arange(10475) > 20)[:, None]}, "`weights` is damaged"),
        ({**arrays, "J_regressor": 2 * arrays["J_regressor"]}, "`J_regressor` is damaged"),
        ({**arrays, "f": arrays["f"] + 10475}, "outside"),
    ):
        np.savez(path, **content)
        with pytest.raises(BodyFileError, match=named):
            load_smplx(path)
    path.write_bytes(b"PK not a zip")
    with pytest.raises(HumanrtError, match=r"SMPLX_NEUTRAL\.npz"):
        load_smplx(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v_template.npy", b"nonsense")
    with pytest.raises(HumanrtError, match="v_template"):
        load_smplx(path)
