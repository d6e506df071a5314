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


def run(client: Target) -> int:
    """Block until a client, or a supervisor, has ended, and return the exit status of a service.

    0 after a normal end, 1 after any other, and when a supervisor has given up:
    `sys.exit(run(client))`, so that `Restart=on-failure` of systemd is right. SIGTERM and SIGINT
    end it in order, and that is a normal end; a second one waits no longer. `client` is a ref, a
    name, or a handle, which then does not start its client again: that is for whoever runs the
    service. Raises `RuntimeError` in another thread than the main one, where no signal is handled,
    and `ClientEndedError` for a client that is not there.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run is for the main thread: signals are handled there")
    serve = getattr(client, "_serve", None)
    ref = resolve(client) if serve is None else serve()
    require_here(ref)
    ended = ref.actor_inbox.ended
    with ending_on_signals(ref):
        try:
            while not ended.wait(3600.0):
                pass
        except KeyboardInterrupt:  # The second SIGINT.
            return 1
    return 0 if is_normal(ended.get()) and not gave_up(ref) else 1


def gave_up(ref: Any) -> bool:
    """Whether a supervisor has ended by itself: with a `"shutdown"` too, as Erlang has it."""
    return issubclass(ref.actor_class, Supervisor) and ref.actor_inbox.ends_for is not UNSET


@contextmanager
def ending_on_signals(ref: Any) -> Iterator[None]:
    """Have the signals end `ref`, once; what there was handles them afterwards, and the next."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            # `None` is one that C code has installed: it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def end(_: int, __: FrameType | None) -> None:
        restore()
        stop_for("shutdown", ref)

    for number in SIGNALS:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
