"""What every test is held to: it leaves no thread, no descriptor and no logger's level behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.pages import levels

# How long an example takes depends on what else the machine does.
settings.register_profile("slipstream", deadline=None)
settings.load_profile("slipstream")

DESCRIPTORS = Path("/proc/self/fd")
PATIENCE = 5.0


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def descriptors() -> set[str]:
    """The open sockets and pipes, where the system tells."""
    if not DESCRIPTORS.is_dir():
        return set()
    found = set()
    for entry in os.listdir(DESCRIPTORS):
        try:
            target = os.readlink(DESCRIPTORS / entry)
        except OSError:
            continue
        if target.startswith(("socket:", "pipe:")):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves a thread, a socket or a pipe; the end of both takes a moment."""
    threads_before, descriptors_before, levels_before = threads(), descriptors(), levels()
    yield
    changed = {n: level for n, level in levels().items() if level != levels_before.get(n, 0)}
    assert not changed, f"loggers whose level was left changed: {changed}"
    deadline = time.monotonic() + PATIENCE
    nap = threading.Event()
    while time.monotonic() < deadline:
        left = threads() - threads_before
        open_ends = descriptors() - descriptors_before
        if not left and not open_ends:
            return
        if not left:
            gc.collect()
        nap.wait(0.01)
    pytest.fail(f"left behind: threads {left}, descriptors {open_ends}")


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    """The embedded server with the recorded channels."""
    with PhoenixServer() as server:
        yield server


@pytest.fixture
def proxy(server: PhoenixServer) -> Iterator[FaultProxy]:
    """A proxy before the embedded server."""
    with FaultProxy(server.uri) as proxy:
        yield proxy
