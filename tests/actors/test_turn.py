"""The right to step a connection: its owner, and whoever drives in the owner's place."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from slipstream_actor.actors.turn import Turn
from tests.support.clients import PATIENCE, eventually
from tests.support.interruptions import interrupted
from tests.support.turns import Owner


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def owner(turn: Turn) -> Iterator[Owner]:
    thread = Owner(turn)
    yield thread
    thread.wakes.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_an_owner_that_is_awake_keeps_it(turn: Turn) -> None:
    assert not turn.take()
    assert not turn.enter()


def test_an_owner_that_nobody_asked_goes_on(turn: Turn, owner: Owner) -> None:
    owner.wakes.set()
    assert owner.slept.get(timeout=PATIENCE) is False
    assert turn.lock.locked()


def test_one_step_delays_the_owner_until_it_is_done(turn: Turn, owner: Owner) -> None:
    assert turn.take()
    owner.wakes.set()
    assert owner.slept.empty()
    turn.give()
    assert owner.slept.get(timeout=PATIENCE) is False


def test_an_owner_goes_on_at_once_when_it_is_left_for_good(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True
    assert turn.lock.locked()
    assert not turn.parked


def test_nobody_drives_before_an_owner_that_was_left_has_gone_on(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    turn.leave(for_good=True)
    while owner.slept.empty():
        assert not turn.enter()
    turn.give()
    assert turn.enter()


def test_an_owner_sleeps_on_while_its_driver_comes_and_goes(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    for _ in range(1000):
        turn.leave(for_good=False)
        assert turn.enter()
    assert turn.parked
    assert owner.slept.empty()
    turn.leave(for_good=True)


def test_an_owner_that_is_recalled_goes_on(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    turn.leave(for_good=False)
    turn.recall()
    assert owner.slept.get(timeout=PATIENCE) is True
    assert turn.lock.locked()


def test_an_owner_is_not_recalled_from_who_drives(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    turn.recall()
    turn.leave(for_good=False)
    assert turn.enter()
    assert turn.parked
    turn.leave(for_good=True)


def test_an_owner_is_not_recalled_from_who_takes_a_step(turn: Turn, owner: Owner) -> None:
    owner.be_driven()
    turn.leave(for_good=False)
    assert turn.take()
    turn.recall()  # In vain: who has it sees to what there is.
    turn.give()
    assert owner.slept.empty()
    turn.recall()
    assert owner.slept.get(timeout=PATIENCE) is True


def test_what_was_left_over_from_before_recalls_nobody(turn: Turn, owner: Owner) -> None:
    turn.enter()
    turn.leave(for_good=True)  # There was nobody parked to be told.
    turn.recall()
    owner.be_driven()
    turn.leave(for_good=False)
    assert turn.enter()
    assert turn.parked
    assert owner.slept.empty()
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True


def test_an_owner_that_does_not_come_is_not_waited_for_long(turn: Turn, owner: Owner) -> None:
    assert turn.enter()
    turn.ask()
    assert not turn.is_granted()
    turn.leave(for_good=True)
    owner.wakes.set()
    assert owner.slept.get(timeout=PATIENCE) is False


class Late(queue.SimpleQueue[None]):
    """Tells who waits in it that its time is over, when the owner has seen the question."""

    def __init__(self, turn: Turn, owner: Owner) -> None:
        self.turn, self.owner = turn, owner

    def get(self, block: bool = True, timeout: float | None = None) -> None:
        if timeout is None:
            super().get(timeout=PATIENCE)
            return
        self.owner.wakes.set()
        eventually(lambda: not self.turn._asks.qsize(), "that the owner sees the question")
        raise queue.Empty


def test_an_owner_that_comes_at_the_last_moment_is_waited_for(turn: Turn, owner: Owner) -> None:
    """It would wait for ever for who has asked."""
    turn._granted = Late(turn, owner)
    assert turn.enter()
    turn.ask()
    assert turn.is_granted()
    assert turn.parked
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True


class Restarted:
    """An owner whose thread ends as soon as it is parked."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.started: queue.Queue[bool] = queue.Queue()
        turn.restart = self.restart

    def restart(self) -> None:
        """Have another thread take over, and say whether that was needed."""
        thread = threading.Thread(target=lambda: self.started.put(self.turn.take_over()))
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def restarted(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> Restarted:
    monkeypatch.setattr(Turn, "linger", 0.0)
    return Restarted(turn)


def park(owner: Owner) -> None:
    """Have the owner parked, and its thread end."""
    owner.be_driven()
    owner.join(PATIENCE)
    assert not owner.is_alive()


def test_the_thread_of_an_owner_that_is_parked_ends(
    turn: Turn, owner: Owner, restarted: Restarted
) -> None:
    park(owner)
    assert owner.slept.get_nowait() is None
    assert turn.parked
    turn.leave(for_good=False)
    assert turn.enter()
    assert restarted.started.empty()


def test_another_thread_goes_on_for_an_owner_that_is_recalled(
    turn: Turn, owner: Owner, restarted: Restarted
) -> None:
    park(owner)
    turn.leave(for_good=False)
    turn.recall()
    assert restarted.started.get_nowait() is True
    assert turn.lock.locked()
    assert not turn.parked
    turn.give()
    assert turn.enter()


def test_one_thread_goes_on(turn: Turn, owner: Owner, restarted: Restarted) -> None:
    """Several may be started for an owner, when several recall it."""
    park(owner)
    turn.leave(for_good=True)
    restarted.restart()
    assert [restarted.started.get_nowait() for _ in range(2)] == [True, False]


def test_the_thread_of_an_owner_that_is_driven_for_long_ends_at_once(
    turn: Turn, owner: Owner, restarted: Restarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turn, "linger", PATIENCE)
    owner.be_driven(for_long=True)
    assert owner.slept.get(timeout=PATIENCE / 2) is None


def test_without_a_way_to_start_another_the_thread_stays(
    turn: Turn, owner: Owner, restarted: Restarted
) -> None:
    turn.restart = None
    owner.be_driven()
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True


def test_where_an_exit_can_start_no_threads_the_thread_stays(
    turn: Turn, owner: Owner, restarted: Restarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turn, "linger", None)
    owner.be_driven(for_long=True)
    turn.leave(for_good=True)
    assert owner.slept.get(timeout=PATIENCE) is True
    assert restarted.started.empty()


class LateRecall(queue.SimpleQueue[None]):
    """A recall that comes when the owner has just given up waiting for it."""

    def get(self, block: bool = True, timeout: float | None = None) -> None:
        if self.qsize():
            return super().get(block, timeout)
        self.put(None)
        raise queue.Empty


def test_an_owner_that_is_recalled_at_the_last_moment_goes_on(
    turn: Turn, owner: Owner, restarted: Restarted
) -> None:
    turn._recalls = LateRecall()
    owner.be_driven()
    turn.give()
    assert owner.slept.get(timeout=PATIENCE) is True
    assert restarted.started.empty()


def test_an_owner_goes_on_however_often_its_thread_ends(turn: Turn, restarted: Restarted) -> None:
    """Recalled at any moment: before its thread ends, while it does, and after that."""
    for round in range(200):
        owner = Owner(turn)
        owner.be_driven()
        if round % 2:
            owner.join(PATIENCE)
        turn.leave(for_good=True)
        owner.join(PATIENCE)
        went_on = [owner.slept.get_nowait()]
        while not restarted.started.empty():
            went_on.append(restarted.started.get_nowait())
        assert went_on.count(True) == 1
        assert turn.lock.locked()


class Alarm(BaseException):
    """What a signal handler raises."""


def ring() -> None:
    raise Alarm


@pytest.mark.parametrize("linger", [0.0, None])
def test_a_signal_in_a_recall_takes_the_turn_from_nobody(
    linger: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recall has its effect: with a turn that nobody gives back the connection would stand
    still for ever."""
    monkeypatch.setattr(Turn, "linger", linger)
    parked: list[tuple[Owner, Restarted]] = []

    def prepare() -> tuple[Callable[[], None], Callable[[], None]]:
        turn = Turn()
        parked.append((Owner(turn), Restarted(turn)))
        parked[-1][0].be_driven()
        turn.leave(for_good=False)
        if linger is not None:
            parked[-1][0].join(PATIENCE)
        return turn.recall, ring

    assert [*map(type, interrupted(prepare))].count(Alarm) > 3
    for owner, restarted in parked:
        owner.turn.recall()
        owner.join(PATIENCE)
        went_on = [owner.slept.get_nowait(), *restarted.started.queue]
        assert went_on.count(True) == 1
        assert owner.turn.lock.locked()
        assert not owner.turn.parked


def test_an_owner_that_gets_no_thread_is_recalled_as_often_as_one_likes(
    turn: Turn, owner: Owner, restarted: Restarted
) -> None:
    """Nothing piles up: it may be for days."""
    park(owner)
    tried: list[None] = []
    turn.restart = lambda: tried.append(None)
    turn.leave(for_good=True)
    for _ in range(100):
        turn.recall()
    assert len(tried) == 101
    assert turn._recalls.qsize() == 1
    restarted.restart()
    assert restarted.started.get_nowait() is True
