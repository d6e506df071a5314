"""What every test is held to: it leaves no thread, descriptor, message or logger's level behind.

And what is said of a whole run: the time of each room, and its order where a seed shuffles it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from slipstream_actor.actors.absence import Absence
from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.process import current
from slipstream_actor.actors.search import Expired
from slipstream_actor.socket.apply_event import ReconnectDue, RejoinDue
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.pages import levels

# A shell that starts a run in the background has it ignore Ctrl-C, and so would every program that
# the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes, or its data, depends on what else the machine does.
settings.register_profile("slipstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipstream")

DESCRIPTORS = Path("/proc/self/fd")
PATIENCE = 20.0
# `make test-random` sets it.
ORDER = os.environ.get("TEST_ORDER")


def pytest_report_header() -> str | None:
    return f"in random order: TEST_ORDER={ORDER}" if ORDER else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Shuffle the files, and the tests in each: what a file sets up once is still set up once."""
    if not ORDER:
        return
    chance = random.Random(ORDER)  # A seed, since every process has to come to the same order.
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    shuffled = list(files.values())
    chance.shuffle(shuffled)
    for tests in shuffled:
        chance.shuffle(tests)
    items[:] = [item for tests in shuffled for item in tests]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what each room takes: its tests, and their seconds one after the other."""
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if isinstance(report, pytest.TestReport):
            room = room_of(report.nodeid)
            seconds[room] += report.duration
            tests[room] += report.when == "setup"
    if len(seconds) < 2:
        return
    terminalreporter.section("seconds of each room")
    for room, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        terminalreporter.line(f"{taken:7.1f}  {room} ({tests[room]} tests)")


def room_of(nodeid: str) -> str:
    """Return the room of a test: "tests/actors", "tests" for those in none, or "examples"."""
    folder = nodeid.partition("::")[0].rpartition("/")[0]
    return "/".join(folder.split("/")[: 2 if folder.startswith("tests/") else 1])


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


def messages() -> list[Any]:
    """Take out what waits for this thread, but for the events of its connections, and for the end
    of a delay, which only the socket that asked for it takes."""
    found = []
    with contextlib.suppress(Expired):
        while True:
            found.append(current().actor_inbox.receive(lambda _, s: 0 if s else TAKE, 0.0))
    return [message for message in found if type(message) not in (ReconnectDue, RejoinDue)]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves a thread, a socket or a pipe, whose ends take a moment; or a
    message that the next one would take for its own."""
    threads_before, descriptors_before, levels_before = threads(), descriptors(), levels()
    yield
    left_messages = messages()
    assert not left_messages, f"left in the mailbox of the tests' thread: {left_messages}"
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


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection's thread is not recalled for a client that stays away."""
    monkeypatch.setattr(Absence, "_look", lambda *_: None)
