"""Reports when it matters: under load, behind what held the interpreter's lock, in a child."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from slipstream_actor import ClientActor, Socket, cast, connect, debug
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually, recording
from tests.support.programs import run
from tests.support.raw_server import Gone, Peer, RawServer, broadcast
from tests.support.threads import looks_into_threads

TOPIC = "bench:a"
CLIENTS = 50
# What one write of the server's has, to each client.
AT_ONCE = broadcast("news", {"n": 1}) * 200


def test_fifty_clients_under_load() -> None:
    """100,000 messages a second, or as many as the machine has room for: each report has all
    clients, and shows how much comes in."""
    over = threading.Event()
    peers: list[Peer] = []

    def upgraded(peer: Peer) -> None:
        peer.upgrade()
        peers.append(peer)
        over.wait(PATIENCE)
        raise Gone

    def flood() -> None:
        with suppress(Gone, OSError):
            while not over.wait(0.1):
                for peer in peers:
                    peer.send(AT_ONCE)

    class Counting(ClientActor):
        seen: int = 0

        def init(self, uri: str) -> Socket:
            return connect(uri, reconnect_after_msec=[60_000])

        def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
            self.seen += 1

    flooding = threading.Thread(target=flood)
    with RawServer(upgraded) as server:
        refs: list[Any] = [Counting.start(server.uri) for _ in range(CLIENTS)]
        try:
            eventually(lambda: len(peers) == CLIENTS, "the connections")
            flooding.start()
            eventually(lambda: all(ref._actor_weakref().seen for ref in refs), "the first ones")
            debug.report()
            begun, before = time.monotonic(), sum(ref._actor_weakref().seen for ref in refs)
            reports = [debug.report(stacks=True)]
            while time.monotonic() - begun < 1.0:
                reports.append(debug.report(stacks=True))
            # A rate is of half a second at least, and the first may have taken all of the time.
            reports.append(debug.report(stacks=True))
            arrived = sum(ref._actor_weakref().seen for ref in refs) - before
        finally:
            over.set()
            flooding.join()
            for ref in refs:
                ref.stop()
    for whole in reports:
        json.dumps(whole)
        assert len(whole["clients"]) == CLIENTS
        assert {client["status"] for client in whole["clients"]} == {"connected"}
    rates = [client["connection"]["rates"] for client in reports[-1]["clients"]]
    assert sum(rate["frames_in"] for rate in rates if rate is not None) > 0
    assert arrived > 0


@looks_into_threads
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such function")
def test_behind_a_call_that_held_the_interpreters_lock() -> None:
    """Nobody can look while it does; behind it the report says what runs, and for how long."""
    stuck, go_on = threading.Event(), threading.Event()

    class Greedy(ClientActor):
        def init(self) -> Socket:
            return connect("ws://test.invalid/socket/websocket", test_mode=True)

        def handle_cast(self, message: Any, socket: Socket) -> None:
            ctypes.PyDLL(None).usleep(1_000_000)  # Unlike `CDLL`, it keeps the lock.
            stuck.set()
            go_on.wait(PATIENCE)

    ref = Greedy.start(name="greedy")
    try:
        cast(ref, "go")
        assert stuck.wait(PATIENCE)
        ref.tell("waits")
        part = debug.get_status(ref, stacks=True)
        assert part["callback"]["name"] == "handle_cast"
        assert part["callback"]["seconds"] >= 1.0
        assert part["mailbox"]["depth"] == 1
        assert any("in" in line and "handle_cast" in line for line in part["callback"]["stack"])
    finally:
        go_on.set()
        ref.stop()


@looks_into_threads
def test_a_client_that_is_stuck_beside_one_that_is_not(server: PhoenixServer) -> None:
    stuck, go_on = threading.Event(), threading.Event()
    log: queue.SimpleQueue[Any] = queue.SimpleQueue()

    class Stuck(ClientActor):
        def init(self) -> Socket:
            return connect(server.uri).join(TOPIC)

        def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
            stuck.set()
            go_on.wait(PATIENCE)
            log.put("gone on")

    ref = Stuck.start(name="stuck")
    try:
        assert stuck.wait(PATIENCE)
        with recording(server.uri) as (other, events):
            events.take("connect")
            by_id = {client["id"]: client for client in debug.report()["clients"]}
            assert by_id[other.actor_urn]["callback"] is None
            part = by_id[ref.actor_urn]
            assert part["callback"]["name"] == "handle_join"
            # The connection goes on meanwhile.
            assert part["connection"]["status"] == "connected"
            assert part["connection"]["joined_count"] == 1
            assert log.empty()
    finally:
        go_on.set()
        ref.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_in_a_forks_child_with_a_client_of_its_own(server: PhoenixServer) -> None:
    program = """
import os, sys
from slipstream_actor import ClientActor, ClientHandle, connect, debug
class Client(ClientActor):
    def init(self, uri):
        return connect(uri).join("bench:a")
handle = ClientHandle(Client, sys.argv[1], name="handled")
handle.wait_until_joined("bench:a")
mine = debug.get_status(handle.ref)
pid = os.fork()
if pid == 0:
    code = 1
    try:
        assert debug.report()["clients"] == []
        handle.wait_until_joined("bench:a")
        whole = debug.report(stacks=True)
        (client,) = whole["clients"]
        assert client["id"] != mine["id"], client
        assert (client["status"], client["connection"]["joined_count"]) == ("connected", 1)
        assert (whole["pid"], whole["forks"]) == (os.getpid(), 1), whole
        handle.stop()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert debug.get_status(handle.ref)["id"] == mine["id"]
"""
    outcome = run(program, server.uri)
    assert outcome.code == 0, outcome.errors
