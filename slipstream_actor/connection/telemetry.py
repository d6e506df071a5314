"""Where a connection's telemetry comes from: its life, its messages, heartbeats, pressure, bytes.

A call site asks `"handle" in CONNECTION` first. Only the connection's thread comes here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slipstream_actor.protocol.reasons import HeartbeatTimeout
from slipstream_actor.protocol.undecoded import as_told
from slipstream_actor.telemetry import dispatch as telemetry
from slipstream_actor.telemetry.dispatch import end_measurements, start_measurements
from slipstream_actor.telemetry.spans import OpenSpan, open_span

if TYPE_CHECKING:
    from slipstream_actor.configuration.configuration import Configuration
    from slipstream_actor.connection.state import ConnectionState
    from slipstream_actor.protocol.channels import Protocol
    from slipstream_actor.wire.websocket import Transport

__all__ = ["CONNECTION", "ConnectionTelemetry"]

# The events that somebody wants: "connect", "handle", "heartbeat", "backpressure", "traffic".
CONNECTION = telemetry.wanted_events(("slipstream", "connection"))

CONNECT = ("slipstream", "connection", "connect")
HANDLE = ("slipstream", "connection", "handle")
HEARTBEAT = ("slipstream", "connection", "heartbeat")
PAUSED = ("slipstream", "connection", "backpressure", "paused")
RESUMED = ("slipstream", "connection", "backpressure", "resumed")
TRAFFIC = ("slipstream", "connection", "traffic")

COUNTERS = ("bytes_in", "bytes_out", "frames_in", "frames_out")


class ConnectionTelemetry:
    """What one connection tells; `state` returns a snapshot of it."""

    __slots__ = (
        "_beating",
        "_config",
        "_counted",
        "_ids",
        "_life",
        "_paused_at",
        "_state",
        "told",
    )

    def __init__(self, config: Configuration, state: Callable[[], ConnectionState]) -> None:
        self._config = config
        self._state = state
        self._ids: dict[str, str] = {}
        self._life: OpenSpan | None = None
        self._beating: OpenSpan | None = None
        self._paused_at = 0.0
        self._counted = (0, 0, 0, 0)
        # The events that the owner was told of the message that is being handled.
        self.told: list[Any] | None = None

    @property
    def ids(self) -> dict[str, str]:
        """The connection's ids, made when they are first asked for."""
        if not self._ids:
            self._ids = {"connection_id": hexadecimal(16), "trace_id": hexadecimal(32)}
        return self._ids

    @property
    def known(self) -> dict[str, Any]:
        """What the events that Slipstream does not have tell of the connection."""
        return {**self.ids, "configuration": self._config}

    def begin(self) -> None:
        """The connection begins."""
        if "connect" in CONNECTION:
            self._life = open_span(
                CONNECT, {**self.ids, "span_id": hexadecimal(16)}, state=self._state()
            )

    def conclude(self, reason: Any, transport: Transport | None) -> None:
        """The connection ends."""
        if "traffic" in CONNECTION and transport is not None:
            self.traffic(transport)
        if self._beating is not None:
            self._beating.fail(reason)
        if self._life is not None:
            self._life.stop(state=self._state(), termination_reason=reason)

    def handle(self, function: Callable[[Any, Any], Any], connection: Any, message: Any) -> Any:
        """Handle a message, and tell of it."""
        start = {"start_state": self._state(), "raw_message": message}
        begun = open_span(HANDLE, {**start, **self.ids, "span_id": hexadecimal(16)})
        self.told = []
        try:
            result = function(connection, message)
        except BaseException as error:
            begun.fail(error)
            raise
        else:
            told = tuple(map(as_told, self.told))
            begun.stop(
                **{"message": message, "events": told, "built_events": told, "return": result},
                end_state=self._state(),
            )
        finally:
            self.told = None
        return result

    def look(self, protocol: Protocol, transport: Transport) -> None:
        """Tell what has changed."""
        if "heartbeat" in CONNECTION:
            self.heartbeat(protocol)
        if "traffic" in CONNECTION:
            self.traffic(transport)

    def heartbeat(self, protocol: Protocol) -> None:
        """Look what has become of the heartbeat.

        One that takes the place of another, whose answer nobody reads in a pause, goes on with
        that one's span.
        """
        if protocol.heartbeats.unanswered is None or protocol.heartbeat_failed:
            beating, self._beating = self._beating, None
            if beating is not None and protocol.heartbeat_failed:
                beating.fail(HeartbeatTimeout())
            elif beating is not None:
                beating.stop(seconds=protocol.heartbeat_rtt)
        elif self._beating is None:
            self._beating = open_span(HEARTBEAT, self.known)

    def backpressure(self, paused: bool, undelivered: int) -> None:
        """Reading stops, or goes on."""
        if paused:
            self._paused_at = time.monotonic()
        if "backpressure" in CONNECTION:
            measured = start_measurements() if paused else end_measurements(self._paused_at)
            measurements = {"undelivered": undelivered, **measured}
            telemetry.execute(PAUSED if paused else RESUMED, measurements, self.known)

    def traffic(self, transport: Transport) -> None:
        """Tell what has been read and written since the last time, if anything was."""
        counted = (
            transport.bytes_in,
            transport.bytes_out,
            transport.frames_in,
            transport.frames_out,
        )
        if counted != self._counted:
            since = [now - then for now, then in zip(counted, self._counted, strict=True)]
            self._counted = counted
            measurements: dict[str, Any] = dict(zip(COUNTERS, since, strict=True))
            measurements["monotonic_time"] = time.monotonic()
            telemetry.execute(TRAFFIC, measurements, self.known)


def hexadecimal(digits: int) -> str:
    """Return so many random hexadecimal digits, as Slipstream's ids have them."""
    return os.urandom(digits // 2).hex()
