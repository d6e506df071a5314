"""Who comes and goes, with the test as the server that says so."""

from __future__ import annotations

from typing import Any

import pytest

from examples.presence.client import TOPIC, Lobby
from slipstream_actor import get_state
from slipstream_actor.testing import SocketTest

URI = "ws://test.invalid/socket/websocket"


def presence(*devices: str) -> dict[str, Any]:
    """A user's presence; that there is one of each device makes its name a good phx_ref."""
    return {"metas": [{"phx_ref": device, "device": device} for device in devices]}


class Watched:
    """A client, and what it has announced."""

    def __init__(self, socket_test: SocketTest) -> None:
        self.server = socket_test
        self.lines: list[str] = []
        self.ref = socket_test.start(
            Lobby, URI, "alice", "desktop", self.lines.append, test_mode=True
        )
        self.join()

    def join(self) -> None:
        params = {"user": "alice", "device": "desktop"}
        self.server.connect_and_assert_join(self.ref, TOPIC, params)

    def state(self, **presences: Any) -> list[str]:
        self.server.push(self.ref, TOPIC, "presence_state", presences)
        return self.announced()

    def diff(self, joins: dict[str, Any], leaves: dict[str, Any]) -> list[str]:
        self.server.push(self.ref, TOPIC, "presence_diff", {"joins": joins, "leaves": leaves})
        return self.announced()

    def announced(self) -> list[str]:
        get_state(self.ref)  # It has taken what was pushed before it answers.
        taken, self.lines[:] = self.lines[:], []
        return taken


@pytest.fixture
def lobby(socket_test: SocketTest) -> Watched:
    return Watched(socket_test)


def test_the_first_state_has_all_who_are_there(lobby: Watched) -> None:
    assert lobby.state(alice=presence("desktop"), bob=presence("phone")) == [
        "alice is here",
        "bob is here",
        "online: alice (desktop), bob (phone)",
    ]


def test_a_second_device_and_its_end(lobby: Watched) -> None:
    lobby.state(bob=presence("phone"))
    assert lobby.diff({"bob": presence("laptop")}, {}) == [
        "bob is here with a laptop too",
        "online: bob (phone and laptop)",
    ]
    assert lobby.diff({}, {"bob": presence("phone")}) == [
        "bob has put the phone away",
        "online: bob (laptop)",
    ]
    assert lobby.diff({}, {"bob": presence("laptop")}) == ["bob has gone", "online: "]


def test_what_happened_in_a_gap_is_told_afterwards(lobby: Watched) -> None:
    lobby.state(bob=presence("phone"), carol=presence("tablet"))
    lobby.server.disconnect(lobby.ref)
    lobby.join()
    assert lobby.announced() == []
    assert lobby.state(carol=presence("tablet"), dave=presence("watch")) == [
        "dave is here",
        "bob has gone",
        "online: carol (tablet), dave (watch)",
    ]


def test_other_threads_may_ask(lobby: Watched) -> None:
    assert lobby.ref.proxy().online().get(timeout=5) == []
    lobby.state(bob=presence("phone"))
    assert lobby.ref.proxy().online().get(timeout=5) == ["bob (phone)"]
