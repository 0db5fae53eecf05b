"""Pieces of clothing, shoes, hair and hats, sorted: `Wardrobe`.

MakeHuman's suits are one file each. Their parts that are not connected, a jacket and trousers, are separate pieces
here, so that they combine with others.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt_export.synthetic.garments.files import Garment, read_garment

__all__ = ["KINDS", "Kind", "Piece", "Wardrobe"]

Kind = Literal["upper", "lower", "whole", "shoes", "hair", "hat"]
KINDS: tuple[Kind, ...] = ("upper", "lower", "whole", "shoes", "hair", "hat")
"""Kinds of pieces; `whole`: upper and lower in one."""

_ARCHIVES = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz")
_SMALL = 300  # vertices; what is smaller belongs to the large part beside it: buttons, a tie, a buckle


@dataclass(frozen=True)
class Piece:
    """One piece of clothing.

    Attributes:
        name: of the garment, and its part; no other piece of a wardrobe has it. kind: see `KINDS`.
        sex: `female`, `male`, or empty for everybody.
        garment: its mesh and how it is fastened.
        trim: bool [V], small parts: buttons, a tie, soles, bands.
    """

    name: str
    kind: Kind
    sex: str
    garment: Garment
    trim: NDArray[np.bool_]


class Wardrobe:
    """All pieces of a folder or an archive of MakeHuman's assets.

    Args:
        path: folder, or .tar archive (compressed or not), with garments in ``clothes/`` and ``hair/``, somewhere in it;
            archives directly in a folder are read too. A garment is named by its file: ``clothes/NAME/NAME``.
        template: [19158, 3] m, the base mesh of a typical body, z up; waist: m, height of its waist. By them parts of
            suits are sorted.

    Raises:
        SourceError: nothing there can be read, no garment is among it, or two of the same name.
    """

    def __init__(self, path: Path, template: NDArray[np.float64], waist: float) -> None:
        self.path = path
        self.pieces: list[Piece] = []
        files: dict[str, str] = {}
        for folder, file, texts in _garments(path):
            garment = read_garment(texts[0], texts[1], f"{path}: {file}", len(template))
            # Not the name in the file, which is missing in some, and the same in copies.
            name = "/".join(Path(file).with_suffix("").parts[-3:])
            if name in files:
                raise SourceError(f"{path}: {files[name]} and {file} have the same name; take one away, or rename it")
            files[name] = file
            self.pieces += _pieces(folder, replace(garment, name=name), template, waist)
        if not self.pieces:
            raise SourceError(f"{path}: no garment of MakeHuman there (clothes/NAME/NAME.mhclo with its .obj)")

    def of(self, kind: Kind, sex: str = "") -> list[Piece]:
        """Return the pieces of a kind that suit this sex, or everybody's if it is empty."""
        return [piece for piece in self.pieces if piece.kind == kind and (not sex or piece.sex in ("", sex))]

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Number of pieces of every kind."""
        return {kind: len(self.of(kind)) for kind in KINDS}


def _garments(path: Path) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Yield folder (clothes, hair), name, and texts of .mhclo and .obj, by name."""
    texts = _texts(path)
    for name in sorted(texts):
        place = Path(name)
        if place.suffix == ".mhclo" and len(place.parts) >= 3 and place.parts[-3] in ("clothes", "hair"):
            mesh = place.with_suffix(".obj").as_posix()
            if mesh not in texts:
                raise SourceError(f"{path}: {name} has no {Path(mesh).name} beside it")
            yield place.parts[-3], name, (texts[name], texts[mesh])


def _texts(path: Path) -> dict[str, str]:
    suffixes = (".mhclo", ".obj")
    try:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix in suffixes)
            texts = {file.relative_to(path.parent).as_posix(): file.read_text(errors="replace") for file in found}
            # Archives in a folder are read too, so that ../shared/assets can be given as it is.
            for packed in sorted(file for file in path.iterdir() if file.name.endswith(_ARCHIVES)):
                texts |= {f"{packed.name}/{name}": text for name, text in _texts(packed).items()}
            return texts
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and Path(member.name).suffix in suffixes]
            # Without "./", which names have in archives of `tar -C DIR -cf FILE .`
            streams = {PurePosixPath(member.name).as_posix(): archive.extractfile(member) for member in members}
            return {name: stream.read().decode(errors="replace") for name, stream in streams.items() if stream}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise SourceError(f"{path}: cannot be read as a folder or archive of garments ({error})") from error


