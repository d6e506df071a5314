"""Several threads at once, and what they can see of one another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from slipstream_actor.actors.shared import HAS_LOCK
from tests.support.clients import PATIENCE

__all__ = ["in_threads", "looks_into_threads"]

looks_into_threads = pytest.mark.skipif(
    not HAS_LOCK, reason="without the interpreter's lock no thread looks at another one's frames"
)


def in_threads(*functions: Callable[[], object]) -> None:
    """Run functions at once, and wait for them."""
    barrier = threading.Barrier(len(functions))
    failures: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            barrier.wait()
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(f,), daemon=True) for f in functions]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
