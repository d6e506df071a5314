"""Phoenix.Socket: what a message of a client does. All of it runs in the connection's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from slipstream_actor.testing.server.channel import Channel, ChannelSocket
from slipstream_actor.testing.server.channel_process import (
    ChannelConnection,
    ChannelEnded,
    ChannelProcess,
    JoinOutcome,
    JoinRefs,
)
from slipstream_actor.testing.server.codec import MalformedMessage, Message
from slipstream_actor.testing.server.endpoint import Upgrade
from slipstream_actor.testing.server.presence import Presence
from slipstream_actor.testing.server.pubsub import Hub
from slipstream_actor.testing.server.router import Router
from slipstream_actor.testing.server.websocket import CloseSocket


class SessionConnection(ChannelConnection, Protocol):
    """A connection as its session sees it: what only its own thread may call comes on top."""

    def write(self, frame: str | bytes) -> None:
        """Sends a frame before all that waits in the inbox."""

    def wait(self, ready: Callable[[], bool]) -> None:
        """Sleeps until `ready()`; raises when the connection is to end."""


class Application(Protocol):
    """What the sessions of one server share."""

    router: Router
    hub: Hub
    presence: Presence

    def start_channel(
        self,
        process: ChannelProcess,
        channel_class: type[Channel],
        socket: ChannelSocket,
        params: Any,
    ) -> None:
        """Calls `process.run` in a thread, which ends with the server at the latest."""


class Session:
    """The channels of one connection."""

    def __init__(
        self, upgrade: Upgrade, connection: SessionConnection, application: Application
    ) -> None:
        self._codec = upgrade.codec
        self._max_channels = upgrade.mount.max_channels
        self._connection = connection
        self._application = application
        self._socket = ChannelSocket(upgrade.params, upgrade.socket_id, upgrade.info)
        self._processes: dict[str, ChannelProcess] = {}

    @property
    def topics(self) -> list[str]:
        """The topics that are joined."""
        return list(self._processes)

    def receive(self, frame: str | bytes) -> None:
        """Handles a frame. Raises `CloseSocket` for one that is no message.

        See docs/protocol.md#note-27 to #note-29.
        """
        codec = self._codec
        try:
            if isinstance(frame, str):
                message = codec.decode_text(frame)
            else:
                message = codec.decode_binary(frame)
        except MalformedMessage:
            raise CloseSocket(1011) from None
        self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        topic = message.topic
        process = self._processes.get(topic) if isinstance(topic, str) else None
        if topic == "phoenix" and message.event == "heartbeat":
            # The join_ref of a heartbeat is ignored (docs/protocol.md#note-9).
            self._reply(message._replace(join_ref=None), "ok", {})
        elif message.event == "phx_join":
            self._join(message, process)
        elif process is not None:
            self._to_channel(message, process)
        elif message.event == "phx_leave":
            self._reply(message, "ok", {})
        else:
            self._unmatched(message)

    def _to_channel(self, message: Message, process: ChannelProcess) -> None:
        if message.join_ref is not None and not _same(message.join_ref, process.sent_join_ref):
            # A stale join_ref: dropped, without a reply (docs/protocol.md#note-7); a missing one is
            # taken (docs/protocol.md#note-8).
            return
        if message.event == "phx_leave":
            process.leave(message.ref)
        else:
            process.deliver(message.event, message.payload, message.ref)

    def _join(self, message: Message, old: ChannelProcess | None) -> None:
        if old is not None:
            # The old channel's phx_close goes through the inbox: behind the reply to the new join
            # (docs/protocol.md#note-14).
            old.kill()
            self._forget(old)
            self._connection.post(self._end_message(old, "phx_close", {}))
        channel_class = self._application.router.match(message.topic)
        if channel_class is None:
            self._unmatched(message)
        elif self._max_channels is not None and len(self._processes) >= self._max_channels:
            self._reply(message, "error", {"reason": "too many channels joined"})
        else:
            outcome = self._run_join(message, channel_class)
            self._reply(message, "ok" if outcome.ok else "error", outcome.response)

    def _run_join(self, message: Message, channel_class: type[Channel]) -> JoinOutcome:
        """The whole connection waits for a join (docs/protocol.md#note-12)."""
        application = self._application
        process = ChannelProcess(
            message.topic,
            JoinRefs.of(message.join_ref, message.ref),
            self._connection,
            application.hub,
            application.presence,
        )
        application.start_channel(process, channel_class, self._socket, message.payload)
        try:
            self._connection.wait(lambda: process.outcome is not None)
        except BaseException:
            process.kill()
            raise
        assert process.outcome is not None
        if process.outcome.ok:
            self._processes[message.topic] = process
        return process.outcome

    def ended(self, ended: ChannelEnded) -> None:
        """Tells the client that a channel has ended by itself; a replaced one is known to have."""
        process = ended.process
        if self._processes.get(process.topic) is not process:
            return
        self._forget(process)
        event, payload = (
            ("phx_error", {"reason": "channel_crash"}) if ended.crashed else ("phx_close", {})
        )
        self._connection.write(self._end_message(process, event, payload))

    def end(self, at_once: bool) -> None:
        """Ends the channels: at once, or when they have handled what is in their inboxes."""
        for process in self._processes.values():
            if at_once:
                process.kill()
            else:
                process.hang_up()

    def _forget(self, process: ChannelProcess) -> None:
        del self._processes[process.topic]

    def _end_message(self, process: ChannelProcess, event: str, payload: Any) -> str | bytes:
        # Its ref is the join_ref that the client sent (docs/protocol.md#note-3), which may be null
        # (docs/protocol.md#note-6 and #note-52).
        ref = process.sent_join_ref
        return self._codec.encode_message(ref, ref, process.topic, event, payload)

    def _reply(self, message: Message, status: str, response: Any) -> None:
        self._connection.write(
            self._codec.encode_reply(message.join_ref, message.ref, message.topic, status, response)
        )

    def _unmatched(self, message: Message) -> None:
        """The reply of a topic that is not joined or not there: without a join_ref.

        See docs/protocol.md#note-5.
        """
        self._reply(message._replace(join_ref=None), "error", {"reason": "unmatched topic"})


def _same(one: Any, other: Any) -> bool:
    """Elixir's strict equality: "1", 1, 1.0 and true are four different join_refs.

    See docs/protocol.md#note-2.
    """
    return type(one) is type(other) and one == other
