"""Handlers by pattern: who gets a message, and which decorations make no sense."""

from __future__ import annotations

import functools
import queue
import threading
import unittest.mock
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import (
    CallbackReturnError,
    ClientActor,
    MessageReceived,
    Next,
    Socket,
    Stop,
    connect,
    get_state,
    on,
    wait,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.client.handlers import MOST_FOUND, Pattern, Routes
from tests.support.clients import PATIENCE

URI = "ws://test.invalid/socket/websocket"

Sending = Callable[[Any, Any], None]


class Base(ClientActor):
    """Notes which method had which message."""

    def init(self, log: queue.Queue[Any]) -> Socket:
        self.log = log
        return connect(URI, test_mode=True)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.log.put(("handle_message", topic, event, payload))

    def handle_info(self, message: Any, socket: Socket) -> Any:
        self.log.put(("handle_info", message))

    def handle_continue(self, term: Any, socket: Socket) -> Any:
        self.log.put(("handle_continue", term))


def noting(name: str) -> Any:
    """A handler that notes what it was called with."""

    def method(self: Base, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.log.put((name, topic, event, payload))

    return method


def by_hand(ref: Any, message: Any) -> None:
    ref.tell(message)


def in_a_burst(ref: Any, message: Any) -> None:
    ref.tell(Burst(None, [message]))


# The two ways on which a message comes to a client.
@pytest.fixture(params=[by_hand, in_a_burst])
def send(request: pytest.FixtureRequest) -> Sending:
    sending: Sending = request.param
    return sending


Call = Callable[[type[ClientActor], str, str], str]


@pytest.fixture
def called(send: Sending) -> Iterator[Call]:
    """Return the name of the method that a class calls for a message."""
    refs: dict[type, tuple[Any, queue.Queue[Any]]] = {}

    def called(kind: type[ClientActor], topic: str, event: str) -> str:
        if kind not in refs:
            log: queue.Queue[Any] = queue.Queue()
            refs[kind] = kind.start(log), log
        ref, log = refs[kind]
        send(ref, MessageReceived(topic, event, {"n": 1}))
        name, *arguments = log.get(timeout=PATIENCE)
        assert arguments == [topic, event, {"n": 1}]
        get_state(ref)
        assert log.empty(), "one message is handled once"
        return str(name)

    yield called
    for ref, _ in refs.values():
        ref.stop()


class Chat(Base):
    lobby_message = on("rooms:lobby", "new:msg")(noting("lobby_message"))
    lobby = on("rooms:lobby")(noting("lobby"))
    message = on("rooms:*", "new:msg")(noting("message"))
    private = on("rooms:private:*")(noting("private"))
    arrival = on("rooms:*", "arrived")(on("halls:*", "arrived")(noting("arrival")))


@pytest.mark.parametrize(
    ("topic", "event", "name"),
    [
        ("rooms:lobby", "new:msg", "lobby_message"),
        ("rooms:lobby", "arrived", "lobby"),  # An exact topic before a prefix.
        ("rooms:lobby", "other", "lobby"),
        ("rooms:1", "new:msg", "message"),
        ("rooms:", "new:msg", "message"),
        ("rooms:private:1", "new:msg", "private"),  # A longer prefix before a shorter one.
        ("rooms:1", "arrived", "arrival"),
        ("halls:1", "arrived", "arrival"),
        ("rooms:1", "other", "handle_message"),
        ("rooms", "new:msg", "handle_message"),
        ("room:lobby", "new:msg", "handle_message"),
        ("rooms:lobby", "", "lobby"),
        ("rooms:*", "new:msg", "message"),
    ],
)
def test_the_most_specific_handler_has_the_message(
    called: Call, topic: str, event: str, name: str
) -> None:
    assert called(Chat, topic, event) == name
    assert called(Chat, topic, event) == name  # Remembered.


def test_a_star_alone_is_every_topic(called: Call) -> None:
    class All(Base):
        everything = on("*")(noting("everything"))
        msg = on("*", "msg")(noting("msg"))

    assert called(All, "", "x") == "everything"
    assert called(All, "a", "msg") == "msg"


def test_a_class_without_handlers_has_no_routes() -> None:
    assert Base._slipstream_routes is None
    assert ClientActor._slipstream_routes is None


# inheritance


def test_a_subclass_has_its_bases_handlers(called: Call) -> None:
    class Sub(Chat):
        pass

    assert called(Sub, "rooms:lobby", "new:msg") == "lobby_message"


def test_a_method_overrides_that_of_its_name_and_keeps_its_patterns(called: Call) -> None:
    class Sub(Chat):
        message = noting("overridden")

    assert called(Sub, "rooms:1", "new:msg") == "overridden"
    assert called(Chat, "rooms:1", "new:msg") == "message"


def test_patterns_of_its_own_replace_those_of_the_method_that_is_overridden(called: Call) -> None:
    class Sub(Chat):
        message = on("rooms:*", "edited")(noting("edited"))

    assert called(Sub, "rooms:1", "edited") == "edited"
    assert called(Sub, "rooms:1", "new:msg") == "handle_message"


def test_a_pattern_overrides_that_of_a_base(called: Call) -> None:
    class Sub(Chat):
        another = on("rooms:*", "new:msg")(noting("another"))

    class SubSub(Sub):
        message = noting("message, again")

    assert called(Sub, "rooms:1", "new:msg") == "another"
    assert called(SubSub, "rooms:1", "new:msg") == "another"


def test_a_pattern_overrides_also_with_a_method_that_was_there(called: Call) -> None:
    class Sub(Chat):
        another = on("rooms:*", "edited")(noting("another"))

    class SubSub(Sub):
        message = on("rooms:*", "edited")(noting("message"))

    assert called(Sub, "rooms:1", "edited") == "another"
    assert called(SubSub, "rooms:1", "edited") == "message"


def test_handlers_come_from_plain_classes_too(called: Call) -> None:
    class First:
        first = on("a", "x")(noting("first"))

    class Second:
        second = on("a", "x")(noting("second"))
        other = on("b")(noting("other"))

    class Mixed(First, Second, Base):
        pass

    assert called(Mixed, "a", "x") == "first"
    assert called(Mixed, "b", "x") == "other"


def test_two_methods_of_one_class_cannot_have_one_pattern() -> None:
    with pytest.raises(TypeError, match=r"Torn\.one and \.two are both @on\('a', '\*'\)"):

        class Torn(Base):
            one = on("a")(noting("one"))
            two = on("b")(on("a")(noting("two")))


def test_the_same_pattern_twice_on_one_method_is_one(called: Call) -> None:
    class Twice(Base):
        one = on("a")(on("a")(noting("one")))

    assert called(Twice, "a", "x") == "one"


# what handlers may return


class Returning(Base):
    act: Callable[[Socket], Any]

    @on("a", "b")
    def handler(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.log.put(("handler", payload))
        return payload(socket)


@pytest.fixture
def returning(send: Sending) -> Iterator[Callable[[Any], tuple[Any, queue.Queue[Any]]]]:
    log: queue.Queue[Any] = queue.Queue()
    ref = Returning.start(log)

    def returning(act: Any) -> tuple[Any, queue.Queue[Any]]:
        send(ref, MessageReceived("a", "b", act))
        log.get(timeout=PATIENCE)
        return ref, log

    yield returning
    ref.stop()


def test_a_handler_may_return_the_socket(returning: Any) -> None:
    ref, _ = returning(lambda socket: socket.assign(x=1))
    assert get_state(ref).socket.assigns == {"x": 1}


def test_a_handler_may_go_on(returning: Any) -> None:
    _, log = returning(lambda socket: Next(socket, then="more"))
    assert log.get(timeout=PATIENCE) == ("handle_continue", "more")


def test_a_handler_may_ask_for_a_timeout(returning: Any) -> None:
    _, log = returning(lambda socket: Next(socket, timeout=0.0))
    assert log.get(timeout=PATIENCE) == ("handle_info", "timeout")


def test_a_handler_may_stop(returning: Any) -> None:
    ref, _ = returning(lambda socket: Stop("shutdown", socket))
    assert wait(ref, timeout=PATIENCE) == "shutdown"


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda socket: None if socket.assign(x=1) else 0, "handler called socket.assign()"),
        (lambda socket: 7, "handler returned int"),
    ],
)
def test_errors_name_the_method(returning: Any, act: Any, text: str) -> None:
    ref, _ = returning(act)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason).startswith(text)


