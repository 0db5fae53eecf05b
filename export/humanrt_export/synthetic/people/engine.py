"""`PeopleEngine`: renders and labels samples by their index.

The seed and the index determine everything random about a sample, so samples can be made in any order and on
any number of machines, and a seed always gives the same bytes on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.camera import project
from humanrt_export.bodies.anny.body import Rest
from humanrt_export.bodies.anny.face_units import NAMES as FACE_UNITS
from humanrt_export.synthetic.body_model import GARMENTS, BodyModel, Person, load_body
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people.backdrop import Backdrops, light_of
from humanrt_export.synthetic.people.dress import Dresser
from humanrt_export.synthetic.people.expressions import Faces
from humanrt_export.synthetic.people.options import EngineOptions
from humanrt_export.synthetic.people.poses import PoseSource, clean_motions
from humanrt_export.synthetic.people.render import Figure, PeopleRenderer, Thing
from humanrt_export.synthetic.people.resting import LEGS, SITTING, draw_seat
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample
from humanrt_export.synthetic.people.scene import Subject, World, draw_world, later, other_view
from humanrt_export.synthetic.people.surroundings import Environments
from humanrt_export.synthetic.people.view import View
from humanrt_export.synthetic.sensor import Sensor, compressed

__all__ = ["KINDS", "Kind", "PeopleEngine"]

Floats = NDArray[np.float32]
Kind = Literal["view", "pose"]
KINDS: tuple[Kind, ...] = ("view", "pose")
"""Kinds of pairs: two cameras at one instant, one camera at two instants."""

_FINE = 70.0  # px of stature from which the full mesh is drawn, usually
_SURROUNDED = 0.7  # fraction of pictures in the light of an environment, where there are some
_METERED = 0.5  # light on upright surfaces at exposure 1
_THINGS = 0.4  # fraction of them in which things stand about
_ASPECTS = (4 / 3, 3 / 2, 16 / 9)


class PeopleEngine:
    """Creates samples. A context manager that owns a GL context.

    Args:
        options: see `EngineOptions`.
        fine: px of stature from which the full mesh is drawn; a large number for the coarse one, five times as fast.

    Attributes:
        joint_names: names of the labels' joints.

    Raises:
        MissingDependencyError: moderngl, EGL or Anny are missing.
        HumanrtError: motions or backgrounds cannot be read.
    """

    def __init__(self, options: EngineOptions, fine: float = _FINE) -> None:
        self.options, self._fine = options, fine
        motions = clean_motions(options.motions, options.part) if options.motions else []
        self.source = PoseSource(motions, options.seed, options.resting)
        self._models = {name: load_body(name) for name in ("full", "10pc")}
        self._sitting = self._models["10pc"].vertices_of(*SITTING)
        self._legs = self._models["10pc"].vertices_of(*LEGS)
        self.joint_names = self._models["full"].joint_names
        self._head = self.joint_names.index("head")
        self.faces = Faces() if options.faces else None
        self.dresser = Dresser(options.assets, self._models["full"]) if options.assets else None
        self.environments = Environments(options.environments) if options.environments else None
        self.backdrops = Backdrops(options.seed, options.backgrounds)
        faces = {name: model.faces for name, model in self._models.items()}
        self.renderer = PeopleRenderer(options.frame, faces, self.backdrops.textures, options.multisamples)

    @property
    def coarse(self) -> BodyModel:
        """Body model with few vertices, used for placing people."""
        return self._models["10pc"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the GL context; the engine is unusable afterwards."""
        self.renderer.close()

    def sample(self, index: int) -> PeopleSample:
        """Return the sample number ``index``, from 0. People who are completely hidden are left out."""
        sample = self.whole(index)[2]
        return _chosen(sample, sample.people.visible > 0)

    def whole(self, index: int) -> tuple[World, View, PeopleSample]:
        """Return world and camera of the sample number ``index``, and the sample with all people, visible or not."""
        world, view = self.world(index)
        return world, view, self.shoot(world, view, self._generator(index, 1), self._generator(index, 2))

    def pair(self, index: int, kind: Kind) -> tuple[PeopleSample, PeopleSample]:
        """Return two samples of the same people, in the same order: those visible in either, by depth in the first.

        Args:
            index: the first sample is that of `sample` with this index, except for the list of people.
            kind: `view`: two cameras at one instant; `pose`: one camera at two instants.
        """
        if kind not in KINDS:
            raise HumanrtError(f"unknown kind of pairs `{kind}`; choose one of: {choices(KINDS)}")
        world, view = self.world(index)
        other = self._generator(index, 3)
        one = self.shoot(world, view, self._generator(index, 1), self._generator(index, 2))
        if kind == "view":
            two = self.shoot(world, other_view(world, view, other, self.coarse), other, other)
        else:  # the camera's properties and the background stay the same; the noise does not
            world = later(world, view, other, self.source, self.coarse)
            two = self.shoot(world, view, self._generator(index, 1), other)
        seen = (one.people.visible > 0) | (two.people.visible > 0)
        return _chosen(one, seen), _chosen(two, seen)

    def world(self, index: int) -> tuple[World, View]:
        """Return the people, nearest first, and things of the sample number ``index``, and its camera."""
        if index < 0:
            raise HumanrtError(f"the index of a sample is {index}; it must be 0 or more")
        options = self.options
        world, view = draw_world(
            self._generator(index, 0),
            options.frame,
            options.most,
            self.source,
            self.coarse,
            options.style,
            len(self.backdrops.textures),
        )
        people = self.expressing(world.people, self._generator(index, 40))
        people = self.dressed(people, self._generator(index, 20))
        people = sorted(people, key=lambda subject: float(view.see(subject.head)[2]))
        world, view = self.surrounded(replace(world, people=tuple(people)), view, self._generator(index, 30))
        return self._seated(world, self._generator(index, 50)), view

    def surrounded(self, world: World, view: View, generator: np.random.Generator) -> tuple[World, View]:
        """Return a world and a view in the light of one of `EngineOptions.environments`, if it is to have one.

        What stands on the ground stays at times; the ground is the panorama's, and shows shadows only.
        """
        style = self.options.style
        if self.environments is None or style.heat or generator.uniform() > _SURROUNDED:
            return world, view
        around = self.environments.draw(generator, _METERED * style.exposed(generator))
        look = replace(view.look, key=view.turn @ around.key, key_radiance=around.key_radiance)
        things = [replace(thing, bare=True) for thing in world.things if not thing.solid and _level(thing)]
        if generator.uniform() < _THINGS:
            things += [thing for thing in world.things if thing.solid]
        return replace(world, things=tuple(things)), replace(view, look=look, around=around)

    def _seated(self, world: World, generator: np.random.Generator) -> World:
        """Return a world with a seat under everybody who sits."""
        seats: list[Thing] = []
        for subject in world.people:
            if subject.pose.support == "seat":
                given = subject.rotations, subject.phenotypes, subject.head
                with torch.inference_mode():
                    posed = self.coarse.body(
                        *(torch.from_numpy(np.asarray(value, np.float32)[None]) for value in given)
                    )
                vertices, joints = (part[0].numpy().astype(np.float64) for part in posed)
                hips = joints[[self.joint_names.index(f"upperleg01.{side}") for side in "LR"]].mean(axis=0)
                front = subject.pose.body[0][:, 2]
                textures = len(self.backdrops.textures)
                seats += draw_seat(generator, vertices, self._sitting, self._legs, hips, front, textures)
        return replace(world, things=(*world.things, *seats)) if seats else world

    def expressing(self, people: Iterable[Subject], generator: np.random.Generator) -> list[Subject]:
        """Return people with expressions, with `EngineOptions.faces`; else as they are. Before they are dressed."""
        if self.faces is None:
            return list(people)
        return [replace(subject, expression=self.faces.draw(generator), persons={}) for subject in people]

    def _face(self, subject: Subject) -> Floats | None:
        """Return by how much a person's expression moves the vertices of the full topology at rest: [V, 3] m."""
        if subject.expression is None or self.faces is None:
            return None
        return self.faces.moved(subject.expression)

    def dressed(self, people: Iterable[Subject], generator: np.random.Generator) -> list[Subject]:
        """Return people in garments of `EngineOptions.assets`, on their soles; without assets, as they are."""
        if self.dresser is None:
            return list(people)
        result = []
        for subject in people:
            attire = self.dresser.attire(generator, subject.phenotypes)
            worn = self.dresser.dress(subject.phenotypes, subject.outfit, attire, self._face(subject))
            head = subject.head + np.array([0.0, worn.fitted.lift, 0.0])
            result.append(replace(subject, dressed=worn, head=head))
        return result

    def shoot(
        self, world: World, view: View, generator: np.random.Generator, noise: np.random.Generator
    ) -> PeopleSample:
        """Render a world; the sample lists all its people in their order, visible or not.

        Args:
            world: the people and things.
            view: the camera.
            generator: source of the background and of the camera's properties.
            noise: source of the sensor noise.
        """
        style, camera = self.options.style, view.camera
        figures, labels = self._figures(world.people, view)
        things = [_seen_from(thing, view) for thing in world.things]
        self.renderer.load(figures, things)
        darkness = float(generator.uniform(*style.shadow))
        around = view.around
        ambient, cast = (None, 1.0) if around is None else (around.ambient(view.turn), around.shade)
        layer = self.renderer.draw(camera, view.look, view.up, darkness, ambient, cast)
        mask, depth = self.renderer.labels(camera)
        behind = light_of(self.backdrops.draw(camera.size, generator, style.backdrops))
        if around is not None:
            behind, lit = around.backdrop(camera, view.turn), 1.0
        else:
            fill = float(np.mean([view.look.fill_above, view.look.fill_below]) / 0.35)
            lit = max(fill, 0.15) if style.heat else 0.25 * float(np.mean(view.look.key_radiance)) + 0.75 * fill
        picture = layer[..., :3] + behind * np.float32(lit) * (1 - layer[..., 3:])
        if generator.uniform() < style.overlays:
            _overlay(picture, mask, generator)
        image = self._developed(picture, generator, noise)
        self._letterbox(image, mask, labels, generator)
        visible = np.array([self._visible(index, camera, mask) for index in range(len(figures))], np.float32)
        seen = np.where(mask > 0, depth, np.float32(0)).astype(np.float16)
        people = replace(labels, visible=visible)
        return PeopleSample(image, camera.intrinsics.astype(np.float32), people, mask, seen)

    # ----------------------------------------------------------------------------------------- people

    def _figures(self, people: Sequence[Subject], view: View) -> tuple[list[Figure], PeopleLabels]:
        """Return all people in camera space, and their labels without the visible fraction."""
        K, count = view.camera.intrinsics, len(people)
        heads = view.see(np.stack([subject.head for subject in people])) if people else np.zeros((0, 3))
        figures: list[Figure] = []
        rotations = np.zeros((count, len(self._models["full"].body.bones), 3, 3), np.float32)
        joints = np.zeros((count, len(self.joint_names), 3), np.float32)
        expression = np.zeros((count, len(FACE_UNITS)), np.float32)
        for row, subject in enumerate(people):
            rotations[row] = subject.rotations
            rotations[row, 0] = view.turn @ subject.rotations[0]
            if subject.dressed is not None and self.dresser is not None:
                worn, place = subject.dressed, heads[row].astype(np.float32)
                vertices, normals, joints[row] = self.dresser.pose(worn, rotations[row], place)
                figures.append(Figure("full", vertices, normals, worn.still, subject.fabric, worn.triangles))
                expression[row] = 0 if subject.expression is None else subject.expression
                continue
            focal = K[0, 0] / max(float(heads[row, 2]), 0.3)
            topology = "full" if 1.7 * focal > self._fine else "10pc"
            model = self._models[topology]
            if topology not in subject.persons:
                made = model.person(subject.phenotypes, subject.outfit)
                face = self._face(subject) if topology == "full" else None
                subject.persons[topology] = made if face is None else _with_face(made, face)
            person = subject.persons[topology]
            if topology == "full" and subject.expression is not None:
                expression[row] = subject.expression
            with torch.inference_mode():
                posed = model.body.pose(
                    person.rest,
                    torch.from_numpy(rotations[row : row + 1]),
                    torch.from_numpy(heads[row : row + 1].astype(np.float32)),
                )
                normals = model.normals(posed.vertices[0]).numpy()
            joints[row] = posed.joints[0].numpy()
            still = _still(model, person.rest, person.colours, person.garments)
            figures.append(Figure(topology, posed.vertices[0].numpy(), normals, still, subject.fabric))
        labels = PeopleLabels(
            rotations=rotations,
            shape=np.array([subject.phenotypes for subject in people], np.float32).reshape(count, 6),
            translation=heads.astype(np.float32),
            joints=joints,
            joints_2d=project(joints, K).astype(np.float32),
            visible=np.zeros(count, np.float32),
            expression=expression,
        )
        return figures, labels

    def _visible(self, index: int, camera: Camera, mask: NDArray[np.uint8]) -> float:
        """Return the fraction of a person's pixels that ``mask`` shows."""
        seen = int((mask == index + 1).sum())
        return min(seen / max(self.renderer.area(camera, index), 1.0), 1.0) if seen else 0.0

    # ----------------------------------------------------------------------------------------- camera

    def _developed(
        self, light: Floats, generator: np.random.Generator, noise: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Turn linear light [H, W, 3] into a camera's picture: blur, tone curve, noise, colours, compression."""
        style, (height, width) = self.options.style, light.shape[:2]
        if generator.uniform() < style.blurred:
            light = cv2.filter2D(light, -1, _streak(generator, width), borderType=cv2.BORDER_REPLICATE)
        if generator.uniform() < 0.3:
            light = cv2.GaussianBlur(light, (0, 0), float(generator.uniform(0.3, 1.1)) * width / 224)
        sensor = Sensor((width, height), style.sensor_noise(generator), noise)
        image = style.graded(sensor.develop(light), generator)
        if generator.uniform() < 0.15:  # the picture was downscaled before
            scale = generator.uniform(0.35, 0.9)
            small = cv2.resize(image, (int(scale * width), int(scale * height)), interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (width, height))
        quality = 0 if generator.uniform() < style.uncompressed else int(generator.integers(*style.jpeg))
        return compressed(np.ascontiguousarray(image, np.uint8), quality).copy()

    def _letterbox(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], labels: PeopleLabels, generator: np.random.Generator
    ) -> None:
        """Add black bars on two sides, as the network's input has for pictures that are not square."""
        size = len(image)
        if generator.uniform() >= self.options.letterboxed or size != image.shape[1]:
            return
        bar = round(size * (1 - 1 / _ASPECTS[generator.integers(len(_ASPECTS))]) / 2)
        upright = bool(generator.uniform() < 0.3)
        if len(labels):  # usually not over the nearest person's head
            at = float(labels.joints_2d[0, self._head, 0 if upright else 1])
            if min(at, size - at) < bar and generator.uniform() < 0.85:
                return
        for array in (image, mask):
            turned = np.swapaxes(array, 0, 1) if upright else array
            turned[:bar] = 0
            turned[size - bar :] = 0

    def _generator(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, index, stream])


