"""What a shard joins, leaves and marks while the number of shards changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.contrib.ray.layout import (
    Decision,
    decide,
    decode_layout,
    encode_layout,
    is_settled,
    layout_key,
    next_version,
    obsolete_keys,
    release_key,
    releases,
    version_of,
)
from slipstream_actor.contrib.ray.placement import owner

TOPICS = frozenset(f"room:{number}" for number in range(60))


def owned(shard: int, *shards: int) -> frozenset[str]:
    """The topics that a shard owns of each of several numbers of shards."""
    return frozenset(t for t in TOPICS if all(owner(t, number) == shard for number in shards))


def topic_of(*path: int, shards: tuple[int, ...]) -> str:
    """Find a topic that moves so through layouts."""
    numbers = range(10_000)
    return next(
        topic
        for topic in (f"room:{number}" for number in numbers)
        if tuple(owner(topic, count) for count in shards) == path
    )


# one layout


def test_what_it_owns_is_joined_and_all_else_left() -> None:
    decision = decide(1, TOPICS, {1: 4}, {}, joined={"unwanted", *owned(0, 4)})
    assert decision.join == owned(1, 4)
    assert decision.leave == {"unwanted", *owned(0, 4)}
    assert not decision.waits_for
    assert not decision.release
    assert not decision.ends


def test_what_is_joined_or_leaving_is_not_joined_again() -> None:
    one, other, *_ = sorted(owned(1, 4))
    decision = decide(1, TOPICS, {1: 4}, {}, joined=[one], leaving=[other])
    assert decision.join == owned(1, 4) - {one, other}
    assert decision.leave == frozenset()


def test_without_a_layout_nothing_is_known_and_nothing_done() -> None:
    assert decide(1, TOPICS, {}, {}, joined=TOPICS) == Decision(None)


def test_shards_share_the_topics() -> None:
    joins = [decide(shard, TOPICS, {3: 5}, {}).join for shard in range(5)]
    assert sorted(topic for join in joins for topic in join) == sorted(TOPICS)


# a resize


def test_an_old_owner_leaves_and_marks_the_layout_when_the_server_has_answered() -> None:
    layouts = {1: 2, 2: 4}
    mine = owned(0, 2)
    first = decide(0, TOPICS, layouts, {}, joined=mine)
    assert first.leave == mine - owned(0, 4)
    assert not first.release
    then = decide(0, TOPICS, layouts, {}, joined=owned(0, 2, 4), leaving=first.leave)
    assert not then.leave
    assert not then.release
    at_last = decide(0, TOPICS, layouts, {}, joined=owned(0, 2, 4))
    assert at_last.release
    assert not decide(0, TOPICS, layouts, {0: {2}}, joined=owned(0, 2, 4)).release


def test_a_new_owner_joins_what_is_released() -> None:
    layouts = {1: 2, 2: 4}
    moved = {former: owned(former, 2) & owned(3, 4) for former in (0, 1)}
    assert all(moved.values())
    first = decide(3, TOPICS, layouts, {})
    assert first.join == frozenset()
    assert first.waits_for == moved
    then = decide(3, TOPICS, layouts, {0: {2}})
    assert then.join == moved[0]
    assert then.waits_for == {1: moved[1]}
    assert decide(3, TOPICS, layouts, {0: {2}, 1: {2}}).join == owned(3, 4)


def test_what_stays_is_joined_throughout() -> None:
    decision = decide(0, TOPICS, {1: 2, 2: 4}, {})
    assert decision.join == owned(0, 2, 4) == owned(0, 4)


def test_a_shard_that_is_no_more_ends_when_it_has_released() -> None:
    layouts = {1: 4, 2: 2}
    first = decide(3, TOPICS, layouts, {}, joined=owned(3, 4))
    assert first.leave == owned(3, 4)
    assert not first.ends
    assert not decide(3, TOPICS, layouts, {}, leaving=owned(3, 4)).ends
    assert not decide(3, TOPICS, layouts, {3: {2}}, leaving=owned(3, 4)).ends
    then = decide(3, TOPICS, layouts, {})
    assert then.release
    assert not then.ends
    assert decide(3, TOPICS, layouts, {3: {2}}).ends
    assert decide(3, TOPICS, {2: 2}, {}).ends
    assert not decide(1, TOPICS, layouts, {1: {2}}).ends


# resizes that overlap

SHARDS = (4, 8, 3)
LAYOUTS = {1: 4, 2: 8, 3: 3}


def test_all_who_have_owned_it_since_are_waited_for() -> None:
    topic = topic_of(3, 5, 1, shards=SHARDS)

    def waits(**released: set[int]) -> set[int]:
        marks = {int(name.removeprefix("by")): versions for name, versions in released.items()}
        decision = decide(1, {topic}, LAYOUTS, marks)
        assert bool(decision.join) != bool(decision.waits_for)
        return set(decision.waits_for)

    assert waits() == {3, 5}
    # Shard 3 was its owner in the first layout only, shard 5 in the second.
    assert waits(by3={2}) == {5}
    assert waits(by3={3}) == {5}
    assert waits(by5={2}) == {3, 5}
    assert waits(by5={3}) == {3}
    assert waits(by3={2}, by5={3}) == set()


def test_a_mark_of_a_layout_that_is_not_known_yet_says_nothing() -> None:
    """It may be the other's again in that one, which need not have left it for this one."""
    topic = topic_of(0, 5, 0, shards=(4, 8, 4))
    assert decide(5, {topic}, {1: 4, 2: 8}, {0: {3}}).waits_for == {0: {topic}}
    assert decide(5, {topic}, {1: 4, 2: 8}, {0: {2, 3}}).join == {topic}


