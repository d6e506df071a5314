"""A client of a chat room: connects, joins, pushes text and binary, and prints what happens."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Ref, Reply, Socket, connect

ROOM = "bench:lobby"


class Chat(ClientActor):
    """Says hello in text and in binary, has it shouted to everybody, and waits for a disconnect."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Ask for the connection; it is made while `start` returns."""
        print(f"connecting to {uri}")
        return connect(uri, params={"id": "alice"}, reconnect_after_msec=[100], **options)

    def handle_connect(self, socket: Socket) -> Socket:
        """Join the room, each time that the connection is there."""
        print("connected")
        return socket.join(ROOM, {"reply": {"motd": "welcome"}})

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Socket:
        """Push: a map becomes JSON, bytes a binary frame. The replies come to `handle_reply`."""
        print(f"joined {topic}: {response}")
        if "greeted" in socket.assigns:
            return socket
        refs = {
            socket.push(topic, "echo", {"text": "hello"}): "the text",
            socket.push(topic, "echo", b"\x00\x01\x02"): "the bytes",
            socket.push(topic, "broadcast", {"text": "hello, everybody"}): "the broadcast",
        }
        return socket.assign(greeted=True, refs=refs)

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        """A reply finds its push by the `Ref`."""
        what = socket.assigns["refs"].get(ref, "a proxied push")
        print(f"reply to {what}: {reply.status} {reply.response!r}")

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """Pushes and broadcasts of the server."""
        print(f"message on {topic}: {event} {payload}")
        return socket.assign(heard=event)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """The connection has ended; the default comes back, unless we closed it ourselves."""
        print(f"disconnected: {reason}")
        return super().handle_disconnect(reason, socket)

    def terminate(self, reason: Any, socket: Socket) -> None:
        """The last callback; the connection is closed after it."""
        print(f"bye: {reason}")

    def say(self, text: str) -> Ref:
        """A method of your own: `ref.proxy().say("…")` from any thread."""
        return self.socket.push(ROOM, "broadcast", {"text": text})
