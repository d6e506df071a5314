"""Recorded conversations with a real server, and a replay of them on the protocol core.

What the recorded client sent is issued as commands where our client could have sent it, and must
come out the same; what the server sent is decoded and taken in. `tests/transcripts/` and
`tests/transcripts-1.7/` hold the conversations: one JSON object per line.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from slipstream_actor.errors import SerializerError
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reasons import ClosedByClient, ClosedByPeer
from slipstream_actor.protocol.serializer import V1Serializer, V2Serializer
from tests.support.events import as_told

Row = dict[str, Any]
PROTOCOL = Path(__file__).parents[1] / "protocol"
FOLDERS = {"1.8": "transcripts", "1.7": "transcripts-1.7"}
HEARTBEAT_INTERVAL = 30.0


@dataclass(frozen=True)
class Silent:
    """A server's frame that is handled without an event."""

    event: str


@dataclass(frozen=True)
class Dropped:
    """A server's frame that is nobody's; `event` is `None` when it is no message at all."""

    event: str | None


def names(version: str = "1.8") -> list[str]:
    """The names of the recorded conversations."""
    return sorted(path.stem for path in (PROTOCOL / FOLDERS[version]).glob("*.jsonl"))


def read(name: str, version: str = "1.8") -> list[Row]:
    """The rows of a conversation."""
    path = PROTOCOL / FOLDERS[version] / f"{name}.jsonl"
    # Not `splitlines`: it also splits at the U+2028 in a payload.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def replay(name: str, version: str = "1.8") -> dict[str, Replay]:
    """Replay a conversation; returns what became of each of its websocket connections."""
    replays: dict[str, Replay] = {}
    asked: dict[str, str] = {}
    for row in read(name, version):
        conn = row.get("conn", "")
        if row["type"] == "http_request":
            asked[conn] = row["data"]
            replays.pop(conn, None)
        elif row["type"] == "http_response" and row["status"] == 101:
            replays[conn] = Replay(vsn_of(asked[conn]))
        elif conn in replays:
            replays[conn].play(row)
    for done in replays.values():
        done.finish()
    return replays


def races(name: str) -> Iterator[list[Message]]:
    """The answers of the server in a `race_*` conversation: one list per order that was seen."""
    for row in read(name):
        times, _, frames = row["data"].partition("x: ")
        assert times.isdigit()
        yield [Message(*json.loads(frame)) for frame in frames.split(" | ")]


def vsn_of(request: str) -> str:
    """The serializer's version that an upgrade request asks for: without one it is V1 (note 37)."""
    query = parse_qs(urlsplit(request.split(" ")[1]).query)
    return query.get("vsn", ["1.0.0"])[0]


class Refs:
    """A source of refs that gives out those of the recording."""

    def __init__(self) -> None:
        self.next = ""
        self.last = 0

    def use(self, ref: str) -> None:
        """`ref` is the next one."""
        self.next = ref
        self.last = max(self.last, int(ref))


