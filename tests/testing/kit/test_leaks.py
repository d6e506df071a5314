"""What a block leaves running is named and stopped."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from slipstream_actor import ChildSpec, ClientActor, Supervisor, connect, wait, whereis
from slipstream_actor.testing import PhoenixServer, no_leaked_clients
from slipstream_actor.testing.kit import leaks
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import KitClient


class Slow(ClientActor):
    """Does not come back from a callback until it is released."""

    def init(self, release: threading.Event) -> None:
        self.release = release

    def handle_info(self, message: Any, socket: Any) -> None:
        self.release.wait(PATIENCE)


def slow(release: threading.Event) -> Any:
    """Return a client that has been asked to stop, and will when it is released."""
    ref = Slow.start(release)
    ref.tell("wait")
    _ = ref.stop(block=False)
    return ref


def test_a_block_that_leaves_nothing() -> None:
    with no_leaked_clients():
        KitClient.start(Log()).stop()


def test_what_was_there_before_is_no_leak() -> None:
    ref = KitClient.start(Log())
    with no_leaked_clients():
        pass
    assert ref.is_alive()
    ref.stop()


def test_a_client_is_named_and_stopped() -> None:
    with (
        pytest.raises(AssertionError, match=r"^left alive, and stopped now:\n    KitClient-\d+\Z"),
        no_leaked_clients(),
    ):
        ref = KitClient.start(Log())
    assert not ref.is_alive()


def test_a_client_with_a_name_is_named_by_it() -> None:
    with (
        pytest.raises(AssertionError, match=r"\n    KitClient 'chat'\Z"),
        no_leaked_clients(),
    ):
        KitClient.start(Log(), name="chat")


def test_one_that_does_not_stop_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "STOP_SECONDS", 1.0)
    release = threading.Event()
    refs: list[Any] = []
    with pytest.raises(AssertionError) as caught, no_leaked_clients(patience=0.01):
        refs += [slow(release), KitClient.start(Log())]
    release.set()
    wait(refs[0], timeout=PATIENCE)
    lines = str(caught.value).splitlines()
    assert lines[0] == "left alive, and stopped now:"
    assert lines[1] == f"    {refs[1]}"
    assert lines[2] == "left alive, and did not stop in 1.0 s:"
    assert lines[3:] == [f"    {refs[0]}"]


def test_a_supervisor_is_stopped_before_its_children() -> None:
    with (
        pytest.raises(AssertionError, match=r"    KitClient 'child'\n    Supervisor-\d+\Z"),
        no_leaked_clients(),
    ):
        supervisor = Supervisor.start([ChildSpec(KitClient, Log(), name="child")])
    assert not supervisor.is_alive()
    assert whereis("child") is None


def test_the_connection_of_a_plain_thread(phoenix: PhoenixServer) -> None:
    with (
        pytest.raises(AssertionError, match=r"    connection of thread MainThread\Z"),
        no_leaked_clients(),
    ):
        socket = connect(phoenix.uri).await_connect()
    assert not socket.connected


def test_one_that_is_closed_is_none(phoenix: PhoenixServer) -> None:
    with no_leaked_clients():
        connect(phoenix.uri).await_connect().disconnect()


def test_what_is_about_to_end_is_waited_for() -> None:
    release = threading.Event()
    with no_leaked_clients():
        ref = slow(release)
        threading.Timer(0.05, release.set).start()
    assert not ref.is_alive()


def test_but_not_for_ever() -> None:
    release = threading.Event()
    threading.Timer(0.3, release.set).start()
    with pytest.raises(AssertionError, match="Slow"), no_leaked_clients(patience=0.01):
        slow(release)


def leak_and_raise(refs: list[Any]) -> None:
    with no_leaked_clients():
        refs.append(KitClient.start(Log()))
        raise ZeroDivisionError


def test_an_exception_of_the_block_is_not_masked() -> None:
    refs: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        leak_and_raise(refs)
    assert not refs[0].is_alive()
