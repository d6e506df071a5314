"""What the site takes from elsewhere: the options from the code, the changelog from its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipstream_actor.configuration import table

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OPTIONS = "<!-- options -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies at the root of the repository, where people look for it."""
    from mkdocs.structure.files import File

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table of options in the place of its mark."""
    return markdown.replace(OPTIONS, table()) if OPTIONS in markdown else markdown
