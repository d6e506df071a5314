"""`slipstream-actor proxy`: its commands, in a pipe, at a terminal, and ended in the middle."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import connect
from slipstream_actor.cli.main import main
from slipstream_actor.cli.proxy import COMMANDS, HELP
from slipstream_actor.testing import PhoenixServer
from tests.support.shell import Command, at_terminal, command

Captured = pytest.CaptureFixture[str]


@contextmanager
def standing(server: PhoenixServer, *arguments: str) -> Iterator[tuple[Command, str]]:
    with command("proxy", server.uri, *arguments) as running:
        running.wait_for("\n")
        yield running, running.output.splitlines()[0]


def tell(running: Command, line: str) -> None:
    """Give a command, and wait until it is done."""
    seen = running.errors.count("\n")
    running.write(line + "\n")
    while running.errors.count("\n") == seen:
        running.wait_for_more()
    assert running.errors.endswith(f"done: {line}\n"), running.errors


def test_faults_are_commands(server: PhoenixServer) -> None:
    with standing(server) as (running, uri), connect(uri, heartbeat_interval_msec=0) as opened:
        socket = opened.await_connect().join("bench:a").await_join("bench:a")
        tell(running, "delay 100ms down")
        began = time.monotonic()
        socket.await_reply(socket.push("bench:a", "echo"))
        assert time.monotonic() - began >= 0.1
        tell(running, "delay 0")
        running.write("status\n")
        running.wait_for("bytes_down")
        status = json.loads(running.output.splitlines()[-1])
        assert (status["connections"], status["accepted"]) == (1, 1)
        tell(running, "reset")
        socket.await_disconnect()
        running.write("quit\n")
        assert running.end() == 0


def test_each_command_is_known_and_in_the_help(server: PhoenixServer, capsys: Captured) -> None:
    lines = [
        "refuse",
        "silence",
        "black-hole up",
        "drop down",
        "delay 1s both",
        "throttle 1000 up",
        "throttle off",
        "cut 100 up reset",
        "cut 100 half-close",
        "cut",
        "reset",
        "half_close up",
        "heal",
        "wait 1ms",
        "status",
        "help",
    ]
    assert obeyed(server, *lines, "quit") == 0
    output, errors = capsys.readouterr()
    assert len(output.splitlines()) == 2
    assert HELP in errors
    assert errors.count("done: ") == len(lines) - 2
    assert set(COMMANDS) == {line.split()[0].replace("-", "_") for line in lines}
    assert all(f"\n{name}" in f"\n{HELP}" for name in COMMANDS)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "delay",
        "delay soon",
        "delay 1s sideways",
        "throttle",
        "throttle nan",
        "throttle -1",
        "cut 1 now",
        "reset all",
        "refuse up",
    ],
)
def test_a_wrong_line_is_told_and_passed_over(
    server: PhoenixServer, capsys: Captured, line: str
) -> None:
    assert obeyed(server, line, "", "# a comment", "quit") == 0
    output, errors = capsys.readouterr()
    assert len(output.splitlines()) == 1
    assert errors.startswith(f"{line}: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("line", ["cut -1", "refuse a-b", "delay 1s side-ways"])
def test_a_wrong_word_is_shown_as_it_was_typed(
    server: PhoenixServer, capsys: Captured, line: str
) -> None:
    assert obeyed(server, line, "quit") == 0
    word = line.rpartition(" ")[2]
    assert capsys.readouterr().err == f"{line}: {word!r} is too much, or wrong\n"


def obeyed(server: PhoenixServer, *lines: str) -> Any:
    """Return the status of a proxy that is given these lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
        return main(["proxy", server.uri])


def test_at_the_end_of_a_script_its_faults_last(server: PhoenixServer) -> None:
    with standing(server, "--quiet") as (running, uri):
        running.close_input()
        with connect(uri) as opened:
            opened.await_connect()
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert running.errors == ""


def test_at_a_terminal(server: PhoenixServer) -> None:
    with at_terminal("proxy", server.uri) as running:
        running.wait_for("/socket/websocket")
        running.send(signal.SIGTERM)
        assert running.end() == 143
        assert running.errors == ""


@pytest.mark.parametrize(("uri", "status"), [("nonsense", 2), ("ws://", 2), ("ws://a:s3cret", 2)])
def test_what_is_no_uri(uri: str, status: int, capsys: Captured) -> None:
    assert main(["proxy", uri]) == status
    errors = capsys.readouterr().err
    assert "a host and a port" in errors
    assert "s3cret" not in errors


def test_no_token_is_shown(server: PhoenixServer) -> None:
    uri = server.uri.replace("ws://", "ws://s3cret:s3cret@") + "?token=s3cret"
    with command("proxy", "env:URI", URI=uri) as running:
        running.wait_for("/socket/websocket\n")
        running.write("quit\n")
        assert running.end() == 0
        assert "s3cret" not in running.output + running.errors


def test_a_reader_that_has_gone(server: PhoenixServer) -> None:
    with standing(server) as (running, _):
        running.close_output()
        running.write("status\n")
        assert running.end() == 141
        assert running.errors == ""
