"""``humanrt-export train crossview``: pre-trains a backbone on pairs of pictures of one person (`crossview`)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from humanrt.errors import HumanrtError, OutputError
from humanrt_export.data.people.pairs import KINDS, FolderPairs, Pair, PairArrays, Pairs, VideoPairs, pairs_of
from humanrt_export.networks.attention import plain
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.runs import load_run
from humanrt_export.synthetic.people.shards import Shards
from humanrt_export.training.loop import train
from humanrt_export.training.tasks.crossview import CrossViewConfig, CrossViewTask, save_backbone, sheet
from humanrt_export.training.tasks.multihmr import refuse_bare

__all__ = ["BACKBONE", "SHEET", "configure", "run", "source_of"]

BACKBONE, SHEET = "backbone.pt", "sheet.png"
_HELD_OUT = 10  # the tenth part is validated on


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options; those of every training are added after."""
    for kind, text in (("view", "two cameras, one instant"), ("pose", "one camera, two instants")):
        parser.add_argument(
            f"--{kind}",
            type=Path,
            nargs="+",
            default=[],
            metavar="PAIRS",
            help=f"pairs of {text}: folders of `humanrt-export data people --pairs {kind}`, folders that hold first/ "
            f"and second/ with pictures of the same names{', or videos' if kind == 'pose' else ''}",
        )
    parser.add_argument(
        "--apart", type=int, nargs=2, default=(5, 30), metavar="N", help="fewest and most frames of a video's pairs"
    )
    default = CrossViewConfig()
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default=default.backbone)
    parser.add_argument(
        "--backbone-weights", type=Path, metavar="FILE", help="start from these (DINOv2's layout; a graph)"
    )
    parser.add_argument("--image-size", type=int, default=default.image_size, metavar="PX")
    for name in ("width", "depth", "heads"):
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"of the decoder (default: {value})")
    parser.add_argument("--ratio", type=float, default=default.ratio, help="part of patches hidden (default: 0.75)")
    parser.add_argument("--bias", type=float, default=default.bias, help="how much more of people (default: 3)")
    parser.add_argument("--licence", default="Apache-2.0", help="of the weights, as the pairs allow (Apache-2.0)")


def run(arguments: argparse.Namespace) -> int:
    """Train; then write the backbone and a sheet of completions beside the run."""
    from humanrt_export.training.options import options_of

    options = options_of(arguments)
    config = CrossViewConfig(
        **{
            name: getattr(arguments, name)
            for name in ("backbone", "image_size", "width", "depth", "heads", "ratio", "bias")
        }
    )
    if not arguments.backbone_weights:
        refuse_bare(config.backbone)
    sources: dict[str, Pairs] = {}
    held: dict[str, Pairs] = {}
    for kind in KINDS:
        if paths := getattr(arguments, kind):
            sources[kind], held[kind] = _split(
                [source_of(path, kind, config.image_size, arguments.apart) for path in paths]
            )
    if not sources:
        raise HumanrtError("no pairs; give some with --view or --pose")
    torch.manual_seed(options.seed)  # of the first weights
    task = CrossViewTask(config, sources, held)
    if arguments.backbone_weights:
        task.start_from(arguments.backbone_weights)
    if options.device == "cpu":
        task.model.use_attention(plain)  # whose backward pass is twice as fast there
    print(", ".join(f"{len(pairs)} pairs of {kind}s" for kind, pairs in sources.items()))
    train(task, arguments.out, options)
    _, weights, step = load_run(arguments.out)
    about = {"licence": arguments.licence, "data": _told(arguments), "training": f"crossview, {step} steps"}
    if arguments.backbone_weights:
        about["began with"] = arguments.backbone_weights.name
    save_backbone(arguments.out / BACKBONE, task, weights, about)
    task.model.load_state_dict(weights)
    picture = sheet(task, task.model.eval())
    if not cv2.imwrite(str(arguments.out / SHEET), picture[..., ::-1]):
        raise OutputError(f"{arguments.out / SHEET}: cannot be written")
    print(f"wrote {arguments.out / BACKBONE} and {SHEET}: look at it")
    return 0


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
            raise HumanrtError(f"{path}: its pictures are {pairs.first.shape[1]} px, not {size}; make others")
        return pairs
    if (path / "people.json").is_file():
        shards = Shards(path)
        if shards.info["pairs"] != kind:
            made = f"pairs `{shards.info['pairs']}`" if shards.info["pairs"] else "single pictures"
            raise HumanrtError(f"{path}: holds {made}; make others: humanrt-export data people --pairs {kind}")
        both = ((shards[2 * place], shards[2 * place + 1]) for place in range(len(shards) // 2))
        return PairArrays.of(pairs_of(both, size))
    if kind == "view" and not (path / "first").is_dir():
        raise HumanrtError(f"{path}: two views are a folder with first/ and second/ in it, or rendered pairs")
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
            raise HumanrtError(f"a source of pairs holds {len(source)}; need 2 or more, to train and to validate on")
        parts[0].extend((number, place) for place in range(first))
        parts[1].extend((number, place) for place in range(first, len(source)))
    return _Chosen(sources, parts[0]), _Chosen(sources, parts[1])


def _told(arguments: argparse.Namespace) -> str:
    given: Mapping[str, list[Path]] = {kind: getattr(arguments, kind) for kind in KINDS}
    return "; ".join(f"{kind}: {', '.join(path.name for path in paths)}" for kind, paths in given.items() if paths)
