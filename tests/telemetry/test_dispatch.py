"""The events' machinery: what Erlang's `:telemetry` does, and what its tests hold it to."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import weakref
from collections import UserDict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from slipstream_actor.telemetry import dispatch
from slipstream_actor.telemetry.dispatch import (
    AlreadyAttachedError,
    attach,
    attach_many,
    detach,
    execute,
    list_handlers,
    wanted_events,
)
from slipstream_actor.telemetry.spans import SpanContext, span
from tests.support.clients import eventually

EVENT = ("some", "event")
OTHER = ("some", "other", "event")
FAILURE = ("telemetry", "handler", "failure")


class Seen(list[tuple[Any, Any, Any]]):
    """What a handler was called with."""

    def __call__(self, event: Any, measurements: Any, metadata: Any) -> None:
        self.append((event, measurements, metadata))

    @property
    def names(self) -> list[Any]:
        return [event for event, _, _ in self]


@pytest.fixture(autouse=True)
def nothing_attached() -> Iterator[None]:
    before = set(list_handlers())
    yield
    for handler in set(list_handlers()) - before:
        detach(handler.id)


def broken(*_: Any) -> None:
    raise LookupError("broken")


# attaching


def test_a_handler_gets_event_measurements_and_metadata() -> None:
    seen = Seen()
    attach("a", EVENT, seen)
    execute(EVENT, {"count": 1}, {"who": "me"})
    execute(EVENT, {"count": 2})
    execute(EVENT)
    told = [(EVENT, {"count": 1}, {"who": "me"}), (EVENT, {"count": 2}, {}), (EVENT, {}, {})]
    assert seen == told


def test_handlers_are_called_in_the_order_of_their_attachment_in_the_thread_that_executes() -> None:
    calls: list[Any] = []
    for name in ("c", "a", "b"):
        attach(name, EVENT, lambda *_, name=name: calls.append((name, threading.get_ident())))
    execute(EVENT, {})
    assert calls == [(name, threading.get_ident()) for name in ("c", "a", "b")]


def test_a_handler_that_changes_what_it_gets_spoils_it_for_nobody() -> None:
    seen = Seen()

    def spoil(event: Any, measurements: Any, metadata: Any) -> None:
        measurements.clear()
        metadata["topic"] = "spoilt"

    attach("spoils", EVENT, spoil)
    attach("sees", EVENT, seen)
    measurements, metadata = {"duration": 1.0}, {"topic": "a"}
    execute(EVENT, measurements, metadata)
    execute(EVENT, MappingProxyType(measurements), MappingProxyType(metadata))
    execute(EVENT, measurements)
    assert seen == [
        (EVENT, {"duration": 1.0}, {"topic": "a"}),
        (EVENT, {"duration": 1.0}, {"topic": "a"}),
        (EVENT, {"duration": 1.0}, {}),
    ]
    assert (measurements, metadata) == ({"duration": 1.0}, {"topic": "a"})


def test_for_nobody_nothing_is_copied() -> None:
    class Unreadable(UserDict[str, Any]):
        def __iter__(self) -> Any:
            raise LookupError("was read")

    execute(EVENT, Unreadable(), Unreadable())
    attach("one", EVENT, print)
    with pytest.raises(LookupError, match="was read"):
        execute(EVENT, Unreadable(), Unreadable())


def test_an_event_concerns_neither_its_prefix_nor_what_begins_with_it() -> None:
    seen = Seen()
    attach("a", EVENT, seen)
    execute(("some",), {})
    execute((*EVENT, "more"), {})
    assert not seen


def test_an_id_is_taken_once() -> None:
    attach("a", EVENT, Seen())
    for event in (EVENT, OTHER):
        with pytest.raises(AlreadyAttachedError, match="'a'") as raised:
            attach("a", event, Seen())
    assert raised.value.handler_id == "a"
    assert isinstance(raised.value, ValueError)
    assert len(list_handlers(("some",))) == 1


def test_what_is_refused_attaches_nothing() -> None:
    attach("a", EVENT, Seen())
    with pytest.raises(AlreadyAttachedError):
        attach_many("a", [OTHER, EVENT], Seen())
    for wrong in ("some.event", ["some", "event"], (), ("some", 1), None):
        with pytest.raises(TypeError, match="event"):
            attach_many("b", [OTHER, wrong], Seen())  # type: ignore[list-item]
    with pytest.raises(TypeError, match="callable"):
        attach("b", OTHER, None)  # type: ignore[arg-type]
    assert not list_handlers(OTHER)


def test_attached_to_many_it_is_detached_from_all() -> None:
    seen = Seen()
    attach_many("a", [EVENT, OTHER, EVENT], seen)
    execute(EVENT, {})
    execute(OTHER, {})
    assert seen.names == [EVENT, OTHER]
    assert detach("a")
    execute(EVENT, {})
    execute(OTHER, {})
    assert len(seen) == 2


def test_detaching_what_is_not_attached_says_so() -> None:
    assert not detach("a")


def test_handlers_are_listed_by_prefix() -> None:
    seen = Seen()
    attach_many("a", [EVENT, OTHER], seen)
    attach("b", EVENT, seen)
    listed = [(h.id, h.event_name, h.function) for h in list_handlers(("some",))]
    assert listed == [("a", EVENT, seen), ("b", EVENT, seen), ("a", OTHER, seen)]
    assert [h.id for h in list_handlers(OTHER)] == ["a"]
    assert not list_handlers((*EVENT, "more"))
    assert {h.id for h in list_handlers()} >= {"a", "b"}
    with pytest.raises(TypeError):
        list_handlers("some")  # type: ignore[arg-type]


def test_what_follows_a_prefix_is_kept_current() -> None:
    names = wanted_events(("some",))
    assert names == set()
    attach_many("a", [EVENT, OTHER, ("another", "event"), ("some",)], Seen())
    attach("b", OTHER, Seen())
    assert names == {"event", "other"}
    assert wanted_events(("some",)) is names
    assert wanted_events(("some", "other")) == {"event"}
    detach("a")
    assert names == {"other"}
    detach("b")
    assert not names


def test_handlers_may_attach_and_detach() -> None:
    seen = Seen()

    def once(*_: Any) -> None:
        detach("once")
        attach("later", EVENT, seen)

    attach("once", EVENT, once)
    execute(EVENT, {"n": 1})
    assert not seen  # This execution had its handlers already.
    execute(EVENT, {"n": 2})
    assert [measurements for _, measurements, _ in seen] == [{"n": 2}]


# failing


def test_a_handler_that_raises_is_logged_and_detached_and_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen, failures = Seen(), Seen()
    attach_many("broken", [EVENT, OTHER], broken)
    attach("after it", EVENT, seen)
    attach("failures", FAILURE, failures)
    with caplog.at_level(logging.ERROR, "slipstream_actor"):
        execute(EVENT, {})
    execute(OTHER, {})
    assert seen.names == [EVENT]
    [(_, measurements, metadata)] = failures
    assert set(measurements) == {"monotonic_time", "system_time"}
    assert isinstance(metadata.pop("reason"), LookupError)
    assert metadata.pop("stacktrace") is not None
    assert metadata == {"event_name": EVENT, "handler_id": "broken", "kind": "error"}
    assert "'broken' has failed" in caplog.text
    assert "LookupError" in caplog.text
    assert not list_handlers(OTHER)


def test_a_handler_of_failures_that_fails_too_is_detached() -> None:
    attach("broken", EVENT, broken)
    attach("broken too", FAILURE, broken)
    execute(EVENT, {})
    assert not list_handlers(FAILURE)


def test_who_took_the_id_of_a_handler_that_fails_stays() -> None:
    seen = Seen()

    def replaced(*_: Any) -> None:
        detach("a")
        attach("a", EVENT, seen)
        raise LookupError

    attach("a", EVENT, replaced)
    execute(EVENT, {})
    execute(EVENT, {})
    assert seen.names == [EVENT]


def test_the_end_of_the_program_passes_through() -> None:
    def leaving(*_: Any) -> None:
        raise SystemExit

    attach("a", EVENT, leaving)
    with pytest.raises(SystemExit):
        execute(EVENT, {})
    assert list_handlers(EVENT)


class Collected:
    """An id, whose first comparison detaches another handler."""

    compared = False

    def __eq__(self, other: object) -> bool:
        first, self.compared = not self.compared, True
        if first:
            detach("another")
        return self is other

    __hash__ = object.__hash__


def test_a_handler_is_detached_while_another_is_attached() -> None:
    """As the end of an object does whose garbage is collected then."""
    attach("another", ("a",), print)
    attach(Collected(), ("a",), print)
    [handler] = list_handlers(("a",))
    assert isinstance(handler.id, Collected)


# spans


def test_a_span_that_ends_well() -> None:
    seen = Seen()
    attach_many("a", [("work", "start"), ("work", "stop"), ("work", "exception")], seen)
    with span(("work",), {"who": "me"}) as under_way:
        under_way.metadata["result"] = 3
        under_way.measurements["bytes"] = 7
    [(start, began, at_start), (stop, ended, at_stop)] = seen
    assert (start, stop) == (("work", "start"), ("work", "stop"))
    assert set(began) == {"monotonic_time", "system_time"}
    assert ended["monotonic_time"] - began["monotonic_time"] == ended["duration"] >= 0
    assert ended["bytes"] == 7
    context = at_start["telemetry_span_context"]
    assert at_start == {"who": "me", "telemetry_span_context": context}
    assert at_stop == {"who": "me", "result": 3, "telemetry_span_context": context}


@pytest.mark.parametrize("measurements", [(), ({"rows": 2},)])
def test_a_span_of_a_function(measurements: tuple[Any, ...]) -> None:
    seen: list[Any] = []
    attach_many("spans", [("work", "start"), ("work", "stop")], lambda *told: seen.append(told))
    assert span(("work",), {"who": "me"}, lambda: (7, *measurements, {"result": 7})) == 7
    [(_, _, at_start), (_, measured, at_stop)] = seen
    context = at_start["telemetry_span_context"]
    assert at_start == {"who": "me", "telemetry_span_context": context}
    assert at_stop == {"result": 7, "telemetry_span_context": context}
    assert measured.keys() == {"duration", "monotonic_time", *(k for m in measurements for k in m)}


@pytest.mark.parametrize("wrong", [7, (7,), (7, {}, {}, {}), [7, {}]])
def test_a_spans_function_that_returns_something_else(wrong: Any) -> None:
    seen: list[Any] = []
    attach("spans", ("work", "exception"), lambda *told: seen.append(told))
    with pytest.raises(TypeError, match="a span's function returns"):
        span(("work",), {}, lambda: wrong)
    assert len(seen) == 1


def test_a_span_that_ends_with_an_exception_raises_it() -> None:
    seen = Seen()
    attach_many("a", [("work", "start"), ("work", "stop"), ("work", "exception")], seen)
    error = LookupError("no")
    with pytest.raises(LookupError) as raised, span(("work",), {"who": "me"}):
        raise error
    assert raised.value is error
    [_, (event, measurements, metadata)] = seen
    assert event == ("work", "exception")
    assert set(measurements) == {"duration", "monotonic_time"}
    assert metadata["kind"] == "error"
    assert metadata["reason"] is error
    assert metadata["stacktrace"] is not None
    assert metadata["who"] == "me"
    assert metadata["telemetry_span_context"] is seen[0][2]["telemetry_span_context"]


def test_an_exit_is_one_too() -> None:
    seen = Seen()
    attach("a", ("work", "exception"), seen)
    with pytest.raises(SystemExit), span(("work",), {}):
        raise SystemExit
    assert seen[0][2]["kind"] == "exit"


def test_a_context_of_ones_own_stays() -> None:
    seen = Seen()
    attach_many("a", [("work", "start"), ("work", "stop")], seen)
    with span(("work",), {"telemetry_span_context": "mine"}):
        pass
    assert [metadata["telemetry_span_context"] for _, _, metadata in seen] == ["mine", "mine"]


def test_contexts_differ_and_leave_nothing() -> None:
    one, other = SpanContext(), SpanContext()
    assert repr(one) != repr(other)
    kept = weakref.WeakKeyDictionary({one: 1, other: 2})
    del one
    gc.collect()
    assert list(kept.values()) == [2]


# threads and processes


def test_threads_may_attach_execute_and_detach_at_once() -> None:
    errors: list[BaseException] = []
    counts = dict.fromkeys(range(8), 0)

    def work(number: int) -> None:
        def count(_: Any, measurements: Any, __: Any) -> None:
            counts[number] += measurements["from"] == number

        try:
            for _ in range(300):
                attach_many(number, [EVENT, OTHER], count)
                execute(EVENT, {"from": number})
                assert detach(number)
                execute(EVENT, {"from": number})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(counts.values()) == {300}
    assert not list_handlers(("some",))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_the_handlers_and_waits_for_nobody() -> None:
    seen = Seen()
    attach("a", EVENT, seen)
    with dispatch._lock:  # As if another thread attached something just now.
        child = os.fork()
        if not child:
            try:
                execute(EVENT, {})
                attach("b", OTHER, seen)
                execute(OTHER, {})
                os._exit(0 if seen.names == [EVENT, OTHER] else 1)
            finally:
                os._exit(2)
    try:
        _, status = eventually(lambda: (ended := os.waitpid(child, os.WNOHANG))[0] and ended)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    assert status == 0
    assert not seen
