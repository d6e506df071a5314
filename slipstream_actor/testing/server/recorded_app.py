"""The Phoenix application that the recorded conversations were recorded with.

Its mounts, its connect and its channels, which `docs/protocol.md` describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from slipstream_actor.testing.server.channel import Channel, RefuseJoin, Reply
from slipstream_actor.testing.server.endpoint import ConnectRequest, Mount, RefuseConnect

BINARY_ANSWER = b"\x02\x03"
FLAG = "🏴‍☠️".encode()
AHEAD = 1_000

_REFUSALS: Mapping[str, tuple[int, bytes, dict[str, str]]] = {
    "yes": (403, b"", {}),
    "429": (429, b"Too many requests", {"retry-after": "7"}),
    "401": (401, b"Unauthorized", {}),
    "503": (503, b"Service Unavailable", {"retry-after": "1"}),
    "302": (302, b"", {"location": "/elsewhere"}),
    "custom": (418, b'{"reason":"custom"}', {"content-type": "application/json; charset=utf-8"}),
}
"""Recorded are the first two; what the others say, and the status of "custom", is made up."""


def connect(request: ConnectRequest) -> str | None:
    """Does `connect_delay=ms`, then `reject=…`; `id=U` makes the socket id user_socket:U."""
    params = request.params
    if "connect_delay" in params:
        request.sleep(int(params["connect_delay"]) / 1000)
    if "reject" in params:
        # Whatever else it says is a bug of the caller, and shows as the 500 of a connect that
        # raises.
        raise RefuseConnect(*_REFUSALS[params["reject"]])
    return f"user_socket:{params['id']}" if "id" in params else None


class RoomChannel(Channel):
    """`rooms:lobby`."""

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Replies, pushes, or says nothing at all."""
        binary = isinstance(payload, bytes)
        match event:
            case "quicksand":
                return None
            case "ping":
                return "ok", BINARY_ANSWER if binary else {"pong": "pong"}
            case "push to me":
                self.push("foo", BINARY_ANSWER if binary else {"bar": "baz"})
                return None
        return super().handle_in(event, payload)


class TestChannel(RoomChannel):
    """`test:*`."""

    __test__ = False

    def join(self, params: Any) -> Any:
        """Takes test:good, refuses test:bad, and knows no other."""
        if self.topic == "test:bad":
            raise RefuseJoin({"bad": "join"})
        if self.topic != "test:good":
            raise LookupError(self.topic)

    def handle_in(self, event: str, payload: Any) -> Reply:
        """The lobby's events, and those that crash, stop and broadcast."""
        match event:
            case "error tuple":
                return "error", {"failure?": True}
            case "ack":
                return "ok"
            case "raise":
                raise RuntimeError("boom")
            case "broadcast":
                self.broadcast("broadcast event", {"hello": "everyone!"})
            case "binary broadcast":
                self.broadcast("broadcast event", FLAG)
            case "stop":
                self.stop()
            case _:
                return super().handle_in(event, payload)
        return None


class BenchChannel(Channel):
    """`bench:*`: echoes, floods, and every way to reply."""

    def __init__(self) -> None:
        self.count: int = 0

    def join(self, params: Any) -> Any:
        """Does what the params say."""
        options = {} if params in (None, b"") else dict(params)
        if "delay" in options:
            self.sleep(options["delay"] / 1000)
        if options.get("crash"):
            raise RuntimeError("boom")
        if "error" in options:
            raise RefuseJoin(options["error"])
        if "push" in options:
            self.send(("push", options["push"]))
        return options.get("reply")

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Calls the method of the event's name."""
        handler = getattr(self, f"_on_{event}", None)
        if handler is None:
            return super().handle_in(event, payload)
        reply: Reply = handler(payload)
        return reply

    def handle_info(self, message: Any) -> None:
        """The push behind a join, and the replies that come late."""
        match message:
            case "push", payload:
                self.push("after_join", payload)
            case "slow", ref, payload:
                self.reply(ref, "ok", payload)

    def _on_echo(self, payload: Any) -> Reply:
        return "ok", payload

    def _on_echo_error(self, payload: Any) -> Reply:
        return "error", payload

    def _on_echo_status(self, payload: Any) -> Reply:
        return payload["status"], payload["response"]

    def _on_flood(self, payload: Any) -> Reply:
        pad = "x" * payload.get("size", 0)
        return self._flood(payload, lambda i: {"i": i, "pad": pad})

    def _on_bflood(self, payload: Any) -> Reply:
        pad = b"x" * payload.get("size", 0)
        return self._flood(payload, lambda i: i.to_bytes(4, "big") + pad)

    def _on_sink(self, payload: Any) -> Reply:
        self.count += 1
        return None

    def _on_sunk(self, payload: Any) -> Reply:
        return "ok", {"count": self.count}

    def _on_slow(self, payload: Any) -> Reply:
        self.send_after(payload["ms"] / 1000, ("slow", self.socket_ref(), payload))
        return None

    def _on_block(self, payload: Any) -> Reply:
        self.sleep(payload["ms"] / 1000)
        return "ok", {"ms": payload["ms"]}

    def _on_reply_twice(self, payload: Any) -> Reply:
        self.reply(self.socket_ref(), "ok", {"first": payload})
        return "ok", {"second": payload}

    def _on_push_then_reply(self, payload: Any) -> Reply:
        self.push("pushed", payload)
        return "ok", payload

    def _on_broadcast(self, payload: Any) -> Reply:
        self.broadcast("shout", payload)
        return "ok"

    def _on_broadcast_from(self, payload: Any) -> Reply:
        self.broadcast_from("shout", payload)
        return "ok"

    def _on_big(self, payload: Any) -> Reply:
        return "ok", {"pad": "x" * payload["size"]}

    def _on_bbig(self, payload: Any) -> Reply:
        return "ok", b"x" * payload["size"]

    def _on_push_event(self, payload: Any) -> Reply:
        self.push(payload["event"], payload["payload"])
        return None

    def _on_never(self, payload: Any) -> Reply:
        return None

    def _flood(self, payload: Any, tick: Any) -> Reply:
        ahead = payload.get("ahead", AHEAD)
        for i in range(1, payload["n"] + 1):
            self.push("tick", tick(i))
            if i % ahead == 0:
                self.flush()
        self.push("flood_done", {"n": payload["n"]})
        return "ok", {"n": payload["n"]}


