"""HTTP/1.1 requests and responses as Bandit reads and writes them, without I/O
(docs/protocol.md#note-39).

Only what an upgrade needs: a head and, for a request that has one, a body to be skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import formatdate

MAX_LINE = 10_000
MAX_HEADERS = 50

_REQUEST_LINE = re.compile(rb"([A-Za-z]+) ([!-\xff]+) HTTP/(1\.[01])")
_REASONS = {
    101: "Switching Protocols",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    414: "URI Too Long",
    418: "I'm a teapot",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Request:
    """One request's head. Names of headers are lower-case; the order is the client's."""

    method: str
    target: bytes
    version: str
    headers: list[tuple[str, str]]
    body_length: int = 0

    def all(self, name: str) -> list[str]:
        """The values of every header line called `name` (lower-case)."""
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: str) -> list[str]:
        """The comma-separated values of every line called `name`."""
        return [
            token.strip() for line in self.all(name) for token in line.split(",") if token.strip()
        ]

    @property
    def keep_alive(self) -> bool:
        """Whether the client expects the connection to outlive the response.

        See docs/protocol.md#note-38.
        """
        options = [option.lower() for option in self.tokens("connection")]
        return "keep-alive" in options if self.version == "1.0" else "close" not in options


class BadRequest(Exception):
    """What Bandit itself refuses: a bare status, then the end of the connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Response:
    """An answer that is no upgrade.

    The application's headers stand behind those that every response has.
    """

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    def encode(self, request: Request) -> bytes:
        """The bytes on the wire."""
        lines = [] if request.keep_alive else [("connection", "close")]
        lines.append(("date", formatdate(usegmt=True)))
        if request.method != "HEAD":
            lines.append(("content-length", str(len(self.body))))
        lines += [("vary", "accept-encoding"), CACHE_CONTROL, *self.headers]
        return head(self.status, lines) + (b"" if request.method == "HEAD" else self.body)


CACHE_CONTROL = ("cache-control", "max-age=0, private, must-revalidate")


def head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """A response's status line and headers, with the empty line behind them."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_head(buffer: bytes) -> tuple[Request, bytes] | None:
    """The request at the start of `buffer` and the bytes behind it; None until its head is there.

    Raises `BadRequest`.
    """
    line, found, _ = buffer.partition(b"\r\n")
    if len(line) > MAX_LINE:
        raise BadRequest(414)
    top, complete, rest = buffer.partition(b"\r\n\r\n")
    if not complete:
        if len(buffer) > len(line) + MAX_HEADERS * MAX_LINE:
            raise BadRequest(431)
        return None
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or not found:
        raise BadRequest(400)
    headers = _headers(top[len(line) + 2 :])
    request = Request(
        match[1].decode(), match[2], match[3].decode(), headers, _body_length(headers)
    )
    if request.version == "1.1" and not request.all("host"):
        raise BadRequest(400)
    return request, rest


def _headers(block: bytes) -> list[tuple[str, str]]:
    lines = block.split(b"\r\n") if block else []
    if len(lines) > MAX_HEADERS or any(len(line) > MAX_LINE for line in lines):
        raise BadRequest(431)
    headers = []
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(400)
        headers.append((name.lower(), value.strip(" \t")))
    return headers


def _body_length(headers: list[tuple[str, str]]) -> int:
    lengths = {value for name, value in headers if name == "content-length"}
    if len(lengths) > 1 or any(name == "transfer-encoding" for name, _ in headers):
        raise BadRequest(400)
    length = lengths.pop() if lengths else "0"
    if not re.fullmatch("[0-9]{1,18}", length):
        raise BadRequest(400)
    return int(length)
