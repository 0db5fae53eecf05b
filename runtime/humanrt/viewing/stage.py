"""Stage: what the browser shows, as objects that move. World: the camera's axes (x right, y down, z forward), in m."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.errors import MissingDependencyError, OutputError
from humanrt.geometry.hand import CHAINS
from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.geometry.skeleton import Array, shortest_arc
from humanrt.people.rig import BodyRig
from humanrt.resource import Resource
from humanrt.retarget import ArmDescription, HandDescription, RobotDescription
from humanrt.viewing.robot_meshes import LinkMesh, link_meshes

__all__ = ["DEFAULT_PORT", "NEW_SHAPE", "Body", "Stage", "reduced"]

DEFAULT_PORT = 8080

NEW_SHAPE = 0.02
"""Change of a phenotype or shape coefficient from which a body's mesh is made anew."""

_HANDS_AT = 0.45  # m before the camera: hands have no place of their own, but their size and pose
_ASIDE = 0.13  # m, of hands and robots from the middle
_ARMS_ASIDE = 0.8  # m, of robot arms
_ROBOTS_AT = 0.1  # m below the hands, behind which they stand in a row


@dataclass(frozen=True)
class Body:
    """A person as the stage shows them.

    Attributes:
        heads: [R, 3] m, where the bones begin.
        turns: [R, 3, 3] world rotations of the bones.
        shape: [S] of the body model.
    """

    heads: Array
    turns: Array
    shape: Array


@dataclass
class _Shown:
    """What stands for a person on the stage: a skinned mesh and its joints."""

    shape: Array
    mesh: Any
    joints: Any
    visible: bool = True


@dataclass
class _Options:
    """The checkboxes."""

    meshes: Any = None
    joints: Any = None
    picture: Any = None


