"""`slipstream-actor serve`: the embedded server in a process of its own, and its reload."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from slipstream_actor import connect
from slipstream_actor.cli.main import main
from slipstream_actor.cli.serving import load
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
        before = running.errors.count("again")
        while running.errors.count("again") == before:
            running.wait_for_more()
        assert joined(uri) == "a third"
        running.send(signal.SIGTERM)
        assert running.end() == 143
        assert running.output == f"{uri}\n"


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


def channels() -> dict[str, None]:
    return {"nobody": None}


def test_a_port_that_is_taken(capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert "cannot listen" in capsys.readouterr().err
