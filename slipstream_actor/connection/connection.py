"""The connection: one actor around one websocket, what `channel_pid` names.

It binds the protocol to the transport in one thread, with one selector. It lives for one attempt:
it connects, and ends with its connection. What happens goes to the owner of the socket in bursts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from msgspec.structs import replace
from pykka import ActorRef

from slipstream_actor.actors.actor import BaseActor, unlist
from slipstream_actor.actors.calls import answering, refuse_unknown
from slipstream_actor.actors.envelopes import TAKE, UNCOUNTED, Burst, GetState, Interrupted, Timer
from slipstream_actor.actors.exit import closes_at_exit
from slipstream_actor.actors.pressure import Inflow, SendBuffer, byte_count
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.selector_inbox import SelectorInbox, SocketReady, WaitFailed
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import redact
from slipstream_actor.connection.decoding import Decoding
from slipstream_actor.connection.log import ConnectionLog
from slipstream_actor.connection.opening import open_transport
from slipstream_actor.connection.pace import LEAST_PACE, Progress
from slipstream_actor.connection.pushes import completed, conclude, waits_for_room, write_left
from slipstream_actor.connection.reading import give_to_subscriptions, hear, inflow_of, receive
from slipstream_actor.connection.state import ConnectionState, state_of
from slipstream_actor.connection.stepping import (
    StepFailed,
    Tick,
    be_driven,
    be_driven_no_more,
    settle_what_came,
)
from slipstream_actor.connection.telemetry import CONNECTION, ConnectionTelemetry
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    OpenConnection,
    PushMessage,
    ResumeReading,
)
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
)
from slipstream_actor.protocol.message import OWN_TOPIC
from slipstream_actor.protocol.reasons import (
    ClosedByClient,
    ConnectFailed,
    ConnectionCrashed,
    HeartbeatTimeout,
    TransportFailed,
)
from slipstream_actor.protocol.serializer import frame_of
from slipstream_actor.telemetry import frame_log
from slipstream_actor.telemetry.lines import CONNECTION as LOGGER
from slipstream_actor.wire import frames
from slipstream_actor.wire.waiter import AttemptFailed, Cancelled
from slipstream_actor.wire.websocket import Transport

__all__ = ["Connection"]

T = TypeVar("T")

# How long a connection that cannot be written is still read, for the close frame that says why.
LAST_WORDS_SECONDS = 1.0

WAITED_FOR = (SocketReady, Tick, WaitFailed)


class Connection(BaseActor):
    """One connection. Started by `socket.connect`; everything it does is asked by commands."""

    actor_inbox: SelectorInbox
    stop_order: ClassVar[int] = 2

    @staticmethod
    def _create_actor_inbox() -> SelectorInbox:
        return SelectorInbox()

    def __init__(self, owner: Any, config: Configuration, delay: float = 0.0) -> None:
        super().__init__(label=f"connection of {getattr(owner, 'label', owner)}")
        self._owner = owner
        self._config = config
        self._log = ConnectionLog(owner, config)
        self._decoding = self.actor_inbox.decoding = Decoding(config, self._log.undecodable)
        self._serializer = self._decoding.serializer
        refs = owner.actor_inbox
        interval = config.heartbeat_interval_msec / 1000
        self._protocol = Protocol(
            next_ref=refs.next_ref,
            has_join_refs=config.has_join_refs,
            heartbeat_interval=interval,
            join_timeout=config.join_timeout_msec / 1000,
        )
        self._transport: Transport | None = None
        self._status = "connecting"
        self._reason: Any = None  # what the owner will be told, once that is settled
        self._give_up_at: float | None = None
        self._heartbeat_mark: int | None = None
        self._progress = Progress(interval)
        self._written = 0
        self._told_bytes = 0  # of what has come, those that were told of
        self._dropped, self._leaves_out = 0, False
        self._paused = False
        self._timer: Timer | None = None
        self._telemetry: ConnectionTelemetry = ConnectionTelemetry(config, self._state)
        self.flow: Inflow = inflow_of(config, self.actor_inbox)
        self._room = self.actor_inbox.room = SendBuffer(config.max_send_buffer_bytes)
        self._encoded: dict[str, str | bytes] = {}
        if delay:
            self.actor_inbox.send_after(delay, OpenConnection())  # Its thread does not run yet.
        else:
            self.actor_inbox.tell(OpenConnection())

    @classmethod
    def open(cls, owner: Any, config: Configuration, delay: float = 0.0) -> ActorRef[Connection]:
        """Start a connection that belongs to `owner`, and connects in `delay` seconds."""
        ref = cls.start(owner, config, delay)
        closes_at_exit(ref, owner, config.shutdown_timeout_msec / 1000)
        if isinstance(owner, ThreadRef):
            owner.own(ref)
        else:
            # Its client closes it: `ActorRegistry.stop_all()` would stop it first.
            unlist(ref)
        return ref

    def _start_actor_loop(self) -> None:
        try:
            super()._start_actor_loop()
        except RuntimeError as error:
            # The system has no more threads: a failed attempt like any other.
            self._end(ConnectFailed("io", str(error)), ChannelConnectFailed)

    # Pykka's hooks, in the actor's thread

    def on_receive(self, message: Any) -> Any:
        """Handle a command, readiness of the socket, or a deadline."""
        handle = self._handlers.get(type(message))
        if handle is None:
            return refuse_unknown(self, message)
        write_left(self)
        if "handle" in CONNECTION:
            return self._telemetry.handle(handle, self, message)
        return handle(self, message)

    def on_stop(self) -> None:
        """End with a close frame, whoever asked; a close that has begun goes on."""
        if self._status in ("connected", "closing"):
            write_left(self)
            self._close(CloseConnection())
            with contextlib.suppress(Interrupted):  # A second stop does not wait.
                self._see_it_closed()
        self._end(self._reason or ClosedByClient())

    def _see_it_closed(self) -> None:
        """Write what waits and wait for the server's close, `close_timeout_msec` at most."""
        self.actor_inbox.stopping = False
        while self._status == "closing":
            message = self.actor_inbox.receive(lambda m, _: TAKE if type(m) in WAITED_FOR else 0)
            write_left(self)
            self._handlers[type(message)](self, message)

    def on_failure(self, *exc_info: Any) -> None:
        """Tell the owner that the connection has crashed."""
        try:
            LOGGER.error("%s has crashed", self, exc_info=exc_info)
        finally:
            self._end(ConnectionCrashed(exc_info[1]))

    # connecting

    def _open(self, _: OpenConnection) -> None:
        if self._transport is not None:
            return
        self._telemetry.begin()
        self._log.attempt("opening")
        answers: dict[type, Any] = {GetState: self._answer_state}
        try:
            self._transport = open_transport(self._config, self.actor_inbox, answers)
        except Cancelled:
            self._end(ClosedByClient())
        except AttemptFailed as failed:
            self._end(failed.reason, ChannelConnectFailed)
        else:
            self._connected(self._transport)

    def _connected(self, transport: Transport) -> None:
        self._status = "connected"
        self._log.attempt("opened")
        self._protocol.start(time.monotonic())
        self.actor_inbox.attach(transport.sock)
        self.actor_inbox.release_stash()
        be_driven(self)
        self._tell([ChannelConnected(self.actor_ref, transport.headers)])
        # Frames may have come with the 101, where no selector sees them.
        self._ready(SocketReady(readable=True, writable=False))

    def _give_up_waiting(self, failed: WaitFailed) -> None:
        reason = ConnectFailed("io", f"cannot wait: {failed.error.strerror}")
        self._end(reason, ChannelConnectFailed)

    # steady state

    def _ready(self, ready: SocketReady) -> None:
        """Read and write what the socket is ready for."""
        transport = self._transport
        if transport is None or self._status == "closed":
            return
        if ready.writable:
            transport.flush()
        if ready.readable:
            receive(self, transport)
            if not ready.writable and settle_what_came(self, transport):
                return
        self._settle()

    def _join(self, command: JoinTopic) -> None:
        join_ref = command.join_ref or self._owner.actor_inbox.next_ref()
        if command.data is not None:
            self._encoded[join_ref] = command.data
        self._protocol.join(replace(command, join_ref=join_ref), time.monotonic())
        self._settle()

    def _leave(self, command: LeaveTopic) -> None:
        ref, timeout = command.join_ref, command.timeout
        self._protocol.leave(command.topic, time.monotonic(), join_ref=ref, timeout=timeout)
        self._settle()

    def _push(self, command: PushMessage, *more: PushMessage) -> None:
        """Write this push and all that stand behind it, with one `send`."""
        transport = self._transport
        if transport is None:
            return
        now, accept = time.monotonic(), self._protocol.push
        taken, awaited, batch = 0, False, []
        for push in (command, *(more or self.actor_inbox.drain(PushMessage))):
            if push.data is None:
                ref = push.ref or self._owner.actor_inbox.next_ref()
                # In its place: this one has what that lacks.
                push = completed(push, ref, self._protocol, self._serializer)  # noqa: PLW2901
            else:
                taken += byte_count(push.data)
            if accept(push, now):
                awaited = awaited or push.awaited
                batch.append(push)
        if self._status == "connected":  # Else the close frame is written already.
            frame_log.sending(batch)
            transport.send([push.data for push in batch if push.data is not None])
        self._room.update(taken, transport.pending_bytes)
        blocked = transport.pending_bytes or transport.write_error is not None
        told = self._protocol.events or self._protocol.requests.unsent
        if blocked or told or awaited:
            self._settle()
        elif "traffic" in CONNECTION:
            self._telemetry.traffic(transport)

    def _collect(self, _: CollectGarbage) -> None:
        if self._transport is not None:
            self._transport.release()

    def _tick(self, _: Tick) -> None:
        now = time.monotonic()
        hear(self)
        self._due(now)

    def _due(self, now: float) -> None:
        """Do what is due; what has come by `now` has been heard."""
        self._timer = None
        if self._transport is None or self._status == "closed":
            return
        if self._give_up_at is not None and self._give_up_at <= now:
            self._end(self._reason)
            return
        self._protocol.handle_timer(now, self._progress.moved_at)
        self._settle()

    def _fail(self, failed: StepFailed) -> None:
        raise failed.error

    def _settle(self) -> None:
        """Send what there is, say what to wait for next, and tell the owner last: it then runs
        while this thread goes to sleep."""
        transport, protocol = self._transport, self._protocol
        if transport is None:
            return
        if protocol.outgoing:
            self._send_outgoing(transport)
        now = time.monotonic()
        self._note_progress(transport, now)
        if CONNECTION:
            self._telemetry.look(protocol, transport)
        if transport.write_error is not None and self._give_up_at is None:
            self._give_up(TransportFailed(transport.write_error), LAST_WORDS_SECONDS)
        self._room.note(transport.pending_bytes)
        events, protocol.events = protocol.events, []
        size = self._count_bytes(transport, events)
        give_to_subscriptions(self, events)  # Before it is asked whether they have room.
        self.flow.deliver(len(events), size)
        conclude(protocol.requests, paused=self._paused)
        reading = self._reads(transport, now)
        if transport.read_again and reading:
            self.actor_inbox.read_again()
        self.actor_inbox.watch(read=reading, write=transport.wants_write)
        self._arm()
        if events:
            self._tell(events, self.flow, size)
        if transport.ended is not None:
            if self._reason is None or isinstance(self._reason, TransportFailed):
                self._reason = transport.ended
            self._end(self._reason)
        elif protocol.heartbeat_failed:
            transport.send_close(1000)
            self._end(HeartbeatTimeout())

    def _count_bytes(self, transport: Transport, events: list[Any]) -> int:
        """Return how many bytes have come since events were told of last."""
        size = transport.bytes_taken - self._told_bytes
        if events or not transport.mid_frame:  # Else they are those of what is told later.
            self._told_bytes += size
        return size

    def _reads(self, transport: Transport, now: float) -> bool:
        """Whether to read on: not while the owner has too much to take, unless we are closing."""
        urgent = bool(self._protocol.requests) or transport.awaits_input
        full = self.flow.pause(urgent=urgent) or waits_for_room(self, urgent=urgent)
        paused = self._status != "closing" and full
        if paused != self._paused:
            self._paused = paused
            self._telemetry.backpressure(paused, self.flow.undelivered)
            if paused:
                self._protocol.pause(now)
            else:
                self._protocol.resume(now)
                # Bytes that TLS has decrypted wait where no selector sees them.
                self.actor_inbox.read_again()
        return not paused

    def _resume(self, _: ResumeReading) -> None:
        if self._status != "closed":
            self._settle()

    def _send_outgoing(self, transport: Transport) -> None:
        outgoing, self._protocol.outgoing = self._protocol.outgoing, []
        batch = []
        frame_log.sending(outgoing)
        for message in outgoing:
            data = self._encoded.pop(message.ref or "", None) or frame_of(self._serializer, message)
            if message.topic == OWN_TOPIC:
                # Between frames, before the pushes that wait.
                self._heartbeat_mark = transport.send_urgent(*frames.of_message(data))
            else:
                batch.append(data)
        transport.send(batch)
        transport.release_output()

    def _note_progress(self, transport: Transport, now: float) -> None:
        """Note that bytes move, and tell the protocol when the heartbeat's bytes are out."""
        self._progress.note(now, transport)
        if self._status == "closing":
            self._renew_close(transport, now)
        if self._heartbeat_mark is not None and transport.bytes_out >= self._heartbeat_mark:
            self._heartbeat_mark = None
            self._protocol.heartbeat_written(now)

    def _renew_close(self, transport: Transport, now: float) -> None:
        """Give the close its time anew, as what is before its frame moves, and once that is out."""
        seconds = self._config.close_timeout_msec / 1000
        moved = transport.bytes_out - self._written
        if moved and (not transport.pending_bytes or moved >= LEAST_PACE * seconds):
            self._written = transport.bytes_out
            self._give_up_at = now + seconds

    def _arm(self) -> None:
        """Have a `Tick` at the next deadline, or at an earlier one that is over."""
        timer = self._timer
        if timer is not None and not self._protocol.rearm and self._give_up_at is None:
            return
        due = self._protocol.next_deadline()
        if self._give_up_at is not None:
            due = self._give_up_at if due is None else min(due, self._give_up_at)
        if due is not None and (timer is None or due < timer.due):
            if timer is not None:
                timer.cancel()
            self._timer = self.actor_inbox.send_at(due, Tick())

    # ending

    def _close(self, _: CloseConnection) -> None:
        """Send a close frame behind all that was accepted, and wait for the answer.

        What was accepted is written as long as it moves, and the answer has `close_timeout_msec`
        from when the close frame is out.
        """
        if self._transport is None:
            self._end(ClosedByClient())
        elif self._status == "connected":
            self._status = "closing"
            be_driven_no_more(self)
            self._written = self._transport.bytes_out
            self._transport.send_close(1000)
            self._give_up_at = None
            self._give_up(ClosedByClient(), self._config.close_timeout_msec / 1000)
            self._settle()

    def _give_up(self, reason: Any, seconds: float) -> None:
        self._reason = reason
        self._give_up_at = time.monotonic() + seconds

    def _end(self, reason: Any, event: type[Any] = ChannelClosed) -> None:
        """Free the socket, tell the owner, and make this message the last."""
        if self._status == "closed":
            return
        self._status = "closed"
        be_driven_no_more(self)
        try:
            self.actor_inbox.detach()
            if self._transport is not None:
                self._transport.free()
        finally:
            # Whatever else fails, the owner is told.
            self._end_loop(reason)
            self._decoding.conclude()
            self._log.ended(reason, asked_for=self.actor_inbox.close_requested)
            self._protocol.close(reason)
            conclude(self._protocol.requests, paused=self._paused)
            self._room.close()
            give_to_subscriptions(self, self._protocol.events)
            self._tell([*self._protocol.events, event(reason)])
            self.actor_inbox.ended.set(reason)
            self._telemetry.conclude(reason, self._transport)

    def _tell(self, events: list[Any], flow: Inflow = UNCOUNTED, size: int = 0) -> None:
        # Not `ref.tell`: an actor that runs `terminate` is dead to Pykka, and still awaits.
        if self._telemetry.told is not None:
            self._telemetry.told += events
        inbox = self._owner.actor_inbox
        if self._protocol.ended_joins:
            ended, self._protocol.ended_joins = self._protocol.ended_joins, {}
            inbox.ended_joins.update(dict.fromkeys(ended, self.actor_ref))
            self._log.joins_ended(ended.values())
        if not inbox.deaf:
            inbox.tell(Burst(self.actor_ref, events, flow, size, inbox.last_ref))
        if inbox.deaf and self._status == "connected":
            # The owner is gone. What it pushed last is still to be sent, and then a close frame.
            self.actor_inbox.tell(CloseConnection())

    # a look inside

    @answering
    def _answer_state(self, asked: GetState) -> None:
        asked.future.set(self._state())

    def _state(self) -> ConnectionState:
        return state_of(
            self._protocol,
            self._transport,
            self.flow,
            dropped=self._dropped,
            status=self._status,
            uri=redact(self._config.uri),
            mailbox=self.actor_inbox.depth,
            paused=self._paused,
            max_undelivered_bytes=self._config.max_undelivered_bytes,
            send_buffer_bytes=self._room.bytes,
        )

    @property
    def heartbeat_rtt(self) -> float | None:
        """Seconds that the last heartbeat's answer took, `None` before the first. Any thread."""
        return self._protocol.heartbeat_rtt

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        SocketReady: _ready,
        WaitFailed: _give_up_waiting,
        PushMessage: _push,
        JoinTopic: _join,
        LeaveTopic: _leave,
        Tick: _tick,
        OpenConnection: _open,
        CloseConnection: _close,
        CollectGarbage: _collect,
        ResumeReading: _resume,
        StepFailed: _fail,
        GetState: _answer_state,
    }
