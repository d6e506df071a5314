"""`slipstream-actor push`: in this process, in a pipe, at a terminal, and ended in the middle."""

from __future__ import annotations

import json
import queue
import signal
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor.cli.main import main
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.channel import Channel
from tests.support.raw_server import Peer, RawServer
from tests.support.shell import at_terminal, command

Captured = pytest.CaptureFixture[str]
ECHO = ["bench:a", "echo"]


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_pushes_and_is_silent(capsys: Captured) -> None:
    came: queue.Queue[Any] = queue.Queue()

    class Sink(Channel):
        def handle_in(self, event: str, payload: Any) -> None:
            came.put((event, payload))

    with PhoenixServer({"t": Sink}) as server:
        assert main(["push", server.uri, "t", "e", '{"a": 1}']) == 0
        # Without a payload, and in binary.
        assert main(["push", server.uri, "t", "e"]) == 0
        assert main(["push", server.uri, "t", "e", "bytes", "--binary"]) == 0
    assert list(came.queue) == [("e", {"a": 1}), ("e", {}), ("e", b"bytes")]
    assert capsys.readouterr() == ("", "")


def test_a_reply_is_a_line(server: PhoenixServer, capsys: Captured) -> None:
    assert main(["push", server.uri, *ECHO, '{"a": "ä"}', "--await-reply", "--json"]) == 0
    output, errors = capsys.readouterr()
    assert lines(output) == [{"status": "ok", "response": {"a": "ä"}}]
    assert errors == ""


def test_a_file_and_a_binary_reply(server: PhoenixServer, capsys: Captured, tmp_path: Path) -> None:
    there = tmp_path / "payload"
    there.write_text('{"size": 2}')
    assert main(["push", server.uri, "bench:a", "bbig", f"@{there}", "--await-reply"]) == 0
    expected = {"status": "ok", "response": "eHg=", "binary": True}
    assert lines(capsys.readouterr().out) == [expected]


@pytest.mark.parametrize("command", [["push", "t", "e"], ["listen", "t"], ["doctor"]])
@pytest.mark.parametrize("end", [Peer.reset, Peer.finish])
def test_a_server_that_hangs_up_in_the_upgrade(command: list[str], end: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        end(peer)

    name, *arguments = command
    with RawServer(script) as server:
        assert main([name, server.uri, *arguments]) == 7


def test_another_status_than_ok(server: PhoenixServer, capsys: Captured) -> None:
    arguments = ["bench:a", "echo_error", '{"no": 1}', "--await-reply"]
    assert main(["push", server.uri, *arguments]) == 11
    output, errors = capsys.readouterr()
    assert lines(output) == [{"status": "error", "response": {"no": 1}}]
    assert "another status than ok" in errors


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["test:bad", "e"], 10, "refused"),
        (["bench:a", "never", "{}", "--await-reply", "--timeout", "200ms"], 12, "reply"),
        (["test:good", "raise", "{}", "--await-reply"], 10, "crashed"),
        (["bench:a", "echo", "{s3cret"], 2, "the payload is no JSON"),
        (["bench:\udcff", "echo"], 2, "TOPIC is not UTF-8"),
        (["bench:a", "\udcff"], 2, "EVENT is not UTF-8"),
        (["bench:a", "echo", "@/not/there"], 2, "names a file that cannot be read"),
        (["bench:a", "phx_join"], 2, "push: 'phx_join' is the protocol's own"),
        (["bench:a", "phx_leave"], 2, "push: 'phx_leave' is the protocol's own"),
        (["bench:a", "echo", "--connect-params", '{"reject": "yes"}'], 7, "403"),
    ],
)
def test_what_fails_is_told_with_its_status(
    server: PhoenixServer, capsys: Captured, arguments: list[str], status: int, words: str
) -> None:
    assert main(["push", server.uri, *arguments]) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert "s3cret" not in errors
    assert "Traceback" not in errors


def test_each_line_of_standard_input_is_a_push(server: PhoenixServer) -> None:
    with command("push", server.uri, *ECHO, "-", "--await-reply") as pushing:
        pushing.write('{"n": 1}\n')
        pushing.wait_for('"n":1')  # Before the next one is there.
        pushing.write('\n{"n": 2}')
        pushing.close_input()
        assert pushing.end() == 0
        assert [line["response"]["n"] for line in lines(pushing.output)] == [1, 2]
        assert pushing.errors == ""


def test_what_is_nested_too_deep(server: PhoenixServer, capsys: Captured, tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    for option, arguments in (
        ("the payload", [f"@{deep}"]),
        ("--params", ["{}", "--params", f"@{deep}"]),
        ("--connect-params", ["{}", "--connect-params", f"@{deep}"]),
    ):
        assert main(["push", server.uri, *ECHO, *arguments]) == 2
        assert capsys.readouterr().err == f"slipstream-actor: {option} is nested too deep\n"
    with command("push", server.uri, *ECHO, "-") as pushing:
        pushing.write(f"{{}}\n{deep.read_text()}\n")
        assert pushing.end() == 2
        assert pushing.errors.endswith("line 2 of standard input is nested too deep\n")


def test_a_line_that_is_no_json(server: PhoenixServer) -> None:
    with command("push", server.uri, *ECHO, "-", "--await-reply") as pushing:
        pushing.write('{"n": 1}\n{s3cret\n')
        assert pushing.end() == 2
        assert len(lines(pushing.output)) == 1
        assert pushing.errors == "slipstream-actor: line 2 of standard input is no JSON\n"


def test_at_a_terminal_a_reply_is_readable(server: PhoenixServer) -> None:
    with at_terminal("push", server.uri, *ECHO, '{"a": "\\u001b[2J"}', "--await-reply") as pushing:
        assert pushing.end() == 0
        assert "ok" in pushing.output
        assert "\x1b[2J" not in pushing.output
        assert pushing.errors == ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(
    server: PhoenixServer, number: signal.Signals, status: int
) -> None:
    with command("push", server.uri, *ECHO, "-", "--await-reply") as pushing:
        pushing.write('{"n": 1}\n')
        pushing.wait_for('"n":1')
        pushing.send(number)
        assert pushing.end() == status
        assert pushing.errors == ""


def test_a_signal_while_it_waits_for_a_reply(server: PhoenixServer) -> None:
    with command("push", server.uri, "bench:a", "never", "-", "--await-reply") as pushing:
        pushing.write("{}\n")
        server.wait_for_connections(1, timeout=20)
        pushing.send(signal.SIGINT)
        assert pushing.end() == 130
        assert pushing.errors == ""


def test_a_reader_that_has_gone(server: PhoenixServer) -> None:
    with command("push", server.uri, *ECHO, "-", "--await-reply") as pushing:
        pushing.write('{"n": 1}\n')
        pushing.wait_for('"n":1')
        pushing.close_output()
        pushing.write('{"n": 2}\n')
        assert pushing.end() == 141
        assert pushing.errors == ""


def test_a_connection_that_is_lost(capsys: Captured) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.expect("e")
        peer.reset()

    with RawServer(script) as server:
        assert main(["push", server.uri, "t", "e", "--await-reply"]) == 13
    assert "Traceback" not in capsys.readouterr().err
