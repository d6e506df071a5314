"""What `doctor` does: the steps to a joined topic, one after the other, with the client's own code.

Each step is a function of an `Examination`, says what it found, and raises `StepFailed`.
"""

from __future__ import annotations

import datetime
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from slipstream_actor.cli.blocking_waiter import BlockingWaiter
from slipstream_actor.cli.exits import Exit, status_of
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import server_name
from slipstream_actor.connection.decoding import Decoding
from slipstream_actor.connection.opening import evaluate
from slipstream_actor.errors import one_line
from slipstream_actor.protocol.hints import DecodingFailed, hint
from slipstream_actor.protocol.message import OWN_TOPIC, Message
from slipstream_actor.protocol.reason_texts import text_of
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ClosedByServer,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
)
from slipstream_actor.protocol.serializer import frame_of
from slipstream_actor.wire.addresses import Address, in_order
from slipstream_actor.wire.dial import dial_proxy, handshake, resolve, set_options
from slipstream_actor.wire.frames import Data
from slipstream_actor.wire.proxies import proxy_for
from slipstream_actor.wire.race import Race
from slipstream_actor.wire.waiter import AttemptFailed
from slipstream_actor.wire.websocket import Transport, upgrade

__all__ = ["STEPS", "Examination", "Step"]

Result: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

# A certificate that ends in less than these days is worth a word.
SOON_DAYS = 14
# Which part of TLS a hint is about; all others are about the handshake.
TLS_PARTS = {
    "certificate-authority": "chain",
    "certificate-name": "host",
    "certificate-expired": "expiry",
    "clock": "expiry",
    "http2": "alpn",
}


@dataclass
class Step:
    """What came of one step; `seconds` is how long it took."""

    name: str
    result: Result = "skipped"
    detail: str = ""
    seconds: float = 0.0
    hint: str | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)
    status: Exit = Exit.OK

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        shown = {
            "step": self.name,
            "result": self.result,
            "detail": self.detail,
            "milliseconds": round(self.seconds * 1000, 1),
        }
        if self.hint is not None:
            shown["hint"] = self.hint
        if self.parts:
            shown["parts"] = self.parts
        return shown


class StepFailed(Exception):
    """A step has failed for `reason`; the steps behind it are not taken if it is `fatal`."""

    def __init__(self, reason: Any, *, fatal: bool = True) -> None:
        super().__init__(text_of(reason))
        self.reason = reason
        self.fatal = fatal


class Skipped(Exception):
    """There is nothing to do in a step."""


class Examination:
    """One way to a server, and how far one comes on it; `run` yields the steps as they end."""

    def __init__(
        self, config: Configuration, topic: str | None, params: Any, seconds: float
    ) -> None:
        self.config = config
        self.topic = topic
        self.params = params
        self.seconds = seconds
        self.proxy: str | None = proxy_for(config)
        self.addresses: list[Address] = []
        self.sock: socket.socket | None = None
        self.transport: Transport | None = None
        self.answer: Message | None = None
        self.beat_at: float | None = None
        self.beat_failure: Any = None
        self._refs = itertools.count(1)
        self._waiting: list[Message] = []
        self._decoding = Decoding(config, lambda failure, count: None)

    def run(self) -> Iterator[Step]:
        """Take the steps, and yield each when it has ended."""
        over = False
        try:
            for name, function in STEPS.items():
                step = Step(name, detail="not reached")
                if not over:
                    over = self._take(step, function)
                yield step
        finally:
            self.close()

    def close(self) -> None:
        """Close what is open."""
        if self.transport is not None:
            self.transport.send_close(1000)
            self.transport.free()
        elif self.sock is not None:
            self.sock.close()

    def waiter(self) -> BlockingWaiter:
        """Return what a step waits with."""
        return BlockingWaiter(self.seconds)

    def _take(self, step: Step, function: Callable[[Examination, Step], str]) -> bool:
        """Take a step; return whether no other can be taken after it."""
        began = time.monotonic()
        over = False
        try:
            step.detail = function(self, step)
            step.result = "warning" if step.result == "warning" else "ok"
        except Skipped as skipped:
            step.detail = str(skipped)
        except (StepFailed, AttemptFailed) as failed:
            step.result, step.detail = "failed", text_of(failed.reason)
            known = hint(failed.reason, self.config.uri.path)
            step.hint = None if known is None else str(known)
            step.status = status_at(step.name, failed.reason)
            over = not isinstance(failed, StepFailed) or failed.fatal
        # A step may have been taken while another one was.
        step.seconds = step.seconds or time.monotonic() - began
        return over

    # messages

    def send(self, topic: str, event: str, payload: Any, join_ref: str | None = None) -> str:
        """Send a message, and return its ref."""
        assert self.transport is not None
        assert self.config.serializer is not None
        ref = str(next(self._refs))
        join_ref = ref if event == "phx_join" else join_ref
        message = Message(join_ref, ref, topic, event, payload)
        self.transport.send([frame_of(self.config.serializer, message)])
        return ref

    def receive(self, wanted: Callable[[Message], bool], waiter: BlockingWaiter) -> Message:
        """Return the next message that is wanted; the others are passed over.

        Raises `StepFailed` when the connection ends or a message is none, and `AttemptFailed` at
        the deadline.
        """
        while True:
            while self._waiting:
                message = self._waiting.pop(0)
                if wanted(message):
                    return message
            self._read(waiter)

    def _read(self, waiter: BlockingWaiter) -> None:
        transport = self.transport
        assert transport is not None
        received = transport.receive()
        for data in received:
            self._waiting.append(self._decode(data))
        if received or transport.read_again:
            return
        if transport.ended is not None:
            raise StepFailed(transport.ended)
        waiter.ready(transport.sock, "the answer", read=True, write=transport.wants_write)
        if transport.wants_write:
            transport.flush()

    def _decode(self, data: Data) -> Message:
        decoding = self._decoding
        try:
            return decoding.text(data) if isinstance(data, bytes) else decoding.binary(data.data)
        except Exception as error:
            decoding.fail(error, data)
            raise StepFailed(decoding.last) from error


