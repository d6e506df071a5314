"""One cell of the matrix: a client is brought to a moment, the fault comes, and is healed.

Beside the client that is to live through it there is one that is stopped in the midst of it, and
to which no timeout comes to help.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import socket as sockets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pykka
import trustme

from slipstream_actor import (
    ClosedByPeer,
    ConnectFailed,
    NotConnectedError,
    NotJoinedError,
    Ref,
    Socket,
    connect,
    get_state,
)
from slipstream_actor.testing import FaultProxy
from tests.integration.fault_matrix import PATIENT, Fault, Moment, Scheme
from tests.support.clients import PATIENCE, Log, Recorder, eventually
from tests.support.raw_server import (
    CLOSE,
    DEADLINE,
    PING,
    PONG,
    TEXT,
    Gone,
    Peer,
    RawServer,
    frame,
    switching,
)

BIG = "x" * (8 * 1024 * 1024)
STOP_WITHIN = 10.0
"""Seconds; the timeouts of the client that is stopped are three times as long."""
SLACK = 8.0
"""Seconds that a machine which does other things too may add to a schedule."""
TIMEOUTS = {"ConnectFailed timeout", "JoinTimeout", "HeartbeatTimeout"}
SCHEDULE = [1, 2, 5, 10]

OPTIONS: dict[str, Any] = {
    "reconnect_after_msec": SCHEDULE,
    "reconnect_jitter_msec": 0,
    "rejoin_after_msec": SCHEDULE,
    "close_timeout_msec": 150,
    "buffer_max_age_msec": 60_000,
    # A big push is half written for sure, since the system takes little of it.
    "sockopt": [(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 65_536)],
}


class Missed(Exception):
    """The moment was over before the fault came: the machine was slow, or the client wrong."""


class HeldServer(RawServer):
    """A good server that stops at a moment of its first connections, until `gate` is set."""

    def __init__(self, moment: Moment, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(self.converse, ssl_context=ssl_context)
        # What the system takes in of a big push is to have an end.
        self._listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65_536)
        self.moment = moment
        self.gate = threading.Event()
        self.reached: queue.Queue[Moment] = queue.Queue()

    def hold(self, moment: Moment) -> None:
        """Say that the moment has come, and wait; nothing when it is not the one."""
        if moment != self.moment or self.gate.is_set():
            return
        self.reached.put(moment)
        deadline = time.monotonic() + DEADLINE
        while not self.gate.wait(0.05):
            if self.stopping.is_set():
                raise Gone
            assert time.monotonic() < deadline, "the test opened no gate"

    @contextmanager
    def _secured(self, sock: sockets.socket) -> Iterator[sockets.socket]:
        try:
            if self._ssl_context is not None and self.moment == "tls":
                sock.recv(1, sockets.MSG_PEEK)
                self.hold("tls")
        except (Gone, OSError) as error:
            sock.close()
            raise Gone from error
        with super()._secured(sock) as stream:
            yield stream

    def converse(self, peer: Peer) -> None:
        """Upgrade, and answer until the client closes."""
        request = peer.request()
        self.hold("upgrade")
        peer.send(switching(request))
        while (came := peer.frame()).opcode != CLOSE:
            if came.opcode == PING:
                peer.send(frame(PONG, came.payload))
            elif came.opcode == TEXT:
                self.answer(peer, came.message)
        self.hold("closing")
        peer.send(frame(CLOSE, came.payload))

    def answer(self, peer: Peer, asked: list[Any]) -> None:
        """Join, and reply to all else."""
        event = asked[3]
        if event == "phx_join":
            self.hold("join")
        elif event == "held":
            self.hold("reply")
        peer.reply(asked)
        if event == "phx_join":
            self.hold("push")


class Story(Log):
    """A log that forgets nothing, and knows when it was."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[float, Any]] = []

    def put(self, entry: Any, block: bool = True, timeout: float | None = None) -> None:
        self.entries.append((time.monotonic(), entry))
        super().put(entry, block, timeout)

    def ends(self) -> list[tuple[float, str]]:
        """When a connection, an attempt or a join ended, and why."""
        return [
            (at, shown(entry[-1]))
            for at, entry in self.entries
            if entry[0] in ("disconnect", "topic_close")
        ]

    def joined_at(self) -> float | None:
        """When it was joined, if that was the last that it has seen."""
        seen = [(at, e) for at, e in self.entries if e[0] in ("join", "disconnect", "topic_close")]
        return seen[-1][0] if seen and seen[-1][1][0] == "join" else None

    def outcomes(self) -> Counter[Ref]:
        """How many outcomes each push has had."""
        told = ("reply", "push_failed")
        return Counter(entry[1] for _, entry in self.entries if entry[0] in told)

    def was_answered(self, ref: Ref) -> bool | None:
        """Whether a push had a reply; `None` when it has no outcome yet."""
        for _, entry in self.entries:
            if entry[0] in ("reply", "push_failed") and entry[1] == ref:
                return bool(entry[0] == "reply")
        return None


