"""Plays a recorded conversation at a server and compares what it says with what was recorded.

Everything of the client is sent as it was, each after the frames that had come before it. The
server's frames are compared per connection and topic, in their order, as values: channels are
processes of their own, so only the order within a topic is fixed.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.testing.server.raw_client import Frame, HttpResponse, RawClient, decode_json

VOLATILE_KEYS = {"phx_ref", "phx_ref_prev", "info"}
VOLATILE_HEADERS = {"date", "sec-websocket-accept"}
IGNORED = {"reset", "send_failed"}

Row = dict[str, Any]
Hooks = Mapping[str, Callable[[], None]]


class Mismatch(AssertionError):
    """The server said something else than was recorded."""


def read(path: Path) -> list[Row]:
    """The rows of a recorded conversation."""
    # Not `splitlines`: it also splits at the U+2028 in a payload.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def play(rows: list[Row], host: str, port: int, hooks: Hooks | None = None) -> None:
    """Plays `rows`; a note that is a key of `hooks` calls that hook. Raises `Mismatch`."""
    player = _Player(host, port, hooks or {})
    try:
        for number, row in enumerate(rows, 1):
            try:
                player.step(row)
            except (Mismatch, TimeoutError, EOFError) as error:
                raise Mismatch(f"line {number}, {row.get('conn', '')}: {error!r}") from error
        player.finish()
    finally:
        player.disconnect()


class _Player:
    def __init__(self, host: str, port: int, hooks: Hooks) -> None:
        self._host, self._port, self._hooks = host, port, hooks
        self._clients: dict[str | None, RawClient] = {}
        self._early: dict[str | None, list[Frame]] = {}
        self._methods: dict[str | None, str] = {}
        self._unmasked = False

    def step(self, row: Row) -> None:
        if row["dir"] == "note":
            self._note(row["data"])
        elif row["type"] == "http_request":
            self._request(row.get("conn"), row["data"])
        elif row["dir"] == "send" and row["type"] not in IGNORED:
            self._send(self._clients[row.get("conn")], row)
        elif row["type"] not in IGNORED:
            self._compare(row.get("conn"), row)

    def finish(self) -> None:
        """Nothing may have come that was not recorded."""
        for conn, early in self._early.items():
            if early:
                raise Mismatch(f"{conn}: came and was not recorded: {early}")

    def disconnect(self) -> None:
        for client in self._clients.values():
            client.disconnect()

    def _note(self, note: str) -> None:
        self._unmasked = "UNMASKED" in note
        if note in self._hooks:
            self._hooks[note]()

    def _request(self, conn: str | None, head: str) -> None:
        if conn in self._clients:
            self._clients[conn].disconnect()
        client = RawClient(self._host, self._port)
        self._clients[conn], self._early[conn] = client, []
        self._methods[conn] = head.partition(" ")[0]
        head = re.sub(r"(?i)(host: )[^\r]*", rf"\g<1>{self._host}:{self._port}", head)
        client.send(head.encode("utf-8", "surrogateescape"))

    def _send(self, client: RawClient, row: Row) -> None:
        kind = row["type"]
        if kind == "close":
            code, reason = row["code"], (row.get("reason") or "").encode()
            payload = b"" if code is None else struct.pack("!H", code) + reason
        else:
            payload = _payload(row)
        client.frame(kind, payload, rsv1=row.get("rsv1", False), masked=not self._unmasked)
        self._unmasked = False

    def _compare(self, conn: str | None, row: Row) -> None:
        client, kind = self._clients[conn], row["type"]
        if kind == "http_response":
            response = client.response(self._methods[conn])
            _compare_response(row, response)
            if response.header("sec-websocket-extensions") is not None:
                client.inflater = zlib.decompressobj(-15)
            return
        if kind == "eof":
            wanted = Frame("eof", None)
        elif kind == "close":
            wanted = Frame("close", row["code"])
        elif kind == "text":
            wanted = Frame("text", decode_json(row["data"]))
        else:
            wanted = Frame(kind, base64.b64decode(row["data"]))
        got = self._answer(client, self._early[conn], wanted)
        if not alike(wanted, got):
            raise Mismatch(f"got {got}, recorded {wanted}")

    def _answer(self, client: RawClient, early: list[Frame], wanted: Frame) -> Frame:
        """The frame to hold against the recorded one: frames of other topics are put aside."""
        for frame in early:
            if alike(wanted, frame):
                early.remove(frame)
                return frame
        while True:
            frame = client.receive()
            if frame.kind != wanted.kind or _topic(frame) in (None, _topic(wanted)):
                return frame
            early.append(frame)


def _payload(row: Row) -> bytes:
    if row.get("raw") is not None:
        return base64.b64decode(row["raw"])
    if row.get("data_b64") is not None:
        return base64.b64decode(row["data_b64"])
    if row["type"] == "text":
        return str(row["data"]).encode("utf-8", "surrogatepass")
    return base64.b64decode(row["data"])


def _compare_response(row: Row, got: HttpResponse) -> None:
    wanted = (row["status"], _headers(map(tuple, row["headers"])), row["body"])
    came = (got.status, _headers(got.headers), got.body)
    if wanted != came:
        raise Mismatch(f"upgrade answered {came}, recorded {wanted}")


def _headers(headers: Any) -> list[tuple[str, str]]:
    return sorted((n, "…" if n in VOLATILE_HEADERS else v) for n, v in headers)


def _topic(frame: Frame) -> Any:
    message = frame.value
    if isinstance(message, list) and len(message) == 5:
        return message[2]
    return message.get("topic") if isinstance(message, dict) else None


def alike(wanted: Any, got: Any) -> bool:
    """Whether two values are the same but for what is volatile.

    The types of JSON count, the order of keys does not.
    """
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(
            key in VOLATILE_KEYS or alike(wanted[key], got[key]) for key in wanted
        )
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple):
        return len(wanted) == len(got) and all(map(alike, wanted, got))
    return type(wanted) is type(got) and bool(wanted == got)
