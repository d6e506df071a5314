"""The examples, as a newcomer runs them: in a process of their own, with a deadline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from slipstream_actor.testing import PhoenixServer

ROOT = Path(__file__).parent.parent
DEADLINE = 50.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with its development checks, so that what is left open is complained about."""
    return subprocess.run(
        [sys.executable, "-X", "dev", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def assert_in_order(lines: list[str], expected: Iterable[str]) -> None:
    """Each expected line comes after the one before it; others may come between."""
    rest = iter(lines)
    for wanted in expected:
        assert wanted in rest, f"{wanted!r} is missing, or too early, in {lines}"


def test_the_quickstart() -> None:
    result = run("-m", "examples.quickstart")
    assert result.stderr == ""
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("connecting to ws://127.0.0.1:")
    assert_in_order(
        lines,
        [
            "connected",
            "joined bench:lobby: {'motd': 'welcome'}",
            "message on bench:lobby: shout {'text': 'hello, everybody'}",
            "message on bench:lobby: shout {'text': 'from another thread'}",
            "reply to a proxied push: ok {}",
            "-- the server disconnects the user --",
            "disconnected: ClosedByPeer(code=1001, reason='')",
            "connected",
            "joined bench:lobby: {'motd': 'welcome'}",
            "bye: normal",
        ],
    )
    assert_in_order(
        lines,
        [
            "joined bench:lobby: {'motd': 'welcome'}",
            "reply to the text: ok {'text': 'hello'}",
            "reply to the bytes: ok b'\\x00\\x01\\x02'",
            "reply to the broadcast: ok {}",
        ],
    )
    assert lines[-1] == "bye: normal"


def test_the_script(server: PhoenixServer) -> None:
    result = run("examples/scripting/client.py", server.uri)
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "refused: JoinRefused(response={'bad': 'join'})",
        "joined: {'hello': 'script'}",
        "reply: {'n': 1}",
        "message: shout {'n': 2}",
        "connected: False",
    ]
    server.wait_for_connections(0)


def test_the_script_without_a_server(server: PhoenixServer) -> None:
    server.stop()
    result = run("examples/scripting/client.py", server.uri)
    assert result.returncode == 1
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert "ConnectFailedError: awaited the connection: ConnectFailed(kind='refused'" in last


def test_a_program_that_ends_takes_its_leave(server: PhoenixServer) -> None:
    # Clients are daemon threads; they are stopped all the same, and not cut off.
    program = (
        "from examples.quickstart.client import ROOM, Chat\n"
        "from slipstream_actor import wait_until_joined\n"
        f"chat = Chat.start({server.uri!r})\n"
        "wait_until_joined(chat, ROOM)\n"
    )
    result = run("-c", program)
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "bye: normal"
