"""The socket: what each method and each event makes of it, and that it never changes itself."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pykka import ActorDeadError

from slipstream_actor import Join, Socket, connect, new_socket
from slipstream_actor.actors import envelopes as mail
from slipstream_actor.actors import inbox as mailboxes
from slipstream_actor.actors import process
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.errors import ConfigurationError, SerializerError
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    PushMessage,
)
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    Event,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import Message, Ref, Reply, ReplyError
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ClosedByServer,
    ConnectFailed,
    JoinRefused,
    JoinTimeout,
)
from slipstream_actor.socket import records
from slipstream_actor.socket.apply_event import (
    ReconnectDue,
    RejoinDue,
    apply_event,
    due_join,
    is_due,
)
from slipstream_actor.socket.errors import (
    NeverJoinedError,
    NotConfiguredError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
)
from slipstream_actor.socket.joining import request, send_requested

pytestmark = pytest.mark.usefixtures("new_mailbox")

URI = "ws://localhost:4000/socket/websocket"
T = "room:1"
SECRET = "s3cr3t"


class FakeConnection:
    """What the socket knows of a connection: something to tell, that may be dead."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.alive = True
        self.actor_inbox = Inbox()

    def is_alive(self) -> bool:
        return self.alive

    def tell(self, command: Any) -> None:
        if not self.alive:
            raise ActorDeadError("dead")
        if type(command) is JoinTopic:
            command = replace(command, data=None)  # The payload again, encoded.
        self.commands.append(command)

    def told(self) -> list[Any]:
        commands, self.commands = self.commands, []
        return commands


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (mailboxes, mail, records):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


def connected_to(connection: FakeConnection, **options: Any) -> Socket:
    """A socket that is connected to a connection of the test's own."""
    socket = replace(new_socket(), channel_config=Configuration.validate(URI, options))
    return apply_event(socket, ChannelConnected(connection, {"server": "x"}))


@pytest.fixture
def socket(connection: FakeConnection) -> Socket:
    return connected_to(connection)


@pytest.fixture
def joined(socket: Socket, connection: FakeConnection) -> Socket:
    """A socket whose topic is joined, with `"1"`."""
    socket = socket.join(T, {"a": 1})
    connection.told()
    return apply_event(socket, TopicJoinSucceeded(T, {"hello": 1}, "1"))


def due(socket: Socket) -> Any:
    """The message that is due in the owner's mailbox, `None` if there is none."""
    try:
        return socket.socket_pid.actor_inbox.receive(lambda message, _: 1, 0)
    except TimeoutError:
        return None


# a token that does not change


def test_a_new_socket_is_not_connected() -> None:
    socket = new_socket()
    assert socket.socket_pid is process.current()
    assert (socket.connected, socket.channel_pid, socket.channel_config) == (False, None, None)
    assert dict(socket.assigns) == dict(socket.joins) == {}
    assert (socket.reconnect_counter, socket.response_headers) == (0, None)
    assert socket.metadata["socket_id"] != new_socket().metadata["socket_id"]
    assert (socket.joined(T), socket.join_status(T)) == (False, None)


@pytest.mark.parametrize("field", ["assigns", "joins", "channel_config", "reconnect_counter"])
def test_it_is_frozen(field: str) -> None:
    socket = new_socket()
    with pytest.raises(AttributeError):
        setattr(socket, field, getattr(socket, field))


def read_only(socket: Socket) -> bool:
    for mapping in (socket.assigns, socket.joins, socket.metadata):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]
    return True


def test_its_mappings_are_read_only(joined: Socket) -> None:
    assert read_only(new_socket())
    assert read_only(joined.assign(a=1))


def test_its_repr_shows_nothing_secret(connection: FakeConnection) -> None:
    socket = connected_to(connection, auth_token=SECRET, params={"t": SECRET})
    socket = socket.join(T, {"token": SECRET}).assign(name=SECRET)
    assert repr(socket) == (
        f"<Socket connected {URI}, topics {{{T}: requested}}, assigns {{name}}>"
    )


def test_assign_adds_and_replaces() -> None:
    empty = new_socket()
    socket = empty.assign("a", 1).assign(b=2, c=3).assign({"d": 4, "a": 5}, e=6)
    assert dict(socket.assigns) == {"a": 5, "b": 2, "c": 3, "d": 4, "e": 6}
    assert dict(empty.assigns) == {}
    assert dict(empty.assign("none", None).assigns) == {"none": None}
    assert dict(empty.assign(key=1, value=2).assigns) == {"key": 1, "value": 2}


