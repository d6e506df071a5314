"""What the site takes from elsewhere: options from the code, the changelog, and the picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream_actor.configuration import table

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OPTIONS = "<!-- options -->"
PICTURE = re.compile(r"!\[[^\]]*\]\((\w+\.svg)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies at the root of the repository, where people look for it."""
    from mkdocs.structure.files import File

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table of options in the place of its mark, and pictures into the page itself, where
    they follow its colours."""
    return PICTURE.sub(inlined, markdown.replace(OPTIONS, table()))


def inlined(image: re.Match[str]) -> str:
    """Return the picture that a page shows."""
    svg = (ROOT / "docs" / image[1]).read_text(encoding="utf-8")
    # A blank line would end the block of HTML.
    lines = [line for line in svg.splitlines() if line.strip()]
    return "\n".join(('<div class="picture">', *lines, "</div>"))
