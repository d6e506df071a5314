"""Starlette: the lifespan, the dependency, the answers to errors, websockets that are passed on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from slipstream_actor import (
    ClientActor,
    ClientEndedError,
    ClientHandle,
    NotConnectedError,
    Reply,
    ReplyError,
    Socket,
    Subscription,
    connect,
)
from slipstream_actor.contrib.starlette import (
    answer_errors,
    forward,
    health_endpoint,
    lifespan,
    provide,
)
from slipstream_actor.testing import PhoenixServer, SocketTest
from tests.support.clients import eventually

URI = "ws://test.invalid/socket/websocket"
ROOM = "bench:a"


class Rooms(ClientActor):
    def init(self, uri: str, **options: Any) -> Socket:
        return connect(uri, **options).join(ROOM)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        """Subscribers are told."""

    def handle_info(self, message: Any, socket: Socket) -> None:
        raise RuntimeError(message)


@pytest.fixture
def rooms() -> Iterator[ClientHandle[Rooms]]:
    handle = ClientHandle(Rooms, URI, test_mode=True)
    yield handle
    handle.stop()


def application(handle: ClientHandle[Any], **options: Any) -> Starlette:
    async def echo(request: Any) -> JSONResponse:
        reply = await handle.request(ROOM, "echo", {"n": 1}, timeout=5.0)
        return JSONResponse(reply.unwrap())

    app = Starlette(routes=[Route("/echo", echo)], lifespan=lifespan(handle, **options))
    answer_errors(app)
    app.add_route("/health", health_endpoint({"rooms": handle}))
    app.add_route("/ready", health_endpoint({"rooms": handle}, start=True))
    return app


# the lifespan


def test_the_client_begins_with_its_first_use_and_ends_with_the_application(
    server: PhoenixServer,
) -> None:
    handle = ClientHandle(Rooms, server.uri)
    app = application(handle)
    for _ in range(2):  # An application under test has more than one life.
        with TestClient(app) as browser:
            assert handle.status()["state"] == "not started"
            assert browser.get("/health").status_code == 200
            assert browser.get("/echo").json() == {"n": 1}
            assert server.connections == 1
        server.wait_for_connections(0)
        assert handle.status()["state"] == "stopped"


def test_the_end_waits_for_what_is_under_way(
    rooms: ClientHandle[Rooms], socket_test: SocketTest
) -> None:
    socket_test.serve_joins()
    with TestClient(application(rooms)):
        ref = rooms.ref
        socket_test.accept_connect(ref)
        asked = rooms.request(ROOM, "ask")
        push = socket_test.assert_push(ROOM, "ask")
        answering = threading.Timer(0.1, lambda: socket_test.reply(ref, push))
        answering.start()
    answering.join()
    assert asked.get(timeout=0).ok


def test_ones_own_lifespan_runs_within(server: PhoenixServer) -> None:
    handle = ClientHandle(Rooms, server.uri)
    said = []

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[dict[str, int]]:
        said.append("begin")
        yield {"own": 1}
        said.append(str((await handle.request(ROOM, "echo", {})).ok))

    async def state(request: Any) -> JSONResponse:
        return JSONResponse(request.state.own)

    app = application(handle, inner=own)
    app.add_route("/state", state)
    with TestClient(app) as browser:
        assert browser.get("/state").json() == 1
    assert said == ["begin", "True"]


def test_the_client_ends_although_ones_own_lifespan_fails(server: PhoenixServer) -> None:
    handle = ClientHandle(Rooms, server.uri)

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[None]:
        yield
        raise LookupError("mine")

    with (
        pytest.raises(LookupError, match="mine"),
        TestClient(application(handle, inner=own)) as browser,
    ):
        browser.get("/echo")
    server.wait_for_connections(0)


def test_what_is_no_handle_and_no_time_is_refused(rooms: ClientHandle[Rooms]) -> None:
    wrong: Any = Rooms
    with pytest.raises(TypeError, match="lifespan takes handles, not"):
        lifespan(wrong)
    with pytest.raises(ValueError, match="must be seconds"):
        lifespan(rooms, drain=float("inf"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: lifespan(f"{URI}?key=s3cret"), "lifespan takes handles, not a str"),  # type: ignore[arg-type]
        (lambda _: provide(Rooms), "provide takes handles, not the class Rooms"),  # type: ignore[arg-type]
        (
            health_endpoint,
            "health_endpoint takes a mapping of names to handles, not a ClientHandle",
        ),
        (
            lambda rooms: health_endpoint([rooms]),  # type: ignore[arg-type]
            "health_endpoint takes a mapping of names to handles, not a list",
        ),
        (
            lambda _: health_endpoint({"rooms": Rooms}),  # type: ignore[dict-item]
            "health_endpoint takes handles, not the class Rooms",
        ),
    ],
)
def test_what_is_no_handle_is_refused_at_the_call(
    rooms: ClientHandle[Rooms], make: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(TypeError) as raised:
        make(rooms)
    assert str(raised.value) == said


# the dependency, and errors


# FastAPI looks for what an annotation names in the module.
PROVIDED = ClientHandle(Rooms, URI, name="provided")


def test_the_dependency_is_the_handle_and_can_be_overridden() -> None:
    app = FastAPI()

    @app.get("/who")
    async def who(client: Annotated[ClientHandle[Rooms], Depends(provide(PROVIDED))]) -> str:
        return str(client.name)

    assert TestClient(app).get("/who").json() == "provided"
    other = ClientHandle(Rooms, URI, name="other")
    app.dependency_overrides[provide(PROVIDED)] = lambda: other
    assert TestClient(app).get("/who").json() == "other"


def test_errors_are_answered_with_their_status(
    rooms: ClientHandle[Rooms], socket_test: SocketTest
) -> None:
    async def ask(request: Any) -> JSONResponse:
        await rooms.request(ROOM, "ask", timeout=0.05)
        raise AssertionError

    app = application(rooms)
    app.add_route("/ask", ask)
    with TestClient(app) as browser:
        answer = browser.get("/ask")
        assert (answer.status_code, answer.json()) == (503, {"error": "AwaitTimeoutError"})
        assert answer.headers["retry-after"] == "1"


def test_the_log_has_no_more_of_a_reply_than_its_reason(
    rooms: ClientHandle[Rooms], caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(request: Any) -> JSONResponse:
        raise ReplyError(Reply("error", {"reason": "refused", "token": "s3cret"}))

    app = application(rooms)
    app.add_route("/ask", ask)
    with TestClient(app) as browser:
        answer = browser.get("/ask")
    assert (answer.status_code, answer.json()) == (409, {"error": "ReplyError"})
    line = "answered with 409: the reply has the status 'error': \"refused\""
    assert line in caplog.messages
    assert "s3cret" not in caplog.text


def test_what_may_have_been_done_is_a_504_without_retry_after(
    rooms: ClientHandle[Rooms], socket_test: SocketTest
) -> None:
    async def ask(request: Any) -> JSONResponse:
        raise NotConnectedError("gone", maybe_sent=True)

    app = application(rooms)
    app.add_route("/ask", ask)
    with TestClient(app) as browser:
        answer = browser.get("/ask")
    body = {"error": "NotConnectedError", "maybe_sent": True}
    assert (answer.status_code, answer.json()) == (504, body)
    assert "retry-after" not in answer.headers


def test_health_and_readiness(rooms: ClientHandle[Rooms], socket_test: SocketTest) -> None:
    with TestClient(application(rooms)) as browser:
        assert browser.get("/health").status_code == 200
        assert browser.get("/ready").status_code == 503
        socket_test.connect_and_assert_join(rooms.ref, ROOM)
        rooms.wait_until_joined(ROOM)
        assert browser.get("/ready").json()["clients"]["rooms"]["topics"] == {ROOM: "joined"}


# websockets


class Live:
    """A websocket route that passes a subscription on."""

    def __init__(self, handle: ClientHandle[Any], **options: Any) -> None:
        self.handle = handle
        self.options = options
        self.subscriptions: list[Subscription] = []
        self.ended = threading.Event()
        self.app = Starlette(
            routes=[WebSocketRoute("/live", self.serve)], lifespan=lifespan(handle)
        )

    async def serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        subscription = self.handle.subscribe(ROOM)
        self.subscriptions.append(subscription)
        try:
            await forward(subscription, websocket, **self.options)
        finally:
            self.ended.set()


def test_messages_are_passed_on_text_and_binary(
    rooms: ClientHandle[Rooms], socket_test: SocketTest
) -> None:
    socket_test.serve_joins()
    live = Live(rooms)
    with TestClient(live.app) as browser, browser.websocket_connect("/live") as websocket:
        socket_test.accept_connect(rooms.ref)
        rooms.wait_until_joined(ROOM)
        eventually(lambda: live.subscriptions)
        socket_test.push(rooms.ref, ROOM, "said", {"n": 1})
        assert websocket.receive_json() == {"topic": ROOM, "event": "said", "payload": {"n": 1}}
        socket_test.push(rooms.ref, ROOM, "drawn", b"\x00\x01")
        assert websocket.receive_bytes() == b"\x00\x01"


def test_the_subscription_ends_with_the_browser(rooms: ClientHandle[Rooms]) -> None:
    live = Live(rooms)
    with TestClient(live.app) as browser:
        with browser.websocket_connect("/live"):
            eventually(lambda: live.subscriptions)
        assert live.ended.wait(5)
    assert "closed" in repr(live.subscriptions[0])


def closing_code(websocket: Any) -> int:
    with pytest.raises(WebSocketDisconnect) as raised:
        websocket.receive_text()
    code: int = raised.value.code
    return code


def test_the_browser_is_closed_when_the_subscription_ends(rooms: ClientHandle[Rooms]) -> None:
    live = Live(rooms)
    with TestClient(live.app) as browser, browser.websocket_connect("/live") as websocket:
        eventually(lambda: live.subscriptions)[0].close()
        assert closing_code(websocket) == 1000


def test_the_browser_is_told_when_the_client_has_crashed() -> None:
    ref = Rooms.start(URI, test_mode=True)

    class OfRef(Live):
        async def serve(self, websocket: WebSocket) -> None:
            from slipstream_actor import subscribe

            await websocket.accept()
            subscription = subscribe(ref, ROOM)
            self.subscriptions.append(subscription)
            await forward(subscription, websocket)

    live = OfRef(ClientHandle(Rooms, URI))
    with TestClient(live.app) as browser, browser.websocket_connect("/live") as websocket:
        eventually(lambda: live.subscriptions)
        ref.tell("crash")
        assert closing_code(websocket) == 1011


def test_what_the_browser_says_can_be_received(rooms: ClientHandle[Rooms]) -> None:
    heard: list[str | bytes] = []

    async def received(data: str | bytes) -> None:
        heard.append(data)

    live = Live(rooms, received=received)
    with TestClient(live.app) as browser:
        with browser.websocket_connect("/live") as websocket:
            websocket.send_text("hello")
            websocket.send_bytes(b"\x00")
        assert live.ended.wait(5)
    assert heard == ["hello", b"\x00"]


def test_what_is_raised_there_closes_both(rooms: ClientHandle[Rooms]) -> None:
    async def received(data: str | bytes) -> None:
        raise LookupError(data)

    live = Live(rooms, received=received)

    def talk() -> None:
        with TestClient(live.app) as browser, browser.websocket_connect("/live") as websocket:
            websocket.send_text("hello")
            assert closing_code(websocket) == 1011

    with pytest.raises(LookupError, match="hello"):
        talk()


class Slow:
    """A websocket whose browser reads nothing; it goes when it is told."""

    def __init__(self) -> None:
        self.sending = 0
        self.gone = anyio.Event()

    async def send_text(self, data: str) -> None:
        self.sending += 1
        await anyio.sleep_forever()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "websocket.disconnect"}


def test_a_browser_that_does_not_read_holds_its_own_messages_up(
    rooms: ClientHandle[Rooms], socket_test: SocketTest
) -> None:
    socket_test.connect_and_assert_join(rooms.ref, ROOM)
    subscription = rooms.subscribe(ROOM, size=2, overflow="drop_oldest")
    for n in range(5):
        socket_test.push(rooms.ref, ROOM, "said", {"n": n})

    async def main() -> int:
        slow: Any = Slow()
        async with anyio.create_task_group() as group:
            group.start_soon(forward, subscription, slow)
            with anyio.fail_after(5):
                while not slow.sending:
                    await anyio.sleep(0.005)
            slow.gone.set()
        sent: int = slow.sending
        return sent

    assert anyio.run(main) == 1
    assert subscription.dropped == 3


def test_nothing_of_starlette_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, json, slipstream_actor.contrib.starlette;"
        "print(json.dumps([m for m in ('starlette', 'anyio', 'fastapi') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_client_that_was_stopped_says_so(rooms: ClientHandle[Rooms]) -> None:
    with TestClient(application(rooms)):
        _ = rooms.ref
    with pytest.raises(ClientEndedError):
        _ = rooms.ref
