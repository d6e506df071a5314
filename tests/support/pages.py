"""The pages of the documentation: their code, which runs, and the names that they mention.

Python fences of a page run in order, in one namespace, and find there what a reader finds who has
pasted them: nothing. The address that a generated Phoenix application has is that of an embedded
server, with the channels of `python -m slipstream_actor.testing.server`, on a free port; `input`
returns at once. A fence with a title is a file: beside the page it is quoted from there, else it is
written, for later fences to import, and run with pytest when its name begins with `test_`. A fence
of text titled "it prints" has the lines that the Python since the last such one prints, in whatever
order, since it may be in several threads.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pykka

from slipstream_actor import Supervisor
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
DEADLINE = 100.0
GENERATED = "ws://localhost:4000/socket/websocket"
PRINTED = "it prints"
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\s`]*)(?P<rest>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


class Fence(NamedTuple):
    """A block of code, with the number of the line before its first."""

    language: str
    title: str | None
    line: int
    code: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


def fences(text: str) -> list[Fence]:
    """Return the blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', match["rest"])
        line = text.count("\n", 0, match.start("code"))
        code = textwrap.dedent(match["code"])
        found.append(Fence(match["language"], title[1] if title else None, line, code))
    return found


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", text)


# running


def run_page(page: Path, directory: Path) -> None:
    """Run a page's Python in a thread of its own, whose connections end with it."""
    every = fences(page.read_text(encoding="utf-8"))
    blocks = [f for f in every if f.language == "python" or f.title == PRINTED]
    failures: list[BaseException] = []

    def run() -> None:
        with PhoenixServer(SHELL_CHANNELS) as server, actors_stopped(), levels_restored():
            try:
                run_blocks(page, blocks, directory, server.uri)
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive(), f"{name_of(page)} did not end within {DEADLINE} s"
    if failures:
        raise failures[0]
    run_tests(directory)


def run_blocks(page: Path, blocks: list[Fence], directory: Path, uri: str) -> None:
    # Not the page's own name, which may be that of a module: asyncio.
    name_of_module = f"page_{page.stem}"
    module = types.ModuleType(name_of_module)
    module.__dict__["input"] = print
    before = set(sys.modules)
    printed = io.StringIO()
    sys.modules[name_of_module] = module
    sys.path.insert(0, str(directory))
    try:
        for block in blocks:
            if block.title == PRINTED:
                assert sorted(printed.getvalue().splitlines()) == sorted(block.code.splitlines())
                printed = io.StringIO()
            elif block.title is None:
                code = block.code.replace(GENERATED, uri).replace("port=4000", "port=0")
                # So that a traceback has the page's lines.
                source = "\n" * block.line + code
                with contextlib.redirect_stdout(printed):
                    exec(compile(source, name_of(page), "exec", dont_inherit=True), module.__dict__)
            elif (page.parent / block.title).exists():
                assert_quoted(page.parent / block.title, block)
            else:
                compile(block.code, block.title, "exec", dont_inherit=True)
                (directory / block.title).write_text(block.code, encoding="utf-8")
                importlib.invalidate_caches()
    finally:
        sys.path.remove(str(directory))
        for name in set(sys.modules) - before:
            if name == name_of_module or (directory / f"{name}.py").exists():
                del sys.modules[name]


def assert_quoted(path: Path, block: Fence) -> None:
    """A fence with the title of a file shows lines of it, maybe less indented."""
    source = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    quoted = [line.strip() for line in block.code.splitlines()]
    starts = range(len(source) - len(quoted) + 1)
    found = any(source[at : at + len(quoted)] == quoted for at in starts)
    assert found, f"not in {path.name}: the block at line {block.line}"


def run_tests(directory: Path) -> None:
    """Run the tests that a page has written, as its reader would."""
    if not list(directory.glob("test_*.py")):
        return
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "."],
        cwd=directory,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@contextlib.contextmanager
def actors_stopped() -> Iterator[None]:
    """Stop what a page has left running, those first that would start others again."""
    before = set(pykka.ActorRegistry.get_all())
    try:
        yield
    finally:
        left = [ref for ref in pykka.ActorRegistry.get_all() if ref not in before]
        for ref in sorted(left, key=lambda ref: not issubclass(ref.actor_class, Supervisor)):
            ref.stop()


def levels() -> dict[str, int]:
    """Return the levels of the library's loggers, as far as there are any."""
    return {
        name: logging.getLogger(name).level
        for name in list(logging.root.manager.loggerDict)
        if name.partition(".")[0] == "slipstream_actor"
    }


@contextlib.contextmanager
def levels_restored() -> Iterator[None]:
    """Put back what a page has set of the library's loggers."""
    before = levels()
    try:
        yield
    finally:
        for name in levels():
            logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))
