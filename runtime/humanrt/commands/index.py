"""``humanrt index RECORDING|FOLDER ... --out INDEX``: put the poses of recordings into an index on disk."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from humanrt.errors import SourceError

__all__ = ["add_parser", "run"]

_AT_ONCE = 20_000  # poses; the disk is flushed once for them
_EXAMPLES = """\
examples:
  humanrt batch 'videos/**/*.mp4' --task people --out recordings       videos become recordings first
  humanrt index recordings --out poses.index                           then their poses an index
  humanrt find poses.index --pose recordings/walk.jsonl:120            frames like this one
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "index",
        help="put the poses of recordings into an index",
        description="Put the poses of recordings into an index on disk, to be searched by `humanrt find`, also "
        "meanwhile. Files that are in it already are left out; those that changed are put in again. What was printed "
        "stays, whatever happens afterwards; the same command does the rest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="RECORDING|FOLDER",
        help="recordings of people (.jsonl), folders of them, or movements (.npz: `rotations`, `joint_names`, `fps`)",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="INDEX", help="folder of the index; made, or added to"
    )
    parser.add_argument(
        "--embedder",
        metavar="NAME|PATH",
        help="hold the embeddings of this bundle (`humanrt-export poseembroider`); without, joints' places, which are "
        "found by poses, words and pictures too, by the embedder that ships",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Add the files, and print each; 1 if some of them could not be read."""
    from humanrt.search.recordings import files_in, poses_of, sha256_of
    from humanrt.search.store import Addition, IndexWriter
    from humanrt.search.ways import Embedded, Points

    files = list(files_in(arguments.inputs))
    failed: list[str] = []
    with ExitStack() as opened:
        way = Points() if arguments.embedder is None else opened.enter_context(Embedded(arguments.embedder))
        index = opened.enter_context(IndexWriter(arguments.out, way.name, way.groups))
        there, waiting = dict(index.current), list[Addition]()
        for place, path in enumerate(files):
            try:
                sha256 = sha256_of(path)
                if there.get(str(path.absolute())) != sha256:
                    there[str(path.absolute())] = sha256
                    found = poses_of(path)
                    waiting.append(Addition(path, sha256, way.describe(found.poses), found.rows))
            except SourceError as error:
                failed.append(str(path))
                print(f"humanrt index: {error}", file=sys.stderr)
            if waiting and (place == len(files) - 1 or sum(len(one.rows) for one in waiting) >= _AT_ONCE):
                index.add(waiting)
                for one in waiting:
                    print(f"{one.file}: {len(one.rows)} poses", flush=True)
                waiting.clear()
        print(f"{arguments.out}: {index.poses} poses of {len(index.current)} files", flush=True)
    if failed:
        print(f"humanrt index: left out: {', '.join(failed)}; see above why", file=sys.stderr)
    return 1 if failed else 0
