"""What every test of the embedded server is held to."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

# Tests of clients, whose threads end a moment after they are dead: the check of every test waits.
OF_CLIENTS = {
    "test_client_operations",
    "test_crashed_clients",
    "test_crashes",
    "test_functions",
    "test_kit",
    "test_leaks",
    "test_misuse",
    "test_payloads",
    "test_serving",
    "test_socket_test",
}


@pytest.fixture(autouse=True)
def _no_thread_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    if request.path.stem in OF_CLIENTS:
        return
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    # Nor does a connection's thread end at once; a server's and a proxy's have.
    left = [name for name in names if not name.startswith("connection of ")]
    assert not left, f"threads that outlive their server: {left}"
