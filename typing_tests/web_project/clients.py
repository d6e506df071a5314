"""The project's clients."""

from __future__ import annotations

import logging
from typing import Any, TypedDict, Unpack

from slipstream_actor import (
    Answer,
    CallbackResult,
    CallResult,
    ClientActor,
    From,
    Ignore,
    InitResult,
    Next,
    Options,
    Ref,
    Reply,
    Socket,
    Stop,
    connect,
    on,
    reasons,
    reply,
)

logger = logging.getLogger(__name__)


class Stock(TypedDict):
    """What the server says of a product."""

    name: str
    left: int


class Shop(ClientActor, restart="transient"):
    """Knows what is in stock. Its signatures are as narrow as they can be."""

    def init(self, uri: str | None, room: str = "shop:1", **options: Unpack[Options]) -> InitResult:
        self.room = room
        self.waiting: dict[str, From] = {}
        if uri is None:
            return Ignore()
        if not uri.startswith("ws"):
            return Stop(("shutdown", "no websocket"))
        return connect(uri, **options).assign(stock={}).join(room, {"since": 0})

    def handle_connect(self, socket: Socket) -> Socket:
        self.send_interval(60.0, "look")
        return socket.assign(seen=socket.reconnect_counter)

    def handle_disconnect(self, reason: object, socket: Socket) -> CallbackResult:
        match reason:
            case reasons.ConnectFailed(status=401):
                return Stop("refused", socket)
            case reasons.ClosedByPeer(code=code):
                logger.info("closed with %s", code)
            case _:
                pass
        return super().handle_disconnect(reason, socket)

    def handle_join(self, topic: str, response: dict[str, Any], socket: Socket) -> Socket:
        return socket.assign(stock=response)

    def handle_info(self, message: str, socket: Socket) -> Socket | Next:
        if message == "look":
            ref = socket.push(self.room, "look", {}, reply_timeout=2.5)
            return socket.assign(look=ref)
        return Next(socket, timeout=30.0)

    def handle_cast(self, message: tuple[str, int], socket: Socket) -> None:
        socket.push(self.room, "ordered", {"name": message[0], "count": message[1]}, buffer=True)

    def handle_call(self, message: str, from_: From, socket: Socket) -> Answer | Next:
        if message in socket.assigns["stock"]:
            return Answer(socket.assigns["stock"][message])
        self.waiting[message] = from_
        return Next(socket)

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        if not reply.ok:
            logger.warning("%s on %s: %s", reply.status, ref.topic, reply.response)

    def handle_push_failed(
        self, ref: Ref, topic: str, event: str, reason: object, socket: Socket
    ) -> Socket | None:
        return socket.rejoin(topic) if isinstance(reason, reasons.ChannelEnded) else None

    def handle_topic_close(self, topic: str, reason: object, socket: Socket) -> Socket | Stop:
        if isinstance(reason, reasons.JoinRefused):
            return Stop("refused", socket)
        return socket.rejoin(topic, delay=1.0)

    @on("shop:*", "changed")
    def changed(self, topic: str, event: str, payload: Stock, socket: Socket) -> Socket:
        if payload["name"] in self.waiting:
            reply(self.waiting.pop(payload["name"]), payload["left"])
        return socket.update("stock", lambda stock: {**stock, payload["name"]: payload["left"]})

    @on("shop:*")
    def other(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        logger.debug("%s on %s", event, topic)

    def terminate(self, reason: object, socket: Socket) -> None:
        logger.info("over: %r", reason)

    def order(self, name: str, count: int = 1) -> Reply:
        """Used through the proxy."""
        ref = self.socket.push(self.room, "order", {"name": name, "count": count})
        return self.socket.await_reply(ref, timeout=2.0)

    def left(self) -> dict[str, int]:
        """Used through the proxy."""
        found: dict[str, int] = self.socket.assigns["stock"]
        return found


class Quiet(Shop):
    """An override may be narrower than what it overrides."""

    def handle_info(self, message: object, socket: Socket) -> Socket:
        return socket

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer:
        return Answer(None)


class Generic(ClientActor):
    """Callbacks typed with what the base class has them typed with."""

    def init(self, *args: Any, **kwargs: Any) -> InitResult:
        return super().init(*args, **kwargs)

    def handle_connect(self, socket: Socket) -> CallbackResult:
        return super().handle_connect(socket)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> CallResult:
        return super().handle_call(message, from_, socket)
