"""Who sees that a driver stays away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from slipstream_actor.actors import absence as module
from slipstream_actor.actors.absence import THREAD, Absence
from slipstream_actor.actors.turn import Turn
from tests.support.clients import PATIENCE, eventually
from tests.support.turns import Owner


class Connection:
    """One whose own thread is parked."""

    def __init__(self, absence: Absence) -> None:
        self.turn = Turn()
        self.absence = absence
        absence.begin(self.turn)
        self.owner = Owner(self.turn)
        self.owner.be_driven()

    def leave(self) -> None:
        """Be away."""
        self.turn.leave(for_good=False)
        self.absence.note(self.turn)

    def goes_on(self) -> bool:
        """Whether its own thread does so, in time."""
        self.owner.join(PATIENCE)
        self.absence.end(self.turn)
        return not self.owner.is_alive()

    def close(self) -> None:
        """Have its thread end."""
        if self.turn.driven:
            self.turn.leave(for_good=True)
        else:
            self.turn.recall()
        assert self.goes_on()


@pytest.fixture
def absence(monkeypatch: pytest.MonkeyPatch) -> Iterator[Absence]:
    monkeypatch.setattr(module, "LINGER", 0.01)
    found = Absence()
    yield found
    eventually(lambda: not found._running, "that its thread ends")


@pytest.fixture
def connection(absence: Absence) -> Iterator[Connection]:
    found = Connection(absence)
    yield found
    found.close()


def test_the_owner_of_a_driver_that_stays_away_goes_on(connection: Connection) -> None:
    connection.leave()
    assert connection.goes_on()


def test_who_drives_is_not_away(absence: Absence, connection: Connection) -> None:
    connection.leave()
    if connection.turn.enter():  # Else the machine was busy for as long.
        eventually(lambda: not absence._away, "that nobody is looked at")
        assert connection.turn.parked


def test_who_comes_and_goes_stays() -> None:
    """Looked at by hand: a thread would look whenever the machine lets it."""
    absence, turn = Absence(), Turn()
    owner = Owner(turn)
    owner.be_driven()
    for _ in range(5):
        turn.leave(for_good=False)
        absence.note(turn)
        absence._look(turn)
        assert turn.enter()
    turn.leave(for_good=False)
    absence._look(turn)
    assert turn.parked
    assert owner.slept.empty()
    absence._look(turn)
    assert owner.slept.get(timeout=PATIENCE) is True


def test_many_are_looked_at_by_one_thread(absence: Absence) -> None:
    connections = [Connection(absence) for _ in range(20)]
    for connection in connections:
        connection.leave()
    for connection in connections:
        assert connection.goes_on()
        connection.close()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count(THREAD) <= 1


def test_the_thread_ends_with_the_last_that_is_parked(absence: Absence) -> None:
    for _ in range(3):
        one = Connection(absence)
        assert absence._running
        one.close()
        eventually(lambda: not absence._running, "that the thread ends")


def test_without_threads_nobody_is_parked(
    absence: Absence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            Connection(absence)
    assert not absence._running
    assert not absence._parked
