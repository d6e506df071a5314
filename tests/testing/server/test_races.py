"""What timing decides: each outcome that a real server was seen to have, and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.testing.server.raw_client import Frame, RawClient, encode_frame

TOPIC = "test:good"
OK = {"response": {}, "status": "ok"}
ROUNDS = 50


def reply(ref: str, payload: Any = OK, join_ref: str | None = "1") -> list[Any]:
    return [join_ref, ref, TOPIC, "phx_reply", payload]


CLOSED = ["1", "1", TOPIC, "phx_close", {}]
CRASHED = ["1", "1", TOPIC, "phx_error", {"reason": "channel_crash"}]
PONG = {"response": {"pong": "pong"}, "status": "ok"}
UNMATCHED = {"response": {"reason": "unmatched topic"}, "status": "error"}


def conversation(client: RawClient, messages: list[list[Any]], one_segment: bool) -> list[Any]:
    """→ what comes for `messages`, but for what another join and a ping behind it bring."""
    client.message("1", "1", TOPIC, "phx_join", {})
    assert client.receive() == Frame("text", reply("1"))
    frames = [encode_frame("text", json.dumps(message).encode()) for message in messages]
    for data in [b"".join(frames)] if one_segment else frames:
        client.send(data)
    client.message("9", "9", "test:good", "phx_join", {})
    client.message("9", "10", "test:good", "ping", {})
    came = []
    while (frame := client.receive()).value != reply("10", PONG, "9"):
        assert frame.kind == "text"
        if frame.value != reply("9", join_ref="9"):
            came.append(frame.value)
    return came


@pytest.mark.parametrize("one_segment", [True, False])
@pytest.mark.parametrize(
    ("messages", "possible"),
    [
        pytest.param(
            [["1", "2", TOPIC, "phx_leave", {}], ["3", "3", TOPIC, "phx_join", {}]],
            [
                [reply("3", join_ref="3"), CLOSED],
                [reply("3", join_ref="3"), reply("2"), CLOSED],
                [reply("2"), CLOSED, reply("3", join_ref="3")],
                [reply("2"), reply("3", join_ref="3"), CLOSED],
            ],
            id="leave and rejoin",
        ),
        pytest.param(
            [["3", "3", TOPIC, "phx_join", {}]],
            [[reply("3", join_ref="3"), CLOSED]],
            id="duplicate join",
        ),
        pytest.param(
            [["1", "2", TOPIC, "phx_leave", {}], ["1", "3", TOPIC, "phx_leave", {}]],
            [[reply("2"), CLOSED], [reply("2"), CLOSED, reply("3")], [CLOSED]],
            id="leave twice",
        ),
        pytest.param(
            [["1", "2", TOPIC, "raise", {}], ["1", "3", TOPIC, "ping", {}]],
            [[CRASHED], [CRASHED, reply("3", UNMATCHED, None)], [CLOSED]],
            id="push behind a crash",
        ),
        pytest.param(
            [["1", "2", TOPIC, "phx_leave", {}], ["1", "3", TOPIC, "ping", {}]],
            [[reply("2"), CLOSED], [reply("2"), CLOSED, reply("3", UNMATCHED, None)], [CLOSED]],
            id="push behind a leave",
        ),
    ],
)
def test_race(
    server: PhoenixServer, messages: list[Any], possible: list[Any], one_segment: bool
) -> None:
    """The join behind it all may close a channel with the ref 3, which is nobody's business."""
    last = ["3", "3", TOPIC, "phx_close", {}]
    for _ in range(ROUNDS):
        with RawClient(server.host, server.port) as client:
            assert client.upgrade().status == 101
            came = conversation(client, messages, one_segment)
            assert [message for message in came if message != last] in possible


def test_nothing_of_a_replaced_channel_comes_after_its_close(server: PhoenixServer) -> None:
    with RawClient(server.host, server.port) as client:
        assert client.upgrade().status == 101
        for n in range(ROUNDS):
            client.message(str(n), str(n), "bench:a", "phx_join", {})
            client.message(str(n), "f", "bench:a", "flood", {"n": 1000, "size": 1})
        client.message("end", "end", "bench:a", "phx_join", {})
        closed: set[str] = set()
        current = -1
        while (message := client.receive().value)[1] != "end":
            join_ref, _, _, event, _ = message
            assert join_ref not in closed
            if event == "phx_close":
                closed.add(join_ref)
            elif event == "phx_reply" and message[1] == join_ref:
                current += 1
                assert join_ref == str(current)