def resolve_host(exam: Examination, _: Step) -> str:
    """The host's name has addresses."""
    if exam.proxy is not None:
        raise Skipped("left to the proxy")
    host, port = exam.config.host, exam.config.port
    exam.addresses = in_order(host, port, resolve(host, port, exam.waiter()))
    return ", ".join(str(address[3][0]) for address in exam.addresses)


def connect_each(exam: Examination, step: Step) -> str:
    """Each address takes a TCP connection; one at least has to. The first is used."""
    if exam.proxy is not None:
        raise Skipped("left to the proxy")
    host, port = exam.config.host, exam.config.port
    failures: list[AttemptFailed] = []
    for address in exam.addresses:
        began = time.monotonic()
        part = {"address": str(address[3][0]), "port": port, "result": "ok", "detail": "connected"}
        try:
            sock = Race(
                host, port, [address], lambda s: set_options(s, exam.config), exam.waiter()
            ).run()
        except AttemptFailed as failed:
            failures.append(failed)
            part.update(result="failed", detail=text_of(failed.reason))
        else:
            if exam.sock is None:
                exam.sock = sock
            else:
                sock.close()
        part["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
        step.parts.append(part)
    if exam.sock is None:
        # What this machine has no way to says nothing of the server.
        raise next((f for f in failures if f.reason.kind != "io"), failures[0])
    if failures:
        step.result = "warning"
    return f"{len(step.parts) - len(failures)} of {len(step.parts)} addresses, port {port}"


def through_proxy(exam: Examination, _: Step) -> str:
    """The proxy, if there is one, connects to the host."""
    if exam.proxy is None:
        raise Skipped("none, by the option and the environment")
    exam.sock = dial_proxy(exam.config, exam.proxy, exam.waiter())
    return f"it has connected to {exam.config.host}:{exam.config.port}"


def secure(exam: Examination, step: Step) -> str:
    """TLS, if the URI asks for it: chain, host, expiry, ALPN."""
    if not exam.config.secure:
        raise Skipped("none: the URI begins with ws://")
    assert exam.sock is not None
    try:
        stream = handshake(exam.sock, exam.config, exam.waiter())
    except AttemptFailed as failed:
        known = hint(failed.reason)
        part = TLS_PARTS.get(known.anchor if known is not None else "", "handshake")
        step.parts = [{"part": part, "result": "failed", "detail": text_of(failed.reason)}]
        raise
    exam.sock = stream
    certificate: Mapping[str, Any] = stream.getpeercert() or {}
    step.parts = list(tls_parts(server_name(exam.config.host), stream, certificate))
    if any(part["result"] == "warning" for part in step.parts):
        step.result = "warning"
    cipher = stream.cipher()
    return f"{stream.version()}, {cipher[0] if cipher else 'no cipher'}"


def tls_parts(
    host: str, stream: ssl.SSLSocket, certificate: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield what a certificate that has been verified says, and what was agreed upon."""
    issuer = {key: value for pairs in certificate.get("issuer", ()) for key, value in pairs}
    by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    yield {"part": "chain", "result": "ok", "detail": f"issued by {one_line(by)}"}
    names = ", ".join(str(name) for _, name in certificate.get("subjectAltName", ()))
    yield {"part": "host", "result": "ok", "detail": f"{host} is one of: {one_line(names)}"}
    if "notAfter" in certificate:
        until = ssl.cert_time_to_seconds(certificate["notAfter"])
        days = (until - time.time()) / 86400
        date = datetime.datetime.fromtimestamp(until, datetime.UTC).date().isoformat()
        result = "warning" if days < SOON_DAYS else "ok"
        detail = f"valid until {date}, {days:.0f} days"
        yield {"part": "expiry", "result": result, "detail": detail}
    chosen = stream.selected_alpn_protocol()
    yield {"part": "alpn", "result": "ok", "detail": chosen or "the server chose none"}


def upgrade_it(exam: Examination, _: Step) -> str:
    """The server makes a websocket of it."""
    config = exam.config
    resource = evaluate("params", config.resource)
    lines = evaluate("auth_token", config.request_headers)
    assert exam.sock is not None
    exam.transport = upgrade(exam.sock, config, exam.waiter(), resource, lines)
    server = exam.transport.headers.get("server")
    said = ["101", *([f"server: {one_line(server)}"] if server else []), *exam.transport.extensions]
    if config.extensions and not exam.transport.extensions:
        said.append("not compressed: the server has chosen no extension")
    return ", ".join(said)


def version(exam: Examination, _: Step) -> str:
    """What comes from the server is of the version that this client speaks.

    It is asked by a heartbeat, whose outcome the next step tells.
    """
    began = time.monotonic()
    ref = exam.send(OWN_TOPIC, "heartbeat", {})
    try:
        exam.answer = exam.receive(lambda m: m.ref == ref, exam.waiter())
    except AttemptFailed:
        exam.beat_failure = HeartbeatTimeout()
    except StepFailed as failed:
        if isinstance(failed.reason, DecodingFailed):
            raise
        exam.beat_failure = failed.reason
    exam.beat_at = time.monotonic() - began
    if exam.beat_failure is not None:
        raise Skipped("nothing has come that tells")
    return f"{exam.config.serializer_vsn}"


def heartbeat(exam: Examination, step: Step) -> str:
    """The server has answered a heartbeat."""
    assert exam.beat_at is not None
    step.seconds = exam.beat_at
    if exam.beat_failure is not None:
        # A server that is late may join nevertheless.
        raise StepFailed(
            exam.beat_failure, fatal=not isinstance(exam.beat_failure, HeartbeatTimeout)
        )
    return "answered"


def join(exam: Examination, _: Step) -> str:
    """The topic, if one is asked for, is joined, and left again."""
    topic = exam.topic
    if topic is None:
        raise Skipped("no topic was given")
    ref = exam.send(topic, "phx_join", exam.params)

    def ends(message: Message) -> bool:
        if message.topic != topic:
            return False
        if message.event in ("phx_error", "phx_close"):
            return message.join_ref in (ref, None)
        return message.event == "phx_reply" and message.ref == ref

    try:
        answer = exam.receive(ends, exam.waiter())
    except AttemptFailed:
        raise StepFailed(JoinTimeout()) from None
    if answer.event == "phx_error":
        raise StepFailed(ChannelCrashed(answer.payload))
    if answer.event == "phx_close":
        raise StepFailed(ClosedByServer())
    payload = answer.payload if isinstance(answer.payload, Mapping) else {}
    if payload.get("status") != "ok":
        raise StepFailed(JoinRefused(payload.get("response")))
    exam.send(topic, "phx_leave", {}, ref)
    return f"joined {one_line(topic)}"


STEPS: dict[str, Callable[[Examination, Step], str]] = {
    "resolve": resolve_host,
    "connect": connect_each,
    "proxy": through_proxy,
    "tls": secure,
    "upgrade": upgrade_it,
    "version": version,
    "heartbeat": heartbeat,
    "join": join,
}
STATUSES = {
    "resolve": Exit.RESOLVE,
    "connect": Exit.CONNECT,
    "proxy": Exit.PROXY,
    "tls": Exit.TLS,
    "upgrade": Exit.UPGRADE,
    "version": Exit.VERSION,
    "heartbeat": Exit.HEARTBEAT,
    "join": Exit.JOIN,
}


def status_at(step: str, reason: Any) -> Exit:
    """Return the exit status of a step that has failed.

    With TLS 1.3 a server refuses a handshake behind it, and a message may be the first that tells
    of another version: a reason that is of one step alone is told so wherever it comes.
    """
    told = status_of(reason)
    return told if told in (Exit.TLS, Exit.PROXY, Exit.VERSION) else STATUSES[step]
