"""What an actor of ours does otherwise than Pykka's, and what likewise."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pykka
import pytest

from slipstream_actor import ClientEndedError, wait
from slipstream_actor.actors.actor import BaseActor
from tests.support.clients import PATIENCE, eventually


class Mortal(BaseActor):
    """Raises what it receives; `failing` is what its last hook raises."""

    def __init__(self, failing: BaseException | None = None) -> None:
        super().__init__()
        self.failing = failing
        self.failures: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return self.failures

    def on_failure(self, *exc_info: Any) -> None:
        self.failures.append(exc_info)
        if self.failing is not None:
            raise self.failing
        self.actor_inbox.ended.set(exc_info[1])


def errors(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """The loggers of the errors that were logged, and the exceptions."""
    return [
        (record.name, record.exc_info and record.exc_info[1])
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]


def test_a_crash_is_told_by_the_hook_alone(caplog: pytest.LogCaptureFixture) -> None:
    ref = Mortal.start()
    failures: Any = ref.ask("failures", timeout=PATIENCE)
    error = LookupError("on purpose")
    ref.tell(error)
    assert wait(ref, PATIENCE) is error
    [(kind, value, traceback)] = failures
    assert (kind, value) == (LookupError, error)
    assert traceback is not None
    assert not ref.is_alive()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("anything", timeout=PATIENCE)
    assert errors(caplog) == []


def test_what_the_hook_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    failing = ValueError("on purpose too")
    ref = Mortal.start(failing)
    failures: Any = ref.ask("failures", timeout=PATIENCE)
    ref.tell(LookupError("on purpose"))
    assert wait(ref, PATIENCE) == "killed"
    assert len(failures) == 1
    assert errors(caplog) == [("pykka", failing)]


def test_what_is_asked_for_raises_there(caplog: pytest.LogCaptureFixture) -> None:
    ref = Mortal.start()
    with pytest.raises(LookupError, match="on purpose"):
        ref.ask(LookupError("on purpose"), timeout=PATIENCE)
    assert ref.ask("failures", timeout=PATIENCE) == []
    ref.stop(timeout=PATIENCE)
    assert errors(caplog) == []


# proxies


def test_a_proxy_costs_once_and_keeps_no_dead_actor_alive() -> None:
    ref: Any = BaseActor.start()
    proxy = ref.proxy()
    assert ref.proxy() is proxy
    actor = weakref.ref(ref._actor_weakref())
    assert actor() is not None
    ref.stop()
    ref.actor_inbox.ended.get(timeout=PATIENCE)
    with pytest.raises(ClientEndedError):
        ref.proxy()
    del proxy
    eventually(lambda: gc.collect() * 0 + (actor() is None), "the end of the actor")
