"""Cut files into pieces for links that accept only small files. ``python -m humanrt_export.pieces split|join``.

python -m humanrt_export.pieces split weights.pt out        out/weights.pt.00, .01, ... and out/weights.pt.json
python -m humanrt_export.pieces join out/weights.pt.json .  ./weights.pt, if all hashes match
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from humanrt.errors import HumanrtError
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.entry import run_module

__all__ = ["PIECE", "join", "split"]

PIECE = 15 << 20  # bytes: below 16 MiB


def split(file: Path, folder: Path, piece: int = PIECE) -> Path:
    """Cut ``file`` into pieces of at most ``piece`` bytes in ``folder``; return the path of their list, with hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    names: list[dict[str, str]] = []
    with file.open("rb") as stream:
        while content := stream.read(piece):
            name = f"{file.name}.{len(names):02d}"
            (folder / name).write_bytes(content)
            names.append({"file": name, "sha256": sha256(content)})
    listed = folder / f"{file.name}.json"
    whole = {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file), "pieces": names}
    listed.write_text(json.dumps(whole, indent=1) + "\n")
    return listed


def join(listed: Path, folder: Path) -> Path:
    """Join the pieces to a file in ``folder``.

    Raises:
        HumanrtError: a piece is missing or damaged. Nothing is written then.
    """
    try:
        whole = json.loads(listed.read_text())
        names = [(str(piece["file"]), str(piece["sha256"])) for piece in whole["pieces"]]
        name, expected = Path(str(whole["file"])).name, str(whole["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HumanrtError(f"{listed}: not the list of a file's pieces ({error}); give the .json beside them") from None
    folder.mkdir(parents=True, exist_ok=True)
    out, part = folder / name, folder / f".{name}.part"
    try:
        with part.open("wb") as stream:
            for piece, digest in names:
                path = listed.parent / Path(piece).name
                if not path.is_file():
                    raise HumanrtError(f"{path}: is missing; copy it here too")
                content = path.read_bytes()
                if sha256(content) != digest:
                    raise HumanrtError(f"{path}: is damaged; copy it again")
                stream.write(content)
        if sha256(part) != expected:
            raise HumanrtError(f"{listed}: the pieces do not add up to the file; copy them again")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.pieces", description=__doc__)
    parser.add_argument("what", choices=("split", "join"))
    parser.add_argument("file", type=Path, help="the file to cut; to join: the .json beside its pieces")
    parser.add_argument("folder", type=Path, help="folder for the pieces, or for the file")
    options = parser.parse_args()
    path = (split if options.what == "split" else join)(options.file, options.folder)
    sys.stdout.write(f"{os.fspath(path)}\n")
    return 0


if __name__ == "__main__":
    run_module(main)
