"""Clients of a test that have crashed without an assertion that would have said so."""

from __future__ import annotations

from typing import Any

import pykka

from slipstream_actor.testing.kit.clients import title
from slipstream_actor.testing.kit.formatting import cut, indented

__all__ = ["Crashes"]

# Failures are reported where a test asserts, not here.
__unittest = True


class Crashes:
    """The clients that a test has started or accepted, and which of their crashes it knows of."""

    def __init__(self) -> None:
        self._titles: dict[Any, str] = {}

    def watch(self, ref: Any) -> None:
        """Regard a client, from now on."""
        self._titles.setdefault(ref, title(ref))

    def known(self, ref: Any) -> None:
        """Note that an assertion has failed from the end of this client."""
        self._titles[ref] = ""

    def require_none(self, patience: float) -> None:
        """Raise `AssertionError`, from the first of them, when clients have ended by exceptions
        that no assertion knows of. One that is just ending is given `patience` seconds for it."""
        __tracebackhide__ = True
        crashes = [
            (name, error)
            for ref, name in self._titles.items()
            if name and (error := error_of(ref, patience)) is not None
        ]
        if crashes:
            lines = indented([f"{name}: {cut(repr(error))}" for name, error in crashes])
            text = "\n".join(["crashed, and no assertion has said so:", *lines])
            raise AssertionError(text) from crashes[0][1]


def error_of(ref: Any, patience: float) -> BaseException | None:
    """Return the exception that a client has ended with, `None` while it lives."""
    if ref.is_alive():
        return None
    try:
        reason = ref.actor_inbox.ended.get(timeout=patience)
    except pykka.Timeout:
        return None
    return reason if isinstance(reason, BaseException) else None
