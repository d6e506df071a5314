"""The upgrade over the wire: the request completed, its answer bounded, and what a refusal says.

websocket-client makes the request's frame and checks the 101. It sees neither what is configured
in confidence nor more of the answer than it checks: whatever it logs or keeps is harmless.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from slipstream_actor.configuration.extensions import DeflateParameters
from slipstream_actor.wire.answer import Head, body_of, may_be_http, parse_head, tokens
from slipstream_actor.wire.extensions import agreed, offer_line
from slipstream_actor.wire.waiter import AttemptFailed, Waiter

__all__ = ["UpgradeSocket"]

# Of all heads together: interim answers (RFC 9110 section 15.2) may come before the last one.
MAX_HEAD = 64 * 1024
MAX_HEADERS = 100
BODY_SECONDS = 1.0

# What the first byte of a TLS record may be (an alert, a handshake), and the type of the frame that
# an HTTP/2 server begins with (RFC 8446 section 5.1, RFC 9113 section 3.4).
TLS_RECORDS = (0x15, 0x16)
HTTP2_SETTINGS = b"\x04"

END_OF_HEAD = b"\r\n\r\n"
KEY = re.compile(rb"\r\nSec-WebSocket-Key: (\S+)\r\n")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# What websocket-client is shown of a 101 that has been checked: nothing that it would keep (it has
# one cookie jar for the whole process) or stumble over.
CLEAN_HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %b\r\n\r\n"
)


class UpgradeSocket:
    """The socket that websocket-client sees during the upgrade.

    It waits in the mailbox, has one deadline for the whole, puts `resource` and the header `lines`
    into the request, bounds and checks the answer's head, and shows websocket-client a clean one;
    every answer but the right 101 ends the attempt here. `extensions` are offered, and `deflate`
    is what the answer says of permessage-deflate.
    """

    def __init__(
        self,
        sock: socket.socket,
        waiter: Waiter,
        resource: str,
        lines: Sequence[str],
        extensions: Sequence[str] = (),
    ) -> None:
        self._sock = sock
        self._waiter = waiter
        self._resource = resource
        self._lines = [*lines, *offer_line(extensions)]
        self._extensions = extensions
        self._accept = b""
        self._unsent: OSError | None = None
        self._head: Iterator[bytes] | None = None
        self.headers: Mapping[str, str] = {}
        self.deflate: DeflateParameters | None = None
        self.rest: bytes = b""

    def gettimeout(self) -> float:
        """Non-blocking, so that websocket-client calls `recv` and `send` without a selector."""
        return 0

    def close(self) -> None:
        """Do nothing: the socket is not websocket-client's."""

    def send(self, data: bytes) -> int:
        """Send the request: websocket-client's `data`, with all that is configured in it."""
        usual = data.partition(b"\r\n")[2]
        self._accept = accept_for(data)
        lines = [f"GET {self._resource} HTTP/1.1", *self._lines]
        try:
            self._send_all(memoryview("\r\n".join(lines).encode() + b"\r\n" + usual))
        except OSError as error:
            # A server may have refused it before it was whole: its answer says why.
            self._unsent = error
        return len(data)

    def _send_all(self, view: memoryview) -> None:
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._waiter.ready(self._sock, "the upgrade", write=True)
            except ssl.SSLWantReadError:
                self._waiter.ready(self._sock, "the upgrade", read=True)

    def recv(self, _size: int) -> bytes:
        """Return a part of the answer's head: websocket-client asks for each byte by itself, and
        is content with a line and its end."""
        if self._head is None:
            self._head = iter(re.split(rb"(\n)", self._read_answer()))
        return next(self._head, b"")

    def _read_answer(self) -> bytes:
        """Return what websocket-client is shown of a 101. Interim answers are passed over."""
        size = headers = 0
        while True:
            raw = self._read_head(MAX_HEAD - size)
            size += len(raw)
            headers += raw.count(b"\r\n")
            if headers > MAX_HEADERS:
                raise AttemptFailed("upgrade", f"the answer has more than {MAX_HEADERS} headers")
            head = parse_head(raw)
            if head is None:
                raise AttemptFailed("upgrade", "the answer is no HTTP/1.1")
            self.headers = head.headers
            if head.status >= 200:
                self._refuse(head)
            if head.version != "HTTP/1.1" or not head.well_formed:
                raise AttemptFailed("upgrade", "the answer is no HTTP/1.1")
            if head.status == 101:
                self._check()
                return CLEAN_HEAD % self._accept

    def _read_head(self, limit: int) -> bytes:
        """Return an answer's head, without its end; what came behind it is `rest`."""
        answer = bytearray(self.rest)
        seen = 0
        while (end := answer.find(END_OF_HEAD, seen)) < 0 and len(answer) <= limit:
            seen = max(0, len(answer) - len(END_OF_HEAD) + 1)
            chunk = self._read_more(begun=bool(answer))
            if not chunk:
                if self._unsent is not None and not answer:
                    raise self._unsent
                what = "in the middle of" if answer else "without"
                raise AttemptFailed("upgrade", f"the server closed {what} an answer")
            answer += chunk
            if not may_be_http(answer):
                raise AttemptFailed("upgrade", alien(bytes(answer)))
        if not 0 <= end <= limit:
            raise AttemptFailed("upgrade", f"the answer's head is over {MAX_HEAD} bytes long")
        self.rest = bytes(answer[end + len(END_OF_HEAD) :])
        return bytes(answer[:end])

    def _read_more(self, *, begun: bool) -> bytes:
        """Read on in an answer; a timeout says whether that has `begun`."""
        try:
            return self._read()
        except AttemptFailed as failed:
            if begun and failed.reason.kind == "timeout":
                raise AttemptFailed("timeout", f"{failed}, in the middle of its answer") from failed
            raise

    def _check(self) -> None:
        """Refuse a 101 that is not the right one (RFC 6455 section 4.1)."""
        wrong = None
        if set(tokens(self.headers.get("upgrade", ""))) != {"websocket"}:
            wrong = "Upgrade"
        elif "upgrade" not in tokens(self.headers.get("connection", "")):
            wrong = "Connection"
        elif not hmac.compare_digest(self._accepted, self._accept):
            wrong = "Sec-WebSocket-Accept"
        if wrong is not None:
            raise AttemptFailed("upgrade", f"the answer is no websocket's: {wrong} is not right")
        self._check_choices()

    @property
    def _accepted(self) -> bytes:
        return self.headers.get("sec-websocket-accept", "").encode("latin-1")

    def _check_choices(self) -> None:
        """Refuse a choice among what was not offered, and note what was agreed on."""
        try:
            answer = self.headers.get("sec-websocket-extensions", "")
            self.deflate = agreed(self._extensions, answer)
        except ValueError as error:
            raise AttemptFailed("upgrade", str(error)) from None
        chosen = self.headers.get("sec-websocket-protocol")
        if chosen and chosen not in offered_protocols(self._lines):
            detail = "the server chose a subprotocol that was not offered"
            raise AttemptFailed("upgrade", detail)

    def _read(self, until: float = math.inf) -> bytes:
        """Return what comes, `b""` at the end or when it is later than `until`."""
        while (left := until - time.monotonic()) > 0:
            at_most = None if left == math.inf else left
            try:
                return self._sock.recv(16384)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._waiter.ready(self._sock, "the upgrade", read=True, at_most=at_most)
            except ssl.SSLWantWriteError:
                self._waiter.ready(self._sock, "the upgrade", write=True, at_most=at_most)
        return b""

    def _refuse(self, head: Head) -> NoReturn:
        """Read the start of a refusal's body, for a moment, and end the attempt."""
        body, more = body_of(head, self.rest)
        deadline = time.monotonic() + BODY_SECONDS
        try:
            while more and (chunk := self._read(deadline)):
                self.rest += chunk
                body, more = body_of(head, self.rest)
        except (OSError, AttemptFailed):
            pass  # What has come is enough.
        raise AttemptFailed(
            "upgrade",
            f"the server answered {head.status}",
            status=head.status,
            headers=head.headers,
            body=body.decode("utf-8", "replace"),
        )


def alien(beginning: bytes) -> str:
    """Return what to say of an answer that does not begin as one of HTTP/1.1 does."""
    if beginning[0] in TLS_RECORDS:
        return "the answer is TLS, and no HTTP"
    if beginning[0] == 0 and beginning[3:4] == HTTP2_SETTINGS:
        return "the answer is HTTP/2"
    return "the answer is no HTTP/1.1"


def accept_for(request: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` that answers a request (RFC 6455 section 4.2.2)."""
    key = KEY.search(request)
    assert key is not None
    return base64.b64encode(hashlib.sha1(key[1] + GUID, usedforsecurity=False).digest())


def offered_protocols(lines: Sequence[str]) -> set[str]:
    """Return the subprotocols in the request's header `lines`."""
    pairs = (line.partition(":") for line in lines)
    offers = [value for name, _, value in pairs if name.lower() == "sec-websocket-protocol"]
    return {offer.strip() for value in offers for offer in value.split(",")}
