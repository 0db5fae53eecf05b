"""Readers of the data sets that users bring, on small files written in their layouts."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from layouts import CAMERA, WORLD, body_file, matlab_file, mupots, panoptic, write_picture

from humanrt.errors import HumanrtError, SourceError
from humanrt.evaluation.body_files import BodyFile, BodyFiles
from humanrt.evaluation.dataset import Shot
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.formats.ehf import K as EHF_CAMERA
from humanrt.evaluation.formats.ehf import read_ply
from humanrt.evaluation.formats.mupots import JOINTS as MUPOTS
from humanrt.evaluation.formats.mupots import camera_of
from humanrt.evaluation.formats.panoptic import JOINTS as PANOPTIC
from humanrt.evaluation.matlab import read_mat
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24, SMPL_PARENTS, SMPLX_55

SMPLX_PARENTS = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15),
    *(20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38),
    *(21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53),
)
RANDOM = np.random.default_rng(3)


def people(frames: int, count: int, joints: int) -> np.ndarray:
    """Return joints [T, N, J, 3] m in camera space, all in the picture."""
    return RANDOM.uniform((-0.4, -0.4, 3.5), (0.4, 0.4, 4.5), (frames, count, joints, 3))


def in_world(joints: np.ndarray, camera: np.ndarray = WORLD) -> np.ndarray:
    return (joints - camera[:3, 3]) @ camera[:3, :3]


def shots(folder: Path, format: str, models: Path | None = None) -> list[Shot]:
    return [shot for clip in read_data(folder, format, (), models).clips for shot in clip.shots()]


def greys(found: list[Shot]) -> list[int]:
    return [round(float(shot.frame.image.mean()) / 10) for shot in found]


def test_3dpw(tmp_path: Path) -> None:
    joints = people(4, 2, 24)
    cameras = np.stack([WORLD] * 4)
    cameras[:, 0, 3] += 0.1 * np.arange(4)  # the camera moves
    sequence = {
        "sequence": "courtyard_00",
        "cam_intrinsics": CAMERA,
        "cam_poses": cameras,
        "jointPositions": [
            np.stack([in_world(joints[k, i], cameras[k]) for k in range(4)]).reshape(4, 72) for i in range(2)
        ],
        "campose_valid": [np.array([1, 1, 0, 1], bool), np.ones(4, bool)],
        "genders": ["m", "f"],
        "img_frame_ids": np.arange(4),
    }
    path = tmp_path / "sequenceFiles" / "test" / "courtyard_00.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(sequence, 2))  # the real ones are of protocol 2
    for k in range(4):
        write_picture(tmp_path / "imageFiles" / "courtyard_00" / f"image_{k:05d}.jpg", 10 * k)
    data = read_data(tmp_path, "3dpw")
    assert not data.everybody
    assert [clip.name for clip in data.clips] == ["test/courtyard_00"]
    found = list(data.clips[0].shots())
    assert greys(found) == [0, 1, 2, 3]
    assert np.stack([shot.people.joints for shot in found]) == pytest.approx(joints)
    assert [shot.people.wanted.tolist() for shot in found] == [[True] * 2, [True] * 2, [False, True], [True] * 2]
    for shot, true in zip(found, joints, strict=True):
        assert shot.to_world is not None
        there = true[0] @ shot.to_world[:3, :3].T + shot.to_world[:3, 3]
        assert there == pytest.approx(in_world(true[0], cameras[shot.frame.index]))


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("this must not be printed",))

    path = tmp_path / "sequenceFiles" / "test" / "x.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"sequence": Hostile()}))
    with pytest.raises(HumanrtError, match=r"refused: the file asks for `builtins\.print`"):
        shots(tmp_path, "3dpw")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_emdb(tmp_path: Path, protocol: int) -> None:
    models = tmp_path / "models"
    body_file(models / "smpl" / "SMPL_FEMALE.pkl", 24, SMPL_PARENTS)
    poses, trans, betas = RANDOM.normal(0, 0.1, (3, 72)), RANDOM.normal(0, 0.1, (3, 3)), RANDOM.normal(size=10)
    extrinsics = np.stack([WORLD] * 3)
    extrinsics[:, 2, 3] = 5
    sequence = {
        "gender": "female",
        "name": "P1_14_walk",
        "emdb1": np.bool_(True),
        "n_frames": 3,
        "good_frames_mask": np.array([True, False, True]),
        "camera": {"intrinsics": CAMERA, "extrinsics": extrinsics, "width": 320, "height": 240},
        "smpl": {"poses_root": poses[:, :3], "poses_body": poses[:, 3:], "trans": trans, "betas": betas},
    }
    folder = tmp_path / "data" / "P1" / "14_walk"
    folder.mkdir(parents=True)
    (folder / "P1_14_walk_data.pkl").write_bytes(pickle.dumps(sequence, protocol))
    for k in range(3):
        write_picture(folder / "images" / f"{k:05d}.jpg", 10 * k)
    found = shots(tmp_path / "data", "emdb", models)
    assert greys(found) == [0, 1, 2]
    assert [bool(shot.people.wanted[0]) for shot in found] == [True, False, True]
    body = BodyFiles(models)("smpl", "female")
    for k, shot in enumerate(found):
        vertices, joints = body(poses[k].reshape(24, 3), betas, trans[k])
        assert shot.people.joints[0] == pytest.approx(joints @ extrinsics[k, :3, :3].T + extrinsics[k, :3, 3])
        assert shot.people.vertices is not None
        assert shot.people.vertices[0] == pytest.approx(vertices @ extrinsics[k, :3, :3].T + extrinsics[k, :3, 3])
    with pytest.raises(SourceError, match=r"give --body-models, the folder of your SMPL_FEMALE\.npz"):
        shots(tmp_path / "data", "emdb")


@pytest.mark.parametrize("text", [True, False])
def test_ehf(tmp_path: Path, text: bool) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    regressor = body_file(models / "smplx" / "SMPLX_NEUTRAL.npz", 55, SMPLX_PARENTS)["J_regressor"]
    vertices = RANDOM.normal(0, 0.3, (40, 3)).astype(np.float32)
    data.mkdir()
    head = "ply\nformat {} 1.0\ncomment made by a test\nelement vertex 40\nproperty float x\nproperty float y\n"
    head += "property float z\nproperty uchar red\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n"
    if text:
        rows = "".join(f"{x} {y} {z} 7\n" for x, y, z in vertices.tolist()) + "3 0 1 2\n"
        (data / "01_align.ply").write_bytes((head.format("ascii") + rows).encode())
    else:
        rows_of = np.zeros(40, [("p", "<f4", 3), ("c", "u1")])
        rows_of["p"] = vertices
        face = b"\x03" + np.arange(3, dtype="<i4").tobytes()
        (data / "01_align.ply").write_bytes(head.format("binary_little_endian").encode() + rows_of.tobytes() + face)
    assert read_ply(data / "01_align.ply") == pytest.approx(vertices, abs=1e-6)
    write_picture(data / "01_img.png", 50)
    (shot,) = shots(data, "ehf", models)
    turn = matrices_from_vectors(np.array([-2.98747896, 0.01172457, -0.05704687]))
    ours = vertices @ turn.T + (-0.03609917, 0.43416458, 2.37101226)
    assert shot.people.vertices is not None
    assert shot.people.vertices[0] == pytest.approx(ours, abs=1e-5)
    assert shot.people.joints[0] == pytest.approx(regressor @ ours, abs=1e-5)
    assert shot.intrinsics is EHF_CAMERA
    assert greys([shot]) == [5]


def test_mupots(tmp_path: Path) -> None:
    joints, valid = people(3, 2, len(MUPOTS)), np.ones((3, 2), bool)
    valid[1, 0] = False
    mupots(tmp_path / "TS2", joints, valid)
    mupots(tmp_path / "TS10", joints, valid)
    data = read_data(tmp_path, "mupots")
    assert [clip.name for clip in data.clips] == ["TS2", "TS10"]
    found = list(data.clips[0].shots())
    assert greys(found) == [0, 1, 2]
    assert np.stack([shot.people.joints for shot in found]) == pytest.approx(joints, abs=1e-9)
    assert [shot.people.wanted.tolist() for shot in found] == valid.tolist()
    assert found[0].intrinsics == pytest.approx(CAMERA, abs=1e-6)  # found from the joints
    assert found[0].people.joints.shape[2] == 3
    assert len(limb_indices(MUPOTS)) == 12


def test_a_camera_of_nobody() -> None:
    with pytest.raises(ValueError, match="nobody is annotated"):
        camera_of(np.zeros((0, 17, 3)), np.zeros((0, 17, 2)))


def test_panoptic(tmp_path: Path) -> None:
    joints = people(2, 2, 19)
    panoptic(tmp_path / "160422_pizza", in_world(joints), (4, 7), unsure=PANOPTIC.index("left_knee"))
    for folder in (tmp_path, tmp_path / "160422_pizza"):  # all sequences, or one
        data = read_data(folder, "panoptic")
        assert [clip.name for clip in data.clips] == ["160422_pizza/00_00"]  # not the VGA camera
        found = list(data.clips[0].shots())
        assert [shot.frame.index for shot in found] == [100, 101]
        assert greys(found) == [0, 1]
        assert found[0].people.ids == (4, 7)
        assert np.stack([shot.people.joints for shot in found]) == pytest.approx(joints)
        assert [shot.people.wanted.tolist() for shot in found] == [[True, False]] * 2
        assert found[0].intrinsics == pytest.approx(CAMERA)


def test_who_is_outside_the_picture_need_not_be_found(tmp_path: Path) -> None:
    joints = people(1, 2, 19)
    joints[0, 1, :, 0] += 6
    panoptic(tmp_path / "a", in_world(joints), (0, 1))
    (shot,) = shots(tmp_path, "panoptic")
    assert shot.people.wanted.tolist() == [True, False]


def test_bedlam(tmp_path: Path) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    body_file(models / "SMPLX_NEUTRAL.npz", 55, SMPLX_PARENTS)
    names = ["seq_0/seq_0_0000.png", "seq_0/seq_0_0000.png", "seq_0/seq_0_0005.png"]
    poses, shapes = RANDOM.normal(0, 0.1, (3, 165)), RANDOM.normal(size=(3, 11))
    shifts = RANDOM.normal(0, 0.1, (3, 3))
    extrinsics = np.stack([np.eye(4)] * 3)
    extrinsics[:, 2, 3] = 5
    (data / "labels").mkdir(parents=True)
    np.savez(
        data / "labels" / "scene.npz",
        imgname=np.array(names, object),  # pickled, as the real ones are
        pose_cam=poses,
        shape=shapes,
        trans_cam=shifts,
        cam_int=np.stack([CAMERA] * 3),
        cam_ext=extrinsics,
    )
    write_picture(data / "training_images" / "scene" / "png" / names[0], 10)
    write_picture(data / "training_images" / "scene" / "png" / names[2], 20)
    found = shots(data, "bedlam", models)
    assert greys(found) == [1, 2]
    assert [len(shot.people) for shot in found] == [2, 1]
    _, joints = BodyFiles(models)("smplx")(poses[2].reshape(55, 3), shapes[2], shifts[2] + (0, 0, 5))
    assert found[1].people.joints[0] == pytest.approx(joints)
    assert found[1].people.wanted.tolist() == [True]
    assert not read_data(data, "bedlam", (), models).clips[0].film


def test_rich(tmp_path: Path) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    body_file(models / "smplx" / "SMPLX_MALE.npz", 55, SMPLX_PARENTS)
    body_file(models / "smplx" / "SMPLX_FEMALE.npz", 55, SMPLX_PARENTS, vertices=30)
    camera = np.c_[WORLD[:3, :3], (0.1, 0, 5)]
    K = CAMERA.copy()
    K[:2, 2] -= 0.5
    matrices = "".join(
        f'<{name} type_id="opencv-matrix"><rows>3</rows><data>{" ".join(map(str, array.ravel()))}</data></{name}>'
        for name, array in (("CameraMatrix", camera), ("Intrinsics", K))
    )
    calibration = data / "scan_calibration" / "Gym" / "calibration" / "003.xml"
    calibration.parent.mkdir(parents=True)
    calibration.write_text(f'<?xml version="1.0"?><opencv_storage>{matrices}</opencv_storage>')
    (data / "gender.json").write_text('{"1": "male", "18": "female"}')
    poses = {person: RANDOM.normal(0, 0.1, 66) for person in ("001", "018")}
    shape, shift = RANDOM.normal(size=(1, 10)), RANDOM.normal(0, 0.1, (1, 3))
    for frame in (0, 2):  # frame 1 has no bodies
        for person, pose in poses.items():
            stored = {"global_orient": pose[None, :3], "body_pose": pose[None, 3:], "betas": shape, "transl": shift}
            stored |= {"left_hand_pose": np.zeros((1, 12)), "expression": np.zeros((1, 10))}
            file = data / "bodies" / "test" / "Gym_001_a" / f"{frame:05d}" / f"{person}.pkl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(stored))
    for frame in range(3):
        write_picture(data / "images" / "test" / "Gym_001_a" / "cam_03" / f"{frame:05d}_03.png", 10 * frame)
    (clip,) = read_data(data, "rich", (), models).clips
    assert clip.name == "test/Gym_001_a/cam_03"
    found = list(clip.shots())
    assert greys(found) == [0, 2]
    assert [shot.frame.index for shot in found] == [0, 2]
    assert found[0].intrinsics == pytest.approx(CAMERA)
    assert found[0].people.ids == (1, 18)
    for row, (person, gender) in enumerate((("001", "male"), ("018", "female"))):
        vectors = np.zeros((55, 3))
        vectors[:22] = poses[person].reshape(22, 3)
        _, joints = BodyFiles(models)("smplx", gender)(vectors, shape[0], shift[0])
        there = joints[:22] @ camera[:, :3].T + camera[:, 3]
        assert found[1].people.joints[row] == pytest.approx(there)
    calibration.write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
    with pytest.raises(SourceError, match="it is no plain XML"):
        list(clip.shots())


def test_a_picture_that_is_not_there(tmp_path: Path) -> None:
    panoptic(tmp_path / "a", in_world(people(1, 1, 19)), (0,))
    mupots(tmp_path / "TS1", people(1, 1, 17), np.ones((1, 1), bool))
    (tmp_path / "TS1" / "img_000000.jpg").unlink()
    with pytest.raises(SourceError, match=r"img_000000\.jpg"):
        shots(tmp_path, "mupots")


def test_bodies_are_those_of_the_papers(tmp_path: Path) -> None:
    """The arithmetic, vertex by vertex and bone by bone, written the long way."""
    arrays = body_file(tmp_path / "SMPL_NEUTRAL.npz", 24, SMPL_PARENTS)
    body = BodyFile.load(tmp_path / "SMPL_NEUTRAL.npz", "smpl")
    vectors, shape, shift = RANDOM.normal(0, 0.5, (24, 3)), RANDOM.normal(size=10), np.array([1.0, 2, 3])
    shaped = arrays["v_template"] + np.einsum("vcs,s->vc", arrays["shapedirs"][:, :, :10], shape)
    rest = arrays["J_regressor"] @ shaped
    rotations = matrices_from_vectors(vectors)
    moved = shaped + np.einsum("vcp,p->vc", arrays["posedirs"], (rotations[1:] - np.eye(3)).reshape(-1))
    world: list[np.ndarray] = []
    for joint, parent in enumerate(SMPL_PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    vertices = np.zeros_like(moved)
    for v, point in enumerate(moved):
        for joint in range(24):
            turned = world[joint][:3, :3] @ (point - rest[joint]) + world[joint][:3, 3]
            vertices[v] += arrays["weights"][v, joint] * turned
    ours, joints = body(vectors, shape, shift)
    assert joints == pytest.approx(np.stack([one[:3, 3] for one in world]) + shift)
    assert ours == pytest.approx(vertices + shift)


def test_a_body_file_of_another_model(tmp_path: Path) -> None:
    body_file(tmp_path / "SMPL_NEUTRAL.npz", 24, SMPL_PARENTS)
    with pytest.raises(SourceError, match="not a file of SMPLX: `posedirs` is"):
        BodyFile.load(tmp_path / "SMPL_NEUTRAL.npz", "smplx")
    with pytest.raises(SourceError, match=r"no SMPLX_MALE\.npz or \.pkl there"):
        BodyFiles(tmp_path)("smplx", "male")
    with pytest.raises(SourceError, match="unknown gender `x`"):
        BodyFiles(tmp_path)("smplx", "x")


@pytest.mark.parametrize("packed", [True, False])
def test_matlab(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.mat"
    cell = np.empty((2, 1), object)
    cell[0, 0], cell[1, 0] = np.arange(6.0).reshape(2, 3), {"n": np.array([[7]], np.uint8)}
    matlab_file(path, {"numbers": np.arange(4, dtype=np.int32).reshape(2, 2), "cell": cell}, packed=packed)
    found = read_mat(path)
    assert found["numbers"].tolist() == [[0, 1], [2, 3]]
    assert found["cell"].shape == (2, 1)
    assert found["cell"][0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["cell"][1, 0][0, 0]["n"].tolist() == [[7]]


def test_damaged_matlab_files_end_in_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    matlab_file(path, {"a": np.arange(40.0).reshape(8, 5), "b": {"c": np.zeros((3, 3))}}, packed=False)
    good = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    for _ in range(300):
        bad = good.copy()
        for place in generator.integers(100, len(bad), 3):
            bad[place] = generator.integers(256)
        path.write_bytes(bad[: generator.integers(100, len(bad) + 1)])
        with contextlib.suppress(SourceError):  # in some the damage is in a number, and nobody can tell
            read_mat(path)


def test_joint_lists() -> None:
    assert (len(MUPOTS), len(PANOPTIC)) == (17, 19)
    for names in (MUPOTS, PANOPTIC, SMPL_24, SMPLX_55):
        assert len(limb_indices(names)) == 12
    assert project(np.array([0.0, 0, 1]), CAMERA) == pytest.approx([160, 120])
