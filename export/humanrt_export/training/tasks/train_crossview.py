"""``humanrt-export train crossview``: pre-trains a backbone on pairs of pictures of one person (`crossview`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import torch

from humanrt.errors import HumanrtError, OutputError
from humanrt_export.data.people.pairs import KINDS, FolderPairs, Pair, PairArrays, Pairs, VideoPairs, pairs_of
from humanrt_export.networks.attention import plain
from humanrt_export.options import Option
from humanrt_export.runs import load_run
from humanrt_export.synthetic.people.shards import Shards
from humanrt_export.training.loop import train
from humanrt_export.training.options import RunConfig
from humanrt_export.training.processes import is_first
from humanrt_export.training.tasks.crossview import CrossViewConfig, CrossViewTask, save_backbone, sheet
from humanrt_export.training.tasks.multihmr import refuse_bare

__all__ = ["BACKBONE", "SHEET", "TrainCrossView", "make_task", "run", "source_of"]

BACKBONE, SHEET = "backbone.pt", "sheet.png"
_HELD_OUT = 10  # the tenth part is validated on


@dataclass(frozen=True, kw_only=True)
class TrainCrossView(RunConfig):
    """Options of ``humanrt-export train crossview``.

    Attributes:
        view: pairs of two cameras, one instant: folders of `humanrt-export data people --pairs view`, folders that hold
            first/ and second/ with pictures of the same names.
        pose: pairs of one camera, two instants: folders of `humanrt-export data people --pairs pose`, folders that hold
            first/ and second/ with pictures of the same names, or videos.
        apart: fewest and most frames of a video's pairs.
        network: its settings.
        backbone_weights: start from these (DINOv2's layout; a graph).
        licence: of the weights, as the pairs allow.
    """

    view: Annotated[tuple[Path, ...], Option(metavar="PAIRS")] = ()
    pose: Annotated[tuple[Path, ...], Option(metavar="PAIRS")] = ()
    apart: tuple[int, int] = (5, 30)
    network: CrossViewConfig = field(default_factory=CrossViewConfig)
    backbone_weights: Annotated[Path | None, Option(metavar="FILE")] = None
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        if not self.backbone_weights:
            refuse_bare(self.network.backbone)
        if not self.pairs:
            raise HumanrtError("no pairs; add some with --view or --pose")

    @property
    def pairs(self) -> dict[str, tuple[Path, ...]]:
        """Where pairs of each kind are, of kinds of which there are any."""
        return {kind: paths for kind in KINDS if (paths := getattr(self, kind))}


def run(config: TrainCrossView) -> int:
    """Train; then write the backbone and a sheet of completions beside the run."""
    task = make_task(config)
    print(", ".join(f"{len(pairs)} pairs of {kind}s" for kind, pairs in task.sources.items()))
    train(task, config.out, config.train)
    if not is_first():
        return 0
    _, weights, step = load_run(config.out)
    data = "; ".join(f"{kind}: {', '.join(path.name for path in paths)}" for kind, paths in config.pairs.items())
    about = {"licence": config.licence, "data": data, "training": f"crossview, {step} steps"}
    if config.backbone_weights:
        about["began with"] = config.backbone_weights.name
    save_backbone(config.out / BACKBONE, task, weights, about)
    task.model.load_state_dict(weights)
    picture = sheet(task, task.model.eval())
    if not cv2.imwrite(str(config.out / SHEET), picture[..., ::-1]):
        raise OutputError(f"{config.out / SHEET}: cannot be written")
    print(f"wrote {config.out / BACKBONE} and {SHEET}: look at it")
    return 0


def make_task(config: TrainCrossView) -> CrossViewTask:
    """Make the task: its pairs are opened, its first weights come from the seed.

    Raises:
        HumanrtError: pairs that cannot be read or are too few, or weights of another backbone.
    """
    sources: dict[str, Pairs] = {}
    held: dict[str, Pairs] = {}
    for kind, paths in config.pairs.items():
        sources[kind], held[kind] = _split(
            [source_of(path, kind, config.network.image_size, config.apart) for path in paths]
        )
    torch.manual_seed(config.train.seed)  # of the first weights
    task = CrossViewTask(config.network, sources, held)
    if config.backbone_weights:
        task.start_from(config.backbone_weights)
    if config.train.device == "cpu":
        task.model.use_attention(plain)  # whose backward pass is twice as fast there
    return task


def source_of(path: Path, kind: str, size: int, apart: tuple[int, int] = (5, 30)) -> Pairs:
    """Pairs of a file, a folder or a video.

    Args:
        path: what `PairArrays.save` wrote, a folder of samples (`data people --pairs`), one with first/ and second/, or
            a video.
        kind: one of `pairs.KINDS`.
        size: S, px.
        apart: fewest and most frames between the two of a video.

    Raises:
        HumanrtError: it is none of these, of another kind, or its pictures are of another size.
    """
    if path.suffix == ".npz":
        pairs = PairArrays.load(path)
        if pairs.first.shape[1:] != (size, size, 3):
            raise HumanrtError(
                f"{path}: its pictures are {pairs.first.shape[1]} px, not {size}; make others of that size"
            )
        return pairs
    if (path / "people.json").is_file():
        shards = Shards(path)
        if shards.info["pairs"] != kind:
            made = f"pairs `{shards.info['pairs']}`" if shards.info["pairs"] else "single pictures"
            raise HumanrtError(f"{path}: holds {made}; make others: humanrt-export data people --pairs {kind}")
        both = ((shards[2 * place], shards[2 * place + 1]) for place in range(len(shards) // 2))
        return PairArrays.of(pairs_of(both, size))
    if kind == "view" and not (path / "first").is_dir():
        raise HumanrtError(f"{path}: give a folder with first/ and second/ in it, or rendered pairs")
    if (path / "first").is_dir():
        return FolderPairs(path / "first", path / "second", size)
    return VideoPairs(path, size, (apart[0], apart[1]))


@dataclass(frozen=True)
class _Chosen:
    """Some pairs of several sources."""

    sources: list[Pairs]
    places: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Pair:
        source, place = self.places[index]
        return self.sources[source][place]


def _split(sources: list[Pairs]) -> tuple[_Chosen, _Chosen]:
    """To train on, and to validate on: of each source the last tenth, for neighbours may look alike."""
    parts: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for number, source in enumerate(sources):
        first = len(source) - max(1, len(source) // _HELD_OUT)
        if not first:
            raise HumanrtError(f"a source of pairs has {len(source)}; training and validation need 2 or more")
        parts[0].extend((number, place) for place in range(first))
        parts[1].extend((number, place) for place in range(first, len(source)))
    return _Chosen(sources, parts[0]), _Chosen(sources, parts[1])