def test_assign_of_a_key_needs_a_value() -> None:
    with pytest.raises(TypeError, match="a key and a value"):
        new_socket().assign("a")


def test_an_assigned_mapping_is_copied() -> None:
    given = {"a": 1}
    socket = new_socket().assign(given)
    given["a"] = 2
    assert socket.assigns["a"] == 1


def test_update_applies_a_function_and_wants_the_key() -> None:
    socket = new_socket().assign(n=1)
    assert socket.update("n", lambda n: n + 1).assigns["n"] == 2
    assert socket.assigns["n"] == 1
    with pytest.raises(KeyError):
        socket.update("missing", str)


# events


def test_a_connection_connects(connection: FakeConnection) -> None:
    socket = replace(new_socket(), reconnect_counter=5)
    socket = apply_event(socket, ChannelConnected(connection, {"server": "x"}))
    assert socket.connected
    assert vars(socket.channel_pid) == vars(connection)
    assert socket.response_headers == {"server": "x"}
    assert socket.reconnect_counter == 0
    connection.alive = False
    assert not socket.connected
    assert socket.channel_pid is None


@pytest.mark.parametrize(
    "end", [ChannelClosed(ClosedByPeer(1000)), ChannelConnectFailed(ConnectFailed("io"))]
)
def test_an_end_of_the_connection_closes_what_was_asked_for(joined: Socket, end: Event) -> None:
    socket = joined.join("asked")
    socket = replace(socket, joins={**socket.joins, "unsent": Join("unsent", {"a": 1})})
    socket = apply_event(socket, end)
    assert not socket.connected
    statuses = {topic: (join.status, join.join_ref) for topic, join in socket.joins.items()}
    assert statuses == {
        T: ("closed", None),
        "asked": ("closed", None),
        "unsent": ("requested", None),
    }
    assert socket.joins[T].params == {"a": 1}
    assert read_only(socket)


def test_a_join_is_accepted(socket: Socket) -> None:
    socket = socket.join(T)
    socket = replace(socket, joins={T: replace(socket.joins[T], rejoin_counter=3)})
    socket = apply_event(socket, TopicJoinSucceeded(T, {"hello": 1}, "1"))
    assert socket.joins[T] == Join(T, {}, "joined", 0, {"hello": 1}, "1")
    assert socket.joined(T)


