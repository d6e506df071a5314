"""`slipstream-actor serve`: the embedded server in a process of its own, and its reload."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from slipstream_actor import connect
from slipstream_actor.cli.main import main
from slipstream_actor.cli.serving import load
from slipstream_actor.cli.watch import Watch
from slipstream_actor.testing import Channel
from tests.support.shell import Command, at_terminal, command

Captured = pytest.CaptureFixture[str]
MODULE = """
from slipstream_actor.testing import Channel

class Greeter(Channel):
    def join(self, params):
        return {{"said": {word!r}}}

channels = {{"greet": Greeter}}
"""


def joined(uri: str) -> str:
    """Return what the channel says to who joins."""
    with connect(uri) as opened:
        socket = opened.await_connect().join("greet").await_join("greet")
        return str(socket.joins["greet"].response["said"])


@contextmanager
def serving(tmp_path: Path, *arguments: str) -> Iterator[tuple[Command, str]]:
    with command("serve", *arguments, "--port", "0", at=tmp_path) as running:
        running.wait_for("\n")
        yield running, running.output.strip()


def test_channels_to_try_things_out_with(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, uri), connect(uri) as opened:
        socket = opened.await_connect().join("rooms:lobby").await_join("rooms:lobby")
        assert socket.joined("rooms:lobby")
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert running.output == f"{uri}\n"
        assert running.errors == ""


def test_a_change_is_served_at_the_same_port(tmp_path: Path) -> None:
    module = tmp_path / "my_app.py"
    module.write_text(MODULE.format(word="one"))
    with serving(tmp_path, "my_app:channels") as (running, uri):
        assert joined(uri) == "one"
        module.write_text(MODULE.format(word="another"))
        running.wait_for(f"serves {uri} again", "err")
        assert joined(uri) == "another"
        # Code that fails, or exits, is told of, and mended by the next change.
        module.write_text("def")
        running.wait_for("waits for the next change", "err")
        module.write_text("raise SystemExit(3)")
        running.wait_for("SystemExit: 3", "err")
        module.write_text(MODULE.format(word="a third"))
        wait_for_one_more(running, "again")
        assert joined(uri) == "a third"
        running.send(signal.SIGTERM)
        assert running.end() == 143
        assert running.output == f"{uri}\n"


def test_what_a_module_imports_is_mended(tmp_path: Path) -> None:
    """Also where that could not be loaded, or is not there yet."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    words = package / "words.py"
    words.write_text("WORD = 'one'")
    text = MODULE.replace("{word!r}", "WORD").format()
    module = package / "my_app.py"
    module.write_text(f"from package.words import WORD\n{text}")
    with serving(tmp_path, "package.my_app:channels") as (running, uri):
        for broken, name, mended in [
            ("WORD =", "words", "WORD = 'another'"),
            ("from package.more import WORD", "more", "WORD = 'a third'"),
            ("1 / 0", "words", "WORD = 'a fourth'"),
        ]:
            words.write_text(broken)
            wait_for_one_more(running, "waits for the next change")
            (package / f"{name}.py").write_text(mended)
            wait_for_one_more(running, "again")
            assert joined(uri) == mended.split("'")[1]
        # That of the package is run first of all.
        (package / "__init__.py").write_text("1 / 0")
        wait_for_one_more(running, "waits for the next change")
        (package / "__init__.py").write_text("")
        wait_for_one_more(running, "again")
        assert joined(uri) == "a fourth"


def test_a_module_that_is_imported_late_is_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a callback; a change of it is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "imported_late.py"
    module.touch()
    with Watch() as watch:
        assert not watch.has_changed()
        importlib.import_module("imported_late")
        assert not watch.has_changed()
        os.utime(module, (0, 0))
        assert watch.has_changed()
    del sys.modules["imported_late"]


def wait_for_one_more(running: Command, words: str) -> None:
    """Wait until standard error has these words once more often than now."""
    before = running.errors.count(words)
    while running.errors.count(words) == before:
        running.wait_for_more()


def test_it_compresses_where_that_is_asked_for(tmp_path: Path) -> None:
    """After a change, too."""
    module = tmp_path / "my_app.py"
    module.write_text(MODULE.format(word="one"))
    offer = ["permessage-deflate"]
    with serving(tmp_path, "my_app:channels", "--compress") as (running, uri):
        for word in ("one", "another"):
            with connect(uri, extensions=offer) as opened:
                headers = opened.await_connect().response_headers
                assert headers is not None
                assert headers["sec-websocket-extensions"].startswith("permessage-deflate")
            if word == "one":
                module.write_text(MODULE.format(word="another"))
                running.wait_for(f"serves {uri} again", "err")


def test_without_reload(tmp_path: Path) -> None:
    module = tmp_path / "my_app.py"
    module.write_text(MODULE.format(word="one"))
    with serving(tmp_path, "my_app:channels", "--no-reload") as (running, uri):
        assert joined(uri) == "one"
        running.send(signal.SIGINT)
        assert running.end() == 130


def test_at_a_terminal(tmp_path: Path) -> None:
    with at_terminal("serve", "--port", "0") as running:
        running.wait_for("/socket/websocket")
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert running.errors == ""


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nonsense", "takes a module and a name"),
        ("not_there:channels", "No module named"),
        ("tests.support.clients:PATIENCE", "no mapping"),
        ("tests.support.clients:nothing", "has no attribute"),
        ("tests.cli.test_serve:exits", "SystemExit: 0"),
        ("tests.cli.test_serve:Nobody", "{'rooms:*': Nobody}"),
        ("tests.cli.test_serve:MISPLACED", "a * stands at the end"),
    ],
)
def test_what_are_no_channels(target: str, words: str, capsys: Captured) -> None:
    assert main(["serve", target, "--port", "0"]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors


def test_a_function_may_return_them() -> None:
    assert load("tests.cli.test_serve:channels", stay=False) == {"nobody": None}


def exits() -> NoReturn:
    raise SystemExit(0)


class Nobody(Channel):
    """A class in the place of a mapping."""


MISPLACED = {"rooms:*:public": None}


def channels() -> dict[str, None]:
    return {"nobody": None}


def test_a_port_that_is_taken(capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert "cannot listen" in capsys.readouterr().err
