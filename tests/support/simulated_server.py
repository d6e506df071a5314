"""A Phoenix server as the protocol notes have it ("note N"), one for each connection.

It handles what has come message by message, as a test decides, and counts nothing as answered
that it has not answered.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["Channel", "Closing", "Plans", "SimulatedServer"]


class Closing(NamedTuple):
    """The server ends the connection: a close frame with `code` and EOF, or EOF alone."""

    code: int | None


class Channel:
    """One channel process; `pending` are pushes that it may still reply to."""

    def __init__(self, server: SimulatedServer, topic: str, join_ref: str, params: Any) -> None:
        self.server = server
        self.topic = topic
        self.join_ref = join_ref
        self.params = params
        self.pending: list[tuple[str, Any]] = []


class Plans:
    """How the next joins, pushes and leaves are handled; afterwards well."""

    def __init__(self) -> None:
        self.joins: list[str] = []
        self.pushes: list[str] = []
        self.answered_leaves = 0

    def clear(self) -> None:
        """Be well from now on."""
        self.joins, self.pushes, self.answered_leaves = [], [], 0


class SimulatedServer:
    """The server's end of one connection."""

    def __init__(self, number: int, wire: Any, plans: Plans) -> None:
        self.number = number
        self.wire = wire
        self.plans = plans
        self.channels: dict[str, Channel] = {}
        self.accepted: set[str] = set()  # join_refs
        self.closed: set[str] = set()  # join_refs that nobody had asked to close
        self.gone = False
        self.sent = 0
        self._closes_late: list[Channel] = []

    # what comes

    def serve(self) -> bool:
        """Handle the next message; `False` when there is none."""
        if not self.wire.up or self.wire.blocked:
            return False
        raw = self.wire.up.popleft()
        if self.gone or self.wire.lost:
            return True
        if raw.startswith("close "):
            self.end(1000)
            return True
        message = json.loads(raw)
        join_ref, ref, topic, event, payload = message
        if topic == "phoenix":
            self._reply(None, ref, topic, "ok", {})
        elif event == "phx_join":
            self._join(join_ref, topic, payload)
        elif event == "phx_leave":
            self._leave(join_ref, ref, topic)
        else:
            self._push(join_ref, ref, topic, payload)
        return True

    def serve_all(self) -> bool:
        """Handle everything that has come; return whether there was something."""
        served = False
        while self.serve():
            served = True
        return served

    def _join(self, join_ref: str, topic: str, params: Any) -> None:
        how = self.plans.joins.pop(0) if self.plans.joins else "ok"
        former = self.channels.pop(topic, None)
        late = [c for c in self._closes_late if c.topic == topic]
        self._closes_late = [c for c in self._closes_late if c.topic != topic]
        if how == "ok":
            self.channels[topic] = Channel(self, topic, join_ref, params)
            self.accepted.add(join_ref)
            self._reply(join_ref, join_ref, topic, "ok", self._tagged(join_ref=join_ref))
        elif how != "silence":
            # The refusal of a topic that no channel is for has no join_ref (note 5).
            shown = None if how == "unmatched" else join_ref
            response = self._tagged(join_ref=join_ref, reason=how)
            self._reply(shown, join_ref, topic, "error", response)
        # The former channel's end comes behind the reply, and until then it lives (notes 14, 23).
        for channel in (*late, *([former] if former is not None else [])):
            self._say(channel, channel.join_ref)
            self._send(channel.join_ref, channel.join_ref, topic, "phx_close", {})

    def _leave(self, join_ref: str, ref: str, topic: str) -> None:
        channel = self.channels.get(topic)
        if channel is None:
            self._reply(join_ref, ref, topic, "ok", {})
        elif channel.join_ref == join_ref:  # A stale one is dropped (note 7).
            del self.channels[topic]
            if self._comes_next(topic) == "phx_join" and not self.plans.answered_leaves:
                self._closes_late.append(channel)  # Most of such leaves get no reply (note 23).
            else:
                self.plans.answered_leaves = max(0, self.plans.answered_leaves - 1)
                self._reply(join_ref, ref, topic, "ok", {})
                self._send(join_ref, join_ref, topic, "phx_close", {})

    def _comes_next(self, topic: str) -> str | None:
        for raw in self.wire.up:
            if not raw.startswith("close ") and (message := json.loads(raw))[2] == topic:
                return str(message[3])
        return None

    def _push(self, join_ref: str | None, ref: str, topic: str, payload: Any) -> None:
        channel = self.channels.get(topic)
        if channel is None:
            self._reply(None, ref, topic, "error", {"reason": "unmatched topic"})
        elif channel.join_ref == join_ref:  # A stale one is dropped (note 7).
            usual = "later" if payload["push"] % 4 == 0 else "reply"
            how = self.plans.pushes.pop(0) if self.plans.pushes else usual
            channel.pending.append((ref, payload))
            if how == "twice":
                self.reply(channel, -1, again=True)
            if how in ("reply", "twice", "stop_reply"):
                self.reply(channel, -1)
            if how == "odd":
                self.reply(channel, 0, status="odd")
            if how in ("crash", "stop", "stop_reply"):
                self.end_channel(topic, crash=how == "crash")

    # what goes

    def reply(self, channel: Channel, at: int, *, again: bool = False, status: str = "ok") -> None:
        """Reply to one of the pushes that wait, out of order and twice as it may be."""
        if channel.pending and not self.gone:
            ref, payload = channel.pending[at]
            if not again:
                del channel.pending[at]
            self._reply(channel.join_ref, ref, channel.topic, status, self._tagged(payload=payload))

    def end_channel(self, topic: str, *, crash: bool) -> None:
        """A channel crashes or stops; what was pushed to it is never answered (note 18)."""
        channel = self.channels.pop(topic, None)
        if channel is None or self.gone:
            return
        join_ref = channel.join_ref
        if crash:
            payload = self._tagged(reason="channel_crash", join_ref=join_ref)
            self._send(join_ref, join_ref, topic, "phx_error", payload)
        else:
            self.closed.add(join_ref)
            self._send(join_ref, join_ref, topic, "phx_close", {})

    def say(self, topic: str, *, broadcast: bool) -> None:
        """Push to a channel, or broadcast to it."""
        channel = self.channels.get(topic)
        if channel is not None and not self.gone:
            self._say(channel, None if broadcast else channel.join_ref)

    def _say(self, channel: Channel, shown: str | None) -> None:
        payload = self._tagged(join_ref=shown)
        self._send(shown, None, channel.topic, "news", payload)

    def end(self, code: int | None) -> None:
        """Close the connection; the FIN follows in the same instant (note 31)."""
        if not self.gone:
            self.gone = True
            self.channels.clear()
            self.wire.down.append(Closing(code))
            self.wire.broken = True

    def _tagged(self, **values: Any) -> dict[str, Any]:
        self.sent += 1
        return {"connection": self.number, "number": self.sent, **values}

    def _reply(
        self, join_ref: str | None, ref: str, topic: str, status: str, response: Any
    ) -> None:
        payload = {"status": status, "response": response}
        self._send(join_ref, ref, topic, "phx_reply", payload)

    def _send(
        self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any
    ) -> None:
        self.wire.down.append(json.dumps([join_ref, ref, topic, event, payload]).encode())