@pytest.mark.parametrize(
    ("event", "response"),
    [
        (TopicJoinFailed(T, JoinRefused({"bad": "join"}), "1"), {"bad": "join"}),
        (TopicJoinFailed(T, JoinTimeout(), "1"), {"hello": 1}),
        (TopicJoinClosed(T, ChannelCrashed({}), "1"), {"hello": 1}),
        (TopicLeft(T, "1"), {"hello": 1}),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_join_ends(joined: Socket, event: Any, response: Any, by_hand: bool) -> None:
    if by_hand:
        event = replace(event, join_ref=None)
    socket = apply_event(joined, event)
    reason = getattr(event, "reason", ClosedByServer())
    assert socket.joins[T] == Join(T, {"a": 1}, "closed", 0, response, None, reason)
    assert socket.connected


@pytest.mark.parametrize(
    "event",
    [
        TopicJoinSucceeded(T, {}, "99"),
        TopicJoinFailed(T, JoinTimeout(), "99"),
        TopicJoinClosed(T, ChannelCrashed({}), "99"),
        TopicLeft(T, "99"),
        TopicLeft("other", "1"),
        TopicJoinSucceeded("other", {}, "1"),
        MessageReceived(T, "new"),
        ReplyReceived(T, Ref("2", T, "1"), Reply("ok")),
        PushFailed(T, "new", "2", ChannelEnded("left")),
    ],
)
def test_events_of_other_joins_and_messages_change_nothing(joined: Socket, event: Event) -> None:
    assert apply_event(joined, event) == joined


def test_an_answer_to_a_join_that_was_left_does_not_join(joined: Socket) -> None:
    left = joined.leave(T)
    assert apply_event(left, TopicJoinSucceeded(T, {}, "1")).join_status(T) == "closed"


def test_what_a_test_sends_by_hand_is_taken_at_its_word() -> None:
    socket = apply_event(new_socket(), TopicJoinSucceeded(T, {"a": 1}))
    assert socket.joined(T)
    assert socket.joins[T].response == {"a": 1}
    assert apply_event(socket, TopicLeft(T)).join_status(T) == "closed"
    assert apply_event(socket, TopicLeft("unknown")) == socket


TOPICS = st.sampled_from([T, "room:2", "never"])
REFS = st.sampled_from(["1", "2", "3"])


def events(refs: st.SearchStrategy[str | None]) -> st.SearchStrategy[Event]:
    return (
        st.builds(TopicJoinSucceeded, TOPICS, st.just({"r": 1}), refs)
        | st.builds(TopicJoinFailed, TOPICS, st.just(JoinRefused({"bad": 1})), refs)
        | st.builds(TopicJoinClosed, TOPICS, st.just(ChannelCrashed({})), refs)
        | st.builds(TopicLeft, TOPICS, refs)
        | st.builds(MessageReceived, TOPICS, st.just("new"))
        | st.just(ChannelClosed(ClosedByClient()))
        | st.just(ChannelConnectFailed(ConnectFailed("io")))
        | st.builds(lambda: ChannelConnected(FakeConnection()))
    )


def snapshot(socket: Socket) -> Any:
    return [
        socket.channel_pid,
        dict(socket.joins),
        dict(socket.assigns),
        socket.reconnect_counter,
        socket.response_headers,
    ]


def check(socket: Socket) -> None:
    """What is true of every socket."""
    assert read_only(socket)
    for topic, join in socket.joins.items():
        assert join.topic == topic
        assert join.status in ("requested", "joined", "closed")
        assert socket.join_status(topic) == join.status
        assert socket.joined(topic) is (join.status == "joined")
        assert join.rejoin_counter >= 0
    assert socket.connected is (socket.status == "connected")
    assert socket.reconnect_counter >= 0


@settings(deadline=None)
@given(st.lists(events(REFS | st.none()), max_size=25))
def test_any_events_leave_a_valid_socket(happened: list[Event]) -> None:
    socket = connected_to(FakeConnection()).join(T).join("room:2").assign(a=1)
    for event in happened:
        before = snapshot(socket)
        after = apply_event(socket, event)
        assert snapshot(socket) == before
        # Pure: the same again.
        assert snapshot(apply_event(socket, event)) == snapshot(after)
        check(after)
        assert after.assigns is socket.assigns
        socket = after
        if isinstance(event, ChannelClosed | ChannelConnectFailed):
            assert not any(map(socket.joined, socket.joins))
            assert not socket.connected


@settings(deadline=None)
@given(st.lists(events(REFS), max_size=25))
def test_only_what_is_connected_is_joined(happened: list[Event]) -> None:
    # But for what is sent by hand, without a join_ref.
    socket = connected_to(FakeConnection()).join(T).join("room:2")
    for event in happened:
        socket = apply_event(socket, event)
        if any(map(socket.joined, socket.joins)):
            assert socket.connected
    assert set(socket.joins) == {T, "room:2"}


# join


def test_a_join_is_asked_for(socket: Socket, connection: FakeConnection) -> None:
    socket = socket.join(T, {"a": 1}).join("room:2")
    assert connection.told() == [JoinTopic(T, {"a": 1}, "1"), JoinTopic("room:2", {}, "2")]
    assert socket.joins[T] == Join(T, {"a": 1}, "requested", 0, None, "1")


def test_a_join_of_what_is_asked_for_or_joined_is_without_effect(
    socket: Socket, connection: FakeConnection
) -> None:
    socket = socket.join(T)
    assert socket.join(T, {"other": 1}) is socket
    socket = apply_event(socket, TopicJoinSucceeded(T, {}, "1"))
    assert socket.join(T, {"other": 1}) is socket
    assert len(connection.told()) == 1


def test_a_join_after_an_end_has_its_own_params_and_ref(
    joined: Socket, connection: FakeConnection
) -> None:
    socket = apply_event(joined, TopicLeft(T, "1")).join(T, {"b": 2})
    assert connection.told() == [JoinTopic(T, {"b": 2}, "2")]
    assert socket.joins[T].status == "requested"
    assert socket.joins[T].params == {"b": 2}
    # The old one's events are not the new one's.
    assert apply_event(socket, TopicLeft(T, "1")) == socket


def test_a_join_right_after_a_leave(joined: Socket, connection: FakeConnection) -> None:
    socket = joined.leave(T).join(T)
    assert connection.told() == [LeaveTopic(T, "1"), JoinTopic(T, {}, "2")]
    socket = apply_event(socket, TopicLeft(T, "1"))
    assert socket.join_status(T) == "requested"
    assert apply_event(socket, TopicJoinSucceeded(T, {}, "2")).joined(T)


def test_a_join_without_a_connection_is_recorded_and_sent_later(
    connection: FakeConnection,
) -> None:
    socket = new_socket().join(T, {"a": 1})
    assert socket.joins[T] == Join(T, {"a": 1}, "requested")
    socket = replace(socket, channel_config=Configuration.validate(URI, {}))
    socket = send_requested(apply_event(socket, ChannelConnected(connection)))
    assert connection.told() == [JoinTopic(T, {"a": 1}, "1")]
    assert socket.joins[T].join_ref == "1"
    assert send_requested(socket) == socket
    assert connection.told() == []


def test_a_join_takes_the_place_of_a_rejoin(joined: Socket, connection: FakeConnection) -> None:
    socket = apply_event(joined, TopicJoinClosed(T, ChannelCrashed({}), "1")).rejoin(T)
    socket = socket.join(T, {"mine": 1})
    assert connection.told() == [JoinTopic(T, {"mine": 1}, "2")]
    assert socket.joins[T].join_ref == "2"


def test_params_of_a_join_may_be_any_json(socket: Socket, connection: FakeConnection) -> None:
    values: list[Any] = [None, [1], "text", 0, {}]
    for n, params in enumerate(values):
        socket = socket.join(f"room:{n}", params)
    assert [command.payload for command in connection.told()] == values


def test_params_that_are_no_json_fail_where_the_mistake_is(
    socket: Socket, connection: FakeConnection
) -> None:
    with pytest.raises(SerializerError, match="phx_join"):
        socket.join(T, {"a": object()})
    assert connection.told() == []


@pytest.mark.parametrize("method", ["join", "rejoin", "leave"])
@pytest.mark.parametrize("topic", [None, 5, b"room:1"])
def test_a_topic_is_text(socket: Socket, method: str, topic: Any) -> None:
    with pytest.raises(TypeError, match=f"topic must be a str, not {type(topic).__name__}"):
        getattr(socket, method)(topic)


# rejoin


def test_a_rejoin_of_what_was_never_joined(socket: Socket) -> None:
    with pytest.raises(NeverJoinedError, match=T):
        socket.rejoin(T)


def test_a_rejoin_of_what_is_joined_or_asked_for_is_without_effect(
    joined: Socket, clock: Clock
) -> None:
    assert joined.rejoin(T) is joined
    asked = joined.join("room:2")
    assert asked.rejoin("room:2") is asked
    clock.now += 1_000
    assert due(joined) is None


def test_rejoins_have_their_delays(connection: FakeConnection, clock: Clock) -> None:
    socket = connected_to(connection, rejoin_after_msec=[100, 500], rejoin_jitter_msec=0).join(
        T, {"a": 1}
    )
    ref = 1
    for turn, delay in enumerate([0.1, 0.5, 0.5]):
        crash = TopicJoinClosed(T, ChannelCrashed({}), str(ref))
        socket = apply_event(socket, crash).rejoin(T)
        assert socket.joins[T].rejoin_counter == turn + 1
        assert socket.join_status(T) == "closed"
        assert socket.joins[T].rejoin_in == pytest.approx(delay, abs=0.05)
        assert socket.rejoin(T) is socket
        clock.now += delay - 0.01
        assert due(socket) is None
        clock.now += 0.02
        message = due(socket)
        assert isinstance(message, RejoinDue)
        assert due_join(socket, message) is socket.joins[T]
        socket = request(socket, socket.joins[T], "rejoin")
        ref += 1
        assert connection.told()[-1] == JoinTopic(T, {"a": 1}, str(ref))
        assert socket.joins[T].rejoin_counter == turn + 1
    # A join starts the count anew.
    socket = apply_event(socket, TopicJoinSucceeded(T, {}, str(ref)))
    assert socket.joins[T].rejoin_counter == 0


def test_a_reconnect_that_is_moved_leaves_rejoins_where_they_are(
    connection: FakeConnection, clock: Clock
) -> None:
    """No connection ends by it: the rejoin does not wait for the next one."""
    closed = apply_event(connected_to(connection).join(T), ChannelClosed(ClosedByPeer(1012)))
    waiting = closed.reconnect(delay=60).leave(T).rejoin(T, {}, delay=3)
    for delay in (30, 90):
        waiting = waiting.reconnect(delay=delay)
        assert waiting.joins[T].rejoin_in == pytest.approx(3, abs=0.05)
        assert not waiting.joins[T]._details.lost
    waiting.disconnect()


def test_a_rejoin_keeps_the_params_or_replaces_them(joined: Socket) -> None:
    crashed = apply_event(joined, TopicJoinClosed(T, ChannelCrashed({}), "1"))
    assert crashed.rejoin(T).joins[T].params == {"a": 1}
    assert crashed.rejoin(T, {"b": 2}).joins[T].params == {"b": 2}
    assert crashed.rejoin(T, None).joins[T].params is None
    # What the server said last is kept.
    assert crashed.rejoin(T).joins[T].response == {"hello": 1}


# leave


def test_a_leave_is_asked_for(joined: Socket, connection: FakeConnection) -> None:
    socket = joined.leave(T)
    assert connection.told() == [LeaveTopic(T, "1")]
    assert socket.join_status(T) == "closed"
    assert socket.leave(T) is socket
    assert connection.told() == []
    socket = apply_event(socket, TopicLeft(T, "1"))
    assert socket.joins[T].join_ref is None


def test_a_leave_of_what_is_not_joined_is_without_effect(
    socket: Socket, connection: FakeConnection
) -> None:
    assert socket.leave(T) is socket
    assert connection.told() == []


def test_a_leave_of_a_recorded_join_forgets_it() -> None:
    socket = new_socket().join(T).leave(T)
    assert socket.join_status(T) == "closed"


# push


def test_a_push_is_encoded_and_has_a_ref(joined: Socket, connection: FakeConnection) -> None:
    ref = joined.push(T, "new", {"n": 1})
    [command] = connection.told()
    assert isinstance(ref, Ref)
    assert (str(ref), ref.topic, ref.join_ref) == ("2", T, "1")
    assert isinstance(command, PushMessage)
    assert (command.ref, command.join_ref, command.awaited) == ("2", "1", False)
    assert isinstance(command.data, str)
    assert json.loads(command.data) == ["1", "2", T, "new", {"n": 1}]


def test_pushes_without_payload_of_bytes_and_of_null(
    joined: Socket, connection: FakeConnection
) -> None:
    joined.push(T, "a")
    joined.push(T, "b", b"\0\1")
    joined.push(T, "c", None)
    data = [command.data for command in connection.told()]
    assert json.loads(data[0])[4] == {}
    assert data[1] == b"\0\1\1\6\x01" + b"13" + T.encode() + b"b" + b"\0\1"
    assert json.loads(data[2])[4] is None


def test_no_ref_is_used_twice(joined: Socket, connection: FakeConnection) -> None:
    refs = [joined.push(T, "a") for _ in range(10)]
    socket = joined.join("room:2")
    refs.append(socket.push(T, "a"))
    assert len({*refs, "1", socket.joins["room:2"].join_ref}) == 13


def test_a_push_needs_a_connection(joined: Socket, connection: FakeConnection) -> None:
    connection.alive = False
    with pytest.raises(NotConnectedError, match="'new' on 'room:1' was not sent"):
        joined.push(T, "new")
    with pytest.raises(NotConnectedError):
        new_socket().push(T, "new")


def test_a_connection_that_dies_under_a_push(
    joined: Socket, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Any) -> None:
        raise ActorDeadError("just now")

    monkeypatch.setattr(connection, "tell", die)
    with pytest.raises(NotConnectedError):
        joined.push(T, "new")


def test_a_push_needs_a_joined_topic(socket: Socket, connection: FakeConnection) -> None:
    for made in (socket, socket.join(T), apply_event(socket, TopicJoinSucceeded(T)).leave(T)):
        connection.told()
        with pytest.raises(NotJoinedError, match=T):
            made.push(T, "new")
        assert connection.told() == []


class Own:
    """A serializer that knows no errors of ours."""

    def encode(self, message: Message) -> str:
        return json.dumps(message.payload)

    def decode(self, data: str | bytes) -> Message:
        raise NotImplementedError


def test_what_a_serializer_of_ones_own_cannot_encode(connection: FakeConnection) -> None:
    own = connected_to(connection, serializer=Own())
    asked = own.join(T)
    joined = apply_event(asked, TopicJoinSucceeded(T))
    connection.told()
    payload = {"a": object()}
    for use in (
        lambda: joined.push(T, "new", payload),
        lambda: asked.push(T, "new", payload, buffer=True),
        lambda: own.join("room:2", payload),
    ):
        with pytest.raises(SerializerError, match="Own raised TypeError") as raised:
            use()
        assert isinstance(raised.value.__cause__, TypeError)
    assert connection.told() == []


def test_a_push_of_what_cannot_be_encoded(joined: Socket, connection: FakeConnection) -> None:
    with pytest.raises(SerializerError):
        joined.push(T, "new", {"a": object()})
    with pytest.raises(SerializerError):
        joined.push(T, "x" * 256, b"binary")
    assert connection.told() == []


@pytest.mark.parametrize("event", [None, 5, b"new"])
@pytest.mark.parametrize("payload", [{}, b"binary"])
def test_an_event_is_text(joined: Socket, event: Any, payload: Any) -> None:
    with pytest.raises(TypeError, match="event must be a str"):
        joined.push(T, event, payload)


def test_a_ref_is_its_text_and_keeps_what_it_knows() -> None:
    ref = Ref("2", T, "1")
    assert ref == "2"
    waiting: dict[str, int] = {ref: 1}
    assert waiting["2"] == 1
    for copied in (pickle.loads(pickle.dumps(ref)), copy.copy(ref), copy.deepcopy(ref)):
        assert isinstance(copied, Ref)
        assert (copied, copied.topic, copied.join_ref) == ("2", T, "1")


def test_a_reply_is_unwrapped_or_raised() -> None:
    assert Reply("ok", {"a": 1}).unwrap() == {"a": 1}
    assert Reply("ok").ok
    full = Reply("full", [1])
    assert not full.ok
    with pytest.raises(ReplyError, match="'full'") as raised:
        full.unwrap()
    assert (raised.value.reply, raised.value.status, raised.value.response) == (full, "full", [1])


# connect, reconnect, disconnect


def test_connect_validates_at_once() -> None:
    with pytest.raises(ConfigurationError, match="uri"):
        connect("http://localhost")
    with pytest.raises(ConfigurationError, match="did you mean headers"):
        new_socket().connect(URI, header=[])  # type: ignore[call-arg]


def test_connect_keeps_the_assigns_and_replaces_the_connection(
    joined: Socket, connection: FakeConnection
) -> None:
    socket = joined.assign(a=1).connect(URI, test_mode=True)
    assert connection.told() == [CloseConnection()]
    assert socket.assigns["a"] == 1
    assert not socket.connected
    assert socket.join_status(T) == "closed"
    assert socket.channel_config is not None
    assert socket.channel_config.test_mode


def test_reconnect_needs_a_configuration() -> None:
    with pytest.raises(NotConfiguredError):
        new_socket().reconnect()


def test_reconnect_is_without_effect_while_connected_or_on_the_way(
    socket: Socket, clock: Clock
) -> None:
    assert socket.reconnect() is socket
    connecting = connect(URI, test_mode=True)
    assert connecting.reconnect() is connecting
    clock.now += 1_000
    assert due(socket) is None


def test_reconnects_have_their_delays(clock: Clock) -> None:
    socket = connect(URI, test_mode=True, reconnect_after_msec=[10, 200], reconnect_jitter_msec=0)
    for turn, delay in enumerate([0.01, 0.2, 0.2]):
        socket = apply_event(socket, ChannelClosed(ClosedByPeer(1001))).reconnect()
        assert socket.reconnect_counter == turn + 1
        assert socket.reconnect() is socket
        clock.now += delay - 0.005
        assert due(socket) is None
        clock.now += 0.01
        message = due(socket)
        assert isinstance(message, ReconnectDue)
        assert is_due(socket, message)
    socket = apply_event(socket, ChannelConnected(FakeConnection()))
    assert socket.reconnect_counter == 0


def test_disconnect_asks_the_connection(joined: Socket, connection: FakeConnection) -> None:
    socket = joined.disconnect()
    assert connection.told() == [CloseConnection()]
    assert not socket.connected
    assert socket.status == "closing"
    with pytest.raises(NotConnectedError):
        socket.push(T, "hello")
    assert socket.join("room:2").joins["room:2"].join_ref is None


def test_disconnect_cancels_a_reconnect(clock: Clock) -> None:
    socket = connect(URI, test_mode=True)
    socket = apply_event(socket, ChannelClosed(ClosedByPeer(1001))).reconnect().disconnect()
    assert socket._link is None
    clock.now += 1_000
    assert due(socket) is None


def test_disconnect_without_a_connection_is_without_effect() -> None:
    socket = new_socket()
    assert socket.disconnect() is socket


def test_collect_garbage_is_a_command(socket: Socket, connection: FakeConnection) -> None:
    assert socket.collect_garbage() is socket
    assert connection.told() == [CollectGarbage()]
    assert new_socket().collect_garbage() is not None


@pytest.mark.parametrize("method", ["join", "leave", "disconnect", "collect_garbage"])
def test_a_dead_connection_hurts_nothing(
    joined: Socket, connection: FakeConnection, method: str
) -> None:
    connection.alive = False
    topic = {"join": ["room:2"], "leave": [T]}.get(method, [])
    assert isinstance(getattr(joined, method)(*topic), Socket)


def test_a_join_that_the_connection_did_not_take_is_sent_on_the_next(
    socket: Socket, connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has died, and nobody knew yet: without a ref the join is one that was not sent."""

    def die(_: Any) -> None:
        raise ActorDeadError("just now")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "tell", die)
        socket = socket.join(T, {"a": 1})
    assert socket.joins[T] == Join(T, {"a": 1}, "requested")
    socket = apply_event(socket, ChannelClosed(ClosedByPeer(1006)))
    again = FakeConnection()
    socket = send_requested(apply_event(socket, ChannelConnected(again)))
    assert again.told() == [JoinTopic(T, {"a": 1}, socket.joins[T].join_ref)]


# whose it is

OWNED: dict[str, Callable[[Socket], Any]] = {
    "await_connect": lambda s: s.await_connect(),
    "await_disconnect": lambda s: s.await_disconnect(),
    "await_join": lambda s: s.await_join(T),
    "await_leave": lambda s: s.await_leave(T),
    "await_message": lambda s: s.await_message(),
    "await_reply": lambda s: s.await_reply(Ref("1", T, "1")),
    "rejoin": lambda s: apply_event(s, TopicLeft(T)).rejoin(T),
    "reconnect": lambda s: apply_event(s, ChannelClosed(None)).reconnect(),
}


@pytest.mark.parametrize("method", OWNED)
def test_another_thread_is_told_at_once(joined: Socket, method: str) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            OWNED[method](joined)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    [error] = raised
    assert isinstance(error, NotOwnerError)
    assert method in str(error)


# any use of it

USES = (
    st.builds(lambda t, p: ("join", t, p), TOPICS, st.sampled_from([{}, [1], None]))
    | st.builds(lambda m, t: (m, t), st.sampled_from(["leave", "rejoin"]), TOPICS)
    | st.builds(lambda m: (m,), st.sampled_from(["reconnect", "disconnect", "collect_garbage"]))
    | st.builds(lambda k, v: ("assign", k, v), st.sampled_from("ab"), st.integers())
    | st.builds(lambda t: ("push", t, "event"), TOPICS)
    | events(REFS | st.none())
)
DOCUMENTED = (NeverJoinedError, NotConnectedError, NotJoinedError)


@settings(deadline=None)
@given(st.lists(USES, max_size=25))
def test_any_use_leaves_a_valid_socket(uses: list[Any]) -> None:
    process._here.__dict__.pop("ref", None)
    socket = connected_to(FakeConnection())
    for use in uses:
        before = snapshot(socket)
        after = socket
        if not isinstance(use, tuple):
            after = apply_event(socket, use)
        else:
            try:
                result = getattr(socket, use[0])(*use[1:])
            except DOCUMENTED:
                result = None
            if isinstance(result, Socket):
                after = result
        assert snapshot(socket) == before
        check(after)
        socket = after
