"""How topics change their shard when the number of shards does, and none is joined twice.

A layout is a number of shards, under a version: `layout/<version>`, each written once, by whoever
puts it there first. A resize writes the next one, and has two phases:

1. A shard that reads it leaves what it does not own there, waits for the server's answers, and
   marks that version released: `released/<version>/<shard>`.
2. The new owner of a topic joins it when every shard that owned it in an older layout has
   released a version in which it does not.

A mark is true for ever, for every process that will be that shard, because of three rules, which
the runtime keeps: a shard reads the layouts after it has begun to hold its lease; it acts on the
latest that it has read, and on none older; and it marks a version only if it was still holding
after it had read it.

Nothing here reads a store, a server or a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set

import msgspec

from slipstream_actor.contrib.ray.placement import owner, owners

__all__ = [
    "LAYOUTS",
    "RELEASES",
    "Decision",
    "Releases",
    "decide",
    "decode_layout",
    "encode_layout",
    "is_settled",
    "layout_key",
    "next_version",
    "obsolete_keys",
    "release_key",
    "releases",
    "version_of",
]

LAYOUTS = "layout/"
RELEASES = "released/"

# By shard, the versions that it has released.
Releases = Mapping[int, Set[int]]


class Decision(msgspec.Struct, frozen=True):
    """What a shard has to do now to come closer to the latest layout."""

    version: int | None
    """The latest version; `None` when no layout is known, and then nothing is to be done."""
    join: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    waits_for: Mapping[int, frozenset[str]] = {}
    """By shard that has to release this version first: the topics that wait for it."""
    release: bool = False
    """Whether this shard may now mark the latest version released, and has not yet."""
    ends: bool = False
    """Whether this shard is not in the latest layout, and has released it."""


def decide(
    shard: int,
    wanted: Collection[str],
    layouts: Mapping[int, int],
    released: Releases,
    *,
    joined: Collection[str] = (),
    leaving: Collection[str] = (),
) -> Decision:
    """Return what shard number `shard` has to do now.

    `layouts` is how many shards there are, by version, and has every version that is in the
    store. `joined` is what the shard is joined to or has asked to be joined to, `leaving` what
    it has left without the server's answer yet; a topic whose connection is lost is in neither,
    once nothing will join it again by itself.
    """
    if not layouts:
        return Decision(None)
    version = max(layouts)
    shards = layouts[version]
    numbers = owners({*wanted, *joined, *leaving}, shards)
    present = {*joined, *leaving}
    mine = {topic for topic in wanted if numbers[topic] == shard}
    waits = _waits(shard, mine.difference(present), layouts, released)
    waiting = frozenset[str]().union(*waits.values())
    foreign = any(numbers[topic] != shard for topic in present)
    marked = version in released.get(shard, ())
    return Decision(
        version,
        join=frozenset(mine.difference(present, waiting)),
        leave=frozenset(topic for topic in joined if topic not in mine),
        waits_for=waits,
        release=len(layouts) > 1 and not foreign and not marked,
        ends=shard >= shards and not foreign and (marked or len(layouts) == 1),
    )


def _waits(
    shard: int, topics: Iterable[str], layouts: Mapping[int, int], released: Releases
) -> dict[int, frozenset[str]]:
    """Return the topics that are not free yet, by the shards that have to release them."""
    waits: dict[int, set[str]] = {}
    for topic in topics:
        for former, last in _former_owners(topic, layouts).items():
            # Not a later mark than the latest layout that is known here: the topic may be that
            # shard's again in it.
            marks = (last < version <= max(layouts) for version in released.get(former, ()))
            if former != shard and not any(marks):
                waits.setdefault(former, set()).add(topic)
    return {former: frozenset(topics) for former, topics in waits.items()}


def _former_owners(topic: str, layouts: Mapping[int, int]) -> dict[int, int]:
    """Return who owned a topic before the latest layout, and in which version for the last time."""
    return {owner(topic, layouts[version]): version for version in sorted(layouts)[:-1]}


def is_settled(layouts: Mapping[int, int], released: Releases) -> bool:
    """Whether the latest layout is the only one that counts: the resize is over.

    Every shard of an older one has released it, or one after the last that it was in, and so has
    left all that is not its own.
    """
    if not layouts:
        return False
    version = max(layouts)
    return all(
        any(last < mark <= version for mark in released.get(shard, ()))
        for shard, last in _former_shards(layouts).items()
    )


def _former_shards(layouts: Mapping[int, int]) -> dict[int, int]:
    """Return the shards of the layouts before the latest, and the last of those they were in."""
    return {shard: v for v in sorted(layouts)[:-1] for shard in range(layouts[v])}


def next_version(layouts: Mapping[int, int], shards: int) -> int | None:
    """Return the version under which a number of shards is to be written.

    `None` when the latest layout has that number. Whoever finds the version taken reads the
    layouts again, and asks again. Raises ValueError when there would be no shard.
    """
    if shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    if not layouts:
        return 1
    version = max(layouts)
    return None if layouts[version] == shards else version + 1


def obsolete_keys(layouts: Mapping[int, int], released: Releases) -> list[str]:
    """Return the keys that nobody needs any more, in the order in which they are to be deleted.

    Once the latest layout is settled, the older ones; and once those have been read to be gone,
    the marks, without which nobody could tell that it is settled.
    """
    if not is_settled(layouts, released):
        return []
    *older, version = sorted(layouts)
    if older:
        return [layout_key(v) for v in older]
    marks = sorted((v, shard) for shard, versions in released.items() for v in versions)
    return [release_key(v, shard) for v, shard in marks if v <= version]


# how it stands in the store


def layout_key(version: int) -> str:
    """Return the key of a layout."""
    return f"{LAYOUTS}{version}"


def version_of(key: str) -> int:
    """Return the version that a layout's key is of."""
    return int(key.removeprefix(LAYOUTS))


def encode_layout(shards: int) -> bytes:
    """Return what is stored of a layout."""
    return str(shards).encode()


def decode_layout(value: bytes) -> int:
    """Return the number of shards of a stored layout."""
    return int(value)


def release_key(version: int, shard: int) -> str:
    """Return the key of a mark; its value says nothing."""
    return f"{RELEASES}{version}/{shard}"


def releases(keys: Iterable[str]) -> dict[int, set[int]]:
    """Return the marks that keys are, by shard."""
    found: dict[int, set[int]] = {}
    for version, shard in _marks(keys):
        found.setdefault(shard, set()).add(version)
    return found


def _marks(keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    for key in keys:
        version, shard = key.removeprefix(RELEASES).split("/")
        yield int(version), int(shard)
