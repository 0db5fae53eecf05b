"""Files of motion: what they give, and one line for what is wrong with them."""

from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.motion.amass import parse_amass
from humanrt_export.motion.asf_amc import _careful, _quick, euler, parse_amc, parse_asf
from humanrt_export.motion.bvh import parse_bvh
from humanrt_export.motion.clip import Motion, MotionError
from humanrt_export.motion.load import load_motion, load_motions

ASF = """:version 1.10
:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   orientation 0 0 0
:bonedata
  begin
     name back
     direction 0 1 0
     length 5
     axis 10 20 30 XYZ
     dof rx ry rz
  end
  begin
     name tip
     direction 1 0 0
     length 2
     axis 0 0 0 XYZ
     dof rx
     limits (-10 10)
  end
:hierarchy
  begin
    root back
    back tip
  end
"""
AMC = """#!OML
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 10 20 30
back 5 6 7
tip 9
2
root 1 2 4 10 20 31
back 5 6 8
tip 1
"""
BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.008333
1 2 3 0 0 0 90 0 0
1 2 3 0 0 0 0 0 0
"""


def amass(**changes: object) -> bytes:
    generator = np.random.default_rng(0)
    arrays: dict[str, object] = {
        "poses": 0.3 * generator.standard_normal((4, 156)),
        "trans": generator.standard_normal((4, 3)),
        "betas": np.zeros(16),
        "mocap_framerate": 120.0,
        "gender": "neutral",
    }
    arrays |= changes
    stream = io.BytesIO()
    np.savez(stream, **{key: value for key, value in arrays.items() if value is not None})  # type: ignore[arg-type]
    return stream.getvalue()


# --------------------------------------------------------------------------------------------- ASF, AMC


def test_asf_forward_kinematics_by_hand() -> None:
    skeleton = parse_asf(ASF)
    place, turns = skeleton.pose(parse_amc(AMC, skeleton))
    root = euler("xyz", np.radians([10, 20, 30]).tolist())
    axes = euler("xyz", np.radians([10, 20, 30]).tolist())
    back = root @ axes @ euler("xyz", np.radians([5, 6, 7]).tolist()) @ axes.T
    unit = 0.0254 / 0.45
    np.testing.assert_allclose(place[0], np.array([1, 2, 3]) * unit)
    np.testing.assert_allclose(turns["back"][0], back, atol=1e-12)
    ends = skeleton.joints(place, turns)
    np.testing.assert_allclose(ends["back"][0], place[0] + back @ [0, 5 * unit, 0], atol=1e-12)
    tip = back @ euler("xyz", [np.radians(9), 0, 0])
    np.testing.assert_allclose(ends["tip"][0], ends["back"][0] + tip @ [2 * unit, 0, 0], atol=1e-12)


def test_euler_angles_are_applied_in_their_order() -> None:
    a, b, c = 0.3, -0.7, 1.1
    about = [matrices_from_vectors(np.eye(3)[k] * angle) for k, angle in enumerate((a, b, c))]
    np.testing.assert_allclose(euler("xyz", [a, b, c]), about[2] @ about[1] @ about[0], atol=1e-12)
    np.testing.assert_allclose(euler("zyx", [c, b, a]), about[0] @ about[1] @ about[2], atol=1e-12)


def test_quick_and_careful_reading_agree() -> None:
    skeleton = parse_asf(ASF)
    quick, careful = _quick(AMC, skeleton), _careful(AMC, skeleton, "motion")
    assert quick is not None
    assert quick.values.keys() == careful.values.keys()
    for name, values in quick.values.items():
        np.testing.assert_array_equal(values, careful.values[name])
    # Radians, and frames that start elsewhere, are read with care.
    radians = AMC.replace(":DEGREES", ":RADIANS").replace("tip 9", f"tip {np.radians(9)}")
    assert _quick(radians, skeleton) is None
    assert parse_amc(radians, skeleton).values["tip"][0, 0] == pytest.approx(9)
    assert len(parse_amc(AMC.replace("\n1\n", "\n11\n").replace("\n2\n", "\n12\n"), skeleton)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("direction 0 1 0", "direction 0 one 0"), "line 12: `0 one 0` is not 3 numbers"),
        (("length 5", "length nan"), "line 13: `nan`: numbers must be finite"),
        (("axis 10 20 30 XYZ", "axis 10 20 30 XYY"), "line 14: `XYY` is not an order"),
        (("dof rx ry rz", "dof rx rx"), "line 15: `dof` takes each of"),
        (("back tip", "spine tip"), "`spine` is not a bone that comes before"),
        (("root back", "root back back"), "bone `back` occurs twice"),
        ((":hierarchy", ":other"), "no `:hierarchy` section"),
        (("    back tip\n", ""), "`:hierarchy` lacks: tip"),
        ((":version 1.10", "hello"), "line 1: not an ASF file"),
        (("length 0.45", "length 0"), "line 3: the unit of length"),
    ],
)
def test_bad_skeletons(change: tuple[str, str], message: str) -> None:
    with pytest.raises(MotionError) as caught:
        parse_asf(ASF.replace(*change), "a.asf")
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.asf")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("back 5 6 8", "back 5 6"), "line 10: `back` needs 3 numbers, got 2"),
        (("back 5 6 8", "back 5 6 x"), "line 10: `5 6 x` is not 3 numbers"),
        (("back 5 6 8", "tail 5 6 8"), "line 10: bone `tail` is not in the skeleton"),
        (("back 5 6 8\n", ""), "line 8: this frame and the first have different bones: back"),
        (("back 5 6 8", "tip 3\nback 5 6 8"), "bone `tip` occurs twice"),
        (("\n1\n", "\n"), "line 4: a frame's number must come first"),
        (("back 5 6 8", "back 5 6 inf"), "line 10: `5 6 inf`: numbers must be finite"),
    ],
)
def test_bad_motions(change: tuple[str, str], message: str) -> None:
    with pytest.raises(MotionError) as caught:
        parse_amc(AMC.replace(*change), parse_asf(ASF, "a.asf"), "a.amc")
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.amc")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_text_is_never_a_traceback(data: st.DataObject) -> None:
    """Any cut or overwritten file is read or refused."""
    which = data.draw(st.sampled_from(["asf", "amc", "bvh"]))
    text = {"asf": ASF, "amc": AMC, "bvh": BVH}[which]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 60)))
    text = text[:start] + data.draw(st.text(max_size=8)) + text[stop:]
    with contextlib.suppress(MotionError):
        if which == "asf":
            parse_asf(text)
        elif which == "amc":
            parse_amc(text, parse_asf(ASF))
        else:
            parse_bvh(text).pose()


# --------------------------------------------------------------------------------------------- BVH


def test_bvh_by_hand() -> None:
    bvh = parse_bvh(BVH)
    turns, places = bvh.pose()
    np.testing.assert_allclose(places["Spine"], [[1, 12, 3], [1, 12, 3]])
    np.testing.assert_allclose(turns["Spine"][0] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    assert bvh.fps == pytest.approx(120, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("HIERARCHY", "BIERARCHY"), "line 1: not a BVH file"),
        (("OFFSET 0 10 0", "OFFSET 0 10"), "line 8: expected 3 numbers"),
        (("CHANNELS 3 Z", "CHANNELS 4 Z"), "line 9: `CHANNELS 4"),
        (("JOINT Spine", "JOINT Hips"), "line 6: `JOINT Hips` is misplaced or occurs twice"),
        (("Frames: 2", "Frames: 3"), "it has 2 of the 3 frames"),
        (("Frames: 2", "Frames 2"), "line 17: expected `Frames: N`"),
        (("Frame Time: 0.008333", "Frame Time: 0"), "both must be above 0"),
        (("90 0 0", "90 0"), "line 19: expected 9 numbers"),
        (("90 0 0", "90 0 nan"), "line 19: expected 9 numbers"),
        (("MOTION", "LOTION"), "line 16: `LOTION` is not expected"),
    ],
)
def test_bad_bvh(change: tuple[str, str], message: str) -> None:
    with pytest.raises(MotionError) as caught:
        parse_bvh(BVH.replace(*change), "a.bvh")
    assert message in str(caught.value)


def test_cut_bvh() -> None:
    with pytest.raises(MotionError, match="ends before its MOTION"):
        parse_bvh(BVH[:200])


# --------------------------------------------------------------------------------------------- AMASS


@pytest.mark.parametrize("joints", [22, 24, 52, 55])
def test_amass(joints: int) -> None:
    poses = 0.3 * np.random.default_rng(1).standard_normal((4, 3 * joints))
    motion = parse_amass(amass(poses=poses), "CMU/01/01_01_poses.npz")
    assert (motion.fps, len(motion), motion.name) == (120.0, 4, "01_01_poses")
    kept = 24 if joints == 24 else 22
    vectors = poses.reshape(4, joints, 3)
    np.testing.assert_allclose(motion.rotations[:, 1:kept], matrices_from_vectors(vectors[:, 1:kept]), atol=1e-12)
    # z up -> y up: what pointed up still does.
    up = matrices_from_vectors(vectors[:, 0]).swapaxes(-1, -2) @ [0, 0, 1]
    np.testing.assert_allclose((motion.rotations[:, 0] @ up[..., None])[..., 0], [[0, 1, 0]] * 4, atol=1e-12)
    assert not np.allclose(parse_amass(amass(poses=poses), up="y").rotations[:, 0], motion.rotations[:, 0])


def test_amass_in_its_other_words() -> None:
    """The newer files: `mocap_frame_rate`, `root_orient` and `pose_body`."""
    poses = np.random.default_rng(1).standard_normal((4, 66))
    other = amass(
        poses=None, mocap_framerate=None, mocap_frame_rate=60.0, root_orient=poses[:, :3], pose_body=poses[:, 3:]
    )
    motion = parse_amass(other)
    assert motion.fps == 60
    np.testing.assert_array_equal(motion.rotations, parse_amass(amass(poses=poses)).rotations)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "not a readable .npz"),
        (amass()[:300], "not a readable .npz"),
        (amass(poses=None), "it has no `poses`"),
        (amass(poses=np.zeros((4, 155))), r"`poses` is \[4, 155\], expected"),
        (amass(poses=np.zeros((0, 156)), trans=np.zeros((0, 3))), "expected"),
        (amass(poses=np.full((4, 156), np.nan)), "`poses` holds numbers that are not finite"),
        (amass(trans=np.zeros((3, 3))), "`trans` is"),
        (amass(mocap_framerate=None), "no frame rate"),
        (amass(mocap_framerate=0.0), "must be one number above 0"),
        (amass(mocap_framerate="fast"), "`mocap_framerate` holds no numbers"),
        (amass(poses=np.array([{}], dtype=object)), "not a readable .npz"),
    ],
)
def test_bad_amass(content: bytes, message: str) -> None:
    with pytest.raises(MotionError, match=message) as caught:
        parse_amass(content, "a.npz")
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------- files


def test_the_whole_archive(cmu: dict[str, Motion]) -> None:
    assert len(cmu) == 25
    assert {motion.subject for motion in cmu.values()} == {"01", "02", "03"}
    for motion in cmu.values():
        assert motion.fps == 120
        assert np.isfinite(motion.translation).all()
        products = motion.rotations @ motion.rotations.swapaxes(-1, -2)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-9)


def test_folders_and_zips_are_read_too(archive: Path, cmu: dict[str, Motion], tmp_path: Path) -> None:
    wanted = ("cmu/02/02.asf", "cmu/02/02_03.amc")
    with tarfile.open(archive) as tar, zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name in wanted:
            file = tar.extractfile(name)
            assert file is not None
            content = file.read()
            packed.writestr(name, content)
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    (tmp_path / "cmu" / "made.npz").write_bytes(amass())
    (read,) = load_motions(tmp_path / "a.zip")
    np.testing.assert_array_equal(read.rotations, cmu["02_03"].rotations)
    found = {motion.name: motion for motion in load_motions(tmp_path / "cmu")}
    assert set(found) == {"02_03", "made"}
    assert load_motion(tmp_path / "cmu" / "02" / "02_03.amc").subject == "02"
    (tmp_path / "cmu" / "02" / "02.asf").unlink()
    with pytest.raises(MotionError, match=r"put `02\.asf` into the same folder"):
        load_motion(tmp_path / "cmu" / "02" / "02_03.amc")


def test_what_is_no_motion(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bad.tar.xz").write_bytes(b"hello")
    (tmp_path / "bad.zip").write_bytes(b"hello")
    for name, message in {
        "notes.txt": "unknown kind of motion file",
        "absent.bvh": "no such file",
        "absent.tar": "no such file",
        "bad.tar.xz": "damaged archive",
        "bad.zip": "damaged archive",
        "": "it contains no motion",
    }.items():
        with pytest.raises(MotionError, match=message):
            list(load_motions(tmp_path / name))


def test_archives_cannot_reach_outside(tmp_path: Path) -> None:
    """Names with dots and links: nothing is written, links are passed over."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        content = amass()
        inside = tarfile.TarInfo("../../evil.npz")
        inside.size = len(content)
        tar.addfile(inside, io.BytesIO(content))
        link = tarfile.TarInfo("link.npz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = sorted(tmp_path.parent.rglob("*"))
    (motion,) = load_motions(tmp_path / "a.tar")
    assert motion.name == "evil"
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.parametrize("ending", [".tar.xz", ".tar.gz", ".zip"])
def test_damage_within_an_archive_is_never_a_traceback(tmp_path: Path, ending: str) -> None:
    content = np.random.default_rng(0).bytes(100_000)
    path = tmp_path / f"a{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a.bvh", content * 2)
    else:
        with tarfile.open(path, f"w:{ending[-2:]}") as tar:
            member = tarfile.TarInfo("a.bvh")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    whole = path.read_bytes()
    for start in range(200, len(whole) - 200, len(whole) // 7):
        path.write_bytes(whole[:start] + bytes(99) + whole[start + 99 :])
        with pytest.raises(MotionError, match=r"damaged archive|not a BVH file"):  # gzip may not notice
            list(load_motions(path))
