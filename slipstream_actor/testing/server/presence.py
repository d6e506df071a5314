"""Who is in a topic: Phoenix.Presence on one server, its diffs and phx_refs.

See docs/protocol.md#note-50, #note-51.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipstream_actor.testing.server.pubsub import Hub

State = dict[str, dict[str, list[dict[str, Any]]]]


@dataclass(eq=False)
class _Entry:
    owner: object
    key: str
    meta: dict[str, Any]


class Presence:
    """The presences of one server.

    Every change is broadcast as a presence_diff, in the order of the changes.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._entries: dict[str, list[_Entry]] = {}

    def track(self, topic: str, owner: object, key: str, meta: Mapping[str, Any]) -> None:
        """Adds a presence of `owner`, a channel, under `key`."""
        entry = _Entry(owner, key, {"phx_ref": _new_ref(), **meta})
        with self._lock:
            self._diff(topic, joins=[entry])
            self._entries.setdefault(topic, []).append(entry)

    def update(self, topic: str, owner: object, key: str, meta: Mapping[str, Any]) -> bool:
        """Replaces the meta of `owner`'s presence: one diff with a leave and a join
        (docs/protocol.md#note-51).

        False when there is none.
        """
        with self._lock:
            for entry in self._entries.get(topic, []):
                if entry.owner is owner and entry.key == key:
                    refs = {"phx_ref": _new_ref(), "phx_ref_prev": entry.meta["phx_ref"]}
                    new = _Entry(owner, key, {**refs, **meta})
                    self._diff(topic, joins=[new], leaves=[entry])
                    entry.meta = new.meta
                    return True
        return False

    def untrack(self, topic: str, owner: object, key: str | None = None) -> None:
        """Removes the presences of `owner`, of one key or of all."""
        with self._lock:
            entries = self._entries.get(topic, [])
            left = [e for e in entries if e.owner is owner and key in (None, e.key)]
            if left:
                self._entries[topic] = [e for e in entries if e not in left]
                self._diff(topic, leaves=left)

    def state(self, topic: str) -> State:
        """The payload of a presence_state."""
        with self._lock:
            return _grouped(self._entries.get(topic, []))

    def _diff(
        self, topic: str, joins: list[_Entry] | None = None, leaves: list[_Entry] | None = None
    ) -> None:
        diff = {"joins": _grouped(joins or []), "leaves": _grouped(leaves or [])}
        self._hub.broadcast(topic, "presence_diff", diff)


def _new_ref() -> str:
    return secrets.token_urlsafe(12)


def _grouped(entries: list[_Entry]) -> State:
    state: State = {}
    for entry in entries:
        state.setdefault(entry.key, {"metas": []})["metas"].append(entry.meta)
    return state