def shown(reason: Any) -> str:
    """A reason's name, and what kind of it."""
    detail = getattr(reason, "kind", None) or getattr(reason, "code", None)
    name = type(reason).__name__
    return f"{name} {detail}" if isinstance(reason, ConnectFailed | ClosedByPeer) else name


class Returning(Recorder):
    """Joins, and comes back from its own `disconnect` too."""

    def init(self, uri: str, log: Any, topic: str = "", **options: Any) -> Socket:
        self.log = log
        return connect(uri, **options).join(topic)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        return super().handle_disconnect(reason, socket).reconnect()


class Client:
    """One of the two clients of a cell, seen from the test."""

    def __init__(self, server: HeldServer, uri: str, topic: str, options: dict[str, Any]) -> None:
        self.server = server
        self.topic = topic
        self.story = Story()
        self.asked: list[Ref] = []
        self._written = 0
        self.ref: pykka.ActorRef[Returning] = Returning.start(
            uri, self.story, topic, **{**OPTIONS, **options}
        )

    def do(self, function: Any) -> Any:
        return self.ref.proxy().do(function).get(timeout=PATIENCE)

    def push(self, event: str = "say", payload: Any = None, **options: Any) -> Ref | None:
        """Push with an outcome; `None` when that is an error, at once."""
        options = {"reply_timeout": 60, **options}
        try:
            ref: Ref = self.do(lambda s: s.push(self.topic, event, payload or {}, **options))
        except (NotConnectedError, NotJoinedError):
            return None
        self.asked.append(ref)
        return ref

    def push_both(self) -> list[Ref | None]:
        """Push with and without a buffer."""
        return [self.push(), self.push(buffer=True)]

    def reach(self, moment: Moment) -> None:
        """Return when the client is at the moment, and held there."""
        if moment in ("connect", "tls", "upgrade", "join"):
            if moment != "connect":
                self._await(self._is_held)
            self.push_both()
            return
        self._await(self.story.joined_at)
        if moment == "push":
            self._await(self._is_held)
            self._await(self._is_writing)
        elif moment == "reply":
            self.push("held")
            self.push_both()
            self._await(self._is_held)
        else:
            self.push_both()
            self._await(self.settled)
        if moment == "closing":
            self.do(lambda s: s.disconnect())
            self._await(self._is_held)

    def _await(self, condition: Callable[[], Any]) -> None:
        """Wait for a step on the way to the moment. Raises `Missed` when it is past."""

        def is_true() -> Any:
            if self.story.ends():
                raise Missed
            return condition()

        eventually(is_true, f"{condition.__name__} on the way to {self.server.moment}")

    def _is_held(self) -> bool:
        with contextlib.suppress(queue.Empty):
            return self.server.reached.get_nowait() == self.server.moment
        return False

    def _is_writing(self) -> bool:
        """Whether a part of a push is written, and the rest cannot be."""
        connection = get_state(self.ref).connection
        if connection is None:
            return False
        counters = get_state(connection).counters
        if not counters.bytes_pending:
            self.push("big", {"pad": BIG})
        written, self._written = self._written, counters.bytes_out
        return counters.bytes_pending > 0 and written == self._written > 65_536

    def stop(self) -> None:
        """Stop, in bounded time, and with the connection that there is."""
        connection: Any = get_state(self.ref).connection
        begun = time.monotonic()
        self.ref.stop()
        took = time.monotonic() - begun
        assert took < STOP_WITHIN, f"stop took {took:.2f} s"
        assert connection is None or connection.actor_inbox.ended.done

    def sees(self, fault: Fault, moment: Moment) -> list[str]:
        """Wait until the client has seen what it is to see; return that."""
        expected, then = fault.expected(moment), fault.then

        def seen() -> list[str] | None:
            ends = [what for _, what in self.story.ends()]
            if not ends or (then is not None and then not in ends):
                return None
            return ends[:1] if then in (None, ends[0]) else [ends[0], then]

        if not expected:
            eventually(self.story.joined_at, "a join under the fault")
            return []
        ends: list[str] = eventually(seen, f"the end of {fault.name} at {moment}")
        if ends[0] in TIMEOUTS and fault.kind != "silent" and ends[0] not in expected:
            raise Missed
        assert ends[0] in expected, f"{self.story.ends()}, and not first one of {expected}"
        return ends

    def answered(self) -> None:
        """Wait until pushes of both sorts are answered; others may fail on the way."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            refs = self.push_both()
            if None not in refs and all(self._outcome(ref) for ref in refs):
                return
        raise AssertionError(f"no push is answered: {self.story.ends()}")

    def _outcome(self, ref: Any) -> bool:
        eventually(lambda: self.story.was_answered(ref) is not None, f"an outcome of {ref}")
        return bool(self.story.was_answered(ref))

    def settled(self) -> bool:
        """Whether every push has its outcome."""
        return set(self.story.outcomes()) == set(self.asked)

    def check_outcomes(self, sent: Counter[tuple[str, str]]) -> None:
        """Every push has one outcome, and none was sent twice."""
        assert self.story.outcomes() == Counter(self.asked)
        assert len(set(self.asked)) == len(self.asked)
        assert all(sent[self.topic, ref] <= 1 for ref in self.asked)


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and that of a client which trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def run(scheme: Scheme, moment: Moment, fault: Fault) -> str:
    """Go through a cell, assert what it is to show, and return what the client saw and when."""
    for _ in range(8):
        try:
            return attempt(scheme, moment, fault)
        except Missed:
            pass
    raise AssertionError("the moment cannot be hit")


def attempt(scheme: Scheme, moment: Moment, fault: Fault) -> str:
    """Go through a cell once. Raises `Missed`."""
    server_context, client_context = contexts() if scheme == "wss" else (None, None)
    options = {**fault.options(moment), "ssl_context": client_context}
    # Its close is still to be under way when the other one's is.
    patient = {**PATIENT, "ssl_context": client_context, "close_timeout_msec": 400}
    server = HeldServer(moment, server_context)
    with server, FaultProxy(server.uri) as proxy:
        clients: list[Client] = []
        try:
            applied = time.monotonic()
            if moment == "connect":
                fault.apply(proxy, moment)
            for topic, given in (("room:doomed", patient), ("room:living", options)):
                clients.append(Client(server, proxy.uri, topic, given))
                clients[-1].reach(moment)
            doomed, living = clients
            text = live_through(proxy, moment, fault, doomed, living, applied)
        finally:
            server.gate.set()
            for client in clients:
                client.ref.stop()
    sent = Counter(
        (came.message[2], came.message[1]) for came in server.frames.queue if came.opcode == TEXT
    )
    for client in clients:
        client.check_outcomes(sent)
    return text


def live_through(
    proxy: FaultProxy, moment: Moment, fault: Fault, doomed: Client, living: Client, applied: float
) -> str:
    """From the fault to its healing, and a little further."""
    if moment != "connect":
        applied = time.monotonic()
        fault.apply(proxy, moment)
        if any(at < applied for client in (doomed, living) for at, _ in client.story.ends()):
            raise Missed
    living.server.gate.set()
    if moment != "idle":
        living.push_both()
    doomed.stop()
    ends = living.sees(fault, moment)
    living.push_both()
    proxy.heal()
    healed = time.monotonic()
    joined = eventually(living.story.joined_at, "a join after the fault")
    limit = sum(fault.options(moment).values()) / 1000 if fault.kind == "silent" else 0.0
    assert joined - healed < limit + SCHEDULE[-1] / 1000 + SLACK, living.story.ends()
    living.answered()
    eventually(living.settled, "an outcome of every push")
    if not ends:
        return "unharmed"
    since = joined - (healed if joined > healed else applied)
    return f"{', '.join(ends)}; {max(0, round(since * 1000))} ms"
