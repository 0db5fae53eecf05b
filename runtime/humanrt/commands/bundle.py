"""``humanrt bundle unpack BUNDLE``: the models of a bundle as plain ONNX files, for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from humanrt.bundle import load_bundle
from humanrt.errors import OutputError
from humanrt.files import write_atomically

__all__ = ["add_parser", "run", "unpack"]

_EXAMPLES = """\
examples:
  humanrt bundle unpack hands --out hands_onnx        for Netron, onnxruntime-web, trtexec, ...
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bundle",
        help="unpack the models of a bundle to plain ONNX files",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("unpack", help="write every graph as NAME.onnx, complete with its weights")
    one.add_argument("bundle", metavar="BUNDLE", help="name or folder of the bundle")
    one.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the files")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Unpack, and print what was written."""
    written, left_out = unpack(arguments.bundle, arguments.out)
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    for name in left_out:
        print(f"left out: {name}, whose operators only humanrt has")
    return 0


def unpack(bundle: str | Path, out: Path) -> tuple[list[Path], list[str]]:
    """Write the graphs of a bundle as ONNX files that any program opens, and the bundle's other files beside them.

    Returns:
        The files, and the names of graphs with operators of our own, which are left out.

    Raises:
        BundleError, OutputError: the bundle cannot be read, or the folder not be written.
    """
    opened = load_bundle(bundle)
    if out.exists() and out.resolve() == opened.path.resolve():
        raise OutputError(f"--out {out}: is the bundle itself; choose another folder")
    written, left_out = [], []
    for name in opened.graphs:
        graph = opened.graph(name)
        if graph.operators:
            left_out.append(name)
            continue
        source = graph.source
        path = out / f"{name}.onnx"
        write_atomically(path, source if isinstance(source, bytes) else source.read_bytes())
        written.append(path)
    for name in opened.manifest["files"]:
        if Path(name).suffix in (".npz", ".md", ".txt") or name == "LICENSE":
            write_atomically(out / name, (opened.path / name).read_bytes())
            written.append(out / name)
    return written, left_out
