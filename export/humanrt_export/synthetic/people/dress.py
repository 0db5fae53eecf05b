"""People in garments that are meshes, in the colours of their painted outfits: `Dresser`, `Dressed`.

The labels remain those of the body; the body that is drawn gives way under its clothes, where nobody sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt_export.bodies.anny.body import Rest
from humanrt_export.synthetic.body_model import GARMENTS, BodyModel, Outfit, vertex_normals
from humanrt_export.synthetic.garments import Attire, Fitted, Piece, Tailor, Wardrobe, draw_attire
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people.render import Fabric, Figure, PeopleRenderer

__all__ = ["Coverage", "Dressed", "Dresser", "coverage"]

Floats = NDArray[np.float32]

_HOLE = 0.03  # m, by which what is seen lies behind skin that is left out, where cloth does not cover it
_SOCKS = np.array([0.5, 0.5, 0.48])


@dataclass(frozen=True)
class Dressed:
    """A person with garments at rest; V vertices of the body and G of garments.

    Attributes:
        rest: the body, of the topology ``full``, which gives way to the garments.
        fitted: the garments.
        still: [V + G, 8], see `render.Figure.still`.
        triangles: [F, 3] of skin that can be seen, and of garments.
    """

    rest: Rest
    fitted: Fitted
    still: Floats
    triangles: NDArray[np.int32]


class Dresser:
    """Dresses people from MakeHuman's garments.

    Args:
        assets: folder or archive of garments, see `Wardrobe`.
        model: the body, of the topology ``full``.
    """

    def __init__(self, assets: Path, model: BodyModel) -> None:
        self._model, self.tailor = model, Tailor(model)
        self.wardrobe = Wardrobe(assets, self.tailor.typical, self.tailor.waist)

    def attire(self, generator: np.random.Generator, phenotypes: Floats) -> Attire:
        """Sample what a person wears."""
        return draw_attire(generator, self.wardrobe, phenotypes)

    def dress(self, phenotypes: Floats, outfit: Outfit, attire: Attire, face: Floats | None = None) -> Dressed:
        """Return a person of a shape in these garments; clothes of which the attire has none are painted.

        Who wears no shoes is barefoot, unless the wardrobe has none.

        Args:
            phenotypes: [6], the shape.
            outfit: the colours.
            attire: the garments.
            face: [V, 3] m, by which an expression moves the body's vertices at rest.
        """
        skin = outfit.skin
        bare = replace(outfit, shirt=skin, trousers=skin, shoes=skin, stripe=skin, loose=0.0, stripes=0.0)
        cap = min(outfit.hair_length, 1)  # longer hair would lie on the neck like paint
        bare = replace(bare, hair_length=cap)
        person = self._model.person(phenotypes, bare)
        fitted = self.tailor.fit(phenotypes, person.rest, attire.pieces, attire.loose)
        count = len(person.colours)
        surface = person.rest.surface.clone()
        naked = surface[0, :, :count].numpy().T.copy()
        surface[0, :, :count] += torch.from_numpy((fitted.sunk if face is None else fitted.sunk + face).T)
        colours, cloth = person.colours, np.zeros((count, 2))
        if missing := self._missing(attire):
            colours_of = {name: getattr(outfit, name) for name in missing}
            painted = self._model.person(phenotypes, replace(bare, **colours_of, loose=outfit.loose))
            own = np.isin(painted.garments, [GARMENTS.index(name) for name in missing])
            surface[0, :, :count] += torch.from_numpy(own) * (painted.rest.surface - person.rest.surface)[0, :, :count]
            colours = painted.colours
            for column, name in enumerate(("shirt", "trousers")):
                cloth[:, column] = own & (painted.garments == GARMENTS.index(name))
        bodies = np.column_stack([naked, colours, cloth])
        garments = [
            np.column_stack([fitted.vertices[start:end], self._colours(piece, attire, outfit)])
            for piece, start, end in zip(attire.pieces, (0, *fitted.ends), fitted.ends, strict=False)
        ]
        return Dressed(
            rest=person.rest._replace(surface=surface),
            fitted=fitted,
            still=np.concatenate([bodies, *garments]).astype(np.float32),
            triangles=np.concatenate([fitted.skin, fitted.triangles + count]).astype(np.int32),
        )

    def pose(self, dressed: Dressed, rotations: Floats, head: Floats) -> tuple[Floats, Floats, Floats]:
        """Return vertices and normals [V + G, 3], and the body's joints [J, 3], m.

        Args:
            dressed: of `dress`.
            rotations: [R, 3, 3], of `AnnyBody`; head: [3] m, place of the joint ``head``.
        """
        body = self._model.body
        given = torch.from_numpy(rotations)[None], torch.from_numpy(head)[None]
        with torch.inference_mode():
            posed = body.pose(dressed.rest, *given)
            moves = body.moves(dressed.rest, *given)[0].reshape(12, -1)
            worn = self.tailor.pose(dressed.fitted, moves)
            normals = self._model.normals(posed.vertices[0])
            across = vertex_normals(torch.from_numpy(worn), torch.from_numpy(dressed.fitted.triangles.astype(np.int64)))
        vertices = np.concatenate([posed.vertices[0].numpy(), worn])
        return vertices, np.concatenate([normals.numpy(), across.numpy()]), posed.joints[0].numpy()

    def naked(
        self, dressed: Dressed, rotations: Floats, head: Floats
    ) -> tuple[Floats, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Return the naked body in a pose [V, 3] m, and its triangles: those left out in clothes, and the others.

        Args:
            dressed: of `dress`.
            rotations: [R, 3, 3], of `AnnyBody`; head: [3] m, place of the joint ``head``.
        """
        count = len(dressed.still) - len(dressed.fitted.vertices)
        surface = dressed.rest.surface.clone()
        surface[0, :, :count] = torch.from_numpy(dressed.still[:count, :3].T)
        given = torch.from_numpy(rotations)[None], torch.from_numpy(head)[None]
        with torch.inference_mode():
            vertices = self._model.body.pose(dressed.rest._replace(surface=surface), *given).vertices[0].numpy()
        size = (count**2, count, 1)
        kept = np.isin(self._model.faces.astype(np.int64) @ size, dressed.fitted.skin.astype(np.int64) @ size)
        return vertices, (self._model.faces[~kept], self._model.faces[kept])

    def _missing(self, attire: Attire) -> list[str]:
        """Return which of the painted clothes a person wears, having no others."""
        kinds = {piece.kind for piece in attire.pieces}
        wanted = {"shirt": {"upper", "whole"}, "trousers": {"lower", "whole"}}
        missing = [name for name, others in wanted.items() if not kinds & others]
        return missing if self.wardrobe.of("shoes") else [*missing, "shoes"]

    def _colours(self, piece: Piece, attire: Attire, outfit: Outfit) -> Floats:
        """Return each vertex's albedo, and its fraction of shirt and of trousers: [V, 5]."""
        garment = piece.garment
        count = len(garment.anchors)
        cloth = np.zeros((count, 2))
        if piece.kind == "whole":
            height = (self.tailor.typical[garment.anchors, 2] * garment.weights).sum(axis=1)
            # With a shirt under it, it is an overall; alone, it is a shirt and trousers that were not cut apart.
            shirted = any(other.kind == "upper" for other in attire.pieces)
            above = np.zeros(count, bool) if shirted else height > self.tailor.waist
            cloth = np.stack([above, ~above], axis=1).astype(float)
            colours = np.where(above[:, None], outfit.shirt, outfit.trousers)
        else:
            own = {"upper": outfit.shirt, "lower": outfit.trousers, "shoes": outfit.shoes, "hat": outfit.shoes}
            colours = np.tile(own.get(piece.kind, outfit.hair), (count, 1))
            cloth[:, 0], cloth[:, 1] = piece.kind == "upper", piece.kind == "lower"
        colours[piece.trim] = 0.3 * colours[piece.trim] + 0.7 * (_SOCKS if piece.kind == "shoes" else outfit.stripe)
        cloth[piece.trim] = 0.0
        return np.column_stack([colours, cloth]).astype(np.float32)


