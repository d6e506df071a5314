"""Each command at a terminal, ended in the middle: quietly, and the terminal is as it was."""

from __future__ import annotations

import contextlib
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import debug
from slipstream_actor.testing import PhoenixServer
from tests.cli.test_main import COMMANDS
from tests.support.raw_server import Peer, RawServer
from tests.support.shell import Command, typing_at_terminal

# What each has shown when it is in the middle; a push that waits for its reply shows nothing.
BEGUN = {
    "listen": "joined",
    "push": "",
    "doctor": "connect",
    "serve": "ws://",
    "proxy": "ws://",
    "bench": "joined",
    "repl": "\x1b[0m>",
    "top": "0 clients",
}


def never_replies(peer: Peer) -> None:
    peer.upgrade()
    peer.join()
    peer.expect("say")
    peer.hold()


@contextmanager
def in_the_middle(command: str, server: PhoenixServer, path: Path) -> Iterator[Command]:
    """Yield a command that runs at a terminal, and would go on for long."""
    with contextlib.ExitStack() as stack:
        arguments: dict[str, list[str]] = {
            "listen": [server.uri, "rooms:lobby"],
            "serve": ["--port", "0"],
            "proxy": [server.uri],
            "bench": [server.uri, "bench:a", "slow", '{"ms": 500}', "--count", "1000"],
            "repl": [server.uri],
            "top": [str(path)],
        }
        deaf = stack.enter_context(RawServer(Peer.hold if command == "doctor" else never_replies))
        arguments["doctor"] = [deaf.uri, "--timeout", "60s"]
        arguments["push"] = [deaf.uri, "t", "say", "{}", "--await-reply", "--timeout", "60s"]
        if command == "top":
            stack.enter_context(debug.serve(path / "1.sock"))
        running = stack.enter_context(typing_at_terminal(command, *arguments[command]))
        running.wait_for(BEGUN[command])
        if command == "push":
            deaf.next_frame(event="say")
        yield running


@contextmanager
def once_more(tell: Callable[[], object]) -> Iterator[None]:
    """Tell again what has not ended the block in five seconds."""
    again = threading.Timer(5.0, tell)
    again.start()
    try:
        yield
    finally:
        again.cancel()
        again.join()


def modes_of(running: Command) -> Any:
    """Return how its terminal is set."""
    return termios.tcgetattr(running._streams["out"])


@pytest.mark.parametrize("how", ["typed", "TERM"])
@pytest.mark.parametrize("command", COMMANDS)
def test_ended_in_the_middle(command: str, how: str, server: PhoenixServer, tmp_path: Path) -> None:
    with in_the_middle(command, server, tmp_path) as running:
        typed = partial(running.type, "\x03")
        tell = typed if how == "typed" else partial(running.send, signal.SIGTERM)
        tell()
        # Python sees a signal that comes right before a read when that returns, or is told again.
        with once_more(tell):
            status = running.end()
        assert status == (130 if how == "typed" else 143), running.output
        assert "Traceback" not in running.output
        echoes = modes_of(running)[3] & (termios.ECHO | termios.ICANON)
        assert echoes == termios.ECHO | termios.ICANON
        assert running.output.count("\x1b[?1049h") == running.output.count("\x1b[?1049l")
