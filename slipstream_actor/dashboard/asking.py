"""Many local sockets asked at once, each within a time limit: see `debug.serve`."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from slipstream_actor.debug.encoding import as_json

__all__ = ["Answer", "ask"]

# Bytes of all that one process answers, and of one read.
LONGEST, READ = 64 << 20, 1 << 18

NULL = msgspec.Raw(b"null")


class Answer(msgspec.Struct):
    """What a process has answered to a request; the result is JSON as it came."""

    ok: bool
    result: msgspec.Raw = NULL
    error: str | None = None


class Conversation:
    """One socket: requests go out together, and their answers come in order."""

    def __init__(self, path: str, requests: list[dict[str, Any]]) -> None:
        self.gone: bool = False
        self.over: bool = False
        self._wanted = len(requests)
        self._out = b"".join(as_json(request) + b"\n" for request in requests)
        self._in = bytearray()
        self._lines = 0
        self.sock: socket.socket = socket.socket(socket.AF_UNIX)
        self.sock.setblocking(False)
        try:
            self.sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            # It has ended, and may have left a file behind.
            self.gone = self.over = True
        except OSError:
            # Too many wait already for it to answer.
            self.over = True

    def events(self) -> int:
        """Return what is waited for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)

    def go_on(self, ready: int) -> None:
        """Write and read what can be."""
        try:
            if ready & selectors.EVENT_WRITE and self._out:
                self._out = self._out[self.sock.send(self._out) :]
            if ready & selectors.EVENT_READ:
                self._read()
        except BlockingIOError:
            pass
        except OSError:
            self.over = True

    def _read(self) -> None:
        data = self.sock.recv(READ)
        self._in += data
        self._lines += data.count(b"\n")
        self.over = not data or self._lines >= self._wanted or len(self._in) > LONGEST

    def answers(self) -> list[Answer] | None:
        """Return the answers, `None` unless all have come."""
        lines = self._in.split(b"\n")[:-1]
        if len(lines) < self._wanted:
            return None
        try:
            return [msgspec.json.decode(line, type=Answer) for line in lines[: self._wanted]]
        except (ValueError, RecursionError):
            return None


def ask(
    paths: Iterable[str], requests: list[dict[str, Any]], seconds: float
) -> dict[str, list[Answer] | None]:
    """Ask all of the sockets all of the requests; return the answers of those that are there.

    `None` is of one that has not answered within `seconds`; one that has ended is left out.
    """
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        found = {path: begin(path, requests, stack) for path in paths}
        for conversation in found.values():
            if not conversation.over:
                selector.register(conversation.sock, conversation.events(), conversation)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, ready in selector.select(left):
                key.data.go_on(ready)
                if key.data.over:
                    selector.unregister(key.fileobj)
                else:
                    selector.modify(key.fileobj, key.data.events(), key.data)
        return {path: talk.answers() for path, talk in found.items() if not talk.gone}


def begin(path: str, requests: list[dict[str, Any]], stack: contextlib.ExitStack) -> Conversation:
    """Return a conversation whose socket is closed with the stack."""
    conversation = Conversation(path, requests)
    stack.callback(conversation.sock.close)
    return conversation
