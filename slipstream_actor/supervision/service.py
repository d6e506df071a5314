"""`run`: a client, or a supervisor, as a service of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from msgspec import UNSET

from slipstream_actor.actors.actor import stop_for
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.client.returns import is_normal
from slipstream_actor.supervision.supervisor import Supervisor

__all__ = ["run"]

SIGNALS = signal.SIGTERM, signal.SIGINT
# Seconds of a wait: a signal that comes when one is about to begin is handled behind it.
LOOK = 1.0


def run(client: Target) -> int:
    """Block until a client, or a supervisor, has ended, and return the exit status of a service.

    0 after a normal end, 1 after any other, and when a supervisor has given up:
    `sys.exit(run(client))`, so that `Restart=on-failure` of systemd is right. SIGTERM and SIGINT
    end it in order, and that is a normal end; a second one waits no longer. `client` is a ref, a
    name, or a handle, which then does not start its client again: that is for whoever runs the
    service. A signal that comes in the `init` of a handle's client ends it behind that. Raises
    `RuntimeError` in another thread than the main one, where no signal is handled, and
    `ClientEndedError` for a client that is not there.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run is for the main thread: signals are handled there")
    handle: Any = client if hasattr(client, "_serve") else None
    with ending_on_signals() as ending:  # Also while a handle starts its client.
        try:
            ref = resolve(client) if handle is None else handle._serve()
            require_here(ref)
            ending.is_of(ref)
            ended = ref.actor_inbox.ended
            while not ended.wait(LOOK):
                pass
            if handle is not None:
                handle._served(ref, ended.get())
        except KeyboardInterrupt:
            if not ending.asked:
                raise
            return 1  # The second SIGINT.
    return 0 if is_normal(ended.get()) and not gave_up(ref) else 1


def gave_up(ref: Any) -> bool:
    """Whether a supervisor has ended by itself: with a `"shutdown"` too, as Erlang has it."""
    return issubclass(ref.actor_class, Supervisor) and ref.actor_inbox.ends_for is not UNSET


class Ending:
    """What signals end: the client, as soon as there is one."""

    def __init__(self) -> None:
        self.asked: bool = False
        self._ref: Any = None

    def is_of(self, ref: Any) -> None:
        """Have the signals end `ref`, also one that has come already."""
        self._ref = ref
        if self.asked:
            stop_for("shutdown", ref)

    def ask(self) -> None:
        """End it now, or when it is there."""
        self.asked = True
        if self._ref is not None:
            stop_for("shutdown", self._ref)


@contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """Have the signals end a client, once; what there was handles them afterwards, and the next."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ending = Ending()

    def restore() -> None:
        for number, handler in before.items():
            # `None` is one that C code has installed: it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def end(_: int, __: FrameType | None) -> None:
        ending.ask()
        restore()

    for number in SIGNALS:
        signal.signal(number, end)
    try:
        yield ending
    finally:
        restore()
