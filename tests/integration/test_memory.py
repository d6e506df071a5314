"""What an idle client takes of memory: in programs of their own, where nothing else does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slipstream_actor.actors.shared import HAS_LOCK
from slipstream_actor.connection import opening
from tests.support.programs import Program
from tests.support.raw_server import RawServer, serve

PYTHON = [sys.executable]
SMAPS = Path("/proc/self/smaps")

# What Python allocates for one of them, a fifth more than it is.
MOST_BYTES = 25_700

JOINED = """
import gc, sys, threading, tracemalloc
from slipstream_actor import ClientActor, connect, wait_until_joined
from slipstream_actor.actors import inbox

COUNT = 50
inbox.QUIET = 0.1

class Client(ClientActor):
    def init(self, uri, topic):
        self.topic = topic
        return connect(uri)

    def handle_connect(self, socket):
        return socket.join(self.topic)

def start(topics):
    refs = [Client.start(sys.argv[1], topic) for topic in topics]
    for ref, topic in zip(refs, topics):
        wait_until_joined(ref, topic, timeout=None)
    while any(thread.name.startswith("connection of") for thread in threading.enumerate()):
        threading.Event().wait(0.01)
    gc.collect()
    return refs

tracemalloc.start()
# What is made once, for all of them, is not theirs.
kept = start([f"first:{number}" for number in range(10)])
before = tracemalloc.get_traced_memory()[0]
kept += start([f"idle:{number}" for number in range(COUNT)])
print((tracemalloc.get_traced_memory()[0] - before) // COUNT, flush=True)
"""


@pytest.mark.skipif(not HAS_LOCK, reason="objects are bigger without the interpreter's lock")
def test_an_idle_client_allocates_little() -> None:
    with RawServer(serve) as server, Program(JOINED, server.uri, python=PYTHON) as program:
        assert 0 < int(program.line()) < MOST_BYTES


FRAMES = """
import threading
from pathlib import Path
from slipstream_actor.connection.opening import with_frames_apart

COUNT = 100

def deep(calls):
    return deep(calls - 1) if calls else 0

def resident():
    # Not `statm`, which each thread brings up to date when it has touched some pages.
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))

def growth(function):
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def run():
        function(100)
        begun.release()
        go_on.wait()

    before = resident()
    threads = [threading.Thread(target=run) for _ in range(COUNT)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    grown = resident() - before
    go_on.set()
    for thread in threads:
        thread.join()
    return grown // COUNT

@with_frames_apart
def apart(calls):
    return deep(calls)

growth(lambda _: None)  # Stacks are kept for the threads to come.
print(growth(apart), growth(deep), flush=True)
"""


@pytest.mark.skipif(not SMAPS.exists(), reason="reads what is resident from /proc")
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's frames")
def test_frames_of_a_deep_call_are_given_back() -> None:
    with Program(FRAMES, python=PYTHON) as program:
        apart, touched = map(int, program.line().split())
        assert apart + 4_096 < touched
    # Connecting is such a call.
    assert opening.open_transport.__code__.co_stacksize >= opening.WORDS_OF_FRAMES
