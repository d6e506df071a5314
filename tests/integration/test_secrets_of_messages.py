"""What messages hold is in no line of the log and in no error's text: payloads and params, what the
server answers, and what a client is told by its own program. The errors keep what they are about.

A crash is logged with its traceback, in which an exception of the user's says what it says.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    CallbackReturnError,
    ChannelCrashed,
    ChannelEnded,
    ChildSpec,
    ClientActor,
    ClientEndedError,
    ClientHandle,
    Disconnected,
    JoinRefused,
    Next,
    NotConnectedError,
    NotJoinedError,
    Reply,
    ReplyError,
    SerializerError,
    Socket,
    StartError,
    Stop,
    Supervisor,
    call,
    cast,
    connect,
    invoke,
    request,
    subscribe,
    telemetry,
    wait,
    wait_until_joined,
)
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually
from tests.support.planted import Vault, leaked, secret

TOPIC = "vault:a"
# Nothing that is waited for here ever comes.
SOON = 0.05


@pytest.fixture
def uri() -> Iterator[str]:
    with PhoenixServer({"vault:*": Vault}) as server:
        yield server.uri


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged, which is looked through when the test ends."""
    for name in ("slipstream_actor", "pykka"):
        caplog.set_level(logging.DEBUG, name)
    yield caplog
    for record in caplog.get_records("call"):
        if not record.name.startswith("slipstream_actor.testing"):  # The server's own.
            assert leaked(logging.Formatter().format(record)) == []
            assert leaked(repr(record.args)) == []


def assert_silent(error: Any) -> None:
    """No secret is in the text of an error, nor of those that led to it."""
    assert isinstance(error, BaseException)
    assert leaked("".join(traceback.format_exception(error))) == []
    links: BaseException | None = error
    while links is not None:
        assert leaked(str(links)) == []
        if isinstance(links, SlipstreamError):  # Others are the user's.
            assert leaked(f"{links!r} {links.args!r}") == []
        links = links.__cause__ or links.__context__


class Client(ClientActor):
    """Does what it is told, as a function of itself and of its socket."""

    def init(self, uri: str | None = None) -> Socket | None:
        if uri is None:
            return None
        return connect(uri).join(TOPIC, {"token": secret("join_param")})

    def handle_info(self, message: Any, socket: Socket) -> Any:
        return message(self, socket) if callable(message) else socket

    def stick(self, go_on: threading.Event, message: Any) -> None:
        """Be stuck with a message."""
        go_on.wait(PATIENCE)
        assert message


def joined(uri: str) -> Any:
    ref = Client.start(uri)
    wait_until_joined(ref, TOPIC, PATIENCE)
    return ref


def end_of(ref: Any, act: Callable[[Any, Socket], Any]) -> Any:
    """Have a client do something that it ends for; return what it ended for."""
    ref.tell(act)
    return wait(ref, PATIENCE)


# what a program tells its client


@pytest.mark.parametrize("ask", [call, lambda ref, message: ref.ask(message)], ids=["call", "ask"])
def test_a_call_that_nobody_handles(ask: Any) -> None:
    for message in ({"token": secret("call")}, secret("call"), ("charge", secret("call"))):
        ref = Client.start()
        with pytest.raises(NotImplementedError, match=type(message).__name__) as raised:
            ask(ref, message)
        assert_silent(raised.value)
        ref.stop()


def test_a_cast_that_nobody_handles() -> None:
    ref = Client.start()
    cast(ref, {"token": secret("cast")})
    assert_silent(wait(ref, PATIENCE))


def test_a_continue_that_nobody_handles() -> None:
    reason = end_of(Client.start(), lambda *_: Next(then={"token": secret("continue")}))
    assert isinstance(reason, NotImplementedError)
    assert_silent(reason)


def test_a_callback_that_returns_what_it_may_not() -> None:
    reason = end_of(Client.start(), lambda *_: {"token": secret("returned")})
    assert isinstance(reason, CallbackReturnError)
    assert_silent(reason)