def _with_face(person: Person, face: Floats) -> Person:
    """Return a person whose vertices at rest are moved by [V, 3] m."""
    surface = person.rest.surface.clone()
    surface[0, :, : len(face)] += torch.from_numpy(face.T)
    return replace(person, rest=person.rest._replace(surface=surface))


def _still(model: BodyModel, rest: Rest, colours: Floats, garments: NDArray[np.uint8]) -> Floats:
    """Return `Figure.still`."""
    surface = rest.surface[0, :, : len(colours)].numpy().T
    cloth = [garments == GARMENTS.index(name) for name in ("shirt", "trousers")]
    return np.column_stack([surface, colours, *cloth]).astype(np.float32)


def _seen_from(thing: Thing, view: View) -> Thing:
    return replace(
        thing,
        vertices=view.see(thing.vertices).astype(np.float32),
        normals=(thing.normals @ view.turn.T).astype(np.float32),
    )


def _level(thing: Thing) -> bool:
    """Return whether a thing is a floor."""
    return bool((np.abs(thing.normals[:, 1]) > 0.99).all())


def _chosen(sample: PeopleSample, wanted: NDArray[np.bool_]) -> PeopleSample:
    """Select people, and renumber the mask accordingly."""
    numbers = np.concatenate(([0], np.where(wanted, np.cumsum(wanted), 0))).astype(np.uint8)
    return replace(sample, people=sample.people.take(wanted), mask=numbers[sample.mask])


