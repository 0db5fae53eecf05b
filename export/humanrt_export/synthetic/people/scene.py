"""Random scenes of people: positions, poses, clothes, and the camera: `draw_world`.

World: y up, the ground at y = 0, metres. The first camera stands at x = z = 0 and looks along -z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt_export.bodies.anny.bones import indices
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.synthetic.body_model import BodyModel, Outfit, Person, sample_phenotypes
from humanrt_export.synthetic.hand_scene import Camera, Look
from humanrt_export.synthetic.people.dress import Dressed
from humanrt_export.synthetic.people.poses import Pose, PoseSource, anny_rotations
from humanrt_export.synthetic.people.render import Fabric, Thing
from humanrt_export.synthetic.people.style import Style
from humanrt_export.synthetic.people.things import draw_things
from humanrt_export.synthetic.people.view import View, aimed, look_at

__all__ = [
    "Subject",
    "World",
    "apart",
    "draw_clothes",
    "draw_phenotypes",
    "draw_world",
    "facing",
    "later",
    "other_view",
    "spheres",
]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_PEOPLE = np.array([3.0, 34, 25, 15, 9, 5, 3, 2, 1.5, 1.25, 1.25])  # weights of 0 to 10
_SHOTS = ("group", "portrait", "hands")
_SHOT = (0.5, 0.22, 0.28)
_CLEAR = 0.16  # m, minimum distance of people from the camera along z

# Spheres used to keep people apart: bone, radius in m for a person of 1.7 m.
_SPHERES = {
    "root": 0.16, "spine03": 0.16, "spine01": 0.16, "head": 0.14,
    **{f"{bone}.{side}": radius for side in "LR" for bone, radius in {
        "upperleg01": 0.11, "upperleg02": 0.09, "lowerleg01": 0.08, "lowerleg02": 0.07, "foot": 0.09,
        "upperarm01": 0.08, "lowerarm01": 0.07, "wrist": 0.08, "finger3-1": 0.09,
    }.items()},
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One person in a world.

    Attributes:
        phenotypes: [6].
        outfit, fabric: the clothes.
        pose: the pose; its root includes the direction in which the person faces.
        rotations: [74, 3, 3] of Anny's bones in that pose, the root's to the world.
        head: [3] m, position of the joint `head`.
        persons: results of `BodyModel.person` by topology; filled when drawn.
        expression: [52] amounts of the face units; None: the face is at rest.
        dressed: what is drawn instead, if the person wears garments that are meshes.
    """

    phenotypes: Floats
    outfit: Outfit
    fabric: Fabric
    pose: Pose
    rotations: Array
    head: Array
    persons: dict[str, Person] = field(default_factory=dict)
    expression: Floats | None = None
    dressed: Dressed | None = None


@dataclass(frozen=True)
class World:
    """People and things, in world axes."""

    people: tuple[Subject, ...]
    things: tuple[Thing, ...]


def draw_world(
    generator: np.random.Generator,
    size: tuple[int, int],
    most: int,
    source: PoseSource,
    coarse: BodyModel,
    style: Style,
    textures: int,
) -> tuple[World, View]:
    """Sample a world and a camera in it.

    Args:
        generator: source of all randomness.
        size: (W, H) px of the picture.
        most: maximum number of people.
        source: source of poses.
        coarse: body model used for placing people.
        style: style of clothes, light and things.
        textures: number of textures to choose from.
    """
    weights = _PEOPLE[: most + 1] / _PEOPLE[: most + 1].sum()
    count = int(generator.choice(len(weights), p=weights))
    shot = str(generator.choice(_SHOTS, p=_SHOT))
    if shot != "group":
        count = min(count, 3)
    poses = [source.draw(generator, hands=shot == "hands" and index == 0) for index in range(count)]
    poses = [facing(pose, generator, index == 0 and shot != "group") for index, pose in enumerate(poses)]
    shapes = [draw_phenotypes(generator) for _ in range(count)]
    clothes = [draw_clothes(generator, style, textures) for _ in range(count)]
    rotations, vertices, joints = _posed(coarse, poses, shapes)

    fov = float(np.radians(generator.uniform(30, 100) if shot == "hands" else generator.uniform(24, 95)))
    camera = Camera(size, fov)
    sizes = [_size(body, bool(pose.support)) for body, pose in zip(vertices, poses, strict=True)]
    position, turn, heads = _arranged(generator, shot, camera, coarse, vertices, joints, sizes)
    people = [
        Subject(shape, *worn, pose, rotation, head)
        for shape, worn, pose, rotation, head in zip(shapes, clothes, poses, rotations, heads, strict=True)
        if head is not None
    ]
    kept = [k for k, head in enumerate(heads) if head is not None]
    look = style.light(generator, turn[:, 1])
    view = View(camera, turn, position, look)
    spots = np.concatenate([joints[k] + heads[k] for k in kept]) if kept else np.zeros((0, 3))
    things = draw_things(generator, style, textures, spots, view)
    return World(tuple(people), tuple(things)), view


