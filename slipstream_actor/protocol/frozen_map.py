"""A read-only mapping of which a changed one is made without copying it: rpds' hash trie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from rpds import HashTrieMap

__all__ = ["FrozenMap"]

K = TypeVar("K")
V = TypeVar("V")
# Is no key, and has no value.
NOTHING: tuple[Any, Any] = (object(), None)


class FrozenMap(Mapping[K, V]):
    """It iterates in the order in which keys came; a change costs the same whatever its size."""

    __slots__ = ("_entries", "_last", "_next")

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        entries = {} if items is None else {k: (n, v) for n, (k, v) in enumerate(items.items())}
        self._entries: HashTrieMap[K, tuple[int, V]] = HashTrieMap(entries)
        self._next = len(entries)
        # The last one that was asked for: mostly it is the next one, too.
        self._last: tuple[Any, Any] = NOTHING

    def __getitem__(self, key: K) -> V:
        return self._entries[key][1]

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of `key`, or the default."""
        if (last := self._last)[0] == key:
            return last[1]
        entry = self._entries.get(key)
        if entry is None:
            return default
        self._last = key, entry[1]
        return entry[1]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        # No two have the same number.
        numbered = sorted([(entry[0], key) for key, entry in self._entries.items()])
        return iter([key for _, key in numbered])

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return repr(dict(self))

    def with_item(self, key: K, value: V) -> FrozenMap[K, V]:
        """Return the mapping with `key` set to `value`; a key that is there keeps its place."""
        known = self._entries.get(key)
        number = self._next if known is None else known[0]
        entries = self._entries.insert(key, (number, value))
        return self._made(entries, self._next + (known is None))

    def without(self, key: K) -> FrozenMap[K, V]:
        """Return the mapping without `key`."""
        return self._made(self._entries.discard(key), self._next)

    @classmethod
    def _made(cls, entries: HashTrieMap[K, tuple[int, V]], number: int) -> FrozenMap[K, V]:
        made: FrozenMap[K, V] = cls.__new__(cls)
        made._entries = entries
        made._next = number
        made._last = NOTHING
        return made
