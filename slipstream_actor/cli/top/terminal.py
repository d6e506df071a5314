"""The terminal: keys as they are pressed, and the screen, both given back at the end."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from slipstream_actor.cli.top.screen import Line

__all__ = ["Keys", "Screen", "Stops", "can_be_live", "keys_in"]

# What a terminal sends for a key that is no character.
NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[C": "right",
    "\x1bOC": "right",
    "\x1b[D": "left",
    "\x1bOD": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
}
KEY = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)


def keys_in(text: str) -> Iterator[str]:
    """Yield the keys that a terminal's text stands for; other sequences are passed over."""
    for found in KEY.findall(text):
        name = NAMES.get(found, found)
        if len(name) == 1 or found in NAMES:
            yield name


def can_be_live() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class Keys:
    """The keys that are pressed, while its context is entered; none where nobody can press any."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self.over: bool = False
        self._before: Any = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def __enter__(self) -> Keys:
        try:
            import termios
            import tty

            descriptor = sys.stdin.fileno()
            self._before = termios.tcgetattr(descriptor)
            tty.setcbreak(descriptor)
        except (ImportError, OSError, ValueError, AttributeError, termios.error):
            return self
        self.descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is None:
            return
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._before)

    def read(self) -> list[str]:
        """Return the keys that have been pressed; `over` once there is no terminal any more."""
        assert self.descriptor is not None
        try:
            data = os.read(self.descriptor, 4096)
        except OSError:
            data = b""
        self.over = not data
        return list(keys_in(self._decoder.decode(data)))


class Stops:
    """Ctrl-Z, while its context is entered: it is `wanted`, and done when the terminal is free."""

    def __init__(self) -> None:
        self.wanted: bool = False
        self._number: int | None = getattr(signal, "SIGTSTP", None)
        self._before: Any = None

    def __enter__(self) -> Stops:
        if self._number is not None:
            self._before = signal.signal(self._number, self._want)
        return self

    def __exit__(self, *_: object) -> None:
        if self._number is not None:
            signal.signal(self._number, self._before)

    def _want(self, *_: object) -> None:
        self.wanted = True

    def stop(self) -> None:
        """Stop the process, if that is wanted, until it is to go on."""
        if self.wanted:
            self.wanted = False
            os.kill(os.getpid(), signal.SIGSTOP)


def typeable(text: str, encoding: str) -> str:
    """Return a text with a question mark for what an encoding has not: it gets no longer."""
    return text.encode(encoding, "replace").decode(encoding)


class Screen:
    """All of a terminal, drawn anew with each look."""

    def __init__(self) -> None:
        self._console = Console(force_terminal=True, highlight=False, emoji=False, markup=False)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height now."""
        return self._console.size

    def draw(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        text = Text("\n", no_wrap=True, overflow="crop", end="")
        encoding = self._console.encoding
        styled = (Text(typeable(line.text, encoding), line.style, end="") for line in lines)
        self._live.update(text.join(styled), refresh=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Take the terminal, and give it back."""
        with self._live:
            yield
