"""One cell of the matrix of commands: a client is brought to a state, the fault comes, the command
is given, and the fault is healed.

What then holds, whatever the fault: each `handle_connect` has its `handle_disconnect`, each leave
its `handle_leave`, each push its outcome, and the client is where it wants to be.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from slipstream_actor import (
    ClientEndedError,
    ClosedByClient,
    ConnectFailed,
    NotConnectedError,
    NotJoinedError,
    Ref,
    Socket,
    connect,
    get_state,
)
from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer
from slipstream_actor.testing.server.endpoint import ConnectRequest
from tests.integration.command_matrix import ONCE, TOPIC, Command, State
from tests.integration.fault_cell import SCHEDULE, STOP_WITHIN, Story
from tests.integration.fault_matrix import Fault, Moment
from tests.support.clients import PATIENCE, Recorder, eventually

MINUTE = 60_000
OPTIONS: dict[str, Any] = {
    "connect_timeout_msec": 300,
    "join_timeout_msec": 300,
    "heartbeat_interval_msec": 200,
    "close_timeout_msec": 150,
    "reconnect_jitter_msec": 0,
    "rejoin_after_msec": SCHEDULE,
    "rejoin_jitter_msec": 0,
}
MOMENTS: dict[State, Moment] = {"connecting": "upgrade", "joining": "join"}
"""As which moment the faults see a state; all others are idle."""


class Room(Channel):
    """Replies to everything, is held at its join, and crashes when it is told to."""

    server: GatedServer

    def join(self, params: Any) -> None:
        self.server.hold("joining")
        self.server.joined[self.topic] += 1

    def handle_in(self, event: str, payload: Any) -> str:
        if event == "crash":
            raise ChannelCrashedOnPurpose
        return "ok"

    def terminate(self, reason: Any) -> None:
        self.server.joined[self.topic] -= 1


class ChannelCrashedOnPurpose(Exception):
    """A channel was told to crash."""


class GatedServer(PhoenixServer):
    """A server that stands still in one state of its first client, until `gate` is set."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state
        self.gate = threading.Event()
        self.reached = threading.Event()
        self.joined: Counter[str] = Counter()
        room = type("RoomOfThisServer", (Room,), {"server": self})
        super().__init__({"room:*": room})

    def connect(self, request: ConnectRequest) -> None:
        self.hold("connecting")

    def hold(self, state: State) -> None:
        """Say that the state has come, and wait; nothing when it is not the one."""
        if state == self.state and not self.gate.is_set():
            self.reached.set()
            self.gate.wait(PATIENCE)


class Told(Recorder):
    """Records, and does what belongs to a command in its callbacks. It waits when `holds`."""

    def init(self, uri: str, log: Any, command: Command) -> Socket:  # type: ignore[override]
        self.log = log
        self.command = command
        self.holds = command.state in ("closed", "waiting")
        return connect(uri, reconnect_after_msec=self.policy, **OPTIONS).join(TOPIC)

    def policy(self, attempt: int) -> int:
        """Milliseconds to the next attempt; without end, for who is to be found waiting."""
        if self.holds and self.command.state == "waiting":
            return MINUTE
        return SCHEDULE[min(attempt, len(SCHEDULE)) - 1]

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.note("disconnect", reason)
        if isinstance(reason, ClosedByClient):
            return socket
        return socket.reconnect()

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        self.note("topic_close", topic, reason)
        return socket if self.holds else socket.rejoin(topic)

    def handle_leave(self, topic: str, socket: Socket) -> Any:
        self.note("leave", topic)
        return socket.forget(topic) if self.command.forgets else socket


