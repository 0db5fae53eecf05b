"""VMC as a receiver gets it: a plain socket, the OSC parser of python-osc, and Unity's humanoid rebuilt from bones."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle

from command_line import refused
from humanrt.bundle import load_bundle
from humanrt.errors import HumanrtError
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.humanoid import skeleton_of
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.outputs.senders import open_sender
from humanrt.outputs.vmc import unity_bone
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.rig import BodyRig, open_rig

UNITY_PARENTS = {  # https://docs.unity3d.com/ScriptReference/HumanBodyBones.html, as VRM 0 nests them
    "Hips": None,
    **{"Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest", "Head": "Neck"},
    **{f"{s}Shoulder": "UpperChest" for s in ("Left", "Right")},
    **{f"{s}UpperArm": f"{s}Shoulder" for s in ("Left", "Right")},
    **{f"{s}LowerArm": f"{s}UpperArm" for s in ("Left", "Right")},
    **{f"{s}Hand": f"{s}LowerArm" for s in ("Left", "Right")},
    **{f"{s}UpperLeg": "Hips" for s in ("Left", "Right")},
    **{f"{s}LowerLeg": f"{s}UpperLeg" for s in ("Left", "Right")},
    **{f"{s}Foot": f"{s}LowerLeg" for s in ("Left", "Right")},
    **{
        f"{s}{f}{part}": f"{s}Hand" if k == 0 else f"{s}{f}{parts[k - 1]}"
        for s in ("Left", "Right")
        for f in ("Thumb", "Index", "Middle", "Ring", "Little")
        for parts in [("Proximal", "Intermediate", "Distal")]
        for k, part in enumerate(parts)
    },
}


@pytest.fixture(scope="module")
def rig() -> Iterator[BodyRig]:
    with open_rig(load_bundle("holistic")) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listening.settimeout(0.2)
        yield listening


def address(receiver: socket.socket, query: str = "") -> str:
    return f"vmc://127.0.0.1:{receiver.getsockname()[1]}{query}"


def received(receiver: socket.socket) -> list[tuple[str, list[Any]]]:
    messages = []
    while True:
        try:
            datagram = receiver.recv(65536)
        except TimeoutError:
            return messages
        assert len(datagram) <= 1400
        assert datagram.startswith(b"#bundle\0")
        messages += [(message.address, list(message.params)) for message in OscBundle(datagram)]


def header(rig: BodyRig) -> dict[str, Any]:
    return {"bones": list(rig.bones), "rest": rig.rest(), "expression_units": list(rig.expression_units)}


def people_result(rig: BodyRig, seed: int, ids: tuple[int, ...] = (1,), **changes: Any) -> PeopleResult:
    rng = np.random.default_rng(seed)
    n = len(ids)
    body = matrices_from_vectors(rng.normal(0, 0.25, (n, 24, 3)))
    body[:, 0] = matrices_from_vectors(np.tile([3.0, 0.2, 0.1], (n, 1)))  # upright: SMPL's y up to the camera's y down
    people = People(
        scores=np.full(n, 0.9, np.float32),
        locations=np.zeros((n, 2), np.float32),
        translations=rng.normal(0, 0.1, (n, 3)).astype(np.float32) + np.array([0, 0, 3], np.float32),
        rotations=anny_from_smpl(body).astype(np.float32),
        shape=np.tile(rig.default_shape, (n, 1)).astype(np.float32),
        expression=rng.uniform(0, 1, (n, len(rig.expression_units))).astype(np.float32),
        intrinsics=np.eye(3),
    )
    frame = SimpleNamespace(t=10.0 + seed / 30, index=seed)
    return PeopleResult(frame, people, ids, (), {}, **changes)  # type: ignore[arg-type]


def rebuilt(rig: BodyRig, bones: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """Joints of a T-posed humanoid with the rig's proportions, moved by the received bones, in Unity's axes."""
    skeleton = skeleton_of(rig.tree, "vrm")
    rest = {unity_bone(j): p * (-1, 1, 1) for j, p in zip(skeleton.joints, skeleton.rest(rig.rest()), strict=True)}
    places: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, parent in UNITY_PARENTS.items():
        px, py, pz, x, y, z, w = bones[name]
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        if parent is None:
            places[name] = (np.array([px, py, pz]), turn)
        else:
            at, above = places[parent]
            places[name] = (at + above @ (rest[name] - rest[parent]), above @ turn)
    return {name: at for name, (at, _) in places.items()}


LIMBS = {
    ("LeftUpperArm", "LeftLowerArm"): ("upperarm01.L", "lowerarm01.L"),
    ("LeftLowerArm", "LeftHand"): ("lowerarm01.L", "wrist.L"),
    ("RightUpperArm", "RightLowerArm"): ("upperarm01.R", "lowerarm01.R"),
    ("RightLowerArm", "RightHand"): ("lowerarm01.R", "wrist.R"),
    ("LeftUpperLeg", "LeftLowerLeg"): ("upperleg01.L", "lowerleg01.L"),
    ("LeftLowerLeg", "LeftFoot"): ("lowerleg01.L", "foot.L"),
    ("RightLowerLeg", "RightFoot"): ("lowerleg01.R", "foot.R"),
    ("RightIndexProximal", "RightIndexIntermediate"): ("finger2-1.R", "finger2-2.R"),
    ("LeftThumbProximal", "LeftThumbIntermediate"): ("finger1-1.L", "finger1-2.L"),
}


def test_a_receiver_rebuilds_the_persons_pose(rig: BodyRig, receiver: socket.socket) -> None:
    with open_sender(address(receiver)) as sender:
        sender.start(header(rig))
        for seed in range(3):
            result = people_result(rig, seed)
            assert sender.put(result, None)
            messages = received(receiver)
            assert [name for name, _ in messages[:2]] == ["/VMC/Ext/OK", "/VMC/Ext/T"]
            assert messages[1][1] == [pytest.approx(seed / 30, abs=1e-5)]
            bones = {params[0]: params[1:] for name, params in messages if name == "/VMC/Ext/Bone/Pos"}
            assert bones.keys() == UNITY_PARENTS.keys()
            found = rebuilt(rig, bones)
            joints = rig.pose(rig.default_shape, result.people.rotations[0])[1]
            true = dict(zip(rig.bones, rig.bone_heads(joints) * (-1, -1, -1), strict=True))  # camera's axes to Unity's
            for (start, stop), (bone, end) in LIMBS.items():
                a, b = found[stop] - found[start], true[end] - true[bone]
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 1.0, (start, stop)
            amounts = {params[0]: params[1] for name, params in messages if name == "/VMC/Ext/Blend/Val"}
            expected = dict(zip(rig.expression_units, result.people.expression[0].tolist(), strict=True))
            assert amounts == pytest.approx(expected)
            assert messages[-1] == ("/VMC/Ext/Blend/Apply", [])


def test_hips_begin_above_the_floor_and_move_with_the_person(rig: BodyRig, receiver: socket.socket) -> None:
    def hips() -> np.ndarray:
        (place,) = (p[1:4] for name, p in received(receiver) if name == "/VMC/Ext/Bone/Pos" and p[0] == "Hips")
        return np.array(place)

    result = people_result(rig, 0)
    with open_sender(address(receiver)) as sender:
        sender.start(header(rig))
        sender.put(result, None)
        first = hips()
        assert 0.7 < first[1] < 1.1
        moved = result.people.translations + np.array([0.3, -0.2, 0.5], np.float32)  # right, up, away
        sender.put(replace(result, people=replace(result.people, translations=moved)), None)
        # Unity looks at the person from the front: the camera's right is its left, and away is backwards.
        np.testing.assert_allclose(hips() - first, [-0.3, 0.2, -0.5], atol=1e-5)


def test_who_is_not_seen_sends_nothing(rig: BodyRig, receiver: socket.socket) -> None:
    with open_sender(address(receiver, "?person=2")) as sender:
        sender.start(header(rig))
        for result in (people_result(rig, 0), people_result(rig, 0, (1, 2), filled=frozenset({2}))):
            sender.put(result, None)
            assert {name for name, _ in received(receiver)} == {"/VMC/Ext/OK", "/VMC/Ext/T"}
        sender.put(people_result(rig, 0, (1, 2)), None)
        assert "/VMC/Ext/Bone/Pos" in {name for name, _ in received(receiver)}


def test_without_a_number_the_same_person_is_sent_until_lost(rig: BodyRig, receiver: socket.socket) -> None:
    def elbow() -> list[float]:
        (values,) = (p[4:] for name, p in received(receiver) if name == "/VMC/Ext/Bone/Pos" and p[0] == "LeftLowerArm")
        return values

    with open_sender(address(receiver)) as sender:
        sender.start(header(rig))
        one = people_result(rig, 0, (4, 7))
        sender.put(one, None)
        first = elbow()
        swapped = replace(one, ids=(7, 4))
        sender.put(swapped, None)
        assert elbow() != first
        sender.put(replace(swapped, lost=(4,), ids=(7, 9)), None)  # the next best takes over
        assert elbow() == first


def test_two_people_go_to_two_ports(rig: BodyRig, receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(0.2)
        result = people_result(rig, 0, (1, 2))
        for listening, id in ((receiver, 1), (other, 2)):
            with open_sender(address(listening, f"?person={id}")) as sender:
                sender.start(header(rig))
                sender.put(result, None)
        bones = [{p[0]: p[1:] for n, p in received(s) if n == "/VMC/Ext/Bone/Pos"} for s in (receiver, other)]
        assert bones[0]["Spine"][3:] != bones[1]["Spine"][3:]


def test_a_receiver_that_is_gone_harms_nothing(rig: BodyRig, receiver: socket.socket) -> None:
    url = address(receiver)
    receiver.close()
    with open_sender(url) as sender:
        sender.start(header(rig))
        assert all(sender.put(people_result(rig, seed), None) for seed in range(20))
    sender.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("39539", "not an address"),
        ("vcm://127.0.0.1:39539", "schemes: udp, vmc, zmq"),
        ("vmc://127.0.0.1:99999", "not an address"),
        ("vmc://", "not an address"),
        ("vmc://127.0.0.1?people=2", "no option `people`"),
        ("vmc://127.0.0.1?person=me", "not an identity"),
        ("vmc://no.such.host.invalid", "no such host"),
    ],
)
def test_wrong_addresses_get_one_line(url: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HumanrtError, match=expected.replace("?", r"\?")):
        open_sender(url)


def test_run_sends(receiver: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    from humanrt.cli import main
    from humanrt.data import CLIP, PEOPLE_CLIP

    run = ("run", str(PEOPLE_CLIP), "--task", "people", "--bundle", "multihmr-anny", "--headless", "--max-frames", "2")
    assert main([*run, "--send", address(receiver)]) == 0
    assert "/VMC/Ext/Bone/Pos" in {name for name, _ in received(receiver)}
    capsys.readouterr()
    line = refused(capsys, "run", CLIP, "--task", "hands", "--headless", "--send", "vmc://127.0.0.1")
    assert "no people with a known skeleton" in line
