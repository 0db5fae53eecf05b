"""Python blocks of README and docs run or compile; files they name exist; the site has every page and public name."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import humanrt
from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import open_sink
from humanrt.tasks import open_people

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

STANDING = np.broadcast_to(np.eye(3), (22, 3, 3)) * np.where(np.arange(22) == 0, -1.0, 1.0)[:, None, None]
STANDING[0, 0, 0] = 1.0  # upright before a camera whose y is down

# Blocks that need what does not ship are compiled, and their imports executed. Page -> a name in the block.
NOT_RUN = {
    "docs/train/methods.md": "Adversarial(task",  # a training on data of the reader's
    "docs/train/options.md": "make_task(config)",  # likewise
    "docs/use/motion.md": "./posebert-smpl",  # published weights
    "docs/use/posefix.md": "./posefix-editor",  # likewise
    "docs/use/posegpt.md": "./posegpt",  # likewise
    "docs/use/poseembroider.md": "./poseembroider",  # likewise
}


def blocks() -> Iterator[Any]:
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for index, code in enumerate(BLOCK.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(name, code, id=f"{name}-{index}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the blocks name, made from what ships."""
    folder = tmp_path_factory.mktemp("docs")
    with humanrt.open_source(CLIP) as source:
        frames = [frame.image for frame, _ in zip(source, range(8), strict=False)]
    with open_sink(folder / "hand.mp4", 30.0) as clip:
        for frame in frames:
            clip.write(frame)
    with open_sink(folder / "photo.png", None) as photo:
        photo.write(frames[0])
    with humanrt.open_source(PEOPLE_CLIP) as source, open_people("multihmr-anny") as people:
        humanrt.play(source, people, [Recorder(folder / "take.jsonl")], max_frames=3)
    np.savez(folder / "pose.npz", rotations=STANDING, joint_names=np.array(SMPLX_BODY))
    with Recorder(folder / "clip.jsonl", {"humanrt": "0", "body": "smplx"}) as recording:
        person = {"id": 2, "score": 1.0, "head_2d": [0.0, 0.0], "translation": [0.0, 0.0, 2.0], "shape": []}
        person |= {"rotations": vectors_from_matrices(STANDING), "expression": [], "joints_3d": []}
        recording.write({"frame": 120, "t": 4.0, "hands": [], "people": [person]})
    (folder / "people-672-s").symlink_to(ROOT / "engines" / "multihmr-anny")
    return folder


@pytest.fixture(scope="module")
def given(place: Path) -> dict[str, Any]:
    """What the pages' text has introduced before a block: a frame, its time, keypoints of a hand, poses."""
    with humanrt.open_source(CLIP) as source:
        rgb = next(source).image
    (hand,) = humanrt.HandTracker()(rgb, 0.0)
    return {
        "rgb": rgb,
        "t": 0.0,
        "keypoints": hand.keypoints_3d,
        "identity": 1,
        "confidence": None,
        "side": "right",
        "ended": (),
        "pose_a": STANDING,
        "pose_b": STANDING,
    }


@pytest.mark.parametrize(("page", "code"), list(blocks()))
def test_python_block(
    page: str, code: str, place: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    tree = ast.parse(code)
    if page in NOT_RUN and NOT_RUN[page] in code:
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        if any("humanrt_export" in (getattr(node, "module", "") or "") for node in tree.body):
            pytest.importorskip("torch", reason="torch is not installed")
    exec(compile(tree, page, "exec"), dict(given))


def test_blocks_that_are_not_run_exist() -> None:
    for page, text in NOT_RUN.items():
        found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
        assert sum(text in code for code in found) == 1, page
    assert len(list(blocks())) > len(NOT_RUN) + 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_files_exist(page: Path) -> None:
    """A path between backticks that begins with a folder of ours is a file, below the root or one of the packages."""
    roots = [ROOT, ROOT / "runtime/humanrt", ROOT / "export/humanrt_export"]
    folders = {path.name for root in roots for path in root.iterdir() if path.is_dir()}
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`([\w.-]+/[\w./-]+\.(?:py|c|h|cu|toml|sh|md|json))`", text)
    ours = [name for name in named if name.partition("/")[0] in folders]
    assert not [name for name in ours if not any((root / name).is_file() for root in roots)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith("http")]
    assert not [target for target in local if not (page.parent / target).exists()]


def test_pages_of_the_code_exist() -> None:
    """Messages and comments send readers to pages of docs/ that are there."""
    sources = [
        *ROOT.glob("runtime/**/*.py"),
        *ROOT.glob("export/**/*.py"),
        *ROOT.glob("bench/*"),
        ROOT / "pyproject.toml",
    ]
    named = {
        (path.name, page)
        for path in sources
        if path.is_file() and path.suffix in {".py", ".sh", ".toml"}
        for page in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert not {entry for entry in named if not (ROOT / entry[1]).is_file()}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"- ([\w/-]+\.md)", navigation))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")}
    assert listed - pages == {"index.md", "examples.md", "contributing.md", "changelog.md"}  # made by docs/site.py
    assert pages <= listed


def test_the_reference_has_every_public_name() -> None:
    shown = set(re.findall(r"^::: humanrt\.(\w+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert shown == set(humanrt.__all__) - {"__version__"}


def test_the_installed_size_is_stated_once() -> None:
    """Sums of installed-size.md, which a script writes, are linked and not copied."""
    total = re.search(
        r"\*\*(\d+)\*\* \|\s*$", (ROOT / "docs/measurements/installed-size.md").read_text(encoding="utf-8")
    )
    assert total
    for page in PAGES:
        if page.name != "installed-size.md":
            assert not re.search(rf"\b{total[1]} MB", page.read_text(encoding="utf-8")), page
    assert np.isfinite(float(total[1]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_data_blocks_parse(page: Path) -> None:
    """JSON and TOML of the pages is JSON and TOML."""
    text = page.read_text(encoding="utf-8")
    for kind, parse in (("json", json.loads), ("toml", tomllib.loads)):
        for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            assert parse(block)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for block in code for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)
        named |= {found[1] for line in lines if (found := re.match(r"make ([a-z-]+)\b", line))}
    assert {"demo", "test", "docs"} <= named <= targets
