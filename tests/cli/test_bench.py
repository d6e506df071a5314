"""`slipstream-actor bench`: in this process, in a pipe, at a terminal, and ended in the middle."""

from __future__ import annotations

import json
import signal

import pytest

from slipstream_actor.cli.main import main
from slipstream_actor.testing import PhoenixServer
from tests.support.raw_server import Peer, RawServer
from tests.support.shell import at_terminal, command

Captured = pytest.CaptureFixture[str]


def test_what_it_finds_is_a_line(server: PhoenixServer, capsys: Captured) -> None:
    arguments = ["bench:a", "broadcast", '{"a": 1}', "--count", "50", "--in-flight", "10", "-q"]
    assert main(["bench", server.uri, *arguments]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    found = json.loads(output)
    trips = found["round_trips"]
    assert trips["count"] == 50
    assert sum(each["count"] for each in trips["histogram"]) == 50
    times = list(trips["milliseconds"].values())
    assert 0 < times[0] <= times[2] <= times[-1]
    assert list(trips["milliseconds"])[2:-1] == ["p50", "p90", "p99", "p99.9"]
    assert found["pipelined"]["count"] == 50
    assert found["pipelined"]["in_flight"] == 10
    # Each push is broadcast to who pushed it, and one after the other that is waited for too.
    assert 0 < found["inbound"]["count"] <= 100
    assert found["replies"] == {"ok": 100}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["test:bad", "echo"], 10, "refused"),
        (["bench:a", "never", "--timeout", "200ms"], 12, "for 0.2 s"),
        (["bench:\udcff", "echo"], 2, "TOPIC is not UTF-8"),
        (["bench:a", "\udcff"], 2, "EVENT is not UTF-8"),
        (["bench:a", "echo", "{"], 2, "is no JSON"),
        (["bench:a", "echo", "--in-flight", "0"], 2, "in-flight"),
        (["bench:a", "phx_leave"], 2, "bench: 'phx_leave' is the protocol's own"),
    ],
)
def test_what_fails_is_told_with_its_status(
    server: PhoenixServer, capsys: Captured, arguments: list[str], status: int, words: str
) -> None:
    assert main(["bench", server.uri, *arguments]) == status
    output, errors = capsys.readouterr()
    assert output == ""
    assert words in errors
    assert "Traceback" not in errors


def test_at_a_terminal_there_is_a_histogram(server: PhoenixServer) -> None:
    with at_terminal("bench", server.uri, "bench:a", "echo", "--count", "50") as running:
        assert running.end() == 0
        assert "p99.9" in running.output
        assert "####" in running.output
        assert "100 ok" in running.output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(number: signal.Signals, status: int) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.expect("echo")
        peer.hold()

    with RawServer(script) as server, command("bench", server.uri, "t", "echo", "-q") as running:
        server.next_frame(event="echo")
        running.send(number)
        assert running.end() == status
        assert running.errors == ""


def test_a_reader_that_has_gone(server: PhoenixServer) -> None:
    arguments = ["bench:a", "echo", "--count", "10", "-q"]
    with command("bench", server.uri, *arguments) as running:
        running.close_output()
        assert running.end() == 141
        assert running.errors == ""
