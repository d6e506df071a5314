"""One child: how long it has to end, and how often one may be restarted. Time is an argument."""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

import pytest

from slipstream_actor import (
    ChildSpec,
    ConfigurationError,
    Supervisor,
    connect,
    get_state,
    wait,
    whereis,
)
from slipstream_actor.actors.monitor import end_of
from slipstream_actor.supervision.intensity import Intensity
from slipstream_actor.testing import PhoenixServer
from tests.client.test_client import InThread
from tests.support.clients import PATIENCE, eventually
from tests.support.supervision import Events, Worker, end, restarted, supervising, worker


@pytest.mark.parametrize(
    ("times", "exceeded"),
    [
        ([0, 1, 2], False),
        ([0, 1, 2, 3], True),
        ([0, 1, 2, 5], True),  # At the very end of the window.
        ([0, 1, 2, 5.1], False),
        ([0, 0, 0, 100, 100, 100], False),
        ([0, 100, 100, 100, 100], True),
        ([0, 2, 4, 6, 8, 10, 12], False),
    ],
)
def test_so_many_restarts_in_so_many_seconds(times: list[float], exceeded: bool) -> None:
    limits = Intensity(3, 5.0)
    *before, last = [limits.is_exceeded_by(now) for now in times]
    assert not any(before)
    assert last is exceeded


def test_no_restart_at_all() -> None:
    assert Intensity(0, 5.0).is_exceeded_by(0)


def test_what_is_over_is_forgotten() -> None:
    limits = Intensity(10**6, 1.0)
    for now in range(1000):
        limits.is_exceeded_by(now)
    assert limits.count(999) == 2
    assert limits.count(2000) == 0


@pytest.mark.parametrize(
    ("restarts", "seconds", "option"),
    [
        *((value, 5.0, "max_restarts") for value in (-1, 1.5, True, None, math.inf)),
        *((3, value, "max_seconds") for value in (0, -1, "5", None, math.nan)),
    ],
)
def test_wrong_limits_are_named(restarts: Any, seconds: Any, option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option}: must be"):
        Supervisor.start([], max_restarts=restarts, max_seconds=seconds)


class Stuck:
    """A callback that does not return before it is released."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.released.wait(2 * PATIENCE)


@pytest.fixture
def stuck() -> Any:
    """A child's callback, which returns at the end of the test."""
    stuck = Stuck()
    yield stuck
    stuck.released.set()


@pytest.mark.parametrize("shutdown", [0, 0.05])
def test_a_child_that_does_not_end_is_left_behind(
    stuck: Stuck, shutdown: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name is free for the replacement, and when its callback returns it ends as it should."""
    events = Events()
    with supervising([worker(events, "a", shutdown=shutdown)]) as supervisor:
        old: Any = whereis("a")
        old.tell(stuck)
        assert stuck.entered.wait(PATIENCE)
        Supervisor.terminate_child(supervisor, "a")
        assert whereis("a") is None
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        if shutdown:
            assert len(errors) == 1
            assert "leaves child 'a' behind: it has not ended within 0.05 s" in errors[0]
        else:
            assert not errors
        new = Supervisor.restart_child(supervisor, "a")
        assert whereis("a") is new
        stuck.released.set()
        assert wait(old, PATIENCE) == "shutdown"
        assert whereis("a") is new
        assert Supervisor.which_children(supervisor)[0].ref is new


def test_no_shutdown_time_waits_for_ever(stuck: Stuck) -> None:
    events = Events()
    with supervising([worker(events, "a", shutdown=None)]) as supervisor:
        a: Any = whereis("a")
        a.tell(stuck)
        assert stuck.entered.wait(PATIENCE)
        terminating = InThread(Supervisor.terminate_child, supervisor, "a")
        # Answered while it waits; a stop does not cut the waiting short.
        eventually(lambda: a.actor_inbox.stopping)
        assert [child.id for child in Supervisor.which_children(supervisor)] == ["a"]
        assert get_state(supervisor).strategy == "one_for_one"
        stopping = InThread(supervisor.stop)
        eventually(lambda: supervisor.actor_inbox.stopping)
        assert supervisor.is_alive()
        stuck.released.set()
        assert (terminating.outcome(), stopping.outcome()) == (None, True)
    events.take(("init", "a"), ("terminate", "a", "shutdown"))


def test_a_stop_answers_when_the_children_have_ended_or_had_their_time(stuck: Stuck) -> None:
    events = Events()
    with supervising([worker(events, "a"), worker(events, "b", shutdown=0.05)]) as supervisor:
        whereis("b").tell(stuck)  # type: ignore[union-attr]
        assert stuck.entered.wait(PATIENCE)
    assert wait(supervisor, PATIENCE) == "normal"
    events.take(("init", "a"), ("init", "b"), ("terminate", "a", "shutdown"))


def test_a_second_stop_hurries_nothing(stuck: Stuck) -> None:
    events = Events()
    supervisor = Supervisor.start([worker(events, "a"), worker(events, "b")])
    whereis("b").tell(stuck)  # type: ignore[union-attr]
    assert stuck.entered.wait(PATIENCE)
    stopping = [InThread(supervisor.stop) for _ in range(2)]
    eventually(lambda: not supervisor.is_alive())
    assert not end_of(supervisor).done
    stuck.released.set()
    assert {stop.outcome() for stop in stopping} <= {True, False}
    assert [entry[:2] for entry in events.take_all()[2:]] == [
        ("terminate", "b"),
        ("terminate", "a"),
    ]


def test_the_connection_of_one_that_is_left_behind_is_closed(
    server: PhoenixServer, stuck: Stuck
) -> None:
    events = Events()
    begin = lambda: connect(server.uri).await_connect()  # noqa: E731
    with supervising([worker(events, "a", begin=begin, shutdown=0.05)]) as supervisor:
        assert server.connections == 1
        whereis("a").tell(stuck)  # type: ignore[union-attr]
        assert stuck.entered.wait(PATIENCE)
        Supervisor.terminate_child(supervisor, "a")
        eventually(lambda: server.connections == 0, "the close")
        assert not stuck.released.is_set()


def test_a_child_that_waits_for_an_answer_of_its_supervisor_can_be_stopped() -> None:
    """As one that is stuck, while the supervisor waits for it to end."""
    events = Events()
    others = [worker(events, key) for key in ("a", "b")]
    with supervising(others, strategy="one_for_all", name="supervisor"):
        a: Any = whereis("a")
        b = whereis("b")
        release = threading.Event()

        def ask() -> None:
            assert release.wait(PATIENCE)
            Supervisor.delete_child("supervisor", "nobody")

        a.tell(ask)
        assert isinstance(end(b, ValueError()), ValueError)
        eventually(lambda: a.actor_inbox.stopping)
        release.set()
        assert restarted("a", a)
        assert restarted("b", b)
    assert ("terminate", "a", "shutdown") in events.take_all()


def test_a_child_may_look_at_its_supervisor_in_terminate() -> None:
    events = Events()

    class Curious(Worker):
        def terminate(self, reason: Any, socket: Any) -> None:
            self.events.put([child.id for child in Supervisor.which_children("supervisor")])

    with supervising([], name="supervisor"):
        Supervisor.start_child("supervisor", ChildSpec(Curious, events, "c", id="c"))
        Supervisor.terminate_child("supervisor", "c")
    events.take(("init", "c"), ["c"])