class PresenceChannel(Channel):
    """`presence:*`.

    The changes are made behind the reply, as the tracker of a real server makes them.
    """

    key: str

    def join(self, params: Any) -> Any:
        """Needs a "user"; a "meta" is merged into what the others see."""
        self.key = str(params["user"])
        self.send(("track", {"online_at": 1, **params.get("meta", {})}))

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Changes the presence, or shows the state."""
        match event:
            case "update_meta" | "untrack":
                self.send((event, payload))
            case "state":
                self.push("presence_state", self.presences())
            case _:
                return super().handle_in(event, payload)
        return "ok"

    def handle_info(self, message: Any) -> None:
        """One's own diff comes before the state, as it mostly does (docs/protocol.md#note-50)."""
        match message:
            case "track", meta:
                self.track(self.key, meta)
                self.push("presence_state", self.presences())
            case "update_meta", meta:
                self.update(self.key, meta)
            case "untrack", _:
                self.untrack(self.key)


class ControlChannel(Channel):
    """`control:*`: what is done to connections and channels from outside."""

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Disconnects, broadcasts anywhere, kills the connection, stops for any reason."""
        match event:
            case "disconnect_user":
                self.endpoint.broadcast(f"user_socket:{payload['id']}", "disconnect", {})
                return "ok"
            case "broadcast":
                self.endpoint.broadcast(payload["topic"], payload["event"], payload["payload"])
                return "ok"
            case "kill_transport":
                self.drop_connection()
            case "crash_transport":
                # Recorded: nothing happens. The process of the connection traps exits.
                pass
            case "unencodable":
                self.push("unencodable", {"pid": object()})
            case "stop_with":
                reason = payload["reason"]
                reply = ("ok", payload["reply"]) if "reply" in payload else None
                self.stop(("shutdown", "tuple") if reason == "shutdown_tuple" else reason, reply)
            case _:
                return super().handle_in(event, payload)
        return None


class ParamsChannel(Channel):
    """`params:*`: shows what reached the server."""

    def join(self, params: Any) -> Any:
        """Answers with all that the channel knows of its client."""
        return {
            "join": params,
            "connect": dict(self.socket.params),
            "info": dict(self.socket.info),
            "socket_id": self.socket.id,
            "transport": self.socket.transport,
        }

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Answers with the event and the payload."""
        return "ok", {"event": event, "payload": payload}


class InterceptChannel(Channel):
    """`intercept:*`: sees its own broadcasts."""

    intercept: ClassVar[tuple[str, ...]] = ("shout",)

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Broadcasts a shout."""
        if event != "shout":
            return super().handle_in(event, payload)
        self.broadcast(event, payload)
        return "ok"

    def handle_out(self, event: str, payload: Any) -> None:
        """Pushes it with a mark."""
        self.push(event, {**payload, "intercepted": True})


RECORDED_MOUNTS: Mapping[str, Mount] = {
    "/socket": Mount(auth_token=True, subprotocols=("phoenix",)),
    "/socket_noauth": Mount(),
    "/socket_compressed": Mount(compress=True),
    "/socket_small": Mount(max_frame_size=65_536, timeout=3.0),
    "/socket_sub": Mount(subprotocols=("v2.phx", "other")),
    "/socket_many": Mount(max_channels=None),
}
"""The mounts of the recorded conversations."""

RECORDED_CHANNELS: Mapping[str, type[Channel]] = {
    "test:*": TestChannel,
    "rooms:lobby": RoomChannel,
    "bench:*": BenchChannel,
    "presence:*": PresenceChannel,
    "control:*": ControlChannel,
    "params:*": ParamsChannel,
    "intercept:*": InterceptChannel,
}