def test_what_is_asked_of_a_client_that_is_stuck(uri: str) -> None:
    """And of one that ends meanwhile."""
    ref, go_on = joined(uri), threading.Event()
    argument = {"token": secret("argument")}
    stuck = invoke(ref, Client.stick, go_on, argument)
    late = [
        invoke(ref, Client.stick, go_on, argument),
        ref.ask({"token": secret("call")}, block=False),
        ref.proxy().stick(go_on, argument),
        request(ref, TOPIC, "silent", {"token": secret("request")}, timeout=60),
    ]
    for future in late:
        with pytest.raises(AwaitTimeoutError) as raised:
            future.get(timeout=SOON)
        assert_silent(raised.value)
    with pytest.raises(AwaitTimeoutError) as raised:
        call(ref, {"token": secret("call")}, timeout=SOON)
    assert_silent(raised.value)
    _ = ref.stop(block=False)
    go_on.set()
    stuck.wait(PATIENCE)
    # What stood before the stop may still be done.
    for future in late[1:2] + late[3:]:
        with pytest.raises((SlipstreamError, NotImplementedError)) as ended:
            future.get(timeout=PATIENCE)
        assert_silent(ended.value)


# what a client ends for

REFUSED = {"token": secret("refusal"), "deep": {"reason": secret("refusal")}}
UNREADABLE = UnicodeEncodeError("utf-8", f"{secret('crash')}\ud800", 16, 17, "surrogates")
REASONS: dict[str, Any] = {
    "refused": JoinRefused(REFUSED),
    "refused with a text": JoinRefused(secret("refusal")),
    "crashed": ChannelCrashed([secret("refusal")]),
    "push failed": ChannelEnded(ChannelCrashed(REFUSED)),
    "disconnected": Disconnected(JoinRefused(REFUSED)),
    "a reply": Reply("error", REFUSED),
    "a mapping": {"token": secret("reason")},
    "a list": [secret("reason")],
    "bytes": secret("reason").encode(),
    "a pair": ("refused", {"token": secret("reason")}),
    "a shutdown": ("shutdown", {"token": secret("reason")}),
    "an answer": Answer(secret("reason")),
    "an error that shows what it is about": UNREADABLE,
    "an error of ours": ReplyError(Reply("error", REFUSED)),
}
SAID: TypeAlias = pytest.LogCaptureFixture


@pytest.fixture(params=REASONS)
def reason(request: pytest.FixtureRequest) -> Any:
    return REASONS[request.param]


def test_who_waits_for_a_client_that_stops(uri: str, reason: Any) -> None:
    ref, go_on = joined(uri), threading.Event()
    subscription = subscribe(ref)
    stuck = invoke(ref, Client.stick, go_on, "something")
    ref.tell(lambda *_: Stop(reason))
    late = [ref.ask("anything", block=False), request(ref, TOPIC, "silent", timeout=60)]
    go_on.set()
    stuck.get(timeout=PATIENCE)
    assert wait(ref, PATIENCE) == reason
    for future in late:
        with pytest.raises((ClientEndedError, NotConnectedError)) as failed:
            future.get(timeout=PATIENCE)
        assert_silent(failed.value)
    with pytest.raises(ClientEndedError) as ended:
        call(ref, "anything")
    assert ended.value.reason == reason
    assert_silent(ended.value)
    assert_silent(ClientEndedError(reason))
    try:
        list(subscription)
    except ClientEndedError as error:
        assert_silent(error)


def test_a_client_that_does_not_start(reason: Any) -> None:
    class Unwilling(ClientActor):
        def init(self) -> Stop:
            return Stop(reason)

    with pytest.raises(StartError) as raised:
        Unwilling.start()
    assert raised.value.reason == reason
    assert_silent(raised.value)
    with pytest.raises(SlipstreamError) as raised_by_supervisor:
        Supervisor.start([ChildSpec(Unwilling)])
    assert_silent(raised_by_supervisor.value)


def test_a_name_whose_client_has_ended(reason: Any) -> None:
    ref = Client.start(name="teller")
    assert end_of(ref, lambda *_: Stop(reason)) == reason
    with pytest.raises(ClientEndedError) as raised:
        call("teller", "anything")
    assert_silent(raised.value)


def test_a_handle_whose_client_has_ended(reason: Any, lines: SAID) -> None:
    handle = ClientHandle(Client)
    handle.ref.tell(lambda *_: Stop(reason))
    eventually(lambda: "is started again" in lines.text, "the line")
    try:
        handle.call("anything")
    except (ClientEndedError, NotImplementedError) as error:
        assert_silent(error)
    assert leaked(repr(handle.status())) == []
    handle.stop()


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
def test_a_child_that_ends(reason: Any, restart: Any, lines: SAID) -> None:
    supervisor = Supervisor.start([ChildSpec(Client, id="a", restart=restart)], max_restarts=0)
    ref = Supervisor.which_children(supervisor)[0].ref
    end_of(ref, lambda *_: Stop(reason))
    if restart == "permanent":
        eventually(lambda: "gives up" in lines.text, "the line")
    supervisor.stop()


