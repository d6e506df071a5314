"""`run`: a client, or a supervisor, as a service of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from slipstream_actor.actors.actor import stop_for
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.client.returns import is_normal

__all__ = ["run"]

SIGNALS = signal.SIGTERM, signal.SIGINT


def run(client: Target) -> int:
    """Block until a client, or a supervisor, has ended, and return the exit status of a service.

    0 after a normal end, 1 after any other: `sys.exit(run(client))`, so that `Restart=on-failure`
    of systemd is right. SIGTERM and SIGINT end it in order, and that is a normal end; a second one
    interrupts. `client` is a ref, a name or a handle. Raises `RuntimeError` in another thread than
    the main one, where no signal is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run is for the main thread: signals are handled there")
    ref = resolve(client)
    require_here(ref)
    ended = ref.actor_inbox.ended
    with ending_on_signals(ref):
        while not ended.wait(3600.0):
            pass
    return 0 if is_normal(ended.get()) else 1


@contextmanager
def ending_on_signals(ref: Any) -> Iterator[None]:
    """Have the signals end `ref`, once; what there was handles them afterwards, and the next."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(_: int, __: FrameType | None) -> None:
        restore()
        stop_for("shutdown", ref)

    for number in SIGNALS:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