@dataclass
class Replay:
    """One connection. Every push that could be ours is an awaited one."""

    vsn: str
    # What the server's frames led to, in their order.
    outcomes: list[Any] = field(default_factory=list)
    # How many of the recorded client's frames were compared with ours, and how many were not ours.
    compared: int = 0
    raw: int = 0
    # The refs of its pushes.
    pushed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.v1 = self.vsn.startswith("1.")
        self.serializer = V1Serializer() if self.v1 else V2Serializer()
        self.refs = Refs()
        self.used: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.now = 0.0
        self.closed = False
        self.protocol = Protocol(
            next_ref=lambda: self.refs.next,
            has_join_refs=not self.v1,
            heartbeat_interval=HEARTBEAT_INTERVAL,
            join_timeout=math.inf,
        )
        self.protocol.start(self.now)

    def play(self, row: Row) -> None:
        """Take in one row of the recording."""
        if self.closed:
            return
        if row["dir"] == "recv" and row["type"] in ("text", "binary"):
            self._receive(row)
        elif row["dir"] == "recv" and row["type"] == "close":
            self._close(ClosedByPeer(1005 if row["code"] is None else row["code"]))
        elif row["dir"] == "send" and row["type"] in ("text", "binary"):
            sent = read_sent(row, v1=self.v1)
            if sent is None or not self._issue(sent):
                self.raw += 1

    def finish(self) -> None:
        """The conversation is over."""
        self._close(ClosedByClient())

    def _close(self, reason: Any) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.close(reason)
            self._take_events()

    # what the client sent

    def _issue(self, sent: Message) -> bool:
        """Issue what was sent as a command; `False` when our client never sends it so."""
        if sent.ref is None or not sent.ref.isdecimal():
            return False
        fresh, self.used = sent.ref not in self.used, self.used | {sent.ref}
        self.refs.use(sent.ref)
        if not fresh:
            return False
        if sent.event == "phx_join":
            return self._join(sent)
        if sent.event == "phx_leave":
            return self._leave(sent)
        if sent.topic == "phoenix":
            return self._beat(sent)
        return self._push(sent)

    def _join(self, sent: Message) -> bool:
        if sent.join_ref is None and not self.v1:
            return False
        # The recording client has joins with two refs. Ours are the same; the server echoes both.
        join_ref = sent.join_ref or sent.ref
        assert join_ref is not None
        if sent.ref != join_ref:
            self.aliases[str(sent.ref)] = join_ref
            sent = Message(join_ref, join_ref, *wire(sent)[2:])
        self.protocol.join(JoinTopic(sent.topic, sent.payload, join_ref), self.now)
        return self._compare(sent)

    def _leave(self, sent: Message) -> bool:
        current = self.protocol.current_join_ref(sent.topic)
        if current is None or (sent.join_ref != current and not self.v1) or sent.payload != {}:
            return False
        self.protocol.leave(sent.topic, self.now)
        # A second leave of ours waits for the first.
        return bool(self.protocol.outgoing) and self._compare(sent)

    def _beat(self, sent: Message) -> bool:
        if (sent.join_ref, sent.event, sent.payload) != (None, "heartbeat", {}):
            return False
        due = self.protocol.next_deadline()
        assert due is not None
        self.now = due
        self.protocol.handle_timer(self.now)
        return self._compare(sent)

    def _push(self, sent: Message) -> bool:
        join_ref = sent.join_ref
        if join_ref is None and self.v1:
            join_ref = self.protocol.current_join_ref(sent.topic)
        if join_ref is None or not join_ref.isdecimal():
            return False
        ours = Message(join_ref, *wire(sent)[1:])
        command = PushMessage(sent.topic, sent.event, sent.payload, sent.ref, join_ref, None, True)
        # With the join_ref of a former join it fails at once: one that was under way.
        self.protocol.push(command, self.now)
        self._take_events()
        self.pushed.add(str(sent.ref))
        self.protocol.outgoing.append(ours)
        return self._compare(sent)

    def _compare(self, sent: Message) -> bool:
        """Hold what we send against what was accepted there, as values."""
        [message] = self.protocol.outgoing
        self.protocol.outgoing.clear()
        data = self.serializer.encode(message)
        ours = read_binary(data) if isinstance(data, bytes) else read_text(data, v1=self.v1)
        assert ours is not None
        wanted, got = wire(sent), wire(ours)
        if self.v1 and wanted[0] is None:
            # We send a join_ref in V1 too, the recording client mostly does not.
            wanted, got = wanted[1:], got[1:]
        assert same(wanted, got), f"sent {got}, accepted was {wanted}"
        self.compared += 1
        return True

    # what the server sent

    def _receive(self, row: Row) -> None:
        data: str | bytes = row["data"]
        try:
            if row["type"] == "binary":
                message = self.serializer.decode(base64.b64decode(row["data"]))
            else:
                message = self.serializer.decode_text(data)
        except SerializerError:
            self.outcomes.append(Dropped(None))
            return
        if message.event == "phx_reply" and message.ref in self.aliases:
            ref = self.aliases[message.ref]
            message = Message(message.join_ref, ref, *wire(message)[2:])
        taken = self.protocol.receive(message, self.now)
        if not taken:
            assert not self.protocol.events
            self.outcomes.append(Dropped(message.event))
        elif not self.protocol.events:
            self.outcomes.append(Silent(message.event))
        self._take_events()

    def _take_events(self) -> None:
        self.outcomes += as_told(self.protocol.events)
        self.protocol.events.clear()


# an independent reading of the client's frames


def read_sent(row: Row, *, v1: bool) -> Message | None:
    """The message of a recorded client's frame; `None` when it is none."""
    if row.get("raw") is not None or row.get("data_b64") is not None:
        return None
    if row["type"] == "binary":
        return None if v1 else read_binary(base64.b64decode(row["data"]))
    return read_text(row["data"], v1=v1)


def read_text(text: str, *, v1: bool) -> Message | None:
    """The message of a text frame."""
    try:
        value = json.loads(text)
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None
    if v1:
        if not isinstance(value, dict) or {"topic", "event", "payload", "ref"} - value.keys():
            return None
        value = [value.get("join_ref"), *(value[k] for k in ("ref", "topic", "event", "payload"))]
    if not isinstance(value, list) or len(value) != 5:
        return None
    join_ref, ref, topic, event, _ = value
    if not all(isinstance(part, str | None) for part in (join_ref, ref)):
        return None
    if not isinstance(topic, str) or not isinstance(event, str):
        return None
    return Message(*value)


def read_binary(data: bytes) -> Message | None:
    """The message of a client's binary push (note 25)."""
    if len(data) < 5 or data[0] != 0:
        return None
    parts, at = [], 5
    for size in data[1:5]:
        if at + size > len(data):
            return None
        parts.append(data[at : at + size].decode())
        at += size
    join_ref, ref, topic, event = parts
    return Message(join_ref or None, ref or None, topic, event, data[at:])


def wire(message: Message) -> list[Any]:
    """A message as a list, in the order of V2."""
    return [message.join_ref, message.ref, message.topic, message.event, message.payload]


def same(wanted: Any, got: Any) -> bool:
    """Whether two JSON values are the same: types count, the order of keys does not."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(same(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(same, wanted, got))
    return type(wanted) is type(got) and bool(wanted == got)
