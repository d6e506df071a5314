"""`slipstream-actor repl`: a script in a pipe, a person at a terminal; and tokens from a prompt."""

from __future__ import annotations

import json
import pty
import signal
import sys
import termios

import pytest

from slipstream_actor.cli.keyboard import keyboard
from slipstream_actor.cli.main import main
from slipstream_actor.cli.repl import prompted
from slipstream_actor.cli.repl_commands import COMMANDS, HELP, Talk
from slipstream_actor.testing import PhoenixServer
from tests.support.raw_server import RawServer, dead_uri, serve
from tests.support.shell import DEADLINE, command, typing_at_terminal

# The prompt, and the cursor behind it.
READY = "\x1b[0m>"
Captured = pytest.CaptureFixture[str]


def script(server: PhoenixServer, *lines: str) -> list[tuple[str, str, str]]:
    """Return what a script shows: kind, topic and text of each line."""
    with command("repl", server.uri, "-q") as running:
        running.write("\n".join(lines))
        running.close_input()
        assert running.end() == 0, running.errors
        assert running.errors == ""
    return [tuple(json.loads(line).values()) for line in running.output.splitlines()]


def test_a_script_is_done_line_by_line(server: PhoenixServer) -> None:
    shown = script(
        server,
        'join bench:a {"reply": {"hello": 1}}',
        'push bench:a broadcast {"n": 1}',
        'push bench:a echo {"n": 2}',
        "topics",
        "leave bench:a",
        "topics",
    )
    # A message goes through the client, a reply past it: whose comes first is not said.
    shown.remove(("shout", "bench:a", '{"n":1}'))
    assert shown == [
        ("joined", "bench:a", '{"hello":1}'),
        ("reply ok", "bench:a", "{}"),
        ("reply ok", "bench:a", '{"n":2}'),
        ("joined", "bench:a", ""),
        ("left", "bench:a", ""),
        ("closed", "bench:a", ""),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "there is no such command"),
        ("join", "a topic is missing"),
        ("join t {s3cret", "that is no JSON"),
        pytest.param(f"join t {'[' * 100_000}", "that is nested too deep", id="deep"),
        ("push t", "an event is missing"),
        ("push nowhere e", "never asked for"),
        ("push nowhere phx_join {}", "the protocol's own"),
        ("push nowhere phx_leave", "the protocol's own"),
        ("leave t", "it is not joined"),
        ("topics now", "that is too much"),
    ],
)
def test_a_wrong_line_is_told_and_passed_over(server: PhoenixServer, line: str, words: str) -> None:
    [(kind, _, text)] = script(server, line, "", "quit", "nonsense")
    assert kind == "error"
    assert words in text
    assert "s3cret" not in text


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_line_that_is_not_utf8_is_told_and_passed_over(
    server: PhoenixServer, locale: str
) -> None:
    with command("repl", server.uri, "-q", LC_ALL=locale) as running:
        assert running.process.stdin is not None
        running.process.stdin.write(b"join bench:\xff\n\xff\njoin bench:a\n")
        running.close_input()
        assert running.end() == 0, running.errors
        assert running.errors == ""
    shown = [tuple(json.loads(line).values()) for line in running.output.splitlines()]
    assert shown == [
        ("error", "join", "that is not UTF-8"),
        ("error", "\ufffd", "that is not UTF-8"),
        ("joined", "bench:a", "{}"),
    ]


def test_a_join_that_is_refused_is_told(server: PhoenixServer) -> None:
    [(kind, topic, text), *_] = script(server, "join test:bad")
    assert (kind, topic) == ("not joined", "test:bad")
    assert "refused" in text


def test_presences(server: PhoenixServer) -> None:
    shown = script(server, "join rooms:lobby", "presences rooms:lobby", "presences")
    assert shown[-1] == ("error", "presences", "a topic is missing")