class Subject:
    """The client of a cell, seen from the test."""

    def __init__(self, uri: str, command: Command) -> None:
        self.story = Story()
        self.command = command
        self.asked: list[Ref] = []
        self.refused = 0
        self.ref = Told.start(uri, self.story, command)

    def do(self, function: Any) -> Any:
        return self.ref.proxy().do(function).get(timeout=PATIENCE)

    @property
    def socket(self) -> Socket:
        socket: Socket = get_state(self.ref).socket
        return socket

    def push(self, topic: str = TOPIC, event: str = "say", **options: Any) -> Ref | None:
        """Push with an outcome; `None` when that is an error, at once."""
        try:
            ref: Ref = self.do(lambda s: s.push(topic, event, reply_timeout=0.4, **options))
        except (NotConnectedError, NotJoinedError):
            self.refused += 1
            return None
        self.asked.append(ref)
        return ref

    def reach(self, server: GatedServer) -> None:
        """Return when the client is in the state that the command is given in."""
        state = self.command.state
        if state in ("connecting", "joining"):
            assert server.reached.wait(PATIENCE)
        else:
            self.story.take("join", TOPIC)
        if state == "closed":
            self.push(event="crash")
            self.story.take("topic_close", TOPIC)
        elif state == "waiting":
            server.drop()
            self.story.take("disconnect")
        elif state == "disconnected":
            self.do(lambda s: s.disconnect())
            self.story.take("disconnect")
        expected = {"joining": "connected", "joined": "connected", "closed": "connected"}
        assert self.socket.status == expected.get(state, state)

    def give(self, other: str) -> None:
        """Give the command, pushes before and behind it."""
        self.push()
        self.ref.proxy().holds = False
        self.do(lambda s: self.command.give(s, other))
        self.push()
        self.push(buffer=True)

    def has_felt(self, fault: Fault, since: float) -> bool:
        """Whether the fault has done to the client what it can."""
        if self.command.where == "away":
            return self.socket.status == "disconnected"
        if self.command.where == "other" or fault.kind == "harmless" or fault.name in ONCE:
            return self.is_as_wanted()
        ends = (
            entry[-1]
            for at, entry in self.story.entries
            if at > since and entry[0] in ("disconnect", "topic_close")
        )
        return any(not isinstance(reason, ClosedByClient) for reason in ends)

    def is_as_wanted(self) -> bool:
        """Whether the socket says that the client is where it is to be."""
        socket, command = self.socket, self.command
        if command.where == "away":
            return socket.status == "disconnected"
        joined = {topic for topic in socket.joins if socket.joined(topic)}
        known = TOPIC in socket.joins
        return socket.connected and joined == command.topics and known != command.forgets

    def is_answered(self) -> bool:
        """Whether the server is of the same opinion: each topic's push has its reply, and so has
        every heartbeat, where there is a connection: one that the fault has swallowed ends it."""
        try:
            self.do(lambda s: s.ping(PATIENCE) if s.connected else None)
            channel = self.socket.channel_pid
            if channel is not None and "heartbeat" in get_state(channel).refs.values():
                return False
        except (NotConnectedError, ClientEndedError):
            return False
        refs = [self.push(topic) for topic in self.command.topics]
        return all(ref is not None and self._is_answered(ref) for ref in refs)

    def _is_answered(self, ref: Ref) -> bool:
        eventually(lambda: self.story.was_answered(ref) is not None, f"an outcome of {ref}")
        return bool(self.story.was_answered(ref))

    def count(self, name: str) -> int:
        return sum(entry[0] == name for _, entry in self.story.entries)

    def check_pairs(self) -> None:
        """Each connection has ended once before the next one; attempts fail in between."""
        is_up, ended_attempts = False, 0
        for _, (name, *arguments) in self.story.entries:
            if name == "connect":
                assert not is_up
                is_up = True
            elif name == "disconnect" and is_up:
                assert not isinstance(arguments[0], ConnectFailed)
                is_up = False
            elif name == "disconnect" and not isinstance(arguments[0], ConnectFailed):
                assert isinstance(arguments[0], ClosedByClient)
                ended_attempts += 1
        assert ended_attempts <= self.command.disconnects
        assert is_up == (self.command.where != "away")

    def check_leaves(self) -> None:
        """As many as asked for, and before a later join."""
        names = [entry[0] for _, entry in self.story.entries if entry[1:2] == (TOPIC,)]
        assert names.count("leave") == self.command.leaves
        if self.command.leaves and TOPIC in self.command.topics:
            assert "leave" not in names[len(names) - 1 - names[::-1].index("join") :]

    def check_outcomes(self) -> None:
        """One for each push that was accepted."""
        assert self.story.outcomes() == Counter(self.asked)


def run(command: Command, fault: Fault) -> None:
    """Go through a cell, and assert what it is to show."""
    moment = MOMENTS.get(command.state, "idle")
    here, other = GatedServer(command.state), GatedServer()
    with here, other, FaultProxy(here.uri) as proxy:
        subject = Subject(proxy.uri, command)
        try:
            subject.reach(here)
            since = time.monotonic()
            fault.apply(proxy, moment)
            subject.give(other.uri)
            here.gate.set()
            eventually(lambda: subject.has_felt(fault, since), f"the effect of {fault.name}")
            subject.push()
            proxy.heal()
            eventually(
                lambda: subject.is_as_wanted() and subject.is_answered(),
                f"what {command} is to lead to; it was {subject.socket}",
            )
            check(subject, here, other)
        finally:
            here.gate.set()
            begun = time.monotonic()
            subject.ref.stop()
        assert time.monotonic() - begun < STOP_WITHIN


def check(subject: Subject, here: GatedServer, other: GatedServer) -> None:
    """What holds in the end."""
    command = subject.command
    eventually(lambda: subject.story.outcomes() == Counter(subject.asked), "every outcome")
    eventually(lambda: subject.count("leave") >= command.leaves, "every leave")
    for server, where in ((here, "here"), (other, "other")):
        wanted = command.topics if command.where == where else frozenset()
        eventually(
            lambda server=server, wanted=wanted: set(+server.joined) == wanted,  # type: ignore[misc]
            f"{set(wanted)} at {where}",
        )
    subject.do(lambda s: None)  # Behind the callback of what the socket says already.
    subject.check_pairs()
    subject.check_leaves()
    subject.check_outcomes()
