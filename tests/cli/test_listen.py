"""`slipstream-actor listen`: in this process, in a pipe, at a terminal, and ended in the middle."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor.cli.main import main
from slipstream_actor.cli.output import json_line, shown
from slipstream_actor.testing import PhoenixServer
from tests.support.raw_server import BINARY, Peer, RawServer, dead_uri, frame, message, serve
from tests.support.shell import at_terminal, command

Captured = pytest.CaptureFixture[str]
AFTER_JOIN = ["bench:a", "--params", '{"push": {"stove": "höt"}}']


def test_a_message_is_a_line_of_json(server: PhoenixServer, capsys: Captured) -> None:
    assert main(["listen", server.uri, *AFTER_JOIN, "--count", "1"]) == 0
    output, errors = capsys.readouterr()
    expected = {"topic": "bench:a", "event": "after_join", "payload": {"stove": "höt"}}
    assert [json.loads(line) for line in output.splitlines()] == [expected]
    assert "connected to ws://" in errors


def test_binary_is_base64(capsys: Captured) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        # A broadcast of topic "t" with event "e", in version 2.
        peer.send(frame(BINARY, b"\x02\x01\x01te\x00\xff"))
        peer.serve()

    with RawServer(script) as server:
        assert main(["listen", server.uri, "t", "--count", "1", "-q"]) == 0
    expected = {"topic": "t", "event": "e", "payload": "AP8=", "binary": True}
    assert json.loads(capsys.readouterr().out) == expected


def test_what_is_nested_too_deep_to_be_shown() -> None:
    """It could be read, with less of the stack taken."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    line = json_line({"topic": "rooms:lobby", "event": "new", "payload": deep})
    told = "nested too deep to be shown"
    assert json.loads(line) == {"topic": "rooms:lobby", "event": "new", "payload": told}
    assert shown(deep) == told


def test_other_events_are_left_out(server: PhoenixServer, capsys: Captured) -> None:
    arguments = [*AFTER_JOIN, "--event", "else", "--for", "300ms"]
    assert main(["listen", server.uri, *arguments]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["test:bad"], 10, "refused"),
        (["bench:a", "--params", '{"error": {"reason": "members only"}}'], 10, "members only"),
        (["bench:a", "--connect-params", '{"reject": "yes"}'], 7, "the server answered 403"),
        (["bench:a", "bench:\udcff"], 2, "TOPIC is not UTF-8"),
        (["bench:a", "--event", "\udcff"], 2, "--event is not UTF-8"),
        (["bench:a", "--params", "{"], 2, "--params is no JSON"),
        (["bench:a", "--params", "[1]"], 2, "--params is JSON, but no object"),
        (["bench:a", "--for", "soon"], 2, "--for takes a time"),
        (["bench:a", "--vsn", "3"], 2, "vsn"),
        (["bench:a", "--token", "s3cret"], 2, "--token takes env:NAME"),
        (["bench:a", "--token", "env:NOT_THERE"], 2, "--token names a variable"),
        (["bench:a", "--cafile", "/not/there"], 2, "--cafile"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--quiet"]])
def test_what_fails_is_told_with_its_status(
    server: PhoenixServer,
    capsys: Captured,
    arguments: list[str],
    status: int,
    words: str,
    more: list[str],
) -> None:
    assert main(["listen", server.uri, *arguments, *more]) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count(words) == 1
    assert "s3cret" not in errors
    assert "Traceback" not in errors


def test_nobody_listens(capsys: Captured) -> None:
    with dead_uri() as uri:
        assert main(["listen", uri, "a"]) == 4
    assert "is the server up" in capsys.readouterr().err


def test_it_comes_back_and_says_so(server: PhoenixServer) -> None:
    with command("listen", server.uri, *AFTER_JOIN) as listening:
        listening.wait_for("after_join")
        server.drop()
        listening.wait_for("has lost its connection", "err")
        listening.wait_for("joined 'bench:a' again", "err")
        while listening.output.count("after_join") < 2:
            listening.wait_for_more()


def test_a_channel_that_the_server_closes_ends_it(capsys: Captured) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        ref = peer.join()
        peer.send(message(ref, ref, "t", "phx_close"))
        peer.serve()

    with RawServer(script) as server:
        assert main(["listen", server.uri, "t"]) == 10
    assert "was left by the server" in capsys.readouterr().err


def test_at_a_terminal_it_is_readable_and_obeys_nothing(server: PhoenixServer) -> None:
    params = json.dumps({"push": {"a": "\x1b[2J\x9b2J"}})
    arguments = ["bench:a", "--params", params, "--count", "1"]
    with at_terminal("listen", server.uri, *arguments) as listening:
        assert listening.end() == 0
        assert "after_join" in listening.output
        assert "\x1b[" in listening.output  # Colours.
        assert "\x1b[2J" not in listening.output
        assert "\x9b" not in listening.output


def test_what_a_terminal_has_no_letters_for_is_escaped(server: PhoenixServer) -> None:
    arguments = [*AFTER_JOIN, "--count", "1"]
    with at_terminal("listen", server.uri, *arguments, PYTHONIOENCODING="ascii") as listening:
        assert listening.end() == 0, listening.errors
        assert r"h\xf6t" in listening.output


def test_json_at_a_terminal(server: PhoenixServer) -> None:
    with at_terminal("listen", server.uri, *AFTER_JOIN, "--count", "1", "--json") as listening:
        assert listening.end() == 0
        assert json.loads(listening.output)["event"] == "after_join"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(
    server: PhoenixServer, number: signal.Signals, status: int
) -> None:
    with command("listen", server.uri, *AFTER_JOIN, "--quiet") as listening:
        listening.wait_for("after_join")
        listening.send(number)
        assert listening.end() == status
        assert listening.errors == ""
        assert len(listening.output.splitlines()) == 1
    server.wait_for_connections(0)


def test_it_ends_when_nobody_reads_any_more(server: PhoenixServer) -> None:
    """At once, and not at the next message."""
    with command("listen", server.uri, *AFTER_JOIN, "--quiet") as listening:
        listening.wait_for("after_join")
        listening.close_output()
        assert listening.end() == 141
        assert listening.errors == ""


def test_a_reader_that_goes_in_a_flood(server: PhoenixServer) -> None:
    with command("listen", server.uri, "rooms:lobby") as listening:
        listening.wait_for("joined 'rooms:lobby'", "err")
        for number in range(20_000):
            server.broadcast("rooms:lobby", "shout", {"n": number, "pad": "x" * 50})
        listening.wait_for('"n":0')
        listening.close_output()
        assert listening.end() == 141
        assert "Traceback" not in listening.errors


def test_secrets_come_from_elsewhere(
    server: PhoenixServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    with RawServer(serve) as raw:
        monkeypatch.setenv("URI", raw.uri)
        monkeypatch.setenv("KEY", "k3y")
        arguments = ["--token", f"file:{secret}", "--auth-token", "env:KEY", "--for", "2s"]
        main(["listen", "env:URI", "t", *arguments, "--header", "X-Key: env:KEY", "-v"])
        request = raw.next_request()
    assert "token=s3cret" in request.line
    assert request.all("x-key") == ["k3y"]
    assert "bearer.phx" in request.all("sec-websocket-protocol")[0]
    output, errors = capsys.readouterr()
    assert "s3cret" not in output + errors
    assert "k3y" not in output + errors