def test_each_command_is_in_the_help(server: PhoenixServer) -> None:
    assert [text for _, _, text in script(server, "help")] == HELP.splitlines()
    assert [line.split()[0] for line in HELP.splitlines()] == list(COMMANDS)


def test_nobody_listens(capsys: Captured) -> None:
    with dead_uri() as uri:
        assert main(["repl", uri]) == 4
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Connection refused" in errors


def test_at_a_terminal(server: PhoenixServer) -> None:
    with typing_at_terminal("repl", server.uri) as running:
        running.wait_for(READY)
        running.type("join ben\x15join bench:a\r")
        running.wait_for("{}")
        running.type("pu\t")
        running.wait_for("sh")  # What is missing may be drawn alone.
        running.type(' bench:a broadcast {"n": 7}\r')
        running.wait_for("shout")
        server.broadcast("bench:a", "by itself", {})
        running.wait_for("by itself")
        running.type("\x04")
        assert running.end() == 0
        assert "Traceback" not in running.output


def test_keys_are_keys_from_one_prompt_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing makes a line of them: a Ctrl-D would be lost in it."""
    master, slave = pty.openpty()
    with open(master, "rb"), open(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(terminal)
        with prompted(Talk(lambda *_: None, 1.0, waits=False)):
            raw = termios.tcgetattr(terminal)
            assert not raw[3] & (termios.ICANON | termios.ECHO)
            # As prompt-toolkit does to draw above a prompt.
            with keyboard().cooked_mode():
                assert termios.tcgetattr(terminal) == raw
        assert termios.tcgetattr(terminal) == before


def test_messages_are_drawn_in_raw_mode(server: PhoenixServer) -> None:
    with typing_at_terminal("repl", server.uri) as running:
        running.wait_for(READY)
        running.type("join bench:a\r")
        running.wait_for("{}")
        raw = {running.raw}
        for number in range(5):
            server.broadcast("bench:a", f"message {number};", {})
            while f"message {number};" not in running.output:
                running.wait_for_more()
                raw.add(running.raw)
        assert raw == {True}
        running.type("\x04")
        assert running.end() == 0


def test_a_terminal_is_left_as_it_was(server: PhoenixServer) -> None:
    with typing_at_terminal("repl", server.uri) as running:
        running.wait_for(READY)
        assert running.raw
        running.type("topics\rquit\r")
        assert running.process.wait(DEADLINE) == 0
        assert not running.raw


def test_ctrl_c_at_the_prompt_ends_it_quietly(server: PhoenixServer) -> None:
    with typing_at_terminal("repl", server.uri) as running:
        running.wait_for(READY)
        running.type("\x03")
        assert running.end() == 130
        assert "Traceback" not in running.output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_script_quietly(
    server: PhoenixServer, number: signal.Signals, status: int
) -> None:
    with command("repl", server.uri, "-q") as running:
        running.write("help\n")
        running.wait_for("these lines")
        running.send(number)
        assert running.end() == status
        assert running.errors == ""


def test_a_reader_that_has_gone(server: PhoenixServer) -> None:
    with command("repl", server.uri, "-q") as running:
        running.close_output()
        running.write("help\nhelp\n")
        assert running.end() == 141
        assert running.errors == ""


def test_a_token_is_asked_for_and_not_echoed() -> None:
    with (
        RawServer(serve) as server,
        typing_at_terminal("listen", server.uri, "t", "--token", "prompt") as running,
    ):
        running.wait_for("token: ")
        running.type("s3cret\r")
        assert "token=s3cret" in server.next_request().line
        running.wait_for("joined")
        running.send(signal.SIGINT)
        assert running.end() == 130
        assert "s3cret" not in running.output


def test_a_token_cannot_be_asked_for_without_a_terminal(server: PhoenixServer) -> None:
    with command("listen", server.uri, "t", "--token", "prompt") as running:
        # Python would take it from there, after a warning.
        running.write("s3cret\n")
        assert running.end() == 2
        assert "asks at a terminal" in running.errors