def test_what_is_remembered_is_bounded() -> None:
    routes = Routes({Pattern("rooms:*", "*"): "room"})
    for n in range(3 * MOST_FOUND):
        assert routes.find(f"rooms:{n}", "x").name == "room"
        assert routes.find(f"halls:{n}", "x").name == "handle_message"
    assert len(routes._found) <= MOST_FOUND


parts = st.text("ab:", max_size=3)
topics = st.one_of(parts, parts.map(lambda part: part + "*"))
patterns = st.builds(Pattern, topics, st.sampled_from(["*", "x", "y"]))


@given(st.sets(patterns), parts, st.sampled_from(["x", "y", "z"]))
def test_the_order_of_definition_does_not_matter(
    given_patterns: set[Pattern], topic: str, event: str
) -> None:
    named = {pattern: "|".join(pattern) for pattern in given_patterns}
    found = Routes(named).find(topic, event).name
    assert found == Routes(dict(reversed(named.items()))).find(topic, event).name
    matching = [pattern for pattern in named if pattern.matches(topic, event)]
    assert (found == "handle_message") == (not matching)
    assert found in {"handle_message", *(named[pattern] for pattern in matching)}
    exact = [pattern for pattern in matching if pattern.topic == topic]
    if exact:
        assert found in {named[pattern] for pattern in exact}


