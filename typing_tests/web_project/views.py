"""Views, and threads of one's own beside them."""

from __future__ import annotations

import threading
import typing
from dataclasses import dataclass
from typing import assert_type

from pykka import ActorProxy, ActorRef
from pykka.typing import ActorMemberMixin, proxy_method

from slipstream_actor import (
    ActorDeadError,
    AwaitTimeoutError,
    NotConnectedError,
    NotJoinedError,
    Ref,
    Reply,
    ReplyError,
    SendBufferFullError,
    Socket,
    call,
    cast,
    connect,
    get_state,
)
from typing_tests.web_project import settings
from typing_tests.web_project.clients import Shop, Stock


@dataclass
class Response:
    """What a view returns."""

    status: int
    body: object = None


class ShopProxy(ActorMemberMixin, ActorProxy[Shop]):
    """Pykka's way to types of proxied methods."""

    order = proxy_method(Shop.order)
    left = proxy_method(Shop.left)


def left(name: str) -> int:
    """The type of an answer is what is returned…"""
    return call("shop", name)


def stock_view(shop: ActorRef[Shop], name: str) -> Response:
    """… or assigned, or passed on."""
    try:
        n: int = call(shop, name, timeout=1.0)
        maybe: int | None = call(shop, name, timeout=None)
        rows: list[Stock] = call("shop", "all")
        cast(shop, (name, n))
        call(shop, "and forgotten")
        if call(shop, "is open"):
            answer = call(shop, "anything")
            return Response(200, answer["of any type"])
    except (ActorDeadError, AwaitTimeoutError) as error:
        return Response(503, str(error))
    return Response(200, {"left": n, "maybe": maybe, "rows": [row["name"] for row in rows]})


def order_view(shop: ActorRef[Shop], name: str) -> Response:
    """A proxied method."""
    proxy = typing.cast("ShopProxy", shop.proxy())
    try:
        reply = proxy.order(name, count=2).get(timeout=3.0)
        assert_type(reply, Reply)
        number: int = reply.unwrap()["number"]
    except ReplyError as error:
        return Response(409, error.reply.response)
    except (NotJoinedError, NotConnectedError, AwaitTimeoutError) as error:
        return Response(503, str(error))
    plain = shop.proxy().order(name).get(timeout=3.0)
    return Response(201, {"number": number, "plain": plain, "left": proxy.left().get()})


def push_from_threads(shop: ActorRef[Shop]) -> list[Ref]:
    """`push` of a client's socket works from every thread."""
    socket = get_state(shop).socket
    refs: list[Ref] = []

    def work(number: int) -> None:
        try:
            refs.append(socket.push("shop:1", "seen", {"n": number}, send_timeout=1.0))
        except (SendBufferFullError, NotJoinedError, NotConnectedError):
            pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refs


def import_view() -> Response:
    """A connection for one request."""
    with connect(settings.SHOP_URI, **settings.SHOP_OPTIONS) as socket:
        assert_type(socket, Socket)
        joined = socket.join("shop:import").await_join("shop:import", timeout=2.0)
        reply = joined.await_reply(joined.push("shop:import", "begin", b"\x00rows"))
        for message in joined.messages("shop:import", "row", timeout=1.0):
            if message.payload == "last":
                break
    return Response(200, reply.response)
