"""Pages of the site that are made from files outside docs/: a hook of mkdocs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
LINKS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "examples/": "examples.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the README as the first page, its neighbours, and the examples with their code."""
    for page, name in PAGES.items():
        files.append(File.generated(config, page, content=_site_links((ROOT / name).read_text(encoding="utf-8"))))
    files.append(File.generated(config, "examples.md", content=_examples()))
    return files


def _site_links(text: str) -> str:
    """Links from the root of the checkout as links from the root of the site; files that are no page lose theirs."""

    def link(match: re.Match[str]) -> str:
        label, target = match["label"], match["target"]
        if target.startswith(("http", "#")):
            return match[0]
        if target.startswith("docs/"):
            return f"[{label}]({target.removeprefix('docs/')})"
        return f"[{label}]({LINKS[target]})" if target in LINKS else f"`{target}`"

    return re.sub(r"\[(?P<label>[^\]]*)\]\((?P<target>[^)\s]+)\)", link, text)


def _examples() -> str:
    text = _site_links((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    for script in sorted((ROOT / "examples").glob("**/*.py")):
        name = script.relative_to(ROOT)
        text += f"\n## {name}\n\n```python\n{script.read_text(encoding='utf-8')}```\n"
    return text
