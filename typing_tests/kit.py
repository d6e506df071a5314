"""The types that users of the test kit see: checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from pykka import ActorRef

from slipstream_actor import ANY, ClientActor, Ref, Reply
from slipstream_actor.testing import (
    Channel,
    DisconnectRequest,
    FaultProxy,
    JoinRequest,
    LeaveRequest,
    PhoenixServer,
    PushRequest,
    RefuseJoin,
    SocketTest,
    accept_connect,
    assert_disconnect,
    assert_join,
    assert_leave,
    assert_push,
    connect_and_assert_join,
    disconnect,
    no_leaked_clients,
    push,
    refuse_connect,
    refute_disconnect,
    refute_join,
    refute_leave,
    refute_push,
    reply,
)


class Room(Channel):
    """A channel of the embedded server."""

    intercept = ("shout",)

    def join(self, params: Any) -> Any:
        if params is None:
            raise RefuseJoin({"reason": "no params"})
        return {"params": params}

    def handle_in(self, event: str, payload: Any) -> tuple[str, Any] | None:
        self.broadcast(event, payload)
        return "ok", payload


def a_server() -> None:
    """Server and proxy are context managers."""
    with PhoenixServer({"rooms:*": Room}, port=0) as server, FaultProxy(server.uri) as proxy:
        assert_type(server, PhoenixServer)
        assert_type(server.uri, str)
        assert_type(server.port, int)
        assert_type(proxy, FaultProxy)
        assert_type(proxy.uri, str)
        server.broadcast("rooms:lobby", "shout", {})
        with proxy.refuse():
            proxy.reset()


def the_test_is_the_server() -> None:
    """The functions, and the context manager that has them as methods."""
    with no_leaked_clients(), SocketTest(assert_timeout=2.0, refute_timeout=0.05) as server:
        assert_type(server, SocketTest)
        client = server.start(ClientActor, name="client")
        assert_type(client, ActorRef[ClientActor])
        accept_connect(client)
        refuse_connect("client")
        joined = connect_and_assert_join(client, "rooms:lobby", {"n": 1}, Reply("ok"))
        assert_type(joined, JoinRequest)
        assert_type(assert_join(ANY, ANY, Reply("error", {}), client="client"), JoinRequest)
        pushed = assert_push("rooms:lobby", "new:msg", {"n": 1}, timeout=5.0)
        assert_type(pushed, PushRequest)
        assert_type(pushed.ref, Ref)
        assert_type(pushed.payload, Any)
        reply(client, pushed, Reply("ok", {}))
        reply(client, pushed.ref, Reply("ok", {}))
        push(client, "rooms:lobby", "new:msg", b"bytes")
        disconnect(client)
        assert_type(assert_leave("rooms:lobby"), LeaveRequest)
        assert_type(assert_disconnect(client=client), DisconnectRequest)
        refute_join()
        refute_leave(timeout=0.1)
        refute_push(event="new:msg")
        refute_disconnect()
