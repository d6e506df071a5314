"""What `flask slipstream status` and `manage.py slipstream_status` do: connect, look and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from slipstream_actor.contrib.health import begin, is_ready, words
from slipstream_actor.debug.state import get_state
from slipstream_actor.errors import AwaitTimeoutError, ClientEndedError
from slipstream_actor.supervision.handle import ClientHandle

__all__ = ["connect_briefly"]

# Between two looks.
LOOK_SECONDS = 0.02


def connect_briefly(
    clients: Mapping[str, ClientHandle[Any]], timeout: float, say: Callable[[str], object]
) -> list[bool]:
    """Start the clients, say how each stands when it is ready or the time is over, and end them."""
    deadline = time.monotonic() + timeout
    ready = []
    try:
        failures = {name: begin(handle) for name, handle in clients.items()}
        for name, handle in clients.items():
            failure = failures[name]
            if failure is None:
                ready.append(is_ready_by(handle, deadline))
                text = words(handle.status())
            else:
                ready.append(False)
                text = f"cannot be started: {type(failure).__name__}: {failure}"
            say(f"{name} ({handle.client_class.__name__}): {text}")
    finally:
        for handle in clients.values():
            handle.stop()
    return ready


def is_ready_by(handle: ClientHandle[Any], deadline: float) -> bool:
    """Wait until a client is ready, or until the deadline."""
    asked = False
    while True:
        if is_ready(handle.status()):
            if asked:
                return True
            # `handle_connect` may be about to ask for topics: this is answered behind it.
            with suppress(AwaitTimeoutError, ClientEndedError):
                get_state(handle.ref, timeout=max(0.0, deadline - time.monotonic()))
                asked = True
                continue
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)
