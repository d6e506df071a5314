"""Who sees that a driver stays away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from slipstream_actor.actors import absence as module
from slipstream_actor.actors.absence import THREAD, Absence
from slipstream_actor.actors.turn import Turn
from tests.support.clients import PATIENCE, eventually


class Connection:
    """One whose own thread is parked, and counts how often it was recalled."""

    def __init__(self, absence: Absence) -> None:
        self.turn = Turn()
        self.absence = absence
        self.asleep, self.wakes = threading.Event(), threading.Event()
        self.went_on = threading.Event()
        self.thread = threading.Thread(target=self.run, name="owner")
        absence.begin(self.turn)
        self.thread.start()
        assert self.asleep.wait(PATIENCE)
        assert self.turn.enter()
        self.turn.ask()
        self.wakes.set()
        assert self.turn.is_granted()

    def run(self) -> None:
        self.turn.release()
        self.asleep.set()
        assert self.wakes.wait(PATIENCE)
        assert self.turn.regain()
        self.absence.end(self.turn)
        self.went_on.set()

    def leave(self) -> None:
        """Be away."""
        self.turn.leave(for_good=False)
        self.absence.note(self.turn)

    def close(self) -> None:
        """Have its thread end."""
        eventually(self.is_over, "that its own thread goes on")
        self.thread.join(PATIENCE)

    def is_over(self) -> bool:
        if self.turn.driven:
            self.turn.leave(for_good=True)
        else:
            self.turn.recall()
        return self.went_on.is_set()


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
    assert connection.went_on.wait(PATIENCE)


def test_who_drives_is_not_away(absence: Absence, connection: Connection) -> None:
    connection.leave()
    if connection.turn.enter():  # Else the machine was busy for as long.
        eventually(lambda: not absence._away, "that nobody is looked at")
        assert connection.turn.parked


def test_who_comes_and_goes_stays(absence: Absence, connection: Connection) -> None:
    seen = 0
    while seen < 5:
        connection.leave()
        eventually(lambda: absence._away.get(connection.turn) != -1, "that it is looked at")
        if not connection.turn.enter():
            return  # The machine was busy for as long as two looks.
        seen += 1
    assert connection.turn.parked


def test_many_are_looked_at_by_one_thread(absence: Absence) -> None:
    connections = [Connection(absence) for _ in range(20)]
    for connection in connections:
        connection.leave()
    for connection in connections:
        assert connection.went_on.wait(PATIENCE)
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