# decorations that make no sense


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1,), "topic must be a str, not int"),
        ((None, "x"), "topic must be a str, not NoneType"),
        (("a", b"x"), "event must be a str, not bytes"),
        (("a", None), "event must be a str, not NoneType"),
        (("rooms:*:msg",), r"topic 'rooms:\*:msg': a \* may only stand at the end"),
        (("rooms:**",), "may only stand at the end"),
        (("a", "new:*"), r"event 'new:\*': a \* may only stand alone"),
    ],
)
def test_what_is_no_pattern(arguments: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        on(*arguments)


@pytest.mark.parametrize(
    "thing",
    [
        None,
        "handler",
        Base,
        functools.partial(noting("x")),
        staticmethod(noting("x")),
        classmethod(noting("x")),
        property(noting("x")),
    ],
)
def test_what_is_no_method(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"@on\('a', '\*'\) belongs on a method, not on"):
        on("a")(thing)


def test_a_decorator_without_its_arguments_is_no_pattern() -> None:
    with pytest.raises(TypeError, match="topic must be a str, not function"):
        on(noting("x"))


def test_an_event_of_every_topic() -> None:
    class Anywhere(ClientActor):
        @on(event="new")
        def new(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

    assert Anywhere._slipstream_routes is not None
    assert Anywhere._slipstream_routes.find("a:1", "new").name == "new"
    assert Anywhere._slipstream_routes.find("a:1", "old").name == "handle_message"


def test_what_else_is_in_a_class_is_no_handler() -> None:
    class Mocked(ClientActor):
        anything = unittest.mock.Mock()

    assert Mocked._slipstream_routes is None


async def later(self: Any, topic: str, event: str, payload: Any, socket: Socket) -> None: ...


def one_by_one(self: Any, topic: str, event: str, payload: Any, socket: Socket) -> Iterator[None]:
    yield


@pytest.mark.parametrize("method", [later, one_by_one])
def test_what_does_not_run_when_it_is_called_is_no_handler(method: Any) -> None:
    with pytest.raises(TypeError, match=f"{method.__name__} would not run when it is called"):
        on("a")(method)


def test_a_handler_that_another_of_its_name_would_replace() -> None:
    with pytest.raises(TypeError, match=r"Torn\.heard is there already, and would be lost"):

        class Torn(ClientActor):
            @on("a", "one")
            def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

            @on("a", "two")  # type: ignore[no-redef]
            def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None:  # noqa: F811
                ...


def test_a_handler_that_another_method_of_its_name_replaces() -> None:
    with pytest.raises(TypeError, match=r"Torn\.heard would be lost"):

        class Torn(ClientActor):
            @on("a")
            def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

            def heard(self) -> list[str]:  # type: ignore[no-redef]  # noqa: F811
                return []


def bare(method: Any) -> Any:
    """Decorate as who has not heard of `functools.wraps`."""

    def call(*arguments: Any) -> Any:
        return method(*arguments)

    return call


def wrapped(method: Any) -> Any:
    return functools.wraps(method)(bare(method))


def test_a_decorator_above_may_not_lose_a_handler() -> None:
    class Kept(ClientActor):
        @wrapped
        @on("a", "one")
        def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

        @on("a", "two")
        @bare
        def also(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

    with pytest.raises(TypeError, match=r"Torn\.heard would be lost"):

        class Torn(ClientActor):
            @bare
            @on("a")
            def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...


def test_nor_may_a_class_that_others_mix_in() -> None:
    class Torn:
        @on("a")
        def heard(self, topic: str, event: str, payload: Any, socket: Socket) -> None: ...

        heard = None  # type: ignore[assignment]  # noqa: F811

    with pytest.raises(TypeError, match=r"Torn\.heard would be lost"):
        type("Mixed", (Torn, ClientActor), {})


@pytest.mark.parametrize("name", ["init", "terminate", "handle_message", "handle_presence_sync"])
def test_callbacks_are_no_handlers(name: str) -> None:
    method = noting("x")
    method.__name__ = name
    with pytest.raises(TypeError, match=f"{name} is a callback, which is called as such"):
        on("a")(method)


def test_a_handler_takes_what_it_is_called_with() -> None:
    with pytest.raises(TypeError, match=r"must take \(self, topic, event, payload, socket\)"):

        @on("a")  # type: ignore[type-var]
        def handler(self: Any, payload: Any, socket: Socket) -> Any:
            return socket

    @on("a")
    def any_arguments(*arguments: Any) -> Any:
        return arguments[-1]

    assert any_arguments(1) == 1


def test_a_handlers_arguments_are_those_of_its_decorators_wrapper() -> None:
    def with_body(method: Callable[[Any, str], None]) -> Callable[..., None]:
        @functools.wraps(method)
        def wrapper(self: Any, topic: str, event: str, payload: Any, socket: Socket) -> None:
            method(self, payload["body"])

        return wrapper

    class Chat(ClientActor):
        @on("rooms:*", "new:msg")
        @with_body
        def said(self, body: str) -> None:
            heard.append(body)

        @with_body
        def handle_message(self, body: str) -> None:
            heard.append(f"other: {body}")

    heard: list[str] = []
    ref = Chat.start()
    ref.tell(MessageReceived("rooms:a", "new:msg", {"body": "hello"}))
    ref.tell(MessageReceived("rooms:a", "other", {"body": "hello"}))
    get_state(ref)
    assert heard == ["hello", "other: hello"]
    ref.stop(timeout=PATIENCE)


# slips of the pen


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("handle_conect", "handle_connect"),
        ("handle_disconect", "handle_disconnect"),
        ("handle_messages", "handle_message"),
        ("handle_topic_closed", "handle_topic_close"),
        ("handle_presence_joined", "handle_presence_join"),
        ("handle_connected", "handle_connect"),
        ("handle_joined", "handle_join"),
        ("hanlde_join", "handle_join"),
        ("hande_topic_close", "handle_topic_close"),
        ("on_message", "handle_message"),
        ("handle_init", "init"),
        ("on_terminate", "terminate"),
    ],
)
def test_a_callback_that_is_misspelt_is_warned_of(name: str, meant: str) -> None:
    with pytest.warns(
        UserWarning, match=rf"Slip\.{name} is no callback; is it to be {meant}\?$"
    ) as caught:
        type("Slip", (Base,), {name: lambda self: None})
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "name",
    [
        "handle_order",
        "handle_reconnect",
        "handle",
        "conect",
        "on_order",
        "handler_info",
        "send_message",
    ],
)
def test_methods_of_ones_own_are_not(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Own", (Base,), {name: lambda self: None})
        type("Decorated", (Base,), {"handle_messages": on("a")(noting("x"))})


@pytest.mark.parametrize(
    "value", [None, "rooms", threading.Event()], ids=["none", "text", "object"]
)
def test_nor_is_an_attribute_that_cannot_be_called(value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Own", (Base,), {"on_message": value, "handle_messages": value})
