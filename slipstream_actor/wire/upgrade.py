"""The upgrade over the wire: the request completed, its answer bounded, and what a refusal says.

websocket-client makes the request's frame and checks the 101. It sees neither what is configured
in confidence nor more of the answer than it checks: whatever it logs or keeps is harmless.
"""

from __future__ import annotations

import io
import math
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from slipstream_actor.wire.waiter import AttemptFailed, Waiter

__all__ = ["UpgradeSocket"]

# Of all heads together: interim answers (RFC 9110 section 15.2) may come before the last one.
MAX_HEAD = 64 * 1024
MAX_HEADERS = 100
BODY_START = 1024
BODY_SECONDS = 1.0

END_OF_HEAD = b"\r\n\r\n"

# What websocket-client is shown of a 101: what it checks, and nothing that it would keep (it has
# one cookie jar for the whole process) or stumble over.
CHECKED_HEADERS = ("upgrade", "connection", "sec-websocket-accept")
CLEAN_HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"upgrade: %b\r\nconnection: %b\r\nsec-websocket-accept: %b\r\n\r\n"
)


class UpgradeSocket:
    """The socket that websocket-client sees during the upgrade.

    It waits in the mailbox, has one deadline for the whole, puts `resource` and the header `lines`
    into the request, bounds the answer's head, and shows websocket-client only what it checks of a
    101; every other answer ends the attempt here.
    """

    def __init__(
        self, sock: socket.socket, waiter: Waiter, resource: str, lines: Sequence[str]
    ) -> None:
        self._sock = sock
        self._waiter = waiter
        self._resource = resource
        self._lines = lines
        self._head: io.BytesIO | None = None
        self.headers: Mapping[str, str] = {}
        self.rest: bytes = b""

    def gettimeout(self) -> float:
        """Non-blocking, so that websocket-client calls `recv` and `send` without a selector."""
        return 0

    def close(self) -> None:
        """Do nothing: the socket is not websocket-client's."""

    def send(self, data: bytes) -> int:
        """Send the request: websocket-client's `data`, with all that is configured in it."""
        usual = data.partition(b"\r\n")[2]
        lines = [f"GET {self._resource} HTTP/1.1", *self._lines]
        view = memoryview("\r\n".join(lines).encode() + b"\r\n" + usual)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._waiter.ready(self._sock, "the upgrade", write=True)
            except ssl.SSLWantReadError:
                self._waiter.ready(self._sock, "the upgrade", read=True)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return a part of the answer's head."""
        if self._head is None:
            self._head = io.BytesIO(self._read_answer())
        return self._head.read(size)

    def _read_answer(self) -> bytes:
        """Return what websocket-client is shown of a 101. Interim answers are passed over."""
        size = headers = 0
        status = 100
        while 100 <= status < 200 and status != 101:
            head = self._read_head(MAX_HEAD - size)
            size += len(head)
            headers += head.count(b"\r\n")
            if headers > MAX_HEADERS:
                raise AttemptFailed("upgrade", f"the answer has more than {MAX_HEADERS} headers")
            status, self.headers = parse_head(head)
        if status != 101:
            self._refuse(status, head + END_OF_HEAD)
        self._check_choices()
        return CLEAN_HEAD % tuple(
            self.headers.get(name, "").encode("ascii", "replace") for name in CHECKED_HEADERS
        )

    def _read_head(self, limit: int) -> bytes:
        """Return an answer's head, without its end; what came behind it is `rest`."""
        answer = bytearray(self.rest)
        seen = 0
        while (end := answer.find(END_OF_HEAD, seen)) < 0 and len(answer) <= limit:
            seen = max(0, len(answer) - len(END_OF_HEAD) + 1)
            chunk = self._read()
            if not chunk:
                what = "in the middle of" if answer else "without"
                raise AttemptFailed("upgrade", f"the server closed {what} an answer")
            answer += chunk
        if not 0 <= end <= limit:
            raise AttemptFailed("upgrade", f"the answer's head is over {MAX_HEAD} bytes long")
        self.rest = bytes(answer[end + len(END_OF_HEAD) :])
        return bytes(answer[:end])

    def _check_choices(self) -> None:
        """Refuse a choice among what was not offered (RFC 6455 section 4.1)."""
        if self.headers.get("sec-websocket-extensions"):
            detail = "the server chose an extension, and none was offered"
            raise AttemptFailed("upgrade", detail)
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

    def _refuse(self, status: int, head: bytes) -> None:
        """Read the start of a refusal's body, for a moment, and end the attempt."""
        length = self.headers.get("content-length", "")
        wanted = BODY_START
        if length.isascii() and length.isdigit():
            wanted = min(int(length[:9]), BODY_START)
        elif self.headers.get("connection", "").lower() != "close" and not self._chunked:
            wanted = 0
        deadline = time.monotonic() + BODY_SECONDS
        try:
            while len(self.rest) < wanted and not self._chunks_end():
                chunk = self._read(deadline)
                if not chunk:
                    break
                self.rest += chunk
        except (OSError, AttemptFailed):
            pass  # What has come is enough.
        raise AttemptFailed(
            "upgrade",
            f"the server answered {status}",
            status=status,
            headers=self.headers,
            body=start_of_body(head + self.rest),
        )

    @property
    def _chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    def _chunks_end(self) -> bool:
        return self._chunked and self.rest.endswith(b"0\r\n\r\n")


class RecordedAnswer:
    """An answer that has been read, as `http.client` wants it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, _: str) -> io.BytesIO:
        """Return the bytes of the answer."""
        return io.BytesIO(self._answer)


def start_of_body(answer: bytes) -> str:
    """Return the start of an answer's body, whatever its encoding, as far as it was read."""
    import http.client  # Only a refusal needs it.

    response = http.client.HTTPResponse(cast(socket.socket, RecordedAnswer(answer)))
    try:
        response.begin()
        body = response.read(BODY_START)
    except http.client.IncompleteRead as error:
        body = error.partial
    except (http.client.HTTPException, ValueError, OSError):
        body = b""
    return body[:BODY_START].decode("utf-8", "replace")


def parse_head(head: bytes) -> tuple[int, Mapping[str, str]]:
    """Return status and headers of an HTTP answer: names in lower case, repeated ones joined."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, after = first.partition(" ")
    code = after[:3]
    odd = any(ord(character) < 32 and character != "\t" for line in lines for character in line)
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()) or odd:
        raise AttemptFailed("upgrade", "the answer is no HTTP/1.1")
    if len(code) < 3 or after[3:4] not in ("", " "):
        raise AttemptFailed("upgrade", "the answer is no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in unfolded(lines):
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(code), MappingProxyType(headers)


def unfolded(lines: Sequence[str]) -> list[str]:
    """Return header lines with a continued one in one piece (RFC 9112 section 5.2)."""
    whole: list[str] = []
    for line in lines:
        if not line.startswith((" ", "\t")):
            whole.append(line)
        elif whole:
            whole[-1] += f" {line.strip()}"
        else:
            raise AttemptFailed("upgrade", "the answer is no HTTP/1.1")
    return whole


def offered_protocols(lines: Sequence[str]) -> set[str]:
    """Return the subprotocols in the request's header `lines`."""
    pairs = (line.partition(":") for line in lines)
    offers = [value for name, _, value in pairs if name.lower() == "sec-websocket-protocol"]
    return {offer.strip() for value in offers for offer in value.split(",")}
