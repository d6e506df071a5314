"""Clients in Starlette and FastAPI applications (extra `starlette`).

rooms = ClientHandle(Rooms, "wss://example.org/socket/websocket")
app = FastAPI(lifespan=lifespan(rooms))
answer_errors(app)

@app.post("/say")
async def say(body: str, rooms: Annotated[ClientHandle[Rooms], Depends(provide(rooms))]):
    return (await rooms.request("rooms:lobby", "new:msg", {"body": body})).unwrap()

@app.websocket("/live")
async def live(websocket: WebSocket):
    await websocket.accept()
    await forward(rooms.subscribe("rooms:lobby", overflow="drop_oldest"), websocket)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.client.client import ClientActor
from slipstream_actor.configuration.arguments import require_delay
from slipstream_actor.contrib.handles import require_handles, require_named_handles
from slipstream_actor.contrib.health import health
from slipstream_actor.contrib.http import RETRY_AFTER, http_status, problem
from slipstream_actor.debug.directory import serve_in
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.supervision.handle import ClientHandle

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from slipstream_actor.client.subscriptions import Subscription

__all__ = ["answer_errors", "forward", "health_endpoint", "lifespan", "provide"]

C = TypeVar("C", bound=ClientActor)
Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]

logger: Logger = get_logger("slipstream_actor.starlette")

# Codes of a websocket's end (RFC 6455, 7.4.1).
NORMAL, INTERNAL_ERROR = 1000, 1011


def lifespan(
    *handles: ClientHandle[Any],
    drain: float = 5.0,
    inner: Lifespan | None = None,
    debug_dir: str | os.PathLike[str] | None = None,
) -> Lifespan:
    """Return a lifespan for `Starlette(lifespan=…)` that ends the clients of `handles`.

    At startup it starts none: each is started when it is first used. At shutdown they are stopped,
    all at once, after up to `drain` seconds for the requests that are under way. `inner` is a
    lifespan of your own: it runs within this one, so the clients can still be used at its end, and
    what it yields is the state of the application. `debug_dir`: each process that uses a
    handle serves `debug.report` there, see `debug.serve_in`.
    """
    require_delay("drain", drain)
    require_handles("lifespan", *handles)
    if debug_dir is not None:
        serve_in(debug_dir)

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Any]:
        for handle in handles:
            # The lifespan before this one has stopped it: an application under test has several.
            handle._reopen()
        try:
            async with inner(app) if inner is not None else contextlib.nullcontext() as state:
                yield state
        finally:
            await stop_all(handles, drain)

    return run


async def stop_all(handles: tuple[ClientHandle[Any], ...], drain: float) -> None:
    """Stop clients, each in a thread, since that waits; also in a coroutine that is cancelled."""
    import anyio

    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as group:
            for handle in handles:
                group.start_soon(anyio.to_thread.run_sync, handle.stop, drain)


def provide(handle: ClientHandle[C]) -> Callable[[], Awaitable[ClientHandle[C]]]:
    """Return a dependency for FastAPI's `Depends`: the handle itself.

    Those of one handle are equal, so `app.dependency_overrides[provide(handle)]` finds them. Raises
    `TypeError` for what is no handle.
    """
    require_handles("provide", handle)
    return Provider(handle)


@dataclass(frozen=True)
class Provider(Generic[C]):
    """A function that returns the handle, and equals others that do."""

    handle: ClientHandle[C]

    async def __call__(self) -> ClientHandle[C]:
        """Return it. A coroutine, since FastAPI runs what is none in a thread of its own."""
        return self.handle


def answer_errors(app: Starlette) -> None:
    """Have an application answer what `request` and its like raise: with 503, 504 or 409.

    See `contrib.http.http_status`. The body is the error's kind, as JSON; what is a mistake in the
    program stays a 500. In the place of `app.add_exception_handler(SlipstreamError, …)`.
    """
    app.add_exception_handler(SlipstreamError, answer_error)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer with the status that the error stands for; what stands for none is raised again."""
    from starlette.responses import JSONResponse

    status = http_status(error)
    if status is None:
        raise error
    logger.warning("answered with %d: %s", status, error)
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else None
    return JSONResponse(problem(error), status, headers)