# what the server answers


def test_a_reply_that_is_unwrapped_where_it_crashes(uri: str, lines: SAID) -> None:
    def unwrap(_: Any, socket: Socket) -> None:
        socket.await_reply(socket.push(TOPIC, "refuse", {}, reply_timeout=PATIENCE)).unwrap()

    reason = end_of(joined(uri), unwrap)
    assert isinstance(reason, ReplyError)
    assert secret("reply") in str(reason.response)
    assert_silent(reason)
    assert "ReplyError: the reply has the status 'error': fields token, deep" in lines.text


def test_what_a_plain_thread_awaits(uri: str) -> None:
    with connect(uri) as opened:
        socket = opened.join(TOPIC, {"token": secret("join_param")}).await_join(TOPIC)
        payload = {"token": secret("push")}
        with pytest.raises(AwaitTimeoutError) as late:
            socket.await_message(TOPIC, "news", payload, timeout=SOON)
        assert_silent(late.value)
        with pytest.raises(AwaitTimeoutError) as late:
            socket.await_reply(socket.push(TOPIC, "silent", payload), SOON)
        assert_silent(late.value)
        with pytest.raises(NotJoinedError) as unjoined:
            socket.push("vault:b", "shout", payload)
        assert_silent(unjoined.value)


# what cannot be sent


@pytest.mark.parametrize("value", [object(), "\ud800"], ids=["type", "surrogate"])
def test_what_cannot_be_encoded(uri: str, value: Any) -> None:
    payload = {"token": secret("push"), "wrong": [secret("push"), value]}
    ref = joined(uri)
    failed: list[BaseException] = []

    def push(_: Any, socket: Socket) -> Stop:
        for act in (
            lambda: socket.push(TOPIC, "shout", payload),
            lambda: socket.push("vault:b", "shout", payload),
            lambda: socket.join("vault:b", payload),
        ):
            try:
                act()
            except (SerializerError, NotJoinedError) as error:
                failed.append(error)
        return Stop("normal")

    assert end_of(ref, push) == "normal"
    assert len(failed) >= 2
    for error in failed:
        assert_silent(error)


def test_a_push_without_a_connection() -> None:
    reason = end_of(
        Client.start(), lambda _, socket: socket.push(TOPIC, "a", {"token": secret("push")})
    )
    assert isinstance(reason, NotConnectedError)
    assert_silent(reason)


# what stands in the wrong place

WRONG: dict[str, Callable[[Socket], Any]] = {
    "a handle of an address": lambda _: ClientHandle(f"ws://a/socket?key={secret('query')}"),  # type: ignore[arg-type]
    "a payload for a buffer": lambda s: s.push(TOPIC, "a", buffer={"token": secret("push")}),  # type: ignore[arg-type]
    "a payload for a time": lambda s: s.push(TOPIC, "a", reply_timeout={"k": secret("push")}),  # type: ignore[arg-type]
    "a payload for another": lambda s: s.push(TOPIC, "a", None, {"token": secret("push")}),  # type: ignore[arg-type]
    "a call of a payload": lambda _: invoke("a", {"token": secret("call")}),  # type: ignore[call-overload]
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_in_the_wrong_place(name: str) -> None:
    with connect("ws://127.0.0.1:1/socket/websocket") as socket:
        with pytest.raises((TypeError, ValueError)) as raised:
            WRONG[name](socket)
        assert_silent(raised.value)


# who looks on


def test_a_handler_of_telemetry_that_fails(uri: str, lines: SAID) -> None:
    def handler(*_: Any) -> None:
        raise RuntimeError("on purpose")

    telemetry.attach("failing", ("slipstream", "client", "push", "start"), handler)
    ref = joined(uri)
    payload = {"token": secret("push")}
    end_of(ref, lambda _, socket: socket.push(TOPIC, "shout", payload) and Stop("normal"))
    assert "handler 'failing' has failed" in lines.text
