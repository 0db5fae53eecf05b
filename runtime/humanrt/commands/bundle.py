"""``humanrt bundle unpack BUNDLE``: the models of a bundle as plain ONNX files, for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import OutputError
from humanrt.files import folder_atomically

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
    if out.is_dir() and any(out.iterdir()):
        raise OutputError(f"--out {out}: is not empty, and a bundle is unpacked whole; name a folder that is not there")
    try:
        with folder_atomically(out) as part:
            written, left_out = _write(opened, part)
    except OSError as error:
        raise OutputError(f"--out {out}: cannot be written ({error.strerror or error}); choose another") from None
    return [out / name for name in written], left_out


def _write(bundle: Bundle, folder: Path) -> tuple[list[str], list[str]]:
    """Write the files of a bundle, and return their names and those of the graphs that are left out."""
    written: list[str] = []
    left_out: list[str] = []
    folder.mkdir()
    for name in bundle.graphs:
        graph = bundle.graph(name)
        if graph.operators:
            left_out.append(name)
            continue
        source = graph.source
        (folder / f"{name}.onnx").write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        written.append(f"{name}.onnx")
    for name in bundle.manifest["files"]:
        if Path(name).suffix in (".npz", ".md", ".txt") or name == "LICENSE":
            (folder / name).write_bytes((bundle.path / name).read_bytes())
            written.append(name)
    return written, left_out
