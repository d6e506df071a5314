"""An HTTP answer as bytes: its status line, its header lines, and the start of a refusal's body.

What is not as RFC 9112 has it is named, not guessed at; whatever comes, nothing here raises.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

__all__ = [
    "BODY_START",
    "Head",
    "body_of",
    "may_be_http",
    "parse_head",
    "parse_status",
    "tokens",
]

BODY_START = 1024
# Chunks of one byte each, and what else may stand between the bytes of a body.
BODY_BYTES = 8 * BODY_START

BEGINNING = b"HTTP/"
STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
# RFC 9110 section 15.3.5 and 15.4.5.
BODYLESS = {204, 304}


class Head(NamedTuple):
    """The head of an answer: `headers` have names in lower case, repeated ones joined.

    `well_formed` is whether every line was a header; those that were none are left out.
    """

    version: str
    status: int
    headers: Mapping[str, str]
    well_formed: bool


def may_be_http(beginning: bytes | bytearray) -> bool:
    """Whether an answer of HTTP/1 may begin so: of what may not, more may never come."""
    return beginning.startswith(BEGINNING[: len(beginning)])


def parse_status(line: bytes) -> tuple[str, int] | None:
    """Return version and status of a status line, `None` when it is not one of HTTP/1."""
    match = STATUS_LINE.fullmatch(line)
    return (match[1].decode(), int(match[2])) if match is not None else None


def parse_head(head: bytes) -> Head | None:
    """Return the head of an answer, without its end, `None` when it is not one of HTTP/1."""
    first, *lines = head.split(b"\r\n")
    parsed = parse_status(first)
    if parsed is None:
        return None
    whole, well_formed = unfolded([line.decode("latin-1") for line in lines])
    headers: dict[str, str] = {}
    for line in whole:
        name, colon, value = line.partition(":")
        if not colon or NAME.fullmatch(name) is None or CONTROL.search(value):
            well_formed = False
            continue
        # All connections' answers have much the same names.
        name, value = sys.intern(name.lower()), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(*parsed, MappingProxyType(headers), well_formed)


def unfolded(lines: Sequence[str]) -> tuple[list[str], bool]:
    """Return header lines with a continued one in one piece (RFC 9112 section 5.2), and whether
    each continues one."""
    whole: list[str] = []
    well_formed = True
    for line in lines:
        if not line.startswith((" ", "\t")):
            whole.append(line)
        elif whole:
            whole[-1] += " " + line.strip(" \t")
        else:
            well_formed = False
    return whole, well_formed


def tokens(value: str) -> list[str]:
    """Return the items of a comma-separated value, in lower case."""
    return [item.strip(" \t").lower() for item in value.split(",") if item.strip(" \t")]


def body_of(head: Head, raw: bytes) -> tuple[bytes, bool]:
    """Return the start of an answer's body, and whether more of it is to come.

    `raw` is what stands behind the head by now.
    """
    if head.status in BODYLESS:
        return b"", False
    if tokens(head.headers.get("transfer-encoding", ""))[-1:] == ["chunked"]:
        body, more = unchunked(raw)
        more = more and len(raw) < BODY_BYTES
    elif (length := length_of(head.headers)) is not None:
        body, more = raw[:length], len(raw) < length
    else:
        # Without a length it ends with the connection; one that stays open has none.
        closes = "close" in tokens(head.headers.get("connection", ""))
        body, more = raw, closes or head.version == "HTTP/1.0"
    return body[:BODY_START], more and len(body) < BODY_START


def length_of(headers: Mapping[str, str]) -> int | None:
    """Return the length of a body, as far as that matters; `None` when it is not told."""
    told = set(tokens(headers.get("content-length", "")))
    if len(told) != 1:
        return None
    [length] = told
    if not (length.isascii() and length.isdigit()):
        return None
    return int(length.lstrip("0")[:9] or "0")


def unchunked(raw: bytes) -> tuple[bytes, bool]:
    """Return what the chunks in `raw` hold, and whether more may come (RFC 9112 section 7.1).

    What is not a chunk is the end.
    """
    body = bytearray()
    at = 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        size = CHUNK_SIZE.fullmatch(raw, at, end)
        length = int(size[1], 16) if size is not None else 0
        start, stop = end + 2, end + 2 + length
        body += raw[start:stop]
        if not length or raw[stop : stop + 2] not in (b"", b"\r", b"\r\n"):
            return bytes(body), False
        at = stop + 2
    return bytes(body), True
