"""No manifest tells whose machine made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from humanrt.bundle.paths import without_folders

ENGINES = Path(__file__).parents[2] / "engines"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/me/people/last.pt", "last.pt"),
        ("/home/me/my clip.mp4", "my clip.mp4"),
        ("/work/people/", "people"),
        ("~/data/x.npz", "x.npz"),
        ("../../me/x.npz", "x.npz"),
        ("C:\\Users\\me\\x.pt", "x.pt"),
        ("file:///home/me/x.pt", "x.pt"),
        ("train --data /work/people --out=/work/out --size 224", "train --data people --out=out --size 224"),
        ("train --data '/home/me/my people' --seed 1", "train --data 'my people' --seed 1"),
        ("made from /home/me/a.pt, then /home/me/b.pt", "made from a.pt, then b.pt"),
        ("engines/landmarks/body.onnx.z", "engines/landmarks/body.onnx.z"),
        ("https://github.com/naver/anny", "https://github.com/naver/anny"),
        ("rtsp://camera/live, m/s, (1/3) and x / z", "rtsp://camera/live, m/s, (1/3) and x / z"),
        ("metres, camera space", "metres, camera space"),
        ("", ""),
    ],
)
def test_paths_become_names(text: str, kept: str) -> None:
    assert without_folders({"a": [text, 1, None]}) == {"a": [kept, 1, None]}


@pytest.mark.parametrize("manifest", sorted(ENGINES.glob("*/manifest.json")), ids=lambda path: path.parent.name)
def test_shipped_manifests_hold_no_paths_of_a_machine(manifest: Path) -> None:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    assert without_folders(content) == content
