"""VMC: people's bodies, fingers and faces, live, to programs that show avatars (VSeeFace, Warudo, Unity, Blender).

The Virtual Motion Capture protocol is OSC over UDP (https://protocol.vmc.info). Bones are those of Unity's humanoid,
relative to a T-pose, in Unity's left-handed axes: x to the right, y up, z to the front.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from humanrt.errors import HumanrtError
from humanrt.geometry.bones import bone_tree
from humanrt.geometry.humanoid import CAMERA_TO_GLTF, Skeleton, skeleton_of
from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.geometry.skeleton import Array
from humanrt.outputs.base import Image, Output
from humanrt.outputs.datagrams import MAX_DATAGRAM, Datagrams
from humanrt.people.pipeline import PeopleResult
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource

__all__ = ["VMC_PORT", "VmcSender", "unity_bone"]

VMC_PORT = 39539
"""The port on which programs listen for motion unless told otherwise."""

_MIRROR = np.diag([-1.0, 1.0, 1.0])  # glTF's axes to Unity's


def unity_bone(joint: str) -> str:
    """Return what Unity calls a bone of VRM's humanoid, which names the bones of the thumb otherwise."""
    if "Thumb" in joint:
        joint = joint.replace("Proximal", "Intermediate").replace("Metacarpal", "Proximal")
    return joint[0].upper() + joint[1:]


class VmcSender(Resource, Output):
    """Sends a person of each result to an address.

    Hips move as the person does since they were first seen, and begin above the floor of the receiver's world by the
    length of the person's legs: where the floor is before the camera, one picture does not tell. A person who is not
    seen, or filled in, sends nothing: the avatar stays as it is. Whether anybody listens is not known, nor needed.

    Args:
        host: name or number of the receiver's machine.
        port: its UDP port.
        person: identity of the person; None: the first one seen, and the next best when that identity ends.

    Raises:
        OutputError: there is no such host.
    """

    def __init__(self, host: str, port: int = VMC_PORT, person: int | None = None) -> None:
        self._datagrams = Datagrams("vmc", host, port)
        self._person = person
        self._current: int | None = person
        self._skeleton: Skeleton | None = None
        self._origin: Array | None = None
        self._t0: float | None = None

    def start(self, header: Mapping[str, Any]) -> None:
        """Take the people's skeleton from the header. HumanrtError if it has none."""
        bones, rest = header.get("bones"), header.get("rest")
        if not bones or rest is None:
            raise HumanrtError(
                "--send vmc: this run has no people with a known skeleton; give --task people, with a bundle on Anny "
                "or SMPL-X"
            )
        skeleton = skeleton_of(bone_tree(bones, len(bones)), "vrm")
        self._skeleton = skeleton
        joints = skeleton.rest(np.asarray(rest, np.float64)) @ _MIRROR
        parents = [max(parent, 0) for parent in skeleton.parents]
        self._offsets = joints - joints[parents]
        self._height = float(-joints[:, 1].min())
        self._head_at_rest = self._head_from_hips(np.broadcast_to(np.eye(3), (len(joints), 3, 3)))
        self._names = [_message("/VMC/Ext/Bone/Pos", "sfffffff", unity_bone(joint)) for joint in skeleton.joints]
        self._units = [_message("/VMC/Ext/Blend/Val", "sf", unit) for unit in header.get("expression_units", ())]

    def put(self, result: Result, picture: Image | None) -> bool:
        """Send the person, if they were seen in this frame."""
        if self._skeleton is None:
            raise ValueError("a VmcSender begins with its header: call start(header)")
        if not isinstance(result, PeopleResult):
            raise TypeError(f"a VmcSender takes a PeopleResult, not {type(result).__name__}")
        t = result.frame.t
        self._t0 = t if self._t0 is None else self._t0
        messages = [_OK, _TIME + struct.pack(">f", t - self._t0)]
        index = self._index(result)
        if index is not None:
            messages += self._body(self._skeleton, result, index)
            messages += self._face(result, index)
        for datagram in _datagrams(messages):
            if not self._datagrams.send(datagram):
                break  # the next frame is sent anew
        return True

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._datagrams.close()

    def _index(self, result: PeopleResult) -> int | None:
        """Return which of the people is sent; None: nobody."""
        if self._person is None and (self._current is None or self._current in result.lost):
            seen = [id for id in result.ids if id not in result.filled]
            self._current, self._origin = (seen[0] if seen else None), None
        if self._current in result.ids and self._current not in result.filled:
            return result.ids.index(self._current)
        return None

    def _body(self, skeleton: Skeleton, result: PeopleResult, index: int) -> list[bytes]:
        people = result.people
        turns = skeleton.turns(people.rotations[index].astype(np.float64), CAMERA_TO_GLTF)
        # Mirroring x turns (x, y, z, w) into (x, -y, -z, w).
        rotations = quaternions_from_matrices(skeleton.local(turns)) * (1, -1, -1, 1)
        place = people.translations[index].astype(np.float64) @ CAMERA_TO_GLTF @ _MIRROR
        if self._origin is None:
            self._origin = place
        positions = self._offsets.copy()
        # People's translation is the head's; the hips follow from it by the posed skeleton.
        positions[0] = place - self._origin - self._head_from_hips(turns) + self._head_at_rest
        positions[0, 1] += self._height
        values = np.concatenate([positions, rotations], axis=1).astype(">f4")
        return [_ROOT, *(name + row.tobytes() for name, row in zip(self._names, values, strict=True))]

    def _face(self, result: PeopleResult, index: int) -> list[bytes]:
        amounts = result.people.expression[index].tolist()
        if len(amounts) != len(self._units) or not len(amounts):
            return []
        return [*(name + struct.pack(">f", amount) for name, amount in zip(self._units, amounts, strict=True)), _APPLY]

    def _head_from_hips(self, turns: Array) -> Array:
        """Return where the head is from the hips, [3] m, in Unity's axes."""
        assert self._skeleton is not None
        joint, place = self._skeleton.joints.index("head"), np.zeros(3)
        while (parent := self._skeleton.parents[joint]) >= 0:
            place += _MIRROR @ turns[parent] @ _MIRROR @ self._offsets[joint]
            joint = parent
        return place


def _text(text: str) -> bytes:
    """Return an OSC string: ended by zeros up to a multiple of four bytes."""
    return text.encode() + bytes(4 - len(text.encode()) % 4)


def _message(address: str, types: str, *texts: str) -> bytes:
    """Return the beginning of an OSC message, to which its numbers are appended."""
    return _text(address) + _text(f",{types}") + b"".join(map(_text, texts))


def _datagrams(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Return the messages as OSC bundles that fit into one datagram each, to be handled at once."""
    start = b"#bundle\0" + struct.pack(">Q", 1)
    parts, size = [start], len(start)
    for message in messages:
        if size + 4 + len(message) > MAX_DATAGRAM:
            yield b"".join(parts)
            parts, size = [start], len(start)
        parts += [struct.pack(">i", len(message)), message]
        size += 4 + len(message)
    yield b"".join(parts)


_OK = _message("/VMC/Ext/OK", "i") + struct.pack(">i", 1)
_TIME = _message("/VMC/Ext/T", "f")
_ROOT = _message("/VMC/Ext/Root/Pos", "sfffffff", "root") + struct.pack(">7f", 0, 0, 0, 0, 0, 0, 1)
_APPLY = _message("/VMC/Ext/Blend/Apply", "")
