"""The right to step a connection: its owner, and whoever drives in the owner's place."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from slipstream_actor.actors.turn import Turn
from tests.support.clients import PATIENCE, eventually


class Owner(threading.Thread):
    """Sleeps once, as a connection's thread does; `slept` has what `regain` returned."""

    def __init__(self, turn: Turn, tend: Callable[[], bool]) -> None:
        super().__init__(name="owner")
        self.turn = turn
        self.tend = tend
        self.asleep = threading.Event()
        self.wakes = threading.Event()
        self.slept: queue.Queue[bool] = queue.Queue()

    def run(self) -> None:
        self.turn.release()
        self.asleep.set()
        assert self.wakes.wait(PATIENCE)
        self.slept.put(self.turn.regain(self.tend))


class Tended:
    """What an owner does while another thread drives."""

    def __init__(self) -> None:
        self.times = 0
        self.can_wait = True

    def __call__(self) -> bool:
        self.times += 1
        return self.can_wait


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def tended() -> Tended:
    return Tended()


@pytest.fixture
def owner(turn: Turn, tended: Tended) -> Iterator[Owner]:
    thread = Owner(turn, tended)
    thread.start()
    assert thread.asleep.wait(PATIENCE)
    yield thread
    thread.wakes.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def drive(turn: Turn, owner: Owner) -> None:
    """Take the turn to drive, and have the owner parked."""
    assert turn.enter()
    turn.ask()
    owner.wakes.set()
    assert turn.is_granted()
    assert turn.parked


def test_an_owner_that_is_awake_keeps_it(turn: Turn) -> None:
    assert not turn.take()
    assert not turn.enter()


def test_an_owner_that_nobody_asked_goes_on(turn: Turn, owner: Owner) -> None:
    owner.wakes.set()
    assert owner.slept.get(timeout=PATIENCE) is False
    assert turn.locked()


def test_one_step_delays_the_owner_until_it_is_done(turn: Turn, owner: Owner) -> None:
    assert turn.take()
    owner.wakes.set()
    assert owner.slept.empty()
    turn.give()
    assert owner.slept.get(timeout=PATIENCE) is False


def test_an_owner_goes_on_at_once_when_it_is_left_for_good(
    turn: Turn, owner: Owner, tended: Tended
) -> None:
    drive(turn, owner)
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True
    assert turn.locked()
    assert not turn.parked


def test_nobody_drives_before_an_owner_that_was_left_has_gone_on(turn: Turn, owner: Owner) -> None:
    drive(turn, owner)
    turn.leave(for_good=True)
    while owner.slept.empty():
        assert not turn.enter()
    turn.release()
    assert turn.enter()


def test_an_owner_goes_on_behind_a_driver_that_stays_away(
    turn: Turn, owner: Owner, tended: Tended
) -> None:
    drive(turn, owner)
    turn.leave(for_good=False)
    assert owner.slept.get(timeout=PATIENCE) is True
    assert tended.times > 0


def test_an_owner_goes_on_when_something_cannot_wait(
    turn: Turn, owner: Owner, tended: Tended
) -> None:
    tended.can_wait = False
    drive(turn, owner)
    turn.leave(for_good=False)
    assert owner.slept.get(timeout=PATIENCE) is True
    assert tended.times == 1


def test_an_owner_sleeps_while_the_driver_does(turn: Turn, owner: Owner, tended: Tended) -> None:
    drive(turn, owner)
    eventually(lambda: turn._asleep, "that the owner looks no more")
    assert owner.slept.empty()
    assert tended.times == 0
    turn.leave(for_good=False)
    assert owner.slept.get(timeout=PATIENCE) is True


def test_an_owner_does_not_sleep_for_one_step(turn: Turn, owner: Owner) -> None:
    """Who takes one does not wake it: it would sleep for ever."""
    drive(turn, owner)
    turn.leave(for_good=False)
    for _ in range(1000):
        if turn.take():
            turn.give()
    assert owner.slept.get(timeout=PATIENCE) is True


def test_a_driver_that_comes_back_is_left_alone(turn: Turn, owner: Owner) -> None:
    drive(turn, owner)
    for _ in range(1000):
        turn.leave(for_good=False)
        if not turn.enter():
            # The machine was busy for as long as a lease.
            assert owner.slept.get(timeout=PATIENCE) is True
            return
    assert owner.slept.empty()
    turn.leave(for_good=True)


def test_what_was_left_over_from_before_says_nothing(turn: Turn, owner: Owner) -> None:
    turn.enter()
    turn.leave(for_good=True)  # There was nobody parked to be told.
    drive(turn, owner)
    eventually(lambda: turn._asleep, "that the owner sleeps all the same")
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True


def test_an_owner_that_does_not_come_is_not_waited_for_long(turn: Turn, owner: Owner) -> None:
    assert turn.enter()
    turn.ask()
    assert not turn.is_granted()
    turn.leave(for_good=True)
    owner.wakes.set()
    assert owner.slept.get(timeout=PATIENCE) is False