def spheres(names: Sequence[str]) -> list[int]:
    """Return the indices in ``names`` of the joints by which people are kept apart."""
    return indices(_SPHERES, names)


def apart(one: Array, size: float, other: Array, other_size: float) -> bool:
    """Return whether two people do not touch.

    Args:
        one, other: [..., S, 3] m, their joints of `spheres`; leading dimensions may be instants.
        size, other_size: their sizes, relative to 1.7 m.
    """
    radii = np.array(list(_SPHERES.values()))
    gaps = np.linalg.norm(one[..., :, None, :] - other[..., None, :, :], axis=-1)
    return bool((gaps > radii[:, None] * size + radii[None] * other_size).all())


def later(
    world: World, view: View, generator: np.random.Generator, source: PoseSource, coarse: BodyModel, tries: int = 4
) -> World:
    """Return the world at another instant, people near where they were; those who would collide in all tries stay."""
    people = list(world.people)
    _, vertices, joints = _posed(coarse, [subject.pose for subject in people], _shapes(people))
    sphere_joints = spheres(coarse.joint_names)
    sizes = [_size(body, bool(subject.pose.support)) for body, subject in zip(vertices, people, strict=True)]
    spots = [body[sphere_joints] + subject.head for body, subject in zip(joints, people, strict=True)]
    away = view.turn[2] * (1, 0, 1)
    for k, subject in enumerate(people):
        others = [other for other in range(len(people)) if other != k]
        for _ in range(tries):
            pose = source.later(subject.pose, generator)
            rotations, body, bones = _posed(coarse, [pose], [subject.phenotypes])
            # The pelvis stays; feet that were on the ground return to it. People too close to the camera step back.
            head = subject.head + joints[k, 0] - bones[0, 0]
            head[1] = subject.head[1] + vertices[k, :, 1].min() - body[0, :, 1].min()
            lack = _CLEAR - float(view.see(body[0] + head)[:, 2].min())
            head = head + max(lack + 0.01, 0.0) * away / max(float(away @ away), 0.1)
            own = bones[0, sphere_joints] + head
            if all(apart(own, sizes[k], spots[other], sizes[other]) for other in others):
                spots[k] = own
                people[k] = replace(subject, pose=pose, rotations=rotations[0], head=head)
                break
    return replace(world, people=tuple(people))


def other_view(world: World, view: View, generator: np.random.Generator, coarse: BodyModel, tries: int = 12) -> View:
    """Return another camera that looks at the same people, 15 to 150 degrees aside; the same one if none fits."""
    if not world.people:
        return view
    heads = np.stack([subject.head for subject in world.people])
    _, vertices, _ = _posed(coarse, [subject.pose for subject in world.people], _shapes(world.people))
    bodies = vertices + heads[:, None]
    middle = heads.mean(axis=0) * (1, 0.8, 1)
    for _ in range(tries):
        angle = np.radians(generator.uniform(15, 150)) * generator.choice([-1, 1])
        away = turn_about_vertical(angle) @ (view.position - middle) * generator.uniform(0.85, 1.3)
        position = middle + away
        position[1] = max(view.position[1] + generator.normal(0, 0.3), 0.15)
        turn = look_at(position, middle, generator.normal(0, 0.05))
        key = turn @ view.turn.T @ view.look.key
        other = replace(view, turn=turn, position=position, look=replace(view.look, key=key))
        if other.see(bodies)[..., 2].min() > _CLEAR:
            return other
    return view


# --------------------------------------------------------------------------------------------- people


