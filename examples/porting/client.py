"""A shop's orders: the Slipstream client of `client.ex`, ported line by line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from slipstream_actor import (
    Answer,
    ClientActor,
    From,
    JoinRefused,
    Next,
    Ref,
    Reply,
    Socket,
    Stop,
    call,
    connect,
    on,
)
from slipstream_actor import reply as answer

logger = logging.getLogger(__name__)

TOPIC = "orders:eu"


class Orders(ClientActor, restart="transient"):
    """Keeps the open orders, asks for prices, and has orders shipped."""

    def init(self, config: Mapping[str, Any]) -> Socket:
        """The options of `connect`, from the program's configuration."""
        return connect(**config).assign(open={}, callers={})

    def handle_connect(self, socket: Socket) -> Socket:
        """Join, each time that the connection is there."""
        return socket.join(TOPIC, {"shop": "rotterdam"})

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Socket:
        """The join's answer has the orders that are open."""
        return socket.assign(open={order["id"]: order for order in response["orders"]})

    @on(TOPIC, "order:new")
    def order_opened(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """One order more."""
        return socket.update("open", lambda orders: {**orders, payload["id"]: payload})

    @on("orders:*", "order:closed")
    def order_closed(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """One order less."""
        return socket.update(
            "open", lambda orders: {id: o for id, o in orders.items() if id != payload["id"]}
        )

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        """What no handler is for."""
        logger.debug("nothing to do for %s on %s", event, topic)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer | Next:
        """Answer now, after a round trip, or later."""
        match message:
            case "open":
                return Answer(sorted(socket.assigns["open"]))
            case ("price", id):
                ref = socket.push(TOPIC, "price", {"id": id})
                return Answer(socket.await_reply(ref, timeout=2.0).unwrap()["price"])
            case ("ship", id):
                ref = socket.push(TOPIC, "ship", {"id": id})
                return Next(socket.update("callers", lambda callers: {**callers, ref: from_}))
        raise ValueError(message)

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> Socket:
        """Whoever had an order shipped is told."""
        callers = dict(socket.assigns["callers"])
        if (from_ := callers.pop(ref, None)) is not None:
            answer(from_, reply)
        return socket.assign(callers=callers)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Socket:
        """Nobody waits for what will not come; then come back, after the delay that is its turn."""
        logger.warning("disconnected: %s", reason)
        for from_ in socket.assigns["callers"].values():
            answer(from_, Reply("error", "disconnected"))
        return socket.assign(callers={}).reconnect()

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Socket | Stop:
        """Give up where we may not, and try again otherwise."""
        match reason:
            case JoinRefused(response={"reason": "unauthorized"}):
                return Stop(("shutdown", "unauthorized"))
        return socket.rejoin(topic)

    def terminate(self, reason: Any, socket: Socket) -> None:
        """The connection is closed after it, without our doing."""
        logger.info("no more orders: %s", reason)


def start(config: Mapping[str, Any]) -> Any:
    """Start it, and return its ref."""
    return Orders.start(config, name="orders")


def open_orders() -> list[int]:
    """Return the numbers of the open orders."""
    numbers: list[int] = call("orders", "open")
    return numbers


def price(id: int) -> float:
    """Return the price of an order."""
    euros: float = call("orders", ("price", id))
    return euros


def ship(id: int) -> Reply:
    """Have an order shipped."""
    reply: Reply = call("orders", ("ship", id))
    return reply
