"""A crash that nothing has told of fails the test, if it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import ChildSpec, Socket, Stop, Supervisor, cast, connect, wait, whereis
from slipstream_actor.testing import SocketTest
from tests.support.clients import PATIENCE, Log, eventually
from tests.testing.kit.kit_client import URI, Joiner, KitClient

KIT_CLIENT = r"KitClient-\d+: RuntimeError\('oh'\)"


def strict() -> SocketTest:
    return SocketTest(fail_on_crash=True, assert_timeout=PATIENCE)


@contextmanager
def failing(names: str) -> Iterator[SocketTest]:
    """A server whose end names these, a regular expression, and no others."""
    message = r"\Acrashed, and no assertion has said so:\n    " + names + r"\Z"
    with pytest.raises(AssertionError, match=message) as caught, strict() as server:
        yield server
    assert isinstance(caught.value.__cause__, RuntimeError)


def crash(server: SocketTest, client: Any) -> BaseException:
    """Have a client crash, and return what it has raised."""
    ref = whereis(client) if isinstance(client, str) else client
    server.push(client, "rooms:lobby", "raise", {"text": "oh"})
    error = wait(ref, timeout=PATIENCE)
    assert isinstance(error, RuntimeError)
    return error


def test_it_is_off_by_default() -> None:
    with SocketTest() as server:
        crash(server, server.start(KitClient, Log()))


def test_a_crash_fails_the_end() -> None:
    with failing(KIT_CLIENT) as server:
        client = server.start(KitClient, Log())
        server.accept_connect(client)
        crash(server, client)


def test_also_of_a_client_that_was_not_accepted() -> None:
    with failing(KIT_CLIENT) as server:
        crash(server, server.start(KitClient, Log()))


def test_also_of_a_client_that_was_started_elsewhere() -> None:
    client = KitClient.start(Log())
    with failing(KIT_CLIENT) as server:
        server.accept_connect(client)
        crash(server, client)


class Lingering(KitClient):
    """Takes its time to end."""

    release = threading.Event()

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.note("terminate")
        assert self.release.wait(PATIENCE)


def test_the_end_of_a_crash_is_waited_for(log: Log) -> None:
    with failing(r"Lingering-\d+: .*") as server:
        server.push(server.start(Lingering, log), "rooms:lobby", "raise", {"text": "oh"})
        log.take("terminate")
        threading.Timer(0.05, Lingering.release.set).start()


def test_each_is_named(log: Log) -> None:
    names = [rf"KitClient '{name}': RuntimeError\('oh'\)" for name in ("alice", "bob")]
    with failing("\n    ".join(names)) as server:
        for name in ("alice", "bob"):
            crash(server, server.start(KitClient, log, name=name))


def test_a_client_whose_place_another_has_taken(log: Log) -> None:
    supervisor = Supervisor.start([ChildSpec(Joiner, log, name="chat")])
    try:
        with failing("Joiner 'chat': .*") as server:
            server.connect_and_assert_join("chat")
            first = whereis("chat")
            crash(server, "chat")
            eventually(lambda: (ref := whereis("chat")) is not first and ref)
            server.connect_and_assert_join("chat")
    finally:
        supervisor.stop()


def test_one_that_an_assertion_has_told_is_known() -> None:
    with strict() as server:
        client = server.start(KitClient, Log())
        server.accept_connect(client)
        error = crash(server, client)
        with pytest.raises(AssertionError, match="crashed") as caught:
            server.assert_push()
    assert caught.value.__cause__ is error


def fail_beside_a_crash() -> None:
    with strict() as server:
        crash(server, server.start(KitClient, Log()))
        raise ZeroDivisionError


def test_what_the_block_raises_is_not_masked() -> None:
    with pytest.raises(ZeroDivisionError):
        fail_beside_a_crash()


@pytest.mark.parametrize("reason", ["normal", "shutdown", "out of order"])
def test_an_end_without_an_exception_is_no_crash(reason: Any) -> None:
    with strict() as server:
        client = server.start(KitClient, Log())
        server.accept_connect(client)
        cast(client, lambda socket: Stop(reason, socket))
        wait(client, timeout=PATIENCE)


def test_the_end_of_a_plain_thread_is_no_crash(log: Log) -> None:
    def script() -> None:
        log.put(("socket", connect(URI, test_mode=True)))
        assert release.wait(PATIENCE)

    release = threading.Event()
    thread = threading.Thread(target=script)
    thread.start()
    with strict() as server:
        server.accept_connect(connect(URI, test_mode=True))
        server.accept_connect(log.take("socket")[1].socket_pid)
        log.queue.clear()
        release.set()
        thread.join(PATIENCE)


def test_what_is_over_is_forgotten() -> None:
    server = strict()
    crash(server, server.start(KitClient, Log()))
    server.close()
    with server:
        pass
