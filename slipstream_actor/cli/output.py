"""Where the tool's words go: what was asked for to standard output, all else to standard error.

What a server says may hold control characters, which a terminal would obey: they are escaped.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from slipstream_actor.debug.encoding import as_json

__all__ = [
    "ReaderWatch",
    "Writer",
    "discard_output",
    "json_line",
    "plain",
    "say",
    "shown",
    "with_payload",
]

# Of a binary payload so many are shown.
MOST_BYTES = 32
# It was read with fewer calls around it than there are now.
TOO_DEEP = "nested too deep to be shown"


def say(text: str) -> None:
    """Write a line to standard error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")  # At once: others write there too, and it may have no buffer.
        sys.stderr.flush()


def plain(text: str) -> str:
    """Return a text with what does not print escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def with_payload(name: str, payload: Any) -> dict[str, Any]:
    """Return a payload as a field for JSON: bytes as base64, which `"binary"` then says."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return {name: base64.b64encode(payload).decode(), "binary": True}
    return {name: payload}


def shown(payload: Any) -> str:
    """Return a payload as a person reads it."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return f"{len(payload)} bytes: {bytes(payload[:MOST_BYTES]).hex(' ')}"
    try:
        return as_json(payload).decode()
    except RecursionError:
        return TOO_DEEP


def json_line(value: Any) -> bytes:
    """Return a value as a line of JSON; what a terminal would obey is escaped in it."""
    try:
        line = as_json(value)
    except RecursionError:
        texts = {name: part if isinstance(part, str) else TOO_DEEP for name, part in value.items()}
        line = as_json(texts)
    text = line.decode()
    if not text.isprintable():
        line = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()
    return line + b"\n"


class Writer:
    """Standard output: JSON lines, or for a person at a terminal text in colours."""

    def __init__(self, *, as_json: bool) -> None:
        self.pretty: bool = not as_json and sys.stdout.isatty()
        self._console: Any = None

    def line(self, value: Any) -> None:
        """Write a value as a line of JSON, at once. Raises `OSError`."""
        sys.stdout.flush()
        sys.stdout.buffer.write(json_line(value))
        sys.stdout.buffer.flush()

    def text(self, *parts: tuple[str, str]) -> None:
        """Write a line of texts, each with a style of rich's."""
        from rich.console import Console
        from rich.text import Text

        if self._console is None:
            self._console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
        # Rich ends the interpreter, in its own way, at a pipe that nobody reads.
        with self._console.capture() as captured:
            self._console.print(Text.assemble(*((plain(text), style) for text, style in parts)))
        sys.stdout.write(captured.get())
        sys.stdout.flush()


class ReaderWatch:
    """Calls a function once when whoever reads standard output has gone, as `head` does.

    Without it one would learn that from the next message, which may be long in coming.
    """

    def __init__(self, gone: Callable[[], object]) -> None:
        self._gone = gone
        self._reading, self._writing = os.pipe()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> ReaderWatch:
        try:
            output = sys.stdout.fileno()
        except (OSError, ValueError):  # Not a file: somebody has replaced it.
            return self
        if hasattr(select, "poll"):
            self._thread = threading.Thread(
                target=self._watch, args=(output,), name="slipstream-output", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._writing, b".")
        if self._thread is not None:
            self._thread.join()
        os.close(self._reading)
        os.close(self._writing)

    def _watch(self, output: int) -> None:
        poll = select.poll()
        poll.register(output, 0)  # Errors and hang-ups are always told.
        poll.register(self._reading, select.POLLIN)
        if any(descriptor == output for descriptor, _ in poll.poll()):
            self._gone()


def discard_output() -> None:
    """Have what is still buffered go nowhere: nobody reads it, and the interpreter would moan."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
