"""The documentation's code runs, its links lead somewhere, its names exist, and its site builds."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import types
from html.parser import HTMLParser
from pathlib import Path

import pytest

import slipstream_actor
from slipstream_actor import testing
from slipstream_actor.configuration.configuration import table
from slipstream_actor.protocol.connect_hints import NO_SOCKET, NO_WEBSOCKET
from slipstream_actor.protocol.hint_rows import PAGE, Hint
from slipstream_actor.protocol.hints import HINTS
from slipstream_actor.telemetry.lines import LINES, Line
from tests.api_names import own_language, unknown
from tests.support.pages import DOCS, GENERATED, PAGES, ROOT, fences, name_of, prose, run_page

LANGUAGES = {
    "python",
    *("console", "dockerfile", "elixir", "ini", "js", "json", "nginx", "sh", "text", "toml"),
}
# Pages for those who work on the package.
BESIDE = [ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]
# What a browser fetches by itself, by element and attribute.
FETCHED = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("image", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("use", "href"),
    ("video", "src"),
}


DEADLINE = 100.0


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_block_of_code_says_its_language(page: Path) -> None:
    text = read(page)
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(fences(text))
    for block in fences(text):
        assert block.language in LANGUAGES, f"line {block.line}"


# the runner


def page_of(directory: Path, *blocks: str) -> Path:
    """Write a page of Python fences; the first line of each is what follows the language."""
    page = directory / "page.md"
    page.write_text("\n\n".join(f"```python{block}\n```" for block in blocks), encoding="utf-8")
    return page


CONNECTED = "from slipstream_actor import connect\nsocket = connect(uri).await_connect()"


def test_blocks_share_a_namespace_and_the_address_is_the_servers(tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.mkdir()
    page = page_of(
        tmp_path,
        f'\nuri = "{GENERATED}"\n{CONNECTED}',
        "\nassert socket.connected\nsocket.disconnect().await_disconnect()",
    )
    run_page(page, written)


def test_a_page_says_what_the_address_is(tmp_path: Path) -> None:
    """What is pasted finds no `uri` that nobody has set."""
    with pytest.raises(NameError, match="uri"):
        run_page(page_of(tmp_path, f"\n{CONNECTED}"), tmp_path)


def test_a_page_prints_what_it_says(tmp_path: Path) -> None:
    page = page_of(tmp_path, "\nx = 1", "\nprint(x)\nprint(input('? '))")
    says = '\n\n```text title="it prints"\n{}\n```\n'
    code = page.read_text(encoding="utf-8")
    page.write_text(code + says.format("1\n? \nNone"), encoding="utf-8")
    run_page(page, tmp_path)
    page.write_text(code + says.format("1\n? "), encoding="utf-8")
    with pytest.raises(AssertionError):
        run_page(page, tmp_path)


def test_a_page_that_fails_says_where(tmp_path: Path) -> None:
    page = page_of(tmp_path, "\nx = 1", "\nx + 1\nx / 0")
    with pytest.raises(ZeroDivisionError) as raised:
        run_page(page, tmp_path)
    last = raised.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("page.md", 7)


def test_a_block_with_a_title_is_a_file_that_others_import(tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.mkdir()
    page = page_of(
        tmp_path,
        ' title="answers.py"\nanswer = 42',
        "\nfrom answers import answer\nassert answer == 42",
        ' title="test_answers.py"\nfrom answers import answer\n\ndef test_it(): assert answer',
    )
    run_page(page, written)
    assert "answers" not in sys.modules


def test_a_test_on_a_page_that_fails_fails_the_page(tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.mkdir()
    page = page_of(tmp_path, ' title="test_wrong.py"\ndef test_it(): assert 1 == 2')
    with pytest.raises(AssertionError, match="1 failed"):
        run_page(page, written)


def test_a_block_with_the_title_of_a_file_beside_the_page_quotes_it(tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.mkdir()
    (tmp_path / "client.py").write_text("class A:\n    x = 1\n    y = 2\n", encoding="utf-8")
    run_page(page_of(tmp_path, ' title="client.py"\nx = 1\ny = 2'), written)
    with pytest.raises(AssertionError, match=r"not in client\.py"):
        run_page(page_of(tmp_path, ' title="client.py"\nx = 1\ny = 3'), written)


def test_what_a_page_leaves_running_is_stopped(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        "\nfrom slipstream_actor import ClientActor, Supervisor"
        "\nSupervisor.start([ClientActor])\nClientActor.start(name='left')",
    )
    run_page(page, tmp_path)
    assert slipstream_actor.whereis("left") is None


# hints


TROUBLESHOOTING = DOCS / f"{PAGE}.md"
ALL_HINTS = sorted({NO_SOCKET, NO_WEBSOCKET, *(row.hint for row in HINTS)}, key=str)


def hints_of(page: str) -> list[Hint]:
    """Return what a page quotes, each below the last heading with an anchor."""
    found, anchor = [], ""
    for line in page.splitlines():
        if line.startswith("#"):
            named = re.search(r'<a id="([^"]+)"', line)
            anchor = named[1] if named else ""
        elif line.startswith("> "):
            found.append(Hint(line[2:], anchor))
    return found


@pytest.mark.parametrize("hint", ALL_HINTS, ids=str)
def test_each_hint_leads_to_where_it_stands(hint: Hint) -> None:
    assert hint in hints_of(read(TROUBLESHOOTING))


def test_troubleshooting_quotes_no_hint_that_nobody_gives() -> None:
    assert [hint for hint in hints_of(read(TROUBLESHOOTING)) if hint not in ALL_HINTS] == []


def beginning_of(line: Line) -> str:
    """Return what always stands at the beginning of a line of the log."""
    return re.split(r"[;:]? ?\{", line.text)[0]


LOUD = [key for key, line in LINES.items() if line.level >= logging.WARNING]


@pytest.mark.parametrize("key", LOUD)
def test_troubleshooting_begins_with_what_the_log_says(key: str) -> None:
    said = re.findall(r"^\| (\*.*?) \|", read(TROUBLESHOOTING), re.MULTILINE)
    assert any(cell.startswith(f"*{beginning_of(LINES[key])}") for cell in said)


# links


def anchors(page: Path) -> set[str]:
    """The anchors of a page: its own, and those of its headings, as GitHub makes them."""
    text = read(page)
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", title.lower()).strip() for title in titles)
    return {slug.replace(" ", "-") for slug in slugs} | set(re.findall(r'<a id="([^"]+)"', text))


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(read(page)))


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=name_of)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    generated = {DOCS / "changelog.md": ROOT / "CHANGELOG.md"}
    for link in links(page):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        path = generated.get(path, path)
        assert path.exists(), link
        if path.suffix == ".png":  # In which of the theme's schemes it is shown.
            assert anchor in ("", "only-light", "only-dark"), link
        elif anchor:
            assert anchor in anchors(path), link


@pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=name_of)
def test_no_page_installs_the_package_from_an_index(page: Path) -> None:
    """It is on none yet: it is installed from a clone, or from a wheel."""
    assert not re.search(r"pip install [^\n`]*slipstream_actor\b(?!-)", read(page))


# names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_names_that_a_page_mentions_exist(page: Path) -> None:
    text = prose(read(page))
    if page.stem.startswith("coming_from"):
        text = own_language(text)
    assert list(unknown(text)) == []


@pytest.mark.parametrize(
    "name",
    [
        "slipstream_actor.testing.FaultProx",
        "slipstream_actor.no_module",
        "socket.pushes(",
        "self.socket.pish(topic)",
        "ClientActor.begin",
        "Supervisor.restart_everything",
        "NotThereError",
        "handle_nothing",
        "socket.await_nothing()",
        "await_nothing",
        "heartbeat_msec",
    ],
)
def test_a_name_that_does_not_exist_is_found(name: str) -> None:
    assert list(unknown(f"so `{name}` is wrong"))


def test_names_that_exist_are_not_found() -> None:
    text = (
        "`slipstream_actor.testing.FaultProxy`, `socket.push(topic, event)`, `ClientActor.start`,"
        " `Join.topic`, `ConfigurationError`, `ValueError`, `handle_in`, `handle_info(message)`,"
        " `socket.setsockopt`, `heartbeat_interval_msec=0`, `await_join`, `Reply.unwrap()`"
    )
    assert list(unknown(text)) == []


# the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Whoever fetched something while it was built would fail."""
    directory = tmp_path_factory.mktemp("site")
    nowhere = "http://127.0.0.1:1"
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT,
        env={
            **os.environ,
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "http_proxy": nowhere,
            "https_proxy": nowhere,
            "NO_MKDOCS_2_WARNING": "1",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


class Resources(HTMLParser):
    """What a browser fetches for a page, where its links lead, and the anchors that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        self.classes.update(given.get("class", "").split())
        self.fetched += [given[name] for name in given if (tag, name) in FETCHED]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(given.get("href", ""))
        self.fetched += re.findall(r"url\(['\"]?([^)'\"]+)", given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.fetched += re.findall(r"(?:url\(|@import )['\"]?([^)'\"]+)", data)


def is_elsewhere(url: str) -> bool:
    return url.startswith(("http:", "https:", "//"))


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = [Resources(read(page)) for page in site.rglob("*.html")]
    assert len(pages) > 15
    assert any(page.fetched for page in pages)
    for page in pages:
        assert not any(is_elsewhere(url) for url in page.fetched)
        # The theme's script would fetch the library that draws one.
        assert "mermaid" not in page.classes
    for sheet in (*site.rglob("*.css"), *site.rglob("*.svg")):
        urls = re.findall(r"(?:url\(|@import )\s*['\"]?([^)'\"\s]+)", read(sheet))
        assert not any(is_elsewhere(url) for url in urls), sheet


def test_the_links_of_the_site_lead_somewhere(site: Path) -> None:
    pages = {page: Resources(read(page)) for page in site.rglob("*.html")}
    for page, resources in pages.items():
        for link in resources.links:
            target, _, anchor = link.partition("#")
            if page.name == "404.html" or is_elsewhere(link) or target in (".", "/"):
                continue
            path = (page.parent / target).resolve() if target else page
            assert path.is_file(), f"{link} on {page.name}"
            assert not anchor or anchor in pages[path].anchors, f"{link} on {page.name}"


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.com/a.js"></script>',
        '<link rel="stylesheet" href="//example.com/a.css">',
        '<img src="http://example.com/a.png">',
        '<p style="background: url(https://example.com/a.png)">',
        "<style>@import 'https://example.com/a.css';</style>",
    ],
)
def test_what_a_browser_fetches_from_elsewhere_is_found(html: str) -> None:
    assert any(is_elsewhere(url) for url in Resources(html).fetched)


def test_the_reference_has_every_public_name(site: Path) -> None:
    found: set[str] = set()
    for page in (site / "reference").glob("*.html"):
        found |= Resources(read(page)).anchors
    for package in (slipstream_actor, testing):
        for name in package.__all__:
            value = getattr(package, name)
            place = f"{package.__name__}.{name}"
            # A function that has the name of its module is listed under its own.
            if getattr(value, "__module__", None) == place:
                place = f"{place}.{name}"
            if not isinstance(value, types.ModuleType):
                assert place in found
    for name in slipstream_actor.commands.__all__:
        assert f"slipstream_actor.commands.{name}" in found, name


def test_the_notes_of_the_protocol_are_links(site: Path) -> None:
    html = read(site / "reference" / "testing.html")
    assert '(<a href="../protocol.html#note-11">note 11</a>)' in html
    # A range of them.
    first, last = (f'<a href="../protocol.html#note-{n}">note {n}</a>' for n in (44, 46))
    assert f"({first} to {last})" in html
    for page in (site / "reference").glob("*.html"):
        assert "protocol.md#" not in read(page), page.name


def test_the_site_has_the_options_and_the_changelog(site: Path) -> None:
    html = read(site / "configuration.html")
    for name in re.findall(r"^\| `(\w+)`", table(), re.MULTILINE):
        assert f"<code>{name}</code>" in html
    assert "\\|" not in html
    assert "Keep a Changelog" in read(site / "changelog.html")
