"""What every test of the embedded server is held to."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from slipstream_actor.testing import PhoenixServer


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not left, f"threads that outlive their server: {left}"


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    """A server with the channels of the recorded conversations."""
    with PhoenixServer() as server:
        yield server