def test_whoever_owns_it_again_waits_for_who_had_it_meanwhile() -> None:
    topic = topic_of(0, 5, 0, shards=(4, 8, 4))
    layouts = {1: 4, 2: 8, 3: 4}
    assert decide(0, {topic}, layouts, {0: {2}}).waits_for == {5: {topic}}
    assert decide(0, {topic}, layouts, {0: {2}, 5: {2}}).waits_for == {5: {topic}}
    assert decide(0, {topic}, layouts, {0: {2}, 5: {3}}).join == {topic}
    # Had it not released the second layout, nobody else would have joined.
    kept = decide(0, {topic}, layouts, {}, joined={topic})
    assert not kept.join
    assert not kept.leave
    assert kept.release


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60),
)
def test_however_far_each_has_come_no_topic_is_joined_twice(
    sizes: list[int], turns: list[tuple[int, int]]
) -> None:
    """Each shard acts in its turn, having read so many of the layouts."""
    layouts = dict(enumerate(sizes, 1))
    joined: dict[int, set[str]] = {shard: set() for shard in range(6)}
    seen = dict.fromkeys(joined, 1)
    released: dict[int, set[int]] = {}

    def act(shard: int, steps: int) -> None:
        seen[shard] = min(len(sizes), max(seen[shard], 1 + steps % 4))
        known = {version: layouts[version] for version in range(1, seen[shard] + 1)}
        decision = decide(shard, TOPICS, known, released, joined=joined[shard])
        joined[shard] -= decision.leave
        joined[shard] |= decision.join
        assert sum(map(len, joined.values())) == len(set().union(*joined.values()))
        if decision.release and not decision.leave:
            released.setdefault(shard, set()).add(seen[shard])

    for shard, steps in turns:
        act(shard, steps)
    for _ in range(4):
        for shard in joined:
            act(shard, 3)
    assert is_settled(layouts, released)
    assert joined == {shard: owned(shard, sizes[-1]) for shard in joined}


# its end, and the next one


def test_a_resize_is_over_when_all_former_shards_have_released_it() -> None:
    layouts = {1: 2, 2: 4}
    assert not is_settled({}, {})
    assert is_settled({1: 2}, {})
    assert not is_settled(layouts, {0: {2}})
    assert not is_settled(layouts, {0: {2}, 1: {1}})
    assert not is_settled(layouts, {0: {2}, 1: {3}})
    assert is_settled(layouts, {0: {2}, 1: {2}})


def test_a_shard_that_has_ended_need_not_release_what_comes_after() -> None:
    layouts = {1: 3, 2: 2, 3: 1}
    assert is_settled(layouts, {0: {3}, 1: {3}, 2: {2}})
    assert not is_settled(layouts, {0: {3}, 1: {2}, 2: {2}})


def test_layouts_are_obsolete_once_it_is_settled_and_marks_once_those_are_gone() -> None:
    marks = {0: {1, 2}, 1: {2, 3}}
    assert obsolete_keys({1: 2, 2: 4}, {0: {2}}) == []
    assert obsolete_keys({1: 2, 2: 4}, marks) == ["layout/1"]
    assert obsolete_keys({2: 4}, marks) == ["released/1/0", "released/2/0", "released/2/1"]
    assert obsolete_keys({}, marks) == []


def test_the_next_version() -> None:
    assert next_version({}, 4) == 1
    assert next_version({1: 4}, 8) == 2
    assert next_version({1: 4, 2: 8}, 4) == 3
    assert next_version({1: 4, 2: 8}, 8) is None
    with pytest.raises(ValueError, match="at least 1"):
        next_version({1: 4}, 0)


def test_how_it_stands_in_the_store() -> None:
    assert version_of(layout_key(12)) == 12
    assert decode_layout(encode_layout(8)) == 8
    keys = [release_key(2, 10), release_key(12, 3), release_key(2, 3)]
    assert keys == ["released/2/10", "released/12/3", "released/2/3"]
    assert releases(keys) == {10: {2}, 3: {2, 12}}
