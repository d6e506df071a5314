"""What the site takes from elsewhere, the changelog, the examples and the picture; and the links
to the protocol's notes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream_actor.configuration.configuration import table

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PROTOCOL = "protocol.md"
# As docstrings say where a note is: "docs/protocol.md#note-27 to #note-29".
PLACE = re.compile(r"docs/protocol\.md#note-\d+(?:(?:,| and| to) #note-\d+)*")
ANCHOR = re.compile(r"(?:docs/protocol\.md)?#note-(\d+)")
# Within the site what lies in docs/ is one folder higher.
INTO_DOCS = re.compile(r"\]\(((?:\.\./)*)docs/")
TO_EXAMPLES = re.compile(r"\]\(\.\./((?:\.\./)*examples/)")
PICTURE = re.compile(r"!\[[^\]]*\]\((\w+\.svg)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere in the repository: the changelog, and the examples' pages with the
    files that they are about."""
    from mkdocs.structure.files import File

    elsewhere = {"changelog.md": ROOT / "CHANGELOG.md"}
    for path in sorted((ROOT / "examples").rglob("*")):
        if path.name == "README.md" or path.name in ("client.py", "client.ex"):
            elsewhere[path.relative_to(ROOT).as_posix()] = path
    for uri, path in elsewhere.items():
        text = INTO_DOCS.sub(r"](\1", path.read_text(encoding="utf-8"))
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put pictures into the page itself, where they follow its colours, and the examples where the
    site has them."""
    # Between backticks the site's tables need no escapes.
    options = table()
    markdown = markdown.replace(options, options.replace("\\|", "|"))
    return PICTURE.sub(inlined, TO_EXAMPLES.sub(r"](\1", markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have the docstrings' "docs/protocol.md#note-21" lead to that note."""
    protocol = files.get_file_from_path(PROTOCOL)
    if protocol is None or not page.file.src_uri.startswith("reference/"):
        return html
    url = protocol.url_relative_to(page.file)
    link = rf'<a href="{url}#note-\1">note \1</a>'
    return PLACE.sub(lambda place: ANCHOR.sub(link, place[0]), html)


def inlined(image: re.Match[str]) -> str:
    """Return the picture that a page shows."""
    svg = (ROOT / "docs" / image[1]).read_text(encoding="utf-8")
    # A blank line would end the block of HTML.
    lines = [line for line in svg.splitlines() if line.strip()]
    return "\n".join(('<div class="picture">', *lines, "</div>"))
