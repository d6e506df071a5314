"""Who is in a topic: `Presence`, as phoenix.js has it, and what is kept of a topic that is tracked.

A *presence* is what one key (a user) has in a topic: a mapping with `"metas"`, one for each of its
connections, told apart by their `"phx_ref"`. A *state* maps keys to presences; a *diff* has two of
them, `"joins"` and `"leaves"`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, overload

import msgspec
from msgspec.structs import replace

from slipstream_actor.errors import shown
from slipstream_actor.protocol.frozen_map import FrozenMap
from slipstream_actor.protocol.message import no_fields

__all__ = ["Call", "Presence", "Tracked", "forgotten", "track", "unsynced"]

T = TypeVar("T")
State: TypeAlias = Mapping[str, Any]
# Called with the key, and two presences; what it returns is ignored.
Change: TypeAlias = Callable[[str, Any, Any], object]
# The name of a callback, and what it is called with before the socket.
Call: TypeAlias = tuple[str, tuple[Any, ...]]

EMPTY: State = MappingProxyType({})
NONE_OLDER: Mapping[int, Any] = MappingProxyType({})
# So many diffs are held at most, with so many bytes.
MOST_HELD = 1_000
MOST_HELD_BYTES = 1_048_576


class Presence:
    """phoenix.js's `Presence`: pure functions of what a server sends of who is in a topic.

    They change nothing that they are given, and return new mappings.
    """

    @staticmethod
    def sync_state(
        state: State,
        new_state: State,
        on_join: Change | None = None,
        on_leave: Change | None = None,
    ) -> dict[str, Any]:
        """Return the state that the server has sent (`presence_state`), and report what is new.

        `on_join` and `on_leave` are called as `sync_diff` does, for what distinguishes it from
        `state`: across a reconnect, for what has happened meanwhile.
        """
        joins = difference(new_state, state)
        leaves = difference(state, new_state)
        Presence.sync_diff(state, {"joins": joins, "leaves": leaves}, on_join, on_leave)
        return dict(new_state)

    @staticmethod
    def sync_diff(
        state: State,
        diff: Mapping[str, State],
        on_join: Change | None = None,
        on_leave: Change | None = None,
    ) -> dict[str, Any]:
        """Return `state` as the server's `diff` (`presence_diff`) leaves it.

        `on_join(key, current, new)`: `current` is the presence before, `None` for a key that was
        not there; `new` has only the metas that have come. `on_leave(key, current, left)`:
        `current` is the presence afterwards, without metas when that was the last one; `left` has
        the metas that have gone.
        """
        synced = dict(state)
        for key, presence in changed_by(state, diff, on_join, on_leave).items():
            if presence is None:
                synced.pop(key, None)
            else:
                synced[key] = presence
        return synced

    @overload
    @staticmethod
    def list(state: State) -> builtins.list[Any]: ...
    @overload
    @staticmethod
    def list(state: State, by: Callable[[str, Any], T]) -> builtins.list[T]: ...
    @overload
    @staticmethod
    def list(state: State, by: None) -> builtins.list[Any]: ...
    @staticmethod
    def list(state: State, by: Callable[[str, Any], Any] | None = None) -> builtins.list[Any]:
        """Return the presences of a state, or `by(key, presence)` of each."""
        if by is None:
            return [*state.values()]
        return [by(key, presence) for key, presence in state.items()]


def changed_by(
    state: State,
    diff: Mapping[str, State],
    on_join: Change | None = None,
    on_leave: Change | None = None,
) -> dict[str, Any]:
    """Return the presences that a diff changes, `None` for one that has gone; report each."""
    changed: dict[str, Any] = {}
    for key, new in diff.get("joins", EMPTY).items():
        current = state.get(key)
        kept = metas_not_in(current, new) if current is not None else []
        changed[key] = {**new, "metas": [*kept, *new["metas"]]}
        if on_join is not None:
            on_join(key, current, new)
    for key, left in diff.get("leaves", EMPTY).items():
        current = changed[key] if key in changed else state.get(key)
        if current is None:
            continue
        current = {**current, "metas": metas_not_in(current, left)}
        changed[key] = current if current["metas"] else None
        if on_leave is not None:
            on_leave(key, current, left)
    return changed


def difference(these: State, those: State) -> dict[str, Any]:
    """Return the presences of `these` with the metas that `those` have not."""
    found = {}
    for key, presence in these.items():
        if key not in those:
            found[key] = presence
        elif metas := metas_not_in(presence, those[key]):
            found[key] = {**presence, "metas": metas}
    return found


def metas_not_in(presence: Mapping[str, Any], other: Mapping[str, Any]) -> list[Any]:
    """Return the metas of a presence that another has not."""
    there = refs(other)
    return [meta for meta in presence["metas"] if ref_of(meta) not in there]


class Tracked(msgspec.Struct, frozen=True):
    """What a socket keeps of a topic whose presence it tracks.

    `synced` is whether the state of the current join has come; until then diffs are `held`, as the
    JSON that they came as. `older`: by their ids messages that are of the join before, though they
    are delivered behind the current one's beginning.
    """

    state_event: str
    diff_event: str
    presences: State = EMPTY
    synced: bool = False
    held: tuple[bytes, ...] = ()
    older: Mapping[int, Any] = NONE_OLDER

    def __repr__(self) -> str:
        # Metas are about people.
        return f"<Tracked {len(self.presences)} presences synced={self.synced}>"

    __rich_repr__ = no_fields


def track(
    tracked: dict[str, Tracked], topic: str, state_event: str, diff_event: str
) -> dict[str, Tracked]:
    """Return what is tracked, with `topic`; the same when it is tracked by these events already."""
    known = tracked.get(topic)
    if known is not None and (known.state_event, known.diff_event) == (state_event, diff_event):
        return tracked
    return {**tracked, topic: Tracked(state_event, diff_event)}


def forgotten(tracked: dict[str, Tracked], topic: str) -> dict[str, Tracked]:
    """Return what is tracked, with nobody in `topic`."""
    if topic not in tracked:
        return tracked
    known = tracked[topic]
    return {**tracked, topic: Tracked(known.state_event, known.diff_event)}


def unsynced(
    tracked: dict[str, Tracked], topic: str, older: Mapping[int, Any] = NONE_OLDER
) -> dict[str, Tracked]:
    """Return what is tracked after a join of `topic`, whose state is yet to come."""
    if topic not in tracked:
        return tracked
    anew = replace(tracked[topic], synced=False, held=(), older=older)
    return {**tracked, topic: anew}


def recorder(calls: list[Call], topic: str) -> tuple[Change, Change]:
    """Return the `on_join` and `on_leave` that note the callbacks to call."""

    def on_join(key: str, current: Any, new: Any) -> None:
        calls.append(("handle_presence_join", (topic, key, current, new)))

    def on_leave(key: str, current: Any, left: Any) -> None:
        calls.append(("handle_presence_leave", (topic, key, current, left)))

    return on_join, on_leave


def with_state(tracked: Tracked, state: State, changes: tuple[Change, Change]) -> Tracked:
    presences = FrozenMap(Presence.sync_state(tracked.presences, state, *changes))
    synced = replace(tracked, presences=presences, synced=True, held=(), older=NONE_OLDER)
    for diff in tracked.held:
        synced = with_diff(synced, as_value(diff), changes)
    return synced


def with_held(tracked: Tracked, diff: Any) -> Tracked:
    """Keep a diff until the state comes, in bounds; the state is newer than the oldest ones.

    Raises whatever, for one of values that only its parser knows.
    """
    data = as_bytes(diff)
    as_value(data)  # Now, and not when the state comes, which it would take with it.
    held = (*tracked.held, data)[-MOST_HELD:]
    size = sum(map(len, held))
    while size > MOST_HELD_BYTES:
        size -= len(held[0])
        held = held[1:]
    return replace(tracked, held=held)


def as_bytes(value: Any) -> bytes:
    """Return what takes less room; no JSON, which cannot have all that a parser makes of JSON."""
    import pickle

    return pickle.dumps(value)


def as_value(data: bytes) -> Any:
    """Return what `as_bytes` was given."""
    import pickle

    return pickle.loads(data)


def with_diff(tracked: Tracked, diff: Any, changes: tuple[Change, Change]) -> Tracked:
    diff = only_news(tracked.presences, diff)
    presences = tracked.presences
    frozen = presences if isinstance(presences, FrozenMap) else FrozenMap(presences)
    for key, presence in changed_by(frozen, diff, *changes).items():
        frozen = frozen.without(key) if presence is None else frozen.with_item(key, presence)
    return replace(tracked, presences=frozen)


def only_news(state: State, diff: Any) -> dict[str, dict[str, Any]]:
    """Return what a diff says that `state` does not say already, lest it be reported twice.

    A state may well be newer than a diff that comes after it, of our own join to begin with
    (docs/protocol.md#note-50).
    """
    joins = {
        key: {**new, "metas": metas}
        for key, new in diff["joins"].items()
        if (metas := unknown(new, state.get(key, NOBODY)))
    }
    leaves = {}
    for key, left in diff["leaves"].items():
        there = refs(state.get(key, NOBODY)) | refs(joins.get(key, NOBODY))
        if metas := [meta for meta in left["metas"] if ref_of(meta) in there]:
            leaves[key] = {**left, "metas": metas}
    return {"joins": joins, "leaves": leaves}


def unknown(new: Mapping[str, Any], known: Mapping[str, Any]) -> list[Any]:
    """Return the metas that are not known: those without a `phx_ref` may always be news."""
    there = refs(known) - {None}
    return [meta for meta in new["metas"] if ref_of(meta) not in there]


NOBODY: Mapping[str, Any] = {"metas": []}


def refs(presence: Mapping[str, Any]) -> set[Any]:
    return {ref_of(meta) for meta in presence["metas"]}


def ref_of(meta: Any) -> Any:
    """Return a meta's `phx_ref` as a key; of a number its text, since whoever chooses numbers can
    choose them so that all have the same hash."""
    ref = meta.get("phx_ref")
    return ("number", repr(ref)) if isinstance(ref, (int, float)) else ref


# What is wrong with what the server sent, `None` for nothing.


def problem_of_diff(diff: Any) -> str | None:
    if not isinstance(diff, dict):
        return f"a diff is a map, not {type(diff).__name__}"
    missing = [part for part in ("joins", "leaves") if part not in diff]
    if missing:
        return f"a diff has {missing[0]}"
    return problem_of_state(diff["joins"]) or problem_of_state(diff["leaves"])


def problem_of_state(state: Any) -> str | None:
    if not isinstance(state, dict):
        return f"presences are a map, not {type(state).__name__}"
    for key, presence in state.items():
        metas = presence.get("metas") if isinstance(presence, dict) else None
        if not isinstance(metas, list):
            return f"the presence of {shown(key)} has no list of metas"
        if not all(isinstance(meta, dict) and is_key(meta.get("phx_ref")) for meta in metas):
            return f"a meta of {shown(key)} has no phx_ref that tells it from others"
    return None


def is_key(ref: Any) -> bool:
    """Whether a `phx_ref` can be told from others; one of a serializer's own kind may not."""
    if isinstance(ref, str):
        return True
    try:
        hash(ref)
    except Exception:
        return False
    return True
