"""Settings of trainings: the YAML that such files use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

from humanrt_export.conversion.hparams import HparamsError, read_hparams

VALUES = {"n_layers": [0, 6], "model": "poseGPT", "lr": 5e-05, "heads": 4, "path": "/a/b:c", "n": None, "on": True}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(VALUES),
        json.dumps(VALUES, indent=2),
        json.dumps(VALUES, separators=(",", ":")),
        "n_layers:\n- 0\n- 6\nmodel: poseGPT\nlr: 5.0e-05\nheads: 4 # four\npath: /a/b:c\nn: null\non: true\n",
        "---\nn_layers:\n  - 0\n  - 6\nmodel: 'poseGPT'\n\n# a comment\nlr: 0.00005\nheads: 4\n"
        'path: "/a/b:c"\nn:\non: yes\n',
        "!!python/object:argparse.Namespace\nn_layers: [0,\n  6]\nmodel: poseGPT\nlr: 5.e-5\nheads: 4\npath: /a/b:c\n"
        "n: ~\non: True\n",
        "{n_layers: [0, 6], model: poseGPT, lr: 5e-5, heads: 4, path: '/a/b:c', n: null, on: true}",
    ],
)
def test_the_ways_to_write_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(text)
    assert read_hparams(path) == VALUES


def test_mappings_within_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text("a:\n  b: 1\n  c:\n    - x\n    - it''s\nd: {e: [1, [2]], f: ''}\ng: 'it''s'\nh: []\n")
    assert read_hparams(path) == {
        "a": {"b": 1, "c": ["x", "it''s"]},
        "d": {"e": [1, [2]], "f": ""},
        "g": "it's",
        "h": [],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no settings by name"),
        ("- 1\n- 2\n", "holds no settings by name"),
        ("heads: 4\n  indented: 3\n", "line 2 is not understood"),
        ("heads: 4\nheads: 5\n", "line 2 has `heads` for the second time"),
        ("a: [1, 2\n", "line 1 is not understood"),
        ("a: &x 3\n", "line 1 is not understood"),
        ("just text\n", "line 1 is not understood"),
        ("a: {b: " * 60 + "1" + "}" * 60, "not understood"),
    ],
)
def test_what_is_not_such_a_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(text)
    with pytest.raises(HparamsError, match=message):
        read_hparams(path)


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(HparamsError, match="no such file; it lies beside `checkpoints/`"):
        read_hparams(tmp_path / "hparams.yaml")
    with pytest.raises(HparamsError, match="is a folder"):
        read_hparams(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HparamsError, match="cannot be read as text"):
        read_hparams(tmp_path / "x.yaml")