def health_endpoint(
    handles: Mapping[str, ClientHandle[Any]], *, start: bool = False
) -> Callable[[Any], Awaitable[Response]]:
    """Return an endpoint for `app.add_route("/health", …)`: how the clients of this process stand.

    200 when each is connected and has joined all that it wants, or has not been used in this
    process; 503 else. With `start` one that has not been used is started, and 503 until it is
    ready. Waits for no connection. Raises `TypeError` for what is no mapping to handles.
    """
    require_named_handles("health_endpoint", handles)

    async def endpoint(request: Request) -> Response:
        import anyio
        from starlette.responses import JSONResponse

        # In a thread: to start a client is to wait for its `init`.
        found = await anyio.to_thread.run_sync(lambda: health(handles, start=start))
        return JSONResponse(found, 200 if found["healthy"] else 503)

    return endpoint


def as_json(message: MessageReceived) -> str | bytes:
    """Return a message as `forward` sends it: binary as it is, all else as JSON."""
    if isinstance(message.payload, bytes):
        return message.payload
    return msgspec.json.encode(
        {"topic": message.topic, "event": message.event, "payload": message.payload}
    ).decode()


async def forward(
    subscription: Subscription,
    websocket: WebSocket,
    *,
    encode: Callable[[MessageReceived], str | bytes] = as_json,
    received: Callable[[str | bytes], Awaitable[object]] | None = None,
) -> None:
    """Pass a subscription's messages on to a websocket that has been accepted, until either ends.

    Then the other one is closed too: the subscription when the browser has gone, the websocket with
    1000 when the subscription has ended, and with 1011 when its client has ended otherwise than
    normally. A message is sent when the one before it has left, so a slow browser fills the
    subscription: with `overflow="drop_oldest"` it then misses messages, with `"wait"` the client
    reads no more, for nobody. `encode` returns text or bytes; `received` is awaited with each
    message of the browser's, which are ignored without it. What these two raise closes both, with
    1011, and is raised.
    """
    import anyio

    passing = Passing(subscription, websocket, encode, received)
    with subscription:
        async with anyio.create_task_group() as group:
            group.start_soon(passing.until_the_end, passing.send, group.cancel_scope)
            await passing.until_the_end(passing.receive, group.cancel_scope)
    with anyio.CancelScope(shield=True):
        await passing.close()
    if passing.failure is not None:
        raise passing.failure


class Passing:
    """A subscription and a websocket, and how they have ended."""

    def __init__(
        self,
        subscription: Subscription,
        websocket: WebSocket,
        encode: Callable[[MessageReceived], str | bytes],
        received: Callable[[str | bytes], Awaitable[object]] | None,
    ) -> None:
        self._subscription = subscription
        self._websocket = websocket
        self._encode = encode
        self._received = received
        self._gone = False
        self._code = NORMAL
        self.failure: Exception | None = None

    async def until_the_end(self, work: Callable[[], Awaitable[None]], scope: Any) -> None:
        """Do one direction; its end is that of the other one."""
        from starlette.websockets import WebSocketDisconnect

        try:
            await work()
        except WebSocketDisconnect:
            self._gone = True
        except Exception as error:
            self.failure, self._code = error, INTERNAL_ERROR
        scope.cancel()

    async def send(self) -> None:
        """Send what comes, until there is no more."""
        try:
            async for message in self._subscription:
                data = self._encode(message)
                if isinstance(data, str):
                    await self._websocket.send_text(data)
                else:
                    await self._websocket.send_bytes(data)
        except SlipstreamError as error:
            logger.warning("a websocket is closed: %s", error)
            self._code = INTERNAL_ERROR

    async def receive(self) -> None:
        """Take what the browser sends, and notice when it goes."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._gone = True
                return
            if self._received is not None:
                text = message.get("text")
                await self._received(text if text is not None else message["bytes"])

    async def close(self) -> None:
        """Close the websocket, unless it is closed."""
        if not self._gone:
            with contextlib.suppress(RuntimeError, OSError):  # It has gone this very moment.
                await self._websocket.close(self._code)