class Stage(Resource):
    """A page in the browser, served by viser.

    Args:
        port: of the page, or where that is in use, the next that is free; 0: any.
        rig: the people's body; None: people are not shown.
        host: address on which the page is served: by default this machine only. ``0.0.0.0``: all of the network's.

    Attributes:
        server: viser's server.
        url: address of the page on this machine.

    Raises:
        MissingDependencyError: viser is not installed.
        OutputError: the page cannot be served on this port and host.
    """

    def __init__(self, port: int = DEFAULT_PORT, rig: BodyRig | None = None, *, host: str = "127.0.0.1") -> None:
        viser = _import_viser()
        try:
            self.server = viser.ViserServer(host=host, port=port, verbose=False)
        except OSError as error:
            raise OutputError(f"port {port}: cannot be used ({error.strerror}); give another one: --port N") from None
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.server.get_port()}"
        self._rig = rig
        self._bodies: dict[int, _Shown] = {}
        self._hands: dict[int, tuple[Any, Any]] = {}
        self._robots: dict[str, list[Any]] = {}
        self._links: dict[str, list[LinkMesh]] = {}  # by robot; none: capsules
        self._camera: Any = None
        scene = self.server.scene
        scene.set_up_direction("-y")
        scene.configure_default_lights()
        self._floor = scene.add_grid("/floor", 20.0, 20.0, plane="xz", cell_size=0.5, position=(0.0, 1.0, 4.0))
        self._lowest = 1.0
        self._focus = np.array([0.0, 0.0, _HANDS_AT])
        self.server.on_client_connect(self._look)
        self._options = _Options()
        gui = self.server.gui
        for name, label in (("meshes", "Bodies"), ("joints", "Joints"), ("picture", "Picture")):
            box = gui.add_checkbox(label, name != "joints")
            setattr(self._options, name, box)
            box.on_update(lambda _: self._apply_options())

    @property
    def people(self) -> tuple[int, ...]:
        """Identities of the people who are shown now."""
        return tuple(id for id, shown in self._bodies.items() if shown.visible)

    def show_people(self, bodies: Mapping[int, Body]) -> None:
        """Show these people, by identity, and nobody else."""
        if self._rig is None:
            return
        with self.server.atomic():
            for id, body in bodies.items():
                shown = self._bodies.get(id)
                if shown is None or np.abs(shown.shape - body.shape).max(initial=0.0) > NEW_SHAPE:
                    shown = self._bodies[id] = self._new_body(id, body, shown)
                shown.visible = True
                for bone, position, wxyz in zip(shown.mesh.bones, body.heads, _wxyz(body.turns), strict=True):
                    bone.position, bone.wxyz = position, wxyz
                shown.joints.points = body.heads.astype(np.float32)
            for id, shown in self._bodies.items():
                shown.visible = id in bodies
            self._apply_options()
            if bodies:
                self._focus = np.mean([body.heads.mean(axis=0) for body in bodies.values()], axis=0)
                self._lower_floor(max(float(body.heads[:, 1].max()) for body in bodies.values()))

    def show_hands(self, hands: Mapping[int, tuple[str, NDArray[np.floating[Any]]]]) -> None:
        """Show hands, by identity: side and keypoints [21, 3] m relative to the hand's own origin; nobody else's."""
        lines = np.array([pair for chain in CHAINS for pair in pairwise(chain)])
        with self.server.atomic():
            for id, (side, keypoints) in hands.items():
                place = np.array([_ASIDE if side == "left" else -_ASIDE, 0.0, _HANDS_AT])
                points = (np.asarray(keypoints, np.float64) + place).astype(np.float32)
                if id not in self._hands:
                    scene, colour = self.server.scene, colour_of(id)
                    joints = scene.add_point_cloud(
                        f"/hands/{id}/joints",
                        points,
                        colour,
                        point_size=0.006,
                        point_shape="circle",
                        precision="float32",
                    )
                    bones = scene.add_line_segments(f"/hands/{id}/bones", points[lines], colour, thickness=0.006)
                    self._hands[id] = (joints, bones)
                joints, bones = self._hands[id]
                joints.points, bones.points = points, points[lines]
            for id, handles in self._hands.items():
                for handle in handles:
                    handle.visible = id in hands

    def show_robots(self, poses: Mapping[str, tuple[RobotDescription, Array]]) -> None:
        """Show robot hands by name: the description, and joint angles [dof] rad. They stay where they were without.

        Their links are the meshes of the URDF where it has some that are at hand, else capsules.
        """
        with self.server.atomic():
            for name, (robot, angles) in poses.items():
                segments, radii, fingers = robot.capsules(angles)
                wrist = segments[np.argmin(fingers)][0]  # where the palm, -1, begins
                aside = _ASIDE * (2 * list(poses).index(name) - len(poses) + 1)
                # Upright, its palm to the camera, below the hand that it follows; an arm faces the camera, aside.
                if isinstance(robot, ArmDescription):
                    turn, aside = np.asarray(_PALM_TO_CAMERA @ robot.placement.rotation.T), aside + _ARMS_ASIDE
                else:
                    assert isinstance(robot, HandDescription)
                    turn = np.asarray(_PALM_TO_CAMERA @ robot.rotation.T)
                place = np.array([aside, _ROBOTS_AT, _HANDS_AT + 0.2]) - turn @ wrist
                ends = np.asarray(segments, np.float64) @ turn.T + place
                if name not in self._robots:
                    self._links[name] = link_meshes(robot)
                    self._robots[name] = self._new_robot(name, self._links[name], ends, radii)
                if links := self._links[name]:
                    frames = robot.forward(angles)
                    for handle, link in zip(self._robots[name], links, strict=True):
                        frame = frames[link.joint]
                        handle.position = turn @ frame[:3, 3] + place
                        handle.wxyz = _wxyz(turn @ frame[:3, :3])
                    continue
                for handle, (a, b) in zip(self._robots[name], ends, strict=True):
                    along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
                    handle.position = (a + b) / 2
                    handle.wxyz = _wxyz(shortest_arc(np.array([0.0, 0.0, 1.0]), along))

    def show_camera(self, K: Array, size: tuple[int, int], picture: NDArray[np.uint8] | None = None) -> None:
        """Show the camera at the origin, with intrinsics K [3, 3] px, and its picture, RGB uint8 [H, W, 3]."""
        width, height = size
        fov = float(2 * np.arctan(height / 2 / K[1, 1]))
        if self._camera is None:
            scale = 0.08 * float(np.linalg.norm(self._focus))
            self._camera = self.server.scene.add_camera_frustum(
                "/camera", fov=fov, aspect=width / height, scale=scale, image=picture, format="jpeg"
            )
        else:
            self._camera.fov, self._camera.aspect = fov, width / height
            if picture is not None:
                self._camera.image = picture
        self._camera.visible = self._options.picture.value

    def close(self) -> None:
        """Stop serving the page. May be called twice."""
        self.server.stop()

    def _look(self, client: Any) -> None:
        """Let a new visitor look past the camera at what it sees, from above its right shoulder."""
        distance = float(np.linalg.norm(self._focus))
        client.camera.up_direction = (0.0, -1.0, 0.0)
        client.camera.position = np.array([0.25, -0.2, -0.1]) * distance if self._bodies else np.zeros(3)
        client.camera.look_at = self._focus

    def _new_body(self, id: int, body: Body, old: _Shown | None) -> _Shown:
        assert self._rig is not None
        rig = self._rig
        still = np.broadcast_to(np.eye(3), body.turns.shape)
        vertices, joints = rig.pose(body.shape, still)
        heads = rig.bone_heads(joints)
        weights = np.zeros((len(vertices), len(rig.bones)), np.float32)
        np.add.at(weights, (np.arange(len(vertices))[:, None], rig.skin.index), rig.skin.weight)
        if old is not None:
            old.mesh.remove()
            old.joints.remove()
        scene = self.server.scene
        mesh = scene.add_mesh_skinned(
            f"/people/{id}/mesh",
            vertices,
            rig.faces,
            bone_wxyzs=np.tile([1.0, 0.0, 0.0, 0.0], (len(heads), 1)),
            bone_positions=heads,
            skin_weights=weights,
            color=colour_of(id),
            side="double",
        )
        points = scene.add_point_cloud(
            f"/people/{id}/joints",
            body.heads.astype(np.float32),
            colour_of(id),
            point_size=0.02,
            point_shape="circle",
            precision="float32",
        )
        return _Shown(np.array(body.shape), mesh, points)

    def _new_robot(self, name: str, links: Sequence[LinkMesh], ends: Array, radii: Array) -> list[Any]:
        colour = (200, 205, 215)
        if links:
            return [
                self.server.scene.add_mesh_simple(f"/robots/{name}/{k}", link.vertices, link.faces, color=colour)
                for k, link in enumerate(links)
            ]
        return [
            self._capsule(f"/robots/{name}/{k}", float(np.linalg.norm(b - a)), float(radius))
            for k, ((a, b), radius) in enumerate(zip(ends, radii, strict=True))
        ]

    def _capsule(self, name: str, length: float, radius: float) -> Any:
        import trimesh

        capsule = trimesh.creation.capsule(height=length, radius=radius, count=(12, 12))
        capsule.apply_translation((0, 0, -capsule.bounds.mean(axis=0)[2]))
        return self.server.scene.add_mesh_simple(name, capsule.vertices, capsule.faces, color=(200, 205, 215))

    def _apply_options(self) -> None:
        for shown in self._bodies.values():
            shown.mesh.visible = shown.visible and self._options.meshes.value
            shown.joints.visible = shown.visible and self._options.joints.value
        if self._camera is not None:
            self._camera.visible = self._options.picture.value

    def _lower_floor(self, lowest: float) -> None:
        """Keep the floor at the lowest joint seen so far, y m; where it really is one camera does not tell."""
        if lowest > self._lowest or self._lowest == 1.0:
            self._lowest = lowest
            self._floor.position = (0.0, lowest + 0.05, 4.0)


_PALM_TO_CAMERA = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
"""From the human wrist's frame (x out of the palm, z towards the fingers) to the camera's axes, fingers up."""


def reduced(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return a picture of this width, px, in its own proportions."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _wxyz(R: Array) -> Array:
    return np.asarray(np.roll(quaternions_from_matrices(R), 1, axis=-1))


def _import_viser() -> ModuleType:
    try:
        import viser
    except ImportError:
        raise MissingDependencyError(
            "the viewer in the browser needs viser, which is not installed; run: pip install 'humanrt[viewer]'"
        ) from None
    return viser  # type: ignore[no-any-return]