def _pieces(folder: str, garment: Garment, template: NDArray[np.float64], waist: float) -> list[Piece]:
    sex = next((tag for tag in garment.tags if tag in ("female", "male")), "")
    place = (template[garment.anchors] * garment.weights[..., None]).sum(axis=1)
    height = place[:, 2]
    parts = _components(garment)
    sizes = np.bincount(parts)
    if folder == "hair" or {"shoes", "hats"} & set(garment.tags):
        kind: Kind = "hair" if folder == "hair" else "shoes" if "shoes" in garment.tags else "hat"
        trim = sizes[parts] < 0.5 * sizes.max() if kind == "shoes" else np.zeros(len(parts), bool)
        return [Piece(garment.name, kind, sex if kind == "hair" else "", garment, trim)]
    large = [part for part in np.argsort(-sizes, kind="stable").tolist() if sizes[part] >= _SMALL]
    large = large or [int(sizes.argmax())]  # a low-resolution garment, a bikini
    middles = {part: height[parts == part].mean() for part in large}
    groups: dict[Kind, list[int]] = {}
    for part in large:
        own = height[parts == part]
        above, below = own.max() - waist, waist - own.min()
        part_kind: Kind = "whole" if above > 0.25 and below > 0.3 else "upper" if above > below else "lower"
        groups.setdefault(part_kind, []).append(part)
    pieces = []
    owner = _owners(template[garment.hidden], place, parts, large)
    for part_kind, members in groups.items():
        near = [
            part
            for part in range(len(sizes))
            if sizes[part] and part not in middles and _nearest(height[parts == part].mean(), middles) in members
        ]
        chosen = np.isin(parts, [*members, *near])
        trim = np.isin(parts, near)[chosen]
        name = f"{garment.name}.{part_kind}"
        hidden = garment.hidden[np.isin(owner, members)]
        pieces.append(Piece(name, part_kind, sex, replace(_part(garment, chosen), hidden=hidden), trim))
    return pieces


def _owners(
    hidden: NDArray[np.float64], place: NDArray[np.float64], parts: NDArray[np.int64], large: list[int]
) -> NDArray[np.int64]:
    """Return which of the large parts lies nearest to every hidden vertex."""
    gaps = []
    for part in large:
        own = place[parts == part]
        gaps.append(((own**2).sum(axis=1) - 2 * hidden @ own.T).min(axis=1))  # of squares, up to those of the hidden
    return np.asarray(np.array(large)[np.argmin(gaps, axis=0)])


def _nearest(height: float, middles: Mapping[int, float]) -> int:
    return min(middles, key=lambda part: abs(middles[part] - height))


def _components(garment: Garment) -> NDArray[np.int64]:
    """Return the number of the connected part [V] that each vertex belongs to; from 0."""
    label = np.arange(len(garment.anchors))
    triangles = garment.triangles
    while True:
        least = label[triangles].min(axis=1)
        new = label.copy()
        for corner in range(3):
            np.minimum.at(new, triangles[:, corner], least)
        new = new[new]  # a label is the number of a vertex of the same part
        if (new == label).all():
            return np.unique(label, return_inverse=True)[1]
        label = new


def _part(garment: Garment, chosen: NDArray[np.bool_]) -> Garment:
    """Return the garment of some of its vertices, whole connected parts."""
    numbers = np.cumsum(chosen) - 1
    return Garment(
        name=garment.name,
        tags=garment.tags,
        anchors=garment.anchors[chosen],
        weights=garment.weights[chosen],
        offsets=garment.offsets[chosen],
        spans=garment.spans,
        references=garment.references,
        hidden=garment.hidden,
        triangles=numbers[garment.triangles[chosen[garment.triangles[:, 0]]]],
    )
