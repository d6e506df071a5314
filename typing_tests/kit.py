"""The types that users of the test kit see: checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer, RefuseJoin


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
