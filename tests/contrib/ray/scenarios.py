"""What is promised of shards, on a cluster of one node: each function is one promise.

They share a cluster, a server and, mostly, the shards; `program.py` runs them, in this order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipstream_actor import (
    ANY,
    AwaitTimeoutError,
    CancelledError,
    ClientEndedError,
    ForkedError,
    MessageReceived,
    NotJoinedError,
    Reply,
    SerializerError,
    SlipstreamError,
)
from slipstream_actor.contrib.ray import (
    Dropped,
    ShardLostError,
    ShardRestarted,
    Shards,
    ShardsDifferError,
)
from tests.contrib.ray.rooms import Rooms, join_params, taken
from tests.contrib.ray.world import (
    LEASE,
    PATIENCE,
    TOPICS,
    World,
    in_force,
    is_gone,
    line_of,
)
from tests.support.clients import eventually

# being there


def the_same_attaches_and_another_is_told_what_differs(world: World) -> None:
    again = Shards(Rooms, world.uri, name="rooms", shards=2, lease=LEASE)
    assert again.topics() == sorted(TOPICS)
    again.close()
    with pytest.raises(ShardsDifferError) as told:
        Shards(Rooms, "ws://secret/", name="rooms", shards=3, lease=None)
    assert len(told.value.differences) == 3
    assert "secret" not in str(told.value)

    class Others(Rooms):
        pass

    with pytest.raises(ShardsDifferError, match="class"):
        Shards(Others, world.uri, name="rooms", shards=2, lease=LEASE)
    with pytest.raises(ClientEndedError, match="no shards 'unknown'"):
        Shards.attach("unknown")


def each_topic_is_joined_once_with_what_a_function_says(world: World) -> None:
    joins = [entry for entry in world.log.entries if entry.kind == "join"]
    assert sorted(entry.topic for entry in joins) == sorted(TOPICS)
    shards = world.shards.status(timeout=PATIENCE)["shards"]
    for entry in joins:
        shard = shards[world.shards.shard_of(entry.topic)]
        assert entry.params["pid"] == shard["pid"]
        assert entry.params["incarnation"] == entry.incarnation == shard["incarnation"]
        assert entry.params["generation"] == 1
    assert sum(shard["joined"] for shard in shards) == len(TOPICS)


def topics_are_joined_and_left(world: World) -> None:
    world.shards.join("rooms:late", {"a": 1})
    world.shards.wait_until_joined("rooms:late", PATIENCE)
    assert "rooms:late" in world.shards.topics()
    assert world.log.entries[-1].params == {"a": 1}
    world.shards.leave("rooms:late")
    world.log.wait(lambda log: not log.joined["rooms:late"], PATIENCE)
    assert "rooms:late" not in world.shards.topics()
    with pytest.raises(AwaitTimeoutError):
        world.shards.wait_until_joined("rooms:late", 0.2)
    with pytest.raises(SerializerError):
        world.shards.join("rooms:late", {"a": object()})
    for params in (lambda: {"a": 1}, {"token": join_params}, "tests.contrib.ray.rooms:missing"):
        with pytest.raises(TypeError):
            world.shards.join("rooms:late", params)


# what is asked


def requests_are_answered(world: World) -> None:
    rooms, topic = world.shards, TOPICS[0]

    def reply(event: str, payload: Any, topic: str = topic) -> Reply:
        return rooms.request(topic, event, payload, timeout=PATIENCE).get()

    # The last are in Ray's object store on their way.
    for payload in ({"a": 1}, b"\x00\x01", {"a": "x" * 200_000}, {"a": "y" * 2_000_000}):
        assert reply("echo", payload) == Reply("ok", payload)
    assert reply("refuse", {}) == Reply("error", {"reason": "as asked"})
    with pytest.raises(NotJoinedError):
        reply("echo", {}, "rooms:nobody")
    with pytest.raises(SerializerError):
        _ = rooms.request(topic, "echo", {"a": object()})
    with pytest.raises(TypeError):
        _ = rooms.request(topic, 5)  # type: ignore[arg-type]

    async def both() -> list[Reply]:
        first, second = (rooms.request(t, "echo", {"t": t}, timeout=PATIENCE) for t in TOPICS[:2])
        return [await first, await second]

    async def given_up() -> bool:
        never = rooms.request(topic, "never", timeout=None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never, 0.05)
        return never.cancel()

    assert asyncio.run(both()) == [Reply("ok", {"t": t}) for t in TOPICS[:2]]
    asyncio.run(given_up())
    eventually(lambda: not world.shard_of(topic)["orders"], "the end of what nobody waits for")


def a_time_runs_at_the_caller_and_what_is_cancelled_is_not_sent(world: World) -> None:
    rooms, topic = world.shards, TOPICS[0]
    began = time.monotonic()
    with pytest.raises(AwaitTimeoutError) as told:
        rooms.request(topic, "never", timeout=0.2).get()
    assert told.value.maybe_sent
    assert time.monotonic() - began < PATIENCE / 2
    # Nobody joins it before it is cancelled.
    future = rooms.request("rooms:wanted", "count", {"key": "cancelled"}, timeout=PATIENCE)
    with pytest.raises(NotJoinedError):
        future.get()
    os.kill(pid := world.shard_of(topic)["pid"], signal.SIGSTOP)
    try:
        late = rooms.request(topic, "count", {"key": "late"}, timeout=0.2)
        under_way = rooms.request(topic, "count", {"key": "under way"}, timeout=PATIENCE)
        taken_back = rooms.request(topic, "count", {"key": "taken back"}, timeout=PATIENCE)
        behind = rooms.request(topic, "count", {"key": "behind"}, timeout=PATIENCE)
        assert taken_back.cancel()
        with pytest.raises(CancelledError):
            taken_back.get(timeout=PATIENCE)
        with pytest.raises(AwaitTimeoutError):
            late.get()
    finally:
        os.kill(pid, signal.SIGCONT)
    # Not for as long as a lease.
    assert under_way.get().ok
    assert behind.get().ok
    assert not world.log.pushed[topic, "taken back"]


def a_thousand_at_once_keep_their_order(world: World) -> None:
    rooms = world.shards
    told: list[int] = []
    futures = [
        rooms.request(TOPICS[number % 4], "echo", {"n": number}, timeout=PATIENCE)
        for number in range(1000)
    ]
    for future in futures:
        future.add_done_callback(lambda done: told.append(done.get().response["n"]))
    assert [future.get().response["n"] for future in futures] == list(range(1000))
    eventually(lambda: len(told) == 1000, "callbacks")
    for topic in range(4):
        of_topic = [number for number in told if number % 4 == topic]
        assert of_topic == sorted(of_topic)


def calls_casts_and_methods_reach_the_client_of_a_topic(world: World) -> None:
    rooms = world.shards
    for topic in TOPICS[:6]:
        assert rooms.call(topic, "who", PATIENCE) == ("who", world.shard_of(topic)["pid"])
    text: str = rooms.invoke(TOPICS[0], Rooms.say, "hello", loud=True).get(timeout=PATIENCE)
    assert text == "HELLO"
    rooms.cast(TOPICS[0], {"any": "thing"})
    eventually(
        lambda: {"any": "thing"} in rooms.invoke(TOPICS[0], Rooms.all_heard).get(timeout=PATIENCE),
        "a cast",
    )
    # As everywhere, it ends the client, whose handle starts the next one, which joins all.
    shard = rooms.shard_of(TOPICS[0])
    mine = {topic for topic in TOPICS if rooms.shard_of(topic) == shard}
    world.log.clear()
    with pytest.raises(ValueError, match="as asked"):
        rooms.call(TOPICS[0], "crash", PATIENCE)
    world.log.wait(lambda log: log.joins() >= mine, PATIENCE)
    for topic in mine:
        rooms.wait_until_joined(topic, PATIENCE)
    assert rooms.request(TOPICS[0], "echo", timeout=PATIENCE).get().ok
    assert world.shard_of(TOPICS[0])["state"] == "running"


# what is heard


def a_subscription_hears_all_shards(world: World) -> None:
    with world.shards.subscribe(ANY, "new") as messages:
        in_force(world.shards)
        for number, topic in enumerate(TOPICS):
            world.server.broadcast(topic, "other", {})
            world.server.broadcast(topic, "new", {"n": number})
        found = [taken(messages, PATIENCE) for _ in TOPICS]
        assert sorted(m.topic for m in found if isinstance(m, MessageReceived)) == sorted(TOPICS)
    assert list(messages) == []
    in_force(world.shards, 0)


def what_a_pattern_raises_ends_its_subscription(world: World) -> None:
    with world.shards.subscribe(TOPICS[0], payload=lambda p: p["age"] > 18) as messages:
        in_force(world.shards)
        world.server.broadcast(TOPICS[0], "new", {"age": 20})
        world.server.broadcast(TOPICS[0], "new", {"not": "aged"})
        first = taken(messages, PATIENCE)
        assert isinstance(first, MessageReceived)
        assert first.payload == {"age": 20}
        with pytest.raises(SlipstreamError, match=r"pattern has failed at shard .: KeyError"):
            taken(messages, PATIENCE)
    in_force(world.shards, 0)
    assert world.shards.request(TOPICS[0], "echo", timeout=PATIENCE).get().ok


def what_is_dropped_is_told(world: World) -> None:
    with world.shards.subscribe(TOPICS[0], size=10, overflow="drop_oldest") as messages:
        in_force(world.shards)
        # More than all that may wait on the way, whose reader does not begin before.
        count = 20_000
        for number in range(count):
            world.server.broadcast(TOPICS[0], "new", {"n": number})
        world.server.broadcast(TOPICS[0], "end", {})
        heard, dropped, expected = 0, 0, 0
        while True:
            item = taken(messages, PATIENCE)
            if isinstance(item, Dropped):
                dropped += item.count
                expected += item.count
            elif isinstance(item, MessageReceived) and item.event == "new":
                assert item.payload["n"] == expected
                heard, expected = heard + 1, expected + 1
            else:
                break
        assert dropped > 0
        assert heard + dropped == count
        assert messages.dropped == dropped
    in_force(world.shards, 0)


def a_subscriber_that_dies_leaves_nothing(world: World) -> None:
    child = world.child(
        "messages = rooms.subscribe(size=50)\nprint('reads', flush=True)\nsys.stdin.read()\n"
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert line_of(child) == "reads\n"
    in_force(world.shards)
    # It takes none: the bound is twice 50 here and there, and what Ray has under way.
    for number in range(5_000):
        world.server.broadcast(TOPICS[0], "new", {"n": number})
    assert world.shard_of(TOPICS[0])["subscriptions"] == 1
    child.kill()
    child.wait(PATIENCE)
    child.stdin.close()
    child.stdout.close()
    eventually(lambda: not world.shard_of(TOPICS[0])["subscriptions"], "the end of it")
    assert world.shards.request(TOPICS[0], "echo", timeout=PATIENCE).get().ok


# what fails


def requests_in_flight_fail_once_when_the_process_is_killed(world: World) -> None:
    rooms, topic = world.shards, TOPICS[0]
    mine = [t for t in TOPICS if rooms.shard_of(t) == rooms.shard_of(topic)]
    shard, before = rooms.shard_of(topic), world.shard_of(topic)
    told: list[Any] = []
    with rooms.subscribe() as messages:
        in_force(rooms)
        futures = [rooms.request(topic, "never", timeout=PATIENCE) for _ in range(50)]
        assert rooms.request(topic, "echo", timeout=PATIENCE).get().ok
        world.log.clear()
        for future in futures:
            future.add_done_callback(told.append)
        os.kill(before["pid"], signal.SIGKILL)
        for future in futures:
            with pytest.raises(ShardLostError) as lost:
                future.get(timeout=PATIENCE)
            assert lost.value.maybe_sent
            assert lost.value.shard == shard
        eventually(lambda: len(told) == 50, "callbacks")
        world.log.wait(lambda log: log.joins() >= set(mine), PATIENCE)
        assert rooms.request(topic, "echo", {"b": 1}, timeout=PATIENCE).get().ok
        after = world.shard_of(topic)
        assert (after["generation"], after["pid"]) != (before["generation"], before["pid"])
        assert taken(messages, PATIENCE) == ShardRestarted(shard)
    assert len(told) == 50
    assert not world.log.twice
    again = [entry.topic for entry in world.log.entries if entry.kind == "join"]
    assert sorted(again) == sorted(mine)


def a_process_that_was_frozen_delivers_nothing_and_ends(world: World) -> None:
    topic = "rooms:frozen"
    rooms: Shards[Rooms] = Shards(Rooms, world.uri, name="frozen", shards=1, lease=2.0)
    rooms.join(topic)
    rooms.wait_until_joined(topic, PATIENCE)
    with rooms.subscribe(topic, "late") as messages:
        in_force(rooms)
        pid = rooms.status(timeout=PATIENCE)["shards"][0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        status = rooms.status(timeout=1.0)
        assert time.monotonic() - began < PATIENCE / 2
        assert status["shards"][0]["state"] == "unreachable"
        # It hears this too late.
        world.server.broadcast(topic, "late", {"n": 1})
        threading.Event().wait(max(0.0, began + 2.5 - time.monotonic()))
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: is_gone(pid), "the end of the old process")
        assert isinstance(taken(messages, PATIENCE), ShardRestarted)
        rooms.wait_until_joined(topic, PATIENCE)
        world.server.broadcast(topic, "late", {"n": 2})
        while not isinstance(heard := taken(messages, PATIENCE), MessageReceived):
            assert isinstance(heard, ShardRestarted)
        assert heard == MessageReceived(topic, "late", {"n": 2})
    stop_with_a_request_under_way(rooms, topic)


def a_process_that_is_frozen_for_good_is_ended_and_its_topics_joined(world: World) -> None:
    topics = [f"rooms:hangs:{number}" for number in range(6)]
    rooms: Shards[Rooms] = Shards(Rooms, world.uri, name="hanging", shards=2, lease=2.0)
    for topic in topics:
        rooms.join(topic)
    world.log.wait(lambda log: log.are_joined(topics), PATIENCE)
    before = rooms.status(timeout=PATIENCE)["shards"][rooms.shard_of(topics[0])]
    world.log.clear()
    under_way = rooms.request(topics[0], "never", timeout=None)
    os.kill(before["pid"], signal.SIGSTOP)
    try:
        mine = {topic for topic in topics if rooms.shard_of(topic) == before["shard"]}
        world.log.wait(lambda log: log.joins() >= mine, PATIENCE)
        assert is_gone(before["pid"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(before["pid"], signal.SIGCONT)
    with pytest.raises(ShardLostError):
        under_way.get(timeout=PATIENCE)
    assert rooms.request(topics[0], "echo", timeout=PATIENCE).get().ok
    assert not world.log.twice
    generations = [s["generation"] for s in rooms.status(timeout=PATIENCE)["shards"]]
    assert sorted(str(number) for number in generations) == ["1", "2"]
    rooms.stop()


def stop_with_a_request_under_way(rooms: Shards[Rooms], topic: str) -> None:
    """It is waited for, also longer than shards look whether they hold their lease."""
    under_way = rooms.request(topic, "slow", {"seconds": 1.0}, timeout=PATIENCE)
    eventually(lambda: rooms.status(timeout=PATIENCE)["shards"][0]["orders"] > 0, "a request")
    rooms.stop(PATIENCE, drain=PATIENCE / 2)
    assert under_way.get() == Reply("ok", {"seconds": 1.0})


# the number of shards


def a_resize_joins_no_topic_twice_and_forgets_none(world: World) -> None:
    rooms: Shards[Rooms] = Shards(Rooms, world.uri, name="many", shards=2, lease=LEASE)
    topics = [f"rooms:many:{number}" for number in range(200)]
    for topic in topics:
        rooms.join(topic)
    world.log.wait(lambda log: log.are_joined(topics), PATIENCE)
    other: Shards[Rooms] = Shards.attach("many")
    stop, problems, replies = threading.Event(), [], [0]

    def load() -> None:
        number = 0
        while not stop.is_set():
            topic, key = topics[number % len(topics)], number
            number += 1
            try:
                other.request(topic, "count", {"key": key}, timeout=PATIENCE).get()
                least, most = 1, 1
                replies[0] += 1
            except SlipstreamError as error:
                least, most = 0, int(getattr(error, "maybe_sent", False))
                told = repr(error)
            else:
                told = "a reply"
            if not least <= world.log.pushed[topic, key] <= most:
                problems.append(told)

    world.log.clear()
    loading = threading.Thread(target=load)
    loading.start()
    try:
        for shards in (3, 1):
            before = {topic: rooms.shard_of(topic) for topic in topics}
            gaps = rooms.resize(shards)
            moved = {topic for topic in topics if rooms.shard_of(topic) != before[topic]}
            assert gaps.keys() == moved
            assert all(0 <= gap < PATIENCE for gap in gaps.values())
            assert [s["state"] for s in rooms.status(timeout=PATIENCE)["shards"]] == (
                ["running"] * shards
            )
    finally:
        stop.set()
        loading.join()
    assert not problems
    assert replies[0] > 0
    assert not world.log.twice
    assert world.log.are_joined(topics)
    assert rooms.topics() == sorted(topics)
    assert rooms.resize(1) == {}
    resize_from_two_sides(rooms, other)
    assert not world.log.twice
    assert world.log.are_joined(topics)
    other.close()
    rooms.stop()


def resize_from_two_sides(rooms: Shards[Rooms], other: Shards[Rooms]) -> None:
    """One after the other, in whichever order: both are told, and neither waits for ever."""
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(one.resize, number, timeout=PATIENCE)
            for one, number in ((rooms, 2), (other, 1))
        ]
        for resized in both:
            resized.result(2 * PATIENCE)
    rooms.resize(1)  # What the other one has begun is over then.


# the end


def a_forked_child_is_told_to_initialise_ray_itself(world: World) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            _ = world.shards.request(TOPICS[0], "echo")
            os._exit(1)
        except ForkedError:
            os._exit(0)
        finally:
            os._exit(2)
    try:
        eventually(lambda: is_gone(pid), "the end of the child")
    finally:
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0
    assert world.shards.request(TOPICS[0], "echo", timeout=PATIENCE).get().ok


def a_handle_that_is_closed_ends_for_this_process_alone(world: World) -> None:
    handle: Shards[Rooms] = Shards.attach("rooms")
    messages = handle.subscribe()
    waiting = handle.request(TOPICS[0], "never", timeout=PATIENCE)
    handle.close()
    handle.close()
    with pytest.raises(ClientEndedError):
        waiting.get(timeout=PATIENCE)
    assert list(messages) == []
    for use in (
        handle.topics,
        handle.subscribe,
        lambda: handle.join("rooms:x"),
        lambda: handle.cast(TOPICS[0], "unheard"),
    ):
        with pytest.raises(ClientEndedError):
            use()
    with pytest.raises(ClientEndedError):
        handle.request(TOPICS[0], "echo").get()
    assert world.shards.request(TOPICS[0], "echo", timeout=PATIENCE).get().ok


def a_stop_ends_them_for_everybody(world: World) -> None:
    child = world.child(
        "from slipstream_actor import ClientEndedError\n"
        f"print(rooms.request({TOPICS[0]!r}, 'echo', timeout=30.0).get().ok, flush=True)\n"
        "try:\n"
        f"    rooms.request({TOPICS[0]!r}, 'never', timeout=30.0).get()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
        "try:\n"
        f"    rooms.request({TOPICS[0]!r}, 'echo', timeout=30.0).get()\n"
        "except ClientEndedError as error:\n"
        "    print('ended')\n"
    )
    assert line_of(child) == "True\n"
    eventually(lambda: world.shard_of(TOPICS[0])["orders"] > 0, "the child's request")
    world.shards.stop()
    output, _ = child.communicate(timeout=PATIENCE)
    assert output.splitlines()[-1] == "ended", output
    world.log.wait(lambda log: not any(log.joined[topic] for topic in TOPICS), PATIENCE)
    with pytest.raises(ClientEndedError, match="stopped"):
        world.shards.request(TOPICS[0], "echo").get()
    with pytest.raises(ClientEndedError, match="no shards"):
        Shards.attach("rooms")


def shards_are_left_open_when_ray_is_shut_down(world: World) -> None:
    """Behind the last scenario: Ray ends a process in which somebody waits for it meanwhile."""
    world.shards = Shards(Rooms, world.uri, name="left", lease=LEASE, shards=1)
    world.shards.join(TOPICS[0])
    world.shards.wait_until_joined(TOPICS[0], PATIENCE)
    messages = world.shards.subscribe()
    under_way = world.shards.request(TOPICS[0], "never", timeout=None)
    in_force(world.shards)
    world.left = messages, under_way


SCENARIOS: list[Callable[[World], None]] = [
    each_topic_is_joined_once_with_what_a_function_says,
    the_same_attaches_and_another_is_told_what_differs,
    topics_are_joined_and_left,
    requests_are_answered,
    a_time_runs_at_the_caller_and_what_is_cancelled_is_not_sent,
    a_thousand_at_once_keep_their_order,
    calls_casts_and_methods_reach_the_client_of_a_topic,
    a_subscription_hears_all_shards,
    what_a_pattern_raises_ends_its_subscription,
    what_is_dropped_is_told,
    a_subscriber_that_dies_leaves_nothing,
    requests_in_flight_fail_once_when_the_process_is_killed,
    a_process_that_was_frozen_delivers_nothing_and_ends,
    a_resize_joins_no_topic_twice_and_forgets_none,
    a_handle_that_is_closed_ends_for_this_process_alone,
    a_stop_ends_them_for_everybody,
    shards_are_left_open_when_ray_is_shut_down,
]
# What Ray's own threads may hang in, or takes long, is not for each run of the tests: by name.
BY_NAME: list[Callable[[World], None]] = [
    a_forked_child_is_told_to_initialise_ray_itself,
    a_process_that_is_frozen_for_good_is_ended_and_its_topics_joined,
]