def draw_phenotypes(generator: np.random.Generator) -> Floats:
    """Sample phenotypes [6]: mostly typical adults, otherwise anywhere in the whole space."""
    if generator.uniform() < 0.6:
        return sample_phenotypes(generator)
    low, high = (np.array([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    shape = generator.uniform(low, high)
    age = [p.name for p in PHENOTYPES].index("age")
    if shape[age] < 0.1 and generator.uniform() < 0.7:  # babies are rare
        shape[age] = generator.uniform(0.1, 1.0)
    return np.asarray(shape, np.float32)


def draw_clothes(generator: np.random.Generator, style: Style, textures: int) -> tuple[Outfit, Fabric]:
    """Sample clothes, skin and hair of a person; ``textures``: number of textures to choose from."""
    outfit = Outfit.sample(generator, Look.sample(generator).skin)
    outfit = replace(
        outfit,
        loose=float(np.exp(generator.uniform(np.log(0.003), np.log(0.035)))),
        folds=float(generator.uniform(0, 0.9)),
        stripes=0.0,  # the fabric adds its own patterns
    )
    if generator.uniform() < 0.25:  # any colour at all
        outfit = replace(outfit, hair=generator.uniform(0.01, 0.5, 3), shirt=generator.uniform(0.01, 0.8, 3))
    fabric = Fabric(
        patterns=(
            int(generator.choice(6, p=(0.4, 0.14, 0.12, 0.07, 0.1, 0.17))),
            int(generator.choice(6, p=(0.7, 0.06, 0.06, 0.03, 0.07, 0.08))),
        ),
        second=generator.uniform(0.01, 0.7, (2, 1)) * generator.uniform(0.4, 1, (2, 3)),
        frame=np.stack(
            [
                np.exp(generator.uniform(np.log(3), np.log(30), 2)),
                generator.choice([0.0, np.pi / 2, 0.6, -0.9], 2),
                generator.uniform(0.25, 0.75, 2),
            ],
            axis=1,
        ),
        texture=int(generator.integers(textures)),
        rough=float(generator.uniform(0, 0.006)),
        shine=float(generator.uniform(0.0, 0.12)),
        seed=generator.uniform(0, 10, 3),
    )
    if style.heat:
        warm = {
            "skin": (0.7, 1.0),
            "shirt": (0.2, 0.7),
            "trousers": (0.2, 0.7),
            "hair": (0.3, 0.6),
            "shoes": (0.1, 0.4),
        }
        grey = {name: np.full(3, generator.uniform(*limits)) for name, limits in warm.items()}
        outfit = replace(outfit, skin=grey["skin"], hair=grey["hair"], shoes=grey["shoes"])
        outfit = replace(outfit, shirt=grey["shirt"], trousers=grey["trousers"])
        fabric = replace(fabric, patterns=(0, 0), glow=0.85, shine=0.0)
    return outfit, fabric


def facing(pose: Pose, generator: np.random.Generator, toward: bool) -> Pose:
    """Rotate a pose about the vertical: mostly towards the camera, in the direction of z."""
    front = pose.body[0][:, 2]
    azimuth = np.arctan2(front[0], front[2])
    wanted = generator.normal(0, 0.5) if toward else generator.normal(0, 0.9)
    if generator.uniform() < (0.1 if toward else 0.35):
        wanted = generator.uniform(-np.pi, np.pi)
    body = pose.body.copy()
    body[0] = turn_about_vertical(wanted - azimuth) @ body[0]
    return replace(pose, body=body)


def _posed(model: BodyModel, poses: Sequence[Pose], shapes: Sequence[Floats]) -> tuple[Array, Floats, Floats]:
    """Return rotations [N, 74, 3, 3], and vertices [N, V, 3] and joints [N, J, 3] m from the heads, in world axes."""
    if not poses:
        return np.zeros((0, 74, 3, 3)), np.zeros((0, 1, 3), np.float32), np.zeros((0, 1, 3), np.float32)
    rotations = anny_rotations(poses)
    with torch.inference_mode():
        posed = model.body(
            torch.from_numpy(rotations.astype(np.float32)),
            torch.from_numpy(np.stack(shapes)),
            torch.zeros(len(poses), 3),
        )
    return rotations, posed.vertices.numpy(), posed.joints.numpy()


def _shapes(people: Sequence[Subject]) -> list[Floats]:
    return [subject.phenotypes for subject in people]


def _size(vertices: Floats, resting: bool = False) -> float:
    """Return the size of a person's spheres, relative to a standing person of 1.7 m."""
    long = np.ptp(vertices, axis=0).max() if resting else np.ptp(vertices[:, 1])
    return float(long.clip(0.5, 2.0)) / 1.7


def _arranged(
    generator: np.random.Generator,
    shot: str,
    camera: Camera,
    model: BodyModel,
    vertices: Floats,
    joints: Floats,
    sizes: Sequence[float],
) -> tuple[Array, Array, list[Array | None]]:
    """Return the camera's position [3] and axes [3, 3], and the position of each head [3]; None if there is no room."""
    # Each person's lowest point is on the ground; a few jump.
    lift = np.where(generator.uniform(size=len(vertices)) < 0.05, generator.uniform(0, 0.4, len(vertices)), 0.0)
    heads = [np.array([0.0, up - body[:, 1].min(), 0.0]) for up, body in zip(lift.tolist(), vertices, strict=True)]
    if not heads:
        position = np.array([0.0, generator.uniform(0.3, 2.5), 0.0])
        return position, look_at(position, np.array([0.0, generator.uniform(0, 2), -4.0])), []
    wrists = joints[0, indices(["finger3-1.L", "finger3-1.R"], model.joint_names)]
    near, position, target = _aim(generator, shot, camera, heads[0], wrists, sizes[0])
    first, turn = _first(generator, camera, position, target, near, heads[0], vertices[0])

    placed_heads: list[Array | None] = [first]
    sphere_joints = spheres(model.joint_names)
    placed = [(joints[0, sphere_joints] + first, sizes[0])]
    forward = turn[2] * (1, 0, 1)
    forward /= max(float(np.linalg.norm(forward)), 1e-6)
    side = np.array([-forward[2], 0.0, forward[0]])
    for k in range(1, len(heads)):
        chosen = None
        for _ in range(16):
            depth = max(near, 1.0) * (1 + generator.exponential(0.5)) if shot == "group" else generator.uniform(1.2, 6)
            sideways = depth * np.tan(camera.fov / 2) * generator.uniform(-1.05, 1.05)
            spot = position + depth * forward + sideways * side
            head = np.array([spot[0], heads[k][1], spot[2]])
            own = joints[k, sphere_joints] + head
            free = all(apart(own, sizes[k], other, size) for other, size in placed)
            if free and ((vertices[k] + head - position) @ turn.T)[:, 2].min() > _CLEAR:
                chosen = head
                placed.append((own, sizes[k]))
                break
        placed_heads.append(chosen)
    return position, turn, placed_heads


def _aim(
    generator: np.random.Generator, shot: str, camera: Camera, head: Array, wrists: Floats, size: float
) -> tuple[float, Array, Array]:
    """Return the first person's distance [m], the camera's position [3], and its target [3] if the head is at ``head``.

    Args:
        wrists: [2, 3] m, relative to the head.
    """
    if shot == "group":
        # From the fraction of the picture's height that the person fills.
        part = float(np.exp(generator.uniform(np.log(0.22), np.log(1.5))))
        near = float(np.clip(1.7 / (2 * np.tan(camera.fov / 2) * part), 1.2, 10.0))
        # Somewhere between the centre of the body and the head.
        target = head * (1, generator.uniform(0.5, 1.0), 1)
        height = float(np.clip(generator.normal(1.5, 0.5), 0.2, 3.5))
    else:
        aim = np.zeros(3)
        if shot == "hands":
            aim = wrists[int(generator.integers(2))] * generator.uniform(0.1, 0.7)
            near = float(np.exp(generator.uniform(np.log(0.45), np.log(1.4))))
        else:
            near = float(np.exp(generator.uniform(np.log(0.6), np.log(1.9))))
            aim[1] = -generator.uniform(-0.1, 0.3) * size * near
        target = head + aim
        height = float(target[1] + generator.normal(0, 0.3) * near)
    return near, np.array([0.0, max(height, 0.1), 0.0]), target


def _first(
    generator: np.random.Generator,
    camera: Camera,
    position: Array,
    target: Array,
    near: float,
    head: Array,
    vertices: Floats,
) -> tuple[Array, Array]:
    """Return the position [3] of the first person's head, and the camera's axes [3, 3]."""
    shift = np.array([0.0, 0.0, -near - target[2]])
    head, target = head + shift, target + shift
    turn = aimed(generator, camera, position, target)
    # People are detected by their heads: usually the first person's is in the picture.
    for _ in range(0 if generator.uniform() < 0.1 else 5):
        at = (head - position) @ turn.T
        if np.abs(at[:2]).max() < 0.92 * at[2] * np.tan(camera.fov / 2):
            break
        turn = aimed(generator, camera, position, target + generator.uniform(0, 1) * (head - target))
    for _ in range(6):  # keep the minimum distance
        lack = _CLEAR - float(((vertices + head - position) @ turn.T)[:, 2].min())
        if lack <= 0:
            return head, turn
        head = head - (0, 0, lack + 0.02)
    head = head - (0, 0, 1.5)
    return head, look_at(position, head)