def _streak(generator: np.random.Generator, size: int) -> Floats:
    """Return the blur kernel of a camera that moved while the shutter was open."""
    length, angle = generator.uniform(1.5, 8) * size / 224, generator.uniform(0, np.pi)
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    end = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, stop = (np.rint(16 * (reach + sign * end)).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, stop, 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


def _overlay(picture: Floats, mask: NDArray[np.uint8], generator: np.random.Generator) -> None:
    """Draw something flat and blurred in front of the lens: a finger, a leaf, a bar, an edge."""
    size = mask.shape[1]
    middle = np.array(mask.shape[::-1]) / 2
    alpha = np.zeros(mask.shape, np.float32)
    for _ in range(int(generator.integers(1, 3))):
        angle = generator.uniform(0, 2 * np.pi)
        at = middle + size * generator.uniform(0.25, 0.6) * np.array([np.cos(angle), np.sin(angle)])
        corners = at + size * generator.uniform(0.05, 0.3) * generator.uniform(
            -1, 1, (int(generator.integers(3, 8)), 2)
        )
        cv2.fillPoly(alpha, [cv2.convexHull(corners.astype(np.int32))], 1.0, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(alpha, (0, 0), float(generator.uniform(0.4, 3)) * size / 224)[..., None]
    colour = generator.uniform(0.01, 0.7) * generator.uniform(0.5, 1, 3) * (0.2 + float(picture.mean()))
    picture *= 1 - alpha
    picture += alpha * colour.astype(np.float32)
    mask[alpha[..., 0] > 0.5] = 0