@dataclass(frozen=True)
class Coverage:
    """How well garments cover a person, in pixels.

    Attributes:
        through: show skin that a garment covers at rest, also at the edges of what it covers.
        holes: show neither cloth nor skin where the naked body has skin that is left out under garments, but nothing
            or what is more than 3 cm behind it.
        garments: show garments.
    """

    through: int
    holes: int
    garments: int


def coverage(
    renderer: PeopleRenderer, camera: Camera, dresser: Dresser, dressed: Dressed, rotations: Floats, head: Floats
) -> Coverage:
    """Measure how well garments cover a person in a pose.

    Args:
        renderer: of the camera's size; camera: the camera.
        dresser: who dressed the person; dressed: the person.
        rotations: [R, 3, 3] of `AnnyBody`; head: [3] m, of the joint ``head``, in the camera's axes.
    """
    vertices = dresser.pose(dressed, rotations, head)[0]
    count = len(vertices) - len(dressed.fitted.vertices)
    under = np.any([dresser.tailor.covered(piece) for piece in dressed.fitted.pieces], axis=0)
    skin = dressed.fitted.skin
    below = under[skin].all(axis=1) if len(dressed.fitted.pieces) else np.zeros(len(skin), bool)
    mask, depth = _seen(renderer, camera, vertices, (dressed.fitted.triangles + count, skin[below], skin[~below]))
    naked, left_out = dresser.naked(dressed, rotations, head)
    bare, front = _seen(renderer, camera, naked, left_out)
    open_ = (bare == 1) & ((mask == 0) | (depth > front + _HOLE))
    return Coverage(int((mask == 2).sum()), int(open_.sum()), int((mask == 1).sum()))


def _seen(
    renderer: PeopleRenderer, camera: Camera, vertices: Floats, parts: tuple[NDArray[np.int32], ...]
) -> tuple[NDArray[np.uint8], Floats]:
    """Return which part is seen at every pixel, from 1, and its depth [m]."""
    still = np.zeros((len(vertices), 8), np.float32)
    nothing = np.zeros((1, 3), np.int32)  # buffers must not be empty
    figures = [
        Figure("full", vertices, vertices, still, Fabric(), np.concatenate([nothing, part]).astype(np.int32))
        for part in parts
    ]
    renderer.load(figures, [])
    return renderer.labels(camera)
