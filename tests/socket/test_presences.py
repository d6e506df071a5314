"""`Presence`: phoenix.js's cases, what holds of any state and diff, and a client's callbacks."""

from __future__ import annotations

import copy
import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import (
    AwaitTimeoutError,
    CallbackReturnError,
    ChannelClosed,
    ChannelConnected,
    ClientActor,
    ClosedByPeer,
    MessageReceived,
    Next,
    NotOwnerError,
    Presence,
    Socket,
    Stop,
    TopicJoinClosed,
    TopicJoinSucceeded,
    connect,
    get_state,
    new_socket,
    on,
    wait,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.protocol.presence import MOST_HELD, MOST_HELD_BYTES, as_value, track
from slipstream_actor.protocol.reasons import ChannelCrashed
from slipstream_actor.socket.presences import receive
from tests.support.clients import PATIENCE

TOPIC = "presence:r"
URI = "ws://test.invalid/socket/websocket"

Metas = dict[str, Any]


def present(*metas: Metas | str) -> dict[str, Any]:
    """A presence of these metas; a text is the phx_ref of one that has no more."""
    return {"metas": [{"phx_ref": meta} if isinstance(meta, str) else meta for meta in metas]}


def three() -> dict[str, Any]:
    return {f"u{n}": present({"id": n, "phx_ref": str(n)}) for n in (1, 2, 3)}


class Reports:
    """What `on_join` and `on_leave` were called with."""

    def __init__(self) -> None:
        self.joins: list[Any] = []
        self.leaves: list[Any] = []

    def on_join(self, key: str, current: Any, new: Any) -> None:
        self.joins.append((key, copy.deepcopy(current), copy.deepcopy(new)))

    def on_leave(self, key: str, current: Any, left: Any) -> None:
        self.leaves.append((key, copy.deepcopy(current), copy.deepcopy(left)))


@pytest.fixture
def reports() -> Reports:
    return Reports()


# phoenix.js: syncState


def test_the_first_state() -> None:
    state: dict[str, Any] = {}
    new = {"u1": present("1")}
    assert Presence.sync_state(state, new) == new
    assert state == {}


def test_a_state_reports_who_came_and_who_left(reports: Reports) -> None:
    state = {"u4": present("4")}
    before = copy.deepcopy(state)
    assert Presence.sync_state(state, three(), reports.on_join, reports.on_leave) == three()
    assert state == before
    assert reports.joins == [(key, None, presence) for key, presence in three().items()]
    assert reports.leaves == [("u4", present(), present("4"))]


def test_a_state_reports_only_the_metas_that_came(reports: Reports) -> None:
    state, new = {"u3": present("3")}, {"u3": present("3", "3.new")}
    assert Presence.sync_state(state, new, reports.on_join, reports.on_leave) == new
    assert reports.joins == [("u3", present("3"), present("3.new"))]
    assert reports.leaves == []


def test_a_state_reports_only_the_metas_that_left(reports: Reports) -> None:
    state, new = {"u3": present("3", "3.left")}, {"u3": present("3")}
    assert Presence.sync_state(state, new, reports.on_join, reports.on_leave) == new
    assert reports.joins == []
    assert reports.leaves == [("u3", present("3"), present("3.left"))]


def test_a_state_reports_both_of_one_key(reports: Reports) -> None:
    state, new = {"u3": present("3", "3.left")}, {"u3": present("3", "3.new")}
    assert Presence.sync_state(state, new, reports.on_join, reports.on_leave) == new
    assert reports.joins == [("u3", present("3", "3.left"), present("3.new"))]
    assert reports.leaves == [("u3", present("3", "3.new"), present("3.left"))]


def test_a_state_is_taken_as_the_server_has_it() -> None:
    """Its order, and what else it says of a key."""
    state = {"b": present("1", "2"), "a": present("3")}
    new = {"a": present("3"), "b": {"user": {"name": "B"}, **present("4", "1")}}
    synced = Presence.sync_state(state, new)
    assert synced == new
    assert list(synced) == ["a", "b"]


# phoenix.js: syncDiff


def test_a_diff_of_nothing() -> None:
    joins = {"u1": present("1")}
    state: dict[str, Any] = {}
    assert Presence.sync_diff(state, {"joins": joins, "leaves": {}}) == joins
    assert state == {}


def test_a_diff_adds_metas_and_removes_who_has_none_left() -> None:
    diff = {
        "joins": {"u1": present({"id": 1, "phx_ref": "1.2"})},
        "leaves": {"u2": present({"id": 2, "phx_ref": "2"})},
    }
    assert Presence.sync_diff(three(), diff) == {
        "u1": present({"id": 1, "phx_ref": "1"}, {"id": 1, "phx_ref": "1.2"}),
        "u3": present({"id": 3, "phx_ref": "3"}),
    }


def test_a_diff_removes_a_meta_and_keeps_the_others() -> None:
    diff = {"joins": {}, "leaves": {"u1": present("1")}}
    assert Presence.sync_diff({"u1": present("1", "1.2")}, diff) == {"u1": present("1.2")}


def test_an_update_is_a_leave_and_a_join(reports: Reports) -> None:
    old = {"name": "chris", "phx_ref": "2"}
    new = {"name": "chris.2", "phx_ref": "2.2", "phx_ref_prev": "2"}
    state = {"u1": present("1"), "u2": present(old)}
    diff = {"joins": {"u2": present(new)}, "leaves": {"u2": present(old)}}
    synced = Presence.sync_diff(state, diff, reports.on_join, reports.on_leave)
    assert synced == {"u1": present("1"), "u2": present(new)}
    assert reports.joins == [("u2", present(old), present(new))]
    assert reports.leaves == [("u2", present(new), present(old))]


def test_a_meta_that_is_there_already_is_not_doubled() -> None:
    diff = {"joins": {"u1": present({"now": True, "phx_ref": "1"})}, "leaves": {}}
    synced = Presence.sync_diff({"u1": present("0", "1")}, diff)
    assert synced == {"u1": present("0", {"now": True, "phx_ref": "1"})}


def test_who_is_not_there_cannot_leave(reports: Reports) -> None:
    diff = {"joins": {}, "leaves": {"u9": present("9")}}
    assert Presence.sync_diff(three(), diff, reports.on_join, reports.on_leave) == three()
    assert reports.leaves == []


def test_joins_come_before_leaves() -> None:
    order: list[str] = []
    diff = {"joins": {"u5": present("5")}, "leaves": {"u1": present("1")}}
    Presence.sync_diff(
        three(), diff, lambda key, *_: order.append(key), lambda key, *_: order.append(key)
    )
    assert order == ["u5", "u1"]


# phoenix.js: list


def test_list_is_of_presences() -> None:
    assert Presence.list(three()) == [present({"id": n, "phx_ref": str(n)}) for n in (1, 2, 3)]


def test_list_by_a_function() -> None:
    state = {"u1": present("1.first", "1.second")}
    assert Presence.list(state, lambda key, presence: (key, presence["metas"][0])) == [
        ("u1", {"phx_ref": "1.first"})
    ]


# what holds of any

refs = st.integers(0, 12).map(str)


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    """The presences of a server: a phx_ref is one key's, and once."""
    owners = draw(st.dictionaries(refs, st.sampled_from("abc")))
    state: dict[str, Any] = {}
    for ref, key in owners.items():
        state.setdefault(key, {"metas": []})["metas"].append({"phx_ref": ref, "of": key})
    return state


def there(state: Any) -> set[tuple[str, str]]:
    return {(key, meta["phx_ref"]) for key, presence in state.items() for meta in presence["metas"]}


def of(metas: set[tuple[str, str]]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for key, ref in sorted(metas):
        state.setdefault(key, {"metas": []})["metas"].append({"phx_ref": ref, "of": key})
    return state


def reported(reports: list[Any]) -> list[tuple[str, str]]:
    return [(key, meta["phx_ref"]) for key, _, changed in reports for meta in changed["metas"]]


@given(states(), states())
def test_a_synced_state_is_the_servers(state: Any, new: Any) -> None:
    before, given_new = copy.deepcopy(state), copy.deepcopy(new)
    assert Presence.sync_state(state, new) == new
    assert (state, new) == (before, given_new)


@given(states(), states())
def test_joins_and_leaves_explain_the_difference(state: Any, new: Any) -> None:
    reports = Reports()
    Presence.sync_state(state, new, reports.on_join, reports.on_leave)
    joins, leaves = reported(reports.joins), reported(reports.leaves)
    assert len(joins) == len(set(joins))
    assert len(leaves) == len(set(leaves))
    assert set(joins) == there(new) - there(state)
    assert set(leaves) == there(state) - there(new)


@given(states(), states())
def test_a_diff_after_a_state_is_the_servers_view(state: Any, later: Any) -> None:
    diff = {"joins": of(there(later) - there(state)), "leaves": of(there(state) - there(later))}
    before, given_diff = copy.deepcopy(state), copy.deepcopy(diff)
    synced = Presence.sync_diff(state, diff)
    assert there(synced) == there(later)
    assert synced.keys() == later.keys()
    assert (state, diff) == (before, given_diff)


@given(st.lists(states(), min_size=1), st.integers(0, 5), st.integers(0, 5))
def test_a_client_has_the_servers_view_wherever_the_state_comes(
    views: list[Any], early: int, late: int
) -> None:
    """The diffs lead from one view to the next. The state is a later one than the diffs before it
    say, or an earlier one, and no report is told twice."""
    # A phx_ref that is gone never comes back.
    gone: set[Any] = set()
    for at, view in enumerate(views[1:], 1):
        gone |= there(views[at - 1]) - there(view)
        views[at] = of({meta for meta in there(view) if meta[1] not in {ref for _, ref in gone}})
    diffs = [
        {"joins": of(there(new) - there(old)), "leaves": of(there(old) - there(new))}
        for old, new in itertools.pairwise(views)
    ]
    at = min(early, len(diffs))
    seen = min(at + late, len(diffs))
    messages = [*diffs[:at], views[seen], *diffs[at:]]
    socket = Socket(None, _presences=track({}, TOPIC, "presence_state", "presence_diff"))
    present_now: set[Any] = set()
    for message in messages:
        name = "presence_diff" if "joins" in message else "presence_state"
        socket, calls = receive(socket, MessageReceived(TOPIC, name, message))
        for call, arguments in calls:
            if call == "handle_presence_join":
                came = set(reported([arguments[1:]]))
                assert not came & present_now
                present_now |= came
            elif call == "handle_presence_leave":
                went = set(reported([arguments[1:]]))
                assert went <= present_now
                present_now -= went
    assert there(socket.presences(TOPIC)) == there(views[-1]) == present_now


# what a client makes of it


class Watcher(ClientActor):
    """Notes its presence callbacks and messages; `act` says what a callback returns."""

    def init(self, log: queue.Queue[Any], *events: str) -> Socket:
        self.log = log
        self.act: Callable[..., Any] = lambda *_: None
        return connect(URI, test_mode=True).join(TOPIC).track_presence(TOPIC, *events)

    def note(self, name: str, socket: Socket, *arguments: Any) -> Any:
        self.log.put((name, *arguments))
        return self.act(name, socket)

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> Any:
        return self.note("join", socket, topic, key, current, new)

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket
    ) -> Any:
        return self.note("leave", socket, topic, key, current, left)

    def handle_presence_sync(self, topic: str, socket: Socket) -> Any:
        return self.note("sync", socket, topic, dict(socket.presences(topic)))

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        return self.note("message", socket, event)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        return self.note("info", socket, message)

    def handle_continue(self, term: Any, socket: Socket) -> Any:
        return self.note("continue", socket, term)

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.log.put(("terminate",))

    def set(self, act: Callable[..., Any]) -> None:
        self.act = act

    def do(self, function: Callable[[Socket], Any]) -> Any:
        return function(self.socket)


class Watch:
    """A client, and a server that the test plays."""

    def __init__(self, kind: type[Watcher] = Watcher, *events: str) -> None:
        self.log: queue.Queue[Any] = queue.Queue()
        self.ref: pykka.ActorRef[Any] = kind.start(self.log, *events)
        self.ref.tell(ChannelConnected(None))
        self.ref.tell(TopicJoinSucceeded(TOPIC))

    def told(self, event: str, payload: Any, topic: str = TOPIC) -> None:
        self.ref.tell(MessageReceived(topic, event, payload))

    def state(self, **presences: Any) -> None:
        self.told("presence_state", presences)

    def diff(self, joins: Any = (), leaves: Any = ()) -> None:
        self.told("presence_diff", {"joins": dict(joins), "leaves": dict(leaves)})

    def act(self, function: Callable[..., Any]) -> None:
        self.ref.proxy().set(function).get(timeout=PATIENCE)

    def do(self, function: Callable[[Socket], Any]) -> Any:
        return self.ref.proxy().do(function).get(timeout=PATIENCE)

    def seen(self) -> list[Any]:
        """What was called, once all that was sent is handled."""
        get_state(self.ref)
        return [self.log.get_nowait() for _ in range(self.log.qsize())]

    @property
    def presences(self) -> Any:
        return get_state(self.ref).socket.presences(TOPIC)


@pytest.fixture
def watching() -> Iterator[Callable[..., Watch]]:
    watches: list[Watch] = []

    def watching(*arguments: Any) -> Watch:
        watches.append(Watch(*arguments))
        return watches[-1]

    yield watching
    for watch in watches:
        watch.ref.stop()


@pytest.fixture
def watch(watching: Callable[..., Watch]) -> Watch:
    return watching()


def join(key: str, current: Any, new: Any) -> tuple[Any, ...]:
    return ("join", TOPIC, key, current, new)


def leave(key: str, current: Any, left: Any) -> tuple[Any, ...]:
    return ("leave", TOPIC, key, current, left)


def sync(**presences: Any) -> tuple[Any, ...]:
    return ("sync", TOPIC, presences)


A, B = present("1"), present("2")


def test_a_diff_of_one_part() -> None:
    assert Presence.sync_diff({}, {"joins": {"a": A}}) == {"a": A}
    assert Presence.sync_diff({"a": A}, {"leaves": {"a": A}}) == {}


def test_a_state_and_diffs(watch: Watch) -> None:
    assert watch.presences == {}
    watch.state(a=A, b=B)
    assert watch.seen() == [join("a", None, A), join("b", None, B), sync(a=A, b=B)]
    watch.diff(leaves={"a": A})
    assert watch.seen() == [leave("a", present(), A), sync(b=B)]
    assert watch.presences == {"b": B}


def test_the_map_is_read_only(watch: Watch) -> None:
    watch.state(a=A)
    with pytest.raises(TypeError):
        watch.presences["b"] = B
    assert watch.do(lambda socket: dict(socket.presences("presence:other"))) == {}


def test_diffs_before_the_state_are_held(watch: Watch) -> None:
    watch.diff(joins={"a": A})
    watch.diff(leaves={"b": B})
    assert watch.seen() == []
    assert watch.presences == {}
    watch.state(a=A, b=B)
    # A's join is in the state already (note 50).
    expected = [join("a", None, A), join("b", None, B), leave("b", present(), B), sync(a=A)]
    assert watch.seen() == expected


def test_our_own_diff_behind_the_state_is_not_told_twice(watch: Watch) -> None:
    watch.state(a=A)
    watch.seen()
    watch.diff(joins={"a": A})
    assert watch.seen() == [sync(a=A)]


def test_a_diff_that_joins_and_leaves_leaves(watch: Watch) -> None:
    watch.state()
    watch.diff(joins={"a": A}, leaves={"a": A})
    assert watch.seen() == [sync(), join("a", None, A), leave("a", present(), A), sync()]


def test_what_is_held_is_bounded(watch: Watch) -> None:
    for n in range(MOST_HELD + 5):
        watch.diff(joins={str(n): present(str(n))})
    held = get_state(watch.ref).socket._presences[TOPIC].held
    assert len(held) == MOST_HELD
    assert list(as_value(held[-1])["joins"]) == [str(MOST_HELD + 4)]


def test_what_is_held_is_bounded_in_bytes(watch: Watch) -> None:
    for n in range(40):
        watch.diff(joins={str(n): {"metas": [{"phx_ref": "r", "pad": "x" * 100_000}]}})
    held = get_state(watch.ref).socket._presences[TOPIC].held
    assert 100_000 < sum(map(len, held)) <= MOST_HELD_BYTES
    assert list(as_value(held[-1])["joins"]) == ["39"]


def test_what_is_held_is_what_its_parser_made_of_it(watch: Watch) -> None:
    """Values that JSON does not have, and texts that UTF-8 has not."""
    odd = {"metas": [{"phx_ref": "1", "n": Decimal("1.25"), "text": "\ud800", "at": 1j}]}
    watch.diff(joins={"a": odd})
    watch.state()
    assert watch.seen() == [join("a", None, odd), sync(a=odd)]


class Unreadable:
    """What `pickle` writes and cannot read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.mark.parametrize("own", [threading.Lock(), Unreadable()], ids=["unwritten", "unread"])
def test_what_cannot_be_held_is_dropped(
    own: Any, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.diff(joins={"a": {"metas": [{"phx_ref": "1", "own": own}]}})
    watch.state(b=B)
    assert watch.seen() == [join("b", None, B), sync(b=B)]
    assert "cannot be kept until the state comes: " in caplog.text


@pytest.mark.parametrize("ref", [bytearray(b"1"), {1}, ("1", [2])], ids=repr)
def test_a_ref_that_only_its_serializer_knows_may_be_no_key(
    ref: Any, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"a": {"metas": [{"phx_ref": ref}]}}
    watch.diff(joins=bad)
    watch.state(a=bad["a"])
    watch.state(b=B)
    watch.diff(joins=bad)
    watch.diff(leaves=bad)
    assert watch.seen() == [join("b", None, B), sync(b=B)]
    assert caplog.text.count("a meta of 'a' has no phx_ref that tells it from others") == 4


def test_behind_the_end_of_a_join_nothing_changes(watch: Watch) -> None:
    watch.state(a=A)
    watch.ref.tell(TopicJoinClosed(TOPIC, ChannelCrashed({})))
    watch.seen()
    watch.diff(joins={"b": B})
    watch.state(b=B)
    assert watch.seen() == []
    assert watch.presences == {"a": A}


def test_a_rejoin_begins_anew_and_reports_what_happened_meanwhile(watch: Watch) -> None:
    watch.state(a=A, b=B)
    watch.ref.tell(ChannelClosed(ClosedByPeer(1001)))
    assert watch.presences == {"a": A, "b": B}
    watch.ref.tell(ChannelConnected(None))
    watch.ref.tell(TopicJoinSucceeded(TOPIC))
    watch.seen()
    gone, new = present("1"), present("3")
    watch.diff(leaves={"a": gone})
    assert watch.seen() == []
    assert watch.presences == {"a": A, "b": B}
    watch.state(a=gone, c=new)
    assert watch.seen() == [
        join("c", None, new),
        leave("b", present(), B),
        leave("a", present(), gone),
        sync(c=new),
    ]


def test_diffs_held_for_a_join_that_is_over_are_forgotten(watch: Watch) -> None:
    watch.diff(leaves={"a": A})
    watch.ref.tell(TopicJoinSucceeded(TOPIC))
    watch.state(a=A)
    assert watch.seen() == [join("a", None, A), sync(a=A)]


def test_events_of_other_names(watching: Callable[..., Watch]) -> None:
    watch = watching(Watcher, "the_state", "the_diff")
    watch.told("the_state", {"a": A})
    watch.told("the_diff", {"joins": {}, "leaves": {"a": A}})
    watch.told("presence_state", {"b": B})
    assert watch.seen() == [
        join("a", None, A),
        sync(a=A),
        leave("a", present(), A),
        sync(),
        ("message", "presence_state"),
    ]


def test_presence_messages_are_no_other_messages(watch: Watch) -> None:
    watch.state(a=A)
    watch.told("new:msg", {})
    watch.told("presence_state", {"a": A}, topic="presence:untracked")
    names = [entry[:2] for entry in watch.seen()]
    assert names == [
        ("join", TOPIC),
        ("sync", TOPIC),
        ("message", "new:msg"),
        ("message", "presence_state"),
    ]


def test_a_handler_that_names_the_event_is_called_too(watching: Callable[..., Watch]) -> None:
    class Both(Watcher):
        @on("presence:*", "presence_diff")
        def changed(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
            self.log.put(("handler", event))

        @on("presence:*")
        def others(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
            self.log.put(("others", event))

    watch = watching(Both)
    watch.state()
    watch.diff(joins={"a": A})
    watch.told("new:msg", {})
    assert watch.seen() == [
        sync(),
        join("a", None, A),
        sync(a=A),
        ("handler", "presence_diff"),
        ("others", "new:msg"),
    ]


def test_in_a_burst_too(watch: Watch) -> None:
    state = MessageReceived(TOPIC, "presence_state", {"a": A})
    watch.ref.tell(Burst(None, [state, MessageReceived(TOPIC, "new:msg", {})]))
    assert watch.seen() == [join("a", None, A), sync(a=A), ("message", "new:msg")]


def test_tracking_again_keeps_what_is_known(watch: Watch) -> None:
    watch.state(a=A)
    assert watch.do(lambda socket: socket.track_presence(TOPIC) is socket)
    tracked = get_state(watch.ref).socket._presences
    other = track(tracked, TOPIC, "other_state", "presence_diff")
    assert other[TOPIC].presences == {}
    assert not other[TOPIC].synced
    assert tracked[TOPIC].presences == {"a": A}


@pytest.mark.parametrize("arguments", [(1,), (TOPIC, None), (TOPIC, "state", b"diff")])
def test_names_are_texts(watch: Watch, arguments: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        watch.do(lambda socket: socket.track_presence(*arguments))


# what the callbacks may return


def test_each_callback_sees_the_socket_of_the_last(watch: Watch) -> None:
    counts: list[int] = []

    def count(name: str, socket: Socket) -> Socket:
        counts.append(socket.assigns.get("count", 0))
        return socket.assign(count=counts[-1] + 1)

    watch.act(count)
    watch.state(a=A, b=B)
    watch.seen()
    assert counts == [0, 1, 2]
    assert get_state(watch.ref).socket.assigns["count"] == 3
    assert watch.presences == {"a": A, "b": B}


def test_each_may_go_on(watch: Watch) -> None:
    watch.act(lambda name, socket: Next(socket, then="more") if name == "join" else None)
    watch.state(a=A)
    assert [entry[0] for entry in watch.seen()] == ["join", "continue", "sync"]


@pytest.mark.parametrize(("asking", "left"), [(("join",), 0), (("join", "sync"), 1)])
def test_only_the_last_timeout_counts(watch: Watch, asking: tuple[str, ...], left: int) -> None:
    watch.act(lambda name, socket: Next(socket, timeout=60.0) if name in asking else None)
    watch.state(a=A, b=B)
    assert [entry[0] for entry in watch.seen()] == ["join", "join", "sync"]
    timers = [timer for _, _, timer in watch.ref.actor_inbox._timers]  # type: ignore[attr-defined]
    assert len([timer for timer in timers if not timer.cancelled]) == left


def test_a_stop_is_the_last(watch: Watch) -> None:
    thread = watch.do(lambda _: threading.current_thread())
    watch.act(lambda name, socket: Stop("shutdown", socket))
    watch.state(a=A, b=B)
    assert wait(watch.ref, timeout=PATIENCE) == "shutdown"
    thread.join(PATIENCE)
    assert list(watch.log.queue) == [join("a", None, A), ("terminate",)]


@pytest.mark.parametrize("callback", ["join", "leave", "sync"])
def test_a_socket_that_is_lost_is_an_error(watch: Watch, callback: str) -> None:
    watch.act(lambda name, socket: socket.assign(x=1) and None if name == callback else None)
    watch.state(a=A)
    watch.diff(leaves={"a": A})
    reason = wait(watch.ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason).startswith(f"handle_presence_{callback} called socket.assign()")


def test_what_is_no_socket_is_an_error(watch: Watch) -> None:
    watch.act(lambda *_: "nonsense")
    watch.state(a=A)
    reason = wait(watch.ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert "handle_presence_join returned str" in str(reason)


def test_one_that_raises_ends_the_client(watch: Watch) -> None:
    error = ValueError("a bug")

    def fail(*_: Any) -> None:
        raise error

    watch.act(fail)
    watch.state(a=A)
    assert wait(watch.ref, timeout=PATIENCE) is error


def test_the_defaults_do_nothing() -> None:
    class Plain(ClientActor):
        def init(self) -> Socket:
            return connect(URI, test_mode=True).track_presence(TOPIC)

    ref = Plain.start()
    try:
        ref.tell(MessageReceived(TOPIC, "presence_state", {"a": A, "b": B}))
        left = {"joins": {}, "leaves": {"a": A}}
        ref.tell(MessageReceived(TOPIC, "presence_diff", left))
        assert get_state(ref).socket.presences(TOPIC) == {"b": B}
    finally:
        ref.stop()


def test_a_callback_that_replaces_the_connection_is_the_last_one(watch: Watch) -> None:
    watch.act(lambda name, socket: socket.connect(URI, test_mode=True) if name == "join" else None)
    watch.state(a=A, b=B)
    assert watch.seen() == [join("a", None, A)]


# what a server should not send

NO_STATES: list[Any] = [
    None,
    [],
    "state",
    b"\x00",
    {"a": None},
    {"a": {}},
    {"a": {"metas": {}}},
    {"a": {"metas": [1]}},
    {"a": {"metas": [{"phx_ref": ["1"]}]}},
]


@pytest.mark.parametrize("payload", NO_STATES)
def test_a_malformed_state_is_dropped(
    watch: Watch, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watch.told("presence_state", payload)
    assert watch.seen() == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'presence_state' of 'presence:r' is dropped: " in caplog.text
    watch.state(a=A)
    assert watch.seen() == [join("a", None, A), sync(a=A)]


@pytest.mark.parametrize(
    "payload",
    [
        *NO_STATES,
        {"joins": {}},
        {"leaves": {}},
        *({"joins": state, "leaves": {}} for state in NO_STATES),
        *({"joins": {}, "leaves": state} for state in NO_STATES),
    ],
)
def test_a_malformed_diff_is_dropped(
    watch: Watch, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watch.state(a=A)
    watch.seen()
    watch.told("presence_diff", payload)
    assert watch.seen() == []
    assert "'presence_diff' of 'presence:r' is dropped: " in caplog.text
    assert watch.presences == {"a": A}


def test_metas_without_a_phx_ref_are_taken_as_phoenix_js_takes_them(watch: Watch) -> None:
    ada, grace = present({"name": "Ada"}), present({"name": "Grace"})
    watch.state(a=ada)
    assert watch.presences == {"a": ada}
    watch.seen()
    watch.told("presence_diff", {"joins": {"a": grace}, "leaves": {}})
    assert watch.seen() == [join("a", ada, grace), sync(a=grace)]
    assert watch.presences == {"a": grace}


def test_nothing_that_is_shown_shows_metas(watch: Watch) -> None:
    watch.state(a=present({"secret": "s3cret", "phx_ref": "1"}))
    socket = get_state(watch.ref).socket
    assert "s3cret" not in repr(socket) + repr(socket._presences)


# awaits, and plain threads


def test_await_message_leaves_presence_alone(watch: Watch) -> None:
    def awaiting(name: str, socket: Socket) -> None:
        if name == "message":
            with pytest.raises(AwaitTimeoutError):
                socket.await_message(TOPIC, "presence_diff", timeout=0)
            watch.log.put(("awaited", socket.await_message(TOPIC, timeout=PATIENCE).event))

    watch.state()
    assert watch.seen() == [sync()]
    watch.act(awaiting)
    diff = {"joins": {"a": A}, "leaves": {}}
    names = [("go", {}), ("presence_diff", diff), ("new:msg", {})]
    watch.ref.tell(Burst(None, [MessageReceived(TOPIC, *message) for message in names]))
    assert watch.seen() == [
        ("message", "go"),
        ("awaited", "new:msg"),
        join("a", None, A),
        sync(a=A),
    ]


def test_a_plain_thread_is_told_what_to_do_instead() -> None:
    socket = new_socket()
    with pytest.raises(NotOwnerError, match=r"Presence\.sync_state"):
        socket.track_presence(TOPIC)
    assert socket.presences(TOPIC) == {}
