"""The official JavaScript client against the embedded server.

The server and our client are written by the same hands; that they agree proves little. Here a
client that others wrote, and that real Phoenix servers have served for years, meets it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor.testing import PhoenixServer

FOLDER = Path(__file__).parent.parent / "js"
DEADLINE = 100

EXPECTED: dict[str, Any] = {
    "connecting": {
        "params": {"vsn": "2.0.0", "id": "js", "a": ["1"]},
        "auth_token": "s3cret>>>",
        "join": {"from": "js"},
        "socket_id": "user_socket:js",
        "transport": "websocket",
    },
    "connection_refused": "Unexpected server response: 429",
    "joins": {
        "accepted": {"status": "ok", "response": {"welcome": "é🏴"}},
        "refused": {"status": "error", "response": {"why": "full"}},
        "crashed": {"status": "error", "response": {"reason": "join crashed"}},
        "unmatched": {"status": "error", "response": {"reason": "unmatched topic"}},
    },
    "replies": {
        "ok": {"status": "ok", "response": {"a": [1, 2.5, None, "é"]}},
        "error": {"status": "error", "response": {"a": 1}},
        "other": {"status": "teapot", "response": {"a": 1}},
        "none": {"status": "timeout", "response": {}},
    },
    "pushes": [
        {"first": True},
        {"pushed": {"a": 1}},
        {"reply": {"status": "ok", "response": {"a": 1}}},
    ],
    "flood": {"count": 2000, "in_order": True},
    "broadcasts": {
        "reply": {"status": "ok", "response": {}},
        "to_all": [{"to": "all"}, {"to": "all"}],
        "to_others": {"to": "others"},
        "to_self": [],
    },
    "binary": {
        "reply": {"status": "ok", "response": {"binary": [2, 3]}},
        "json_reply": {"status": "ok", "response": {}},
        "push": {"binary": [2, 3]},
        "broadcast": {"binary": list("🏴‍☠️".encode())},
        "echo_intact": True,
        "echo_size": 256,
    },
    "leaving": {"reply": {"status": "ok", "response": {}}, "state": "closed"},
    "leaving_and_rejoining_at_once": {
        "echo": {"status": "ok", "response": {"alive": True}},
        "state": "joined",
    },
    "joining_twice": {
        "first": "closed",
        "echo": {"status": "ok", "response": {"from": "second"}},
        "second": "joined",
    },
    "channel_crash": {
        "error": {"reason": "channel_crash"},
        "joins": 2,
        "ping": {"status": "ok", "response": {"pong": "pong"}},
        "bystander": {"status": "ok", "response": {"alive": True}},
    },
    "channel_stop": "closed",
    "presence": {
        "together": [
            {"user": "alice", "metas": [{"online_at": 1}]},
            {"user": "bob", "metas": [{"online_at": 1, "typing": True}]},
        ],
        "heard": ["+alice", "+bob", "-bob"],
        "alone": ["alice"],
    },
    "heartbeats": {
        "seen": [{"event": "phx_reply", "payload": {"status": "ok", "response": {}}}] * 3,
        "connections": 1,
    },
    "disconnect": {
        "code": 1001,
        "joins": 2,
        "echo": {"status": "ok", "response": {"back": True}},
    },
}


@pytest.fixture(scope="module")
def conversation() -> dict[str, Any]:
    """What each step of the script saw, or how it failed."""
    node = shutil.which("node")
    assert node, "these tests need node; `make test` runs them where it is installed"
    assert (FOLDER / "node_modules" / "phoenix").is_dir(), "`make test` installs phoenix and ws"
    with PhoenixServer() as server:
        script = subprocess.run(
            [node, FOLDER / "client.mjs", server.uri],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
        )
    assert script.returncode == 0, script.stderr
    lines = map(json.loads, script.stdout.splitlines())
    return {line["step"]: line.get("saw", line.get("failed")) for line in lines}


@pytest.mark.parametrize("step", EXPECTED)
def test_the_official_client_sees(step: str, conversation: dict[str, Any]) -> None:
    assert conversation[step] == EXPECTED[step]


def test_every_step_is_expected(conversation: dict[str, Any]) -> None:
    assert conversation.keys() == EXPECTED.keys()
