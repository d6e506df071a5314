"""What the log says of a connection: what its owner is not told, or may never look at.

A client says the rest itself, when its callbacks have decided what follows. A plain thread has no
callbacks: that its connection is lost, or a channel has crashed, is said here, once it happens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.uris import place
from slipstream_actor.protocol.events import TopicJoinClosed
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.protocol.reasons import ChannelCrashed, ClosedByClient, ConnectFailed
from slipstream_actor.telemetry.lines import CONNECTION
from slipstream_actor.telemetry.log import OwnerLog, Place, log_of
from slipstream_actor.wire.frames import Data

__all__ = ["ConnectionLog", "place_of"]


def place_of(config: Configuration) -> Place:
    """Return where a configuration leads to, without its query."""
    return Place(place(config.uri), config.uri.path)


class ConnectionLog:
    """Says what happens to one connection of `owner`."""

    __slots__ = ("_lacks_thread", "_owner", "_place")

    def __init__(self, owner: Any, config: Configuration) -> None:
        self._owner = owner
        self._place = place_of(config)
        self._lacks_thread = False

    @property
    def _log(self) -> OwnerLog | None:
        return log_of(self._owner)

    def attempt(self, line: str, reason: Any = None) -> None:
        """It is "opening", or "opened"."""
        if (log := self._log) is not None:
            log.attempt(line, self._place, reason)

    def thread(self, error: Exception | None = None) -> None:
        """It has one again, or gets none."""
        if error is not None and not self._lacks_thread:
            self.attempt("no_thread", error)
        self._lacks_thread = error is not None

    def dropped(self, data: Data, why: str) -> None:
        """A message is nobody's."""
        if CONNECTION.isEnabledFor(logging.DEBUG) and (log := self._log) is not None:
            log.dropped(len(data if isinstance(data, bytes) else data.data), why)

    def undecodable(self, failure: DecodingFailed, count: int) -> None:
        """So many messages could not be decoded by now."""
        if (log := self._log) is not None:
            log.undecodable(self._place, failure, count)

    def joins_ended(self, events: Iterable[Any]) -> None:
        """Joins have ended; a plain thread may never look."""
        if not isinstance(self._owner, ThreadRef) or (log := self._log) is None:
            return
        for event in events:
            if isinstance(event, TopicJoinClosed) and isinstance(event.reason, ChannelCrashed):
                log.crashed(event.topic, event.reason, None)

    def ended(self, reason: Any, *, asked_for: bool) -> None:
        """It has ended; a plain thread may never look."""
        self.attempt("ended", reason)
        own = asked_for or isinstance(reason, (ClosedByClient, ConnectFailed))
        if own or not isinstance(self._owner, ThreadRef) or self._owner.actor_inbox.deaf:
            return
        if (log := self._log) is not None:
            log.lost(self._place, reason, None)
