"""`ClientActor` with a server that the test plays: events are sent by hand, no socket is opened."""

from __future__ import annotations

import logging
import queue
import threading
import time
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    ActorDeadError,
    AlreadyStartedError,
    Answer,
    AwaitTimeoutError,
    CallbackReturnError,
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    ChannelCrashed,
    ChannelEnded,
    ClientActor,
    ClientEndedError,
    ClientState,
    ClosedByClient,
    ClosedByPeer,
    ConfigurationError,
    ConnectFailed,
    From,
    Ignore,
    JoinRefused,
    MessageReceived,
    Next,
    NotOwnerError,
    PushFailed,
    PushTimeout,
    Reply,
    ReplyReceived,
    SlipstreamError,
    Socket,
    StartError,
    StartIgnored,
    Stop,
    Timer,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
    call,
    cast,
    connect,
    get_state,
    new_socket,
    reply,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors import names
from slipstream_actor.actors.envelopes import TAKE, Burst
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.process import current
from slipstream_actor.client.callbacks import CALLBACKS
from slipstream_actor.protocol.commands import (
    CloseConnection,
    CollectGarbage,
    JoinTopic,
    LeaveTopic,
    PushMessage,
)
from slipstream_actor.protocol.events import Event
from tests.support.clients import PATIENCE, Log, eventually

URI = "ws://test.invalid/socket/websocket"
TOPIC = "rooms:lobby"
CLOSED = ClosedByPeer(1001)
NO_SERVER = ConnectFailed("refused")

Act = Callable[..., Any]
Play = Callable[..., tuple[Any, Log]]


class Line(pykka.ActorRef[Any]):
    """A connection that the test plays: it keeps the commands that it is told."""

    def __init__(self) -> None:
        self.commands: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.actor_inbox: Inbox = Inbox()
        self.alive = True

    def __str__(self) -> str:
        return "Line"

    def is_alive(self) -> bool:
        return self.alive

    def tell(self, command: Any) -> None:
        self.commands.put(command)
        if type(command) is CloseConnection:
            self.actor_inbox.ended.set(ClosedByClient())

    def told(self, kind: type) -> Any:
        """Return the next command, which is of this kind."""
        command = self.commands.get(timeout=PATIENCE)
        assert type(command) is kind
        return command


class Player(ClientActor):
    """Puts each callback with its arguments into `log` and does what `acts` has for it.

    An act is called with the client and the callback's arguments, the socket last. Without one the
    callback is that of `ClientActor`.
    """

    def init(self, log: Log, acts: Mapping[str, Act]) -> Any:
        self.log, self.acts = log, acts
        return self.play("init") if "init" in acts else connect(URI, test_mode=True)

    def play(self, name: str, *arguments: Any) -> Any:
        self.log.put((name, *arguments[:-1]))
        act = self.acts.get(name, getattr(ClientActor, name))
        return act(self, *arguments)

    def do(self, function: Callable[[Any], Any]) -> Any:
        """A public method, for proxies."""
        return function(self)


def played(name: str) -> Act:
    def callback(self: Player, *arguments: Any) -> Any:
        return self.play(name, *arguments)

    return callback


EVENT_CALLBACKS = sorted({name for name, _ in CALLBACKS.values()} - {"handle_info"})
OTHER_CALLBACKS = ["handle_info", "handle_cast", "handle_continue"]
for _name in (*EVENT_CALLBACKS, *OTHER_CALLBACKS, "handle_call", "terminate"):
    setattr(Player, _name, played(_name))


@pytest.fixture
def play() -> Iterator[Play]:
    """Start `Player`s; they are stopped at the end, and within the deadline."""
    refs = []

    def start(acts: Mapping[str, Act] | None = None, **options: Any) -> tuple[Any, Log]:
        log = Log()
        ref = Player.start(log, acts or {}, **options)
        refs.append(ref)
        return ref, log

    yield start
    for ref in refs:
        if ref is not None:
            ref.stop(timeout=PATIENCE)


class Gate:
    """Holds a callback up until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def hold(self) -> Any:
        self.reached.set()
        assert self._opened.wait(PATIENCE)

    def wait_until_reached(self) -> None:
        assert self.reached.wait(PATIENCE)

    def open(self) -> None:
        self._opened.set()


def connected(ref: Any, log: Log) -> Line:
    """Connect a client to a line of its own."""
    line = Line()
    ref.tell(ChannelConnected(line))
    log.take("handle_connect")
    return line


def before_mark(ref: Any, log: Log) -> list[Any]:
    """Return the callbacks that come before a message that is sent now."""
    mark = object()
    ref.tell(mark)
    entries = []
    while (entry := log.get(timeout=PATIENCE)) != ("handle_info", mark):
        entries.append(entry)
    return entries


def once(act: Act) -> Act:
    """Do `act` the first time, and nothing afterwards."""
    acts = iter([act])

    def first(*arguments: Any) -> Any:
        return next(acts, lambda *_: None)(*arguments)

    return first


class InThread:
    """Runs `function` in a thread."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)
        self._outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        function, arguments = self._call
        try:
            self._outcome.put(function(*arguments))
        except BaseException as error:
            self._outcome.put(error)

    def outcome(self) -> Any:
        """Return what it returned or raised, within twice the deadline."""
        return self._outcome.get(timeout=2 * PATIENCE)


def boom(*_: Any) -> Any:
    raise ValueError("boom")


def raising(error: BaseException) -> Act:
    def act(*_: Any) -> Any:
        raise error

    return act


def become(ref: Any, change: Callable[[Socket], Socket]) -> None:
    """Change the client's socket, as a public method of the user's would."""
    ref.proxy().do(lambda me: setattr(me, "socket", change(me.socket))).get(timeout=PATIENCE)


def request(ref: Any, line: Line) -> Any:
    """Have the client ask for `TOPIC`; returns the join_ref."""
    become(ref, lambda socket: socket.join(TOPIC))
    return line.told(JoinTopic).join_ref


def joined(ref: Any, log: Log, line: Line) -> Any:
    """Have the client join, as a server would let it; returns the join_ref."""
    join_ref = request(ref, line)
    ref.tell(Burst(line, [TopicJoinSucceeded(TOPIC, {}, join_ref)]))
    log.take("handle_join")
    return join_ref


def messages(*events: str) -> list[MessageReceived]:
    return [MessageReceived(TOPIC, event) for event in events]


def seen(log: Log, count: int) -> list[Any]:
    """Return what the next callbacks were called with: an event's name or a message."""
    entries = [log.get(timeout=PATIENCE) for _ in range(count)]
    return [entry[2] if entry[0] == "handle_message" else entry[1] for entry in entries]


FUTURES: dict[str, Callable[[], Any]] = {"plain": pykka.ThreadingFuture, "ours": Future[Any]}
WAITERS: dict[str, Act] = {
    "call": lambda ref: call(ref, "m", PATIENCE),
    "ask": lambda ref: ref.ask("m", timeout=PATIENCE),
    "proxy": lambda ref: ref.proxy().do(lambda me: None).get(timeout=PATIENCE),
    "wait_until_joined": lambda ref: wait_until_joined(ref, TOPIC, PATIENCE),
    "get_state": lambda ref: get_state(ref, PATIENCE),
}
ENDS: dict[str, Act] = {
    "stop": lambda ref: ref.stop(timeout=PATIENCE),
    "Stop": lambda ref: cast(ref, "stop"),
    "crash": lambda ref: cast(ref, "crash"),
}
ENDING: dict[str, Act] = {
    "handle_cast": lambda *a: Stop("shutdown") if a[1] == "stop" else boom(),
}


# events and their callbacks

EVENTS: list[tuple[Any, tuple[Any, ...]]] = [
    (ChannelConnectFailed(NO_SERVER), ("handle_disconnect", NO_SERVER)),
    (ChannelClosed(CLOSED), ("handle_disconnect", CLOSED)),
    (TopicJoinSucceeded(TOPIC, {"a": 1}), ("handle_join", TOPIC, {"a": 1})),
    (
        TopicJoinFailed(TOPIC, JoinRefused({"b": 2})),
        ("handle_topic_close", TOPIC, JoinRefused({"b": 2})),
    ),
    (TopicJoinClosed(TOPIC, ChannelCrashed({})), ("handle_topic_close", TOPIC, ChannelCrashed({}))),
    (TopicLeft(TOPIC), ("handle_leave", TOPIC)),
    (MessageReceived(TOPIC, "shout", b"\x00"), ("handle_message", TOPIC, "shout", b"\x00")),
    (ReplyReceived(TOPIC, "7", Reply("ok", [])), ("handle_reply", "7", Reply("ok", []))),
    (
        PushFailed(TOPIC, "e", "7", ChannelEnded("left")),
        ("handle_push_failed", "7", TOPIC, "e", ChannelEnded("left")),
    ),
]


@pytest.mark.parametrize(("event", "expected"), EVENTS)
def test_an_event_leads_to_its_callback(play: Play, event: Any, expected: tuple[Any, ...]) -> None:
    ref, log = play()
    ref.tell(event)
    assert log.get(timeout=PATIENCE) == expected


def test_a_connection_leads_to_handle_connect(play: Play) -> None:
    ref, log = play()
    line = Line()
    ref.tell(ChannelConnected(line, {"server": "Cowboy"}))
    assert log.get(timeout=PATIENCE) == ("handle_connect",)
    socket = get_state(ref).socket
    assert socket.channel_pid is line
    assert socket.connected
    assert socket.response_headers == {"server": "Cowboy"}


def test_every_event_has_a_callback() -> None:
    assert set(CALLBACKS) == set(typing.get_args(Event))
    for name, _ in CALLBACKS.values():
        assert callable(getattr(ClientActor, name))


def test_a_callback_gets_the_socket_as_the_event_left_it(play: Play) -> None:
    statuses = []
    ref, log = play(
        {
            "handle_join": lambda *a: statuses.append(a[-1].join_status(TOPIC)),
            "handle_leave": lambda *a: statuses.append(a[-1].join_status(TOPIC)),
            "handle_connect": lambda *a: statuses.append(a[-1].connected),
            "handle_disconnect": lambda *a: statuses.append(a[-1].connected),
        }
    )
    connected(ref, log)
    for event in (TopicJoinSucceeded(TOPIC), TopicLeft(TOPIC), ChannelClosed(CLOSED)):
        ref.tell(event)
    log.take("handle_disconnect")
    eventually(lambda: len(statuses) == 4)
    assert statuses == [True, "joined", "closed", False]


# defaults: Slipstream's

UNCHANGED = [
    ChannelConnected(Line()),
    TopicJoinSucceeded(TOPIC),
    TopicLeft(TOPIC),
    MessageReceived(TOPIC, "e"),
    ReplyReceived(TOPIC, "1", Reply("ok")),
    "a message",
]


@pytest.mark.parametrize("message", UNCHANGED, ids=lambda m: type(m).__name__)
def test_most_callbacks_leave_the_socket_as_it_is(message: Any) -> None:
    class Plain(ClientActor):
        pass

    ref = Plain.start()
    ref.tell(message)
    after = get_state(ref).socket
    ref.stop()
    assert after.assigns == {}
    assert after.channel_config is None
    assert all(join.status != "requested" for join in after.joins.values())


@pytest.mark.parametrize(
    ("send", "name"),
    [
        (lambda ref: cast(ref, "hello"), "handle_cast"),
        (lambda ref: ref.tell("continue"), "handle_continue"),
    ],
)
def test_what_has_no_default_names_the_messages_type(play: Play, send: Act, name: str) -> None:
    ref, _ = play({"handle_info": lambda *_: Next(then="hello")})
    send(ref)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, NotImplementedError)
    assert str(reason) == f"Player.{name} for a message of type str"


def test_handle_call_has_no_default_either(play: Play) -> None:
    ref, _ = play()
    with pytest.raises(NotImplementedError, match=r"Player\.handle_call for a message of type str"):
        ref.ask("hello")


@pytest.mark.parametrize("event", [ChannelClosed(CLOSED), ChannelConnectFailed(NO_SERVER)])
def test_a_disconnect_is_answered_with_a_reconnect(play: Play, event: Any) -> None:
    ref, log = play()
    ref.tell(event)
    log.take("handle_disconnect")
    assert get_state(ref).socket.reconnect_counter == 1


def test_our_own_disconnect_is_not(play: Play) -> None:
    ref, log = play()
    ref.tell(ChannelClosed(ClosedByClient()))
    log.take("handle_disconnect")
    assert get_state(ref).socket.reconnect_counter == 0


def test_a_client_without_a_configuration_does_not_reconnect(play: Play) -> None:
    ref, log = play({"init": lambda *_: new_socket()})
    ref.tell(ChannelClosed(CLOSED))
    log.take("handle_disconnect")
    assert get_state(ref).socket.reconnect_counter == 0


@pytest.mark.parametrize(
    "event",
    [TopicJoinClosed(TOPIC, ChannelCrashed({})), TopicJoinFailed(TOPIC, JoinRefused({}))],
)
def test_a_closed_topic_is_rejoined_with_its_params(play: Play, event: Any) -> None:
    ref, log = play({"handle_connect": lambda *a: a[-1].join(TOPIC, {"name": "alice"})})
    line = connected(ref, log)
    assert line.told(JoinTopic).payload == {"name": "alice"}
    ref.tell(event)
    log.take("handle_topic_close")
    join = get_state(ref).socket.joins[TOPIC]
    assert (join.status, join.rejoin_counter) == ("closed", 1)
    assert join.rejoin_in is not None
    assert line.told(JoinTopic).payload == {"name": "alice"}


def test_a_topic_that_was_left_is_not_rejoined(play: Play) -> None:
    ref, log = play()
    ref.tell(TopicJoinSucceeded(TOPIC))
    ref.tell(TopicLeft(TOPIC))
    log.take("handle_leave")
    assert get_state(ref).socket.join_status(TOPIC) == "closed"


def test_the_end_of_a_topic_that_was_never_asked_for_is_let_be(play: Play) -> None:
    ref, log = play()
    ref.tell(TopicJoinClosed(TOPIC, ChannelCrashed({})))
    log.take("handle_topic_close")
    assert get_state(ref).socket.joins == {}


# joins around a connection

JOINING: dict[str, Act] = {"init": lambda me: connect(URI, test_mode=True).join(TOPIC, {"n": 1})}


def test_a_join_from_before_goes_out_after_handle_connect_has_returned(play: Play) -> None:
    sent_before = []

    def on_connect(_: Any, socket: Socket) -> Socket:
        line: Any = socket.channel_pid
        sent_before.append(line.commands.qsize())
        return socket

    ref, log = play({**JOINING, "handle_connect": on_connect})
    line = connected(ref, log)
    command = line.told(JoinTopic)
    assert (command.topic, command.payload) == (TOPIC, {"n": 1})
    assert sent_before == [0]


def test_a_join_in_handle_connect_takes_the_place_of_the_rejoin(play: Play) -> None:
    ref, log = play({**JOINING, "handle_connect": lambda *a: a[-1].join(TOPIC, {"n": 2})})
    line = connected(ref, log)
    assert line.told(JoinTopic).payload == {"n": 2}
    assert get_state(ref).socket.joins[TOPIC].params == {"n": 2}
    assert line.commands.empty()


def test_a_recorded_join_survives_a_failed_attempt(play: Play) -> None:
    ref, log = play(JOINING)
    ref.tell(ChannelConnectFailed(NO_SERVER))
    log.take("handle_disconnect")
    assert connected(ref, log).told(JoinTopic).payload == {"n": 1}


def test_the_joins_of_a_connection_end_with_it_and_without_a_callback(play: Play) -> None:
    ref, log = play()
    connected(ref, log)
    ref.tell(TopicJoinSucceeded(TOPIC))
    ref.tell(ChannelClosed(CLOSED))
    log.take("handle_disconnect")
    assert get_state(ref).socket.join_status(TOPIC) == "closed"
    assert before_mark(ref, log) == []


# what callbacks return


def by_burst(ref: Any) -> None:
    line = Line()
    ref.tell(ChannelConnected(line))
    ref.tell(Burst(line, [MessageReceived(TOPIC, "e")]))


TRIGGERS: dict[str, Act] = {
    "handle_connect": lambda ref: ref.tell(ChannelConnected(Line())),
    "handle_disconnect": lambda ref: ref.tell(ChannelClosed(CLOSED)),
    "handle_join": lambda ref: ref.tell(TopicJoinSucceeded(TOPIC)),
    "handle_leave": lambda ref: ref.tell(TopicLeft(TOPIC)),
    "handle_message": lambda ref: ref.tell(MessageReceived(TOPIC, "e")),
    "handle_message of a burst": by_burst,
    "handle_reply": lambda ref: ref.tell(ReplyReceived(TOPIC, "1", Reply("ok"))),
    "handle_push_failed": lambda ref: ref.tell(PushFailed(TOPIC, "e", "1", PushTimeout())),
    "handle_topic_close": lambda ref: ref.tell(TopicJoinClosed(TOPIC, ChannelCrashed({}))),
    "handle_info": lambda ref: ref.tell("a message"),
    "handle_cast": lambda ref: cast(ref, "a message"),
    "handle_continue": lambda ref: ref.tell("continue"),
}
each_callback = pytest.mark.parametrize(
    ("name", "trigger"),
    [(key.partition(" ")[0], trigger) for key, trigger in TRIGGERS.items()],
    ids=list(TRIGGERS),
)


def run(play: Play, name: str, trigger: Act, act: Act) -> tuple[Any, Log]:
    """Start a client that does `act` in the callback `name`, once, and have it called."""
    acts = {"handle_continue": lambda *_: None, name: once(act)}
    if name == "handle_continue":
        acts["handle_info"] = once(lambda *_: Next(then="term"))
    ref, log = play(acts)
    trigger(ref)
    log.take(name)
    return ref, log


def test_every_callback_is_tried() -> None:
    tried = {key.partition(" ")[0] for key in TRIGGERS}
    assert tried == {*EVENT_CALLBACKS, *OTHER_CALLBACKS}


@each_callback
def test_a_callback_returns_the_next_socket(play: Play, name: str, trigger: Act) -> None:
    ref, _ = run(play, name, trigger, lambda *a: a[-1].assign(seen=name))
    assert get_state(ref).socket.assigns == {"seen": name}


@each_callback
def test_a_callback_returns_nothing(play: Play, name: str, trigger: Act) -> None:
    ref, _ = run(play, name, trigger, lambda *_: None)
    state = get_state(ref)
    assert state.socket.assigns == {}
    assert state.socket.socket_pid is ref


@each_callback
def test_a_callback_that_assigned_self_socket_returns_nothing(
    play: Play, name: str, trigger: Act
) -> None:
    def act(me: Any, *arguments: Any) -> None:
        me.socket = arguments[-1].assign(seen=name)

    ref, _ = run(play, name, trigger, act)
    assert get_state(ref).socket.assigns == {"seen": name}


@each_callback
def test_an_assigned_self_socket_outlives_the_return_of_the_old_one(
    play: Play, name: str, trigger: Act
) -> None:
    # As when a method of the user's assigns it, and the callback ends with its usual line.
    def act(me: Any, *arguments: Any) -> Any:
        me.socket = arguments[-1].assign(seen=name)
        return arguments[-1]

    ref, _ = run(play, name, trigger, act)
    assert get_state(ref).socket.assigns == {"seen": name}


@each_callback
def test_next_with_a_timeout(play: Play, name: str, trigger: Act) -> None:
    ref, log = run(play, name, trigger, lambda *a: Next(a[-1].assign(a=1), timeout=0.01))
    assert log.take("handle_info", "timeout")
    assert get_state(ref).socket.assigns == {"a": 1}


@each_callback
def test_next_without_a_socket(play: Play, name: str, trigger: Act) -> None:
    ref, log = run(play, name, trigger, lambda *_: Next(timeout=0.01))
    assert log.take("handle_info", "timeout")
    assert get_state(ref).socket.assigns == {}


@each_callback
def test_next_with_a_continuation(play: Play, name: str, trigger: Act) -> None:
    ref, log = run(play, name, trigger, lambda *a: Next(a[-1].assign(a=1), then="go on"))
    log.take("handle_continue", "go on")
    assert get_state(ref).socket.assigns == {"a": 1}


@each_callback
def test_stop_ends_the_client(play: Play, name: str, trigger: Act) -> None:
    ref, log = run(play, name, trigger, lambda *a: Stop("shutdown", a[-1].assign(a=1)))
    assert wait(ref, timeout=PATIENCE) == "shutdown"
    assert log.take("terminate") == ("terminate", "shutdown")
    assert not ref.is_alive()


@each_callback
def test_stop_without_a_socket(play: Play, name: str, trigger: Act) -> None:
    ref, _ = run(play, name, trigger, lambda *_: Stop(("shutdown", 7)))
    assert wait(ref, timeout=PATIENCE) == ("shutdown", 7)


def test_terminate_gets_the_socket_that_came_with_the_stop(play: Play) -> None:
    kept: list[Any] = []
    ref, _ = play(
        {
            "handle_info": lambda *a: Stop("normal", a[-1].assign(a=1)),
            "terminate": lambda *a: kept.append(a[-1].assigns),
        }
    )
    ref.tell("stop")
    assert wait(ref, timeout=PATIENCE) == "normal"
    assert kept == [{"a": 1}]


def test_what_is_in_the_mailbox_is_not_handled_after_a_stop(play: Play) -> None:
    gate = Gate()
    ref, log = play({"handle_info": lambda *_: gate.hold() or Stop("shutdown")})
    ref.tell(1)
    ref.tell(2)
    asked = ref.ask("hello", block=False)
    gate.open()
    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "shutdown"
    assert [entry[0] for entry in log.queue] == ["handle_info", "terminate"]


def test_the_rest_of_the_burst_is_not_handled_after_a_stop(play: Play) -> None:
    ref, log = play({"handle_message": lambda *_: Stop("shutdown")})
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2")))
    assert wait(ref, timeout=PATIENCE) == "shutdown"
    eventually(lambda: ref.actor_inbox.closed, "the end of the loop")
    assert seen(log, 2) == ["1", "shutdown"]
    assert log.empty()


# wrong returns

WRONG: list[Any] = ["ok", 0, False, (1, 2), Ignore(), ("ok", new_socket())]


@each_callback
@pytest.mark.parametrize("wrong", [*WRONG, Answer("value")], ids=lambda w: type(w).__name__)
def test_a_wrong_return_ends_the_client(play: Play, name: str, trigger: Act, wrong: Any) -> None:
    ref, log = run(play, name, trigger, lambda *_: wrong)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    expected = (
        f"{name} returned {type(wrong).__name__}; it may return the Socket, None, Next or Stop"
    )
    assert str(reason) == expected
    assert log.take("terminate") == ("terminate", reason)


@pytest.mark.parametrize("wrong", [*WRONG, None, new_socket()], ids=lambda w: type(w).__name__)
def test_a_wrong_return_of_handle_call_goes_to_the_caller(play: Play, wrong: Any) -> None:
    ref, _ = play({"handle_call": lambda *_: wrong})
    message = f"handle_call returned {type(wrong).__name__}; it may return Answer, Next or Stop"
    with pytest.raises(CallbackReturnError) as asked:
        ref.ask("m", timeout=PATIENCE)
    assert str(asked.value) == message
    assert ref.is_alive()
    with pytest.raises(CallbackReturnError) as called:
        call(ref, "m")
    assert wait(ref, timeout=PATIENCE) is called.value


@pytest.mark.parametrize("wrong", [*WRONG[:4], Answer(1)], ids=lambda w: type(w).__name__)
def test_a_wrong_return_of_init_is_raised_by_start(play: Play, wrong: Any) -> None:
    with pytest.raises(CallbackReturnError) as raised:
        play({"init": lambda *_: wrong})
    returned = f"init returned {type(wrong).__name__}; "
    assert str(raised.value) == returned + "it may return the Socket, None, Next, Stop or Ignore"


@each_callback
def test_a_socket_of_another_owner_is_refused(play: Play, name: str, trigger: Act) -> None:
    foreign = new_socket()
    ref, _ = run(play, name, trigger, lambda *_: foreign)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason).startswith(f"{name}: the socket belongs to")


def test_self_socket_takes_only_sockets_of_this_client(play: Play) -> None:
    ref, _ = play()
    foreign = new_socket()
    proxy = ref.proxy()
    with pytest.raises(CallbackReturnError):
        proxy.do(lambda me: setattr(me, "socket", foreign)).get(timeout=PATIENCE)
    with pytest.raises(TypeError, match="must be a Socket, not str"):
        proxy.do(lambda me: setattr(me, "socket", "socket")).get(timeout=PATIENCE)


# lost sockets

LOSING: dict[str, Callable[[Socket], Any]] = {
    "connect": lambda s: s.connect(URI, test_mode=True),
    "reconnect": lambda s: s.reconnect(),
    "join": lambda s: s.join("another"),
    "rejoin": lambda s: s.rejoin(TOPIC),
    "assign": lambda s: s.assign("n", 2),
    "update": lambda s: s.update("n", lambda n: n + 1),
}
AWAITING: dict[str, tuple[Callable[[Socket], Any], Any]] = {
    "await_connect": (lambda s: s.await_connect(), ChannelConnected(Line())),
    "await_disconnect": (lambda s: s.await_disconnect(), ChannelClosed(CLOSED)),
    "await_join": (lambda s: s.await_join(TOPIC), TopicJoinSucceeded(TOPIC)),
    "await_leave": (lambda s: s.await_leave("joined"), TopicLeft("joined")),
}


@pytest.mark.parametrize("given", [False, True], ids=["nothing", "the old socket"])
@pytest.mark.parametrize("method", LOSING)
def test_a_callback_that_loses_a_socket_is_told(play: Play, method: str, given: bool) -> None:
    def lose(_: Any, message: Any, socket: Socket) -> Any:
        LOSING[method](socket)
        return socket if given else None

    ref, _ = play({"handle_disconnect": lambda *a: a[-1].assign(n=1), "handle_cast": lose})
    for event in (TopicJoinSucceeded(TOPIC), TopicLeft(TOPIC), ChannelClosed(CLOSED)):
        ref.tell(event)
    cast(ref, "lose")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason) == (
        f"handle_cast called socket.{method}(), whose result would be lost: return the socket"
    )


@pytest.mark.parametrize("method", AWAITING)
def test_a_callback_that_loses_what_it_awaited_is_told(play: Play, method: str) -> None:
    awaiting, event = AWAITING[method]

    def lose(me: Any, message: Any, socket: Socket) -> None:
        me.actor_ref.tell(event)
        awaiting(socket)

    ref, log = play({"handle_disconnect": lambda *_: None, "handle_cast": lose})
    if method in ("await_join", "await_leave"):
        line = connected(ref, log)
        ref.tell(TopicJoinSucceeded("joined"))
        request(ref, line)
    cast(ref, "lose")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert f"handle_cast called socket.{method}()" in str(reason)


@each_callback
def test_every_callback_is_watched_for_lost_sockets(play: Play, name: str, trigger: Act) -> None:
    ref, _ = run(play, name, trigger, lambda *a: a[-1].assign(a=1) and None)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason).startswith(f"{name} called socket.assign()")


def test_a_recorded_join_that_is_left_may_not_be_lost(play: Play) -> None:
    # Nothing is sent, so that the socket is all that knows of it.
    ref, _ = play({**JOINING, "handle_cast": lambda *a: (a[-1].leave(TOPIC), None)[1]})
    cast(ref, "leave")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason).startswith("handle_cast called socket.leave()")


@pytest.mark.parametrize("result", [Next(), Stop("normal"), Next(then="t")], ids=repr)
def test_next_and_stop_without_the_socket_lose_it_too(play: Play, result: Any) -> None:
    ref, _ = play({"handle_info": lambda *a: a[-1].assign(a=1) and result})
    ref.tell("m")
    assert isinstance(wait(ref, timeout=PATIENCE), CallbackReturnError)


def test_init_may_not_lose_its_socket(play: Play) -> None:
    def lose(*_: Any) -> None:
        connect(URI, test_mode=True)

    with pytest.raises(CallbackReturnError, match=r"init called socket\.connect\(\)"):
        play({"init": lose})


def join_and_lose(socket: Socket) -> Socket:
    socket.join("lost")
    return socket


BESIDE: dict[str, Callable[[Socket], Any]] = {
    "a change before it": lambda s: join_and_lose(s.assign(n=1)),
    "a change after it": lambda s: join_and_lose(s).assign(n=1),
    "another join": lambda s: join_and_lose(s.join("kept")),
    "and goes on with what comes": lambda s: Next(join_and_lose(s.assign(n=1)), timeout=9),
    "the first of two": lambda s: [s.join("lost"), s.join("kept")][1],
    "the second of two": lambda s: [s.join("kept"), s.join("lost")][0],
    "all but the last": lambda s: [s.join(f"room {n}") for n in range(4)][-1].assign(n=1),
    "one beside a chain": lambda s: (s.join("lost"), s.join("kept").join("kept too"))[1],
}


@pytest.mark.parametrize("beside", BESIDE)
def test_a_join_may_not_be_lost_beside_another_socket(play: Play, beside: str) -> None:
    ref, _ = play({"handle_cast": lambda *a: BESIDE[beside](a[-1])})
    cast(ref, "join")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert str(reason) == (
        "handle_cast called socket.join(), whose result would be lost: return the socket that it"
        " returned"
    )


def test_a_connect_may_take_the_place_of_a_reconnect(play: Play) -> None:
    """As in a `handle_disconnect` that asks the default first."""

    def go_elsewhere(me: Any, reason: Any, socket: Socket) -> Socket:
        ClientActor.handle_disconnect(me, reason, socket)
        return socket.connect(URI, test_mode=True).assign(elsewhere=True)

    ref, log = play({"handle_disconnect": go_elsewhere})
    connected(ref, log)
    ref.tell(ChannelClosed(CLOSED))
    assert get_state(ref).socket.assigns["elsewhere"]


def test_init_may_not_lose_a_join(play: Play) -> None:
    def lose(*_: Any) -> Socket:
        return join_and_lose(connect(URI, test_mode=True))

    with pytest.raises(CallbackReturnError, match=r"init called socket\.join\(\)"):
        play({"init": lose})


def test_an_assignment_of_socket_may_not_lose_a_join(play: Play) -> None:
    ref, _ = play()

    def lose(me: Any) -> None:
        me.socket = join_and_lose(me.socket.join("kept"))

    with pytest.raises(CallbackReturnError, match=r"assignment of socket called socket\.join\(\)"):
        ref.proxy().do(lose).get(timeout=PATIENCE)


def test_what_an_end_has_broken_off_is_no_loss_of_terminate(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    def wait_for_it(_: Any, message: Any, socket: Socket) -> Socket:
        return socket.join(TOPIC).await_join(TOPIC, timeout=PATIENCE)

    def note(me: Any, reason: Any, socket: Socket) -> None:
        me.socket = me.socket.assign(ended=True)
        ended.set()

    ended = threading.Event()
    ref, _ = play({"handle_cast": wait_for_it, "terminate": note})
    cast(ref, "join")
    eventually(lambda: ref.actor_inbox.uncommitted, "the join")
    ref.stop(timeout=PATIENCE)
    assert ended.is_set()
    assert not caplog.records


def test_what_a_call_has_dropped_by_raising_is_no_loss_of_the_next(play: Play) -> None:
    def fail(_: Any, message: Any, from_: Any, socket: Socket) -> Any:
        socket.join("lost")
        raise ZeroDivisionError

    ref, _ = play({"handle_call": fail})
    with pytest.raises(ZeroDivisionError):
        ref.ask("m", timeout=PATIENCE)
    set_it: Any = lambda me: setattr(me, "socket", me.socket.assign(n=1))  # noqa: E731
    ref.proxy().do(set_it).get(timeout=PATIENCE)


ASSIGNED: dict[str, Callable[[Any, Socket], Any]] = {
    "nothing": lambda me, s: None,
    "what it was given": lambda me, s: s,
    "what it has assigned": lambda me, s: me.socket,
    "what descends from that": lambda me, s: me.socket.assign(n=1).join("another"),
}


def assign_joins(me: Any, socket: Socket) -> None:
    me.socket = me.socket.join("a")
    me.socket = me.socket.join("b").assign(joined=True)


@pytest.mark.parametrize("result", ASSIGNED)
def test_a_callback_may_assign_joins_and_return_what_knows_of_them(play: Play, result: str) -> None:
    def act(me: Any, message: Any, socket: Socket) -> Any:
        assign_joins(me, socket)
        return ASSIGNED[result](me, socket)

    ref, _ = play({"handle_cast": act})
    cast(ref, "join")
    joins = get_state(ref).socket.joins
    assert {"a", "b"} <= joins.keys()


def test_a_join_that_was_assigned_may_not_be_lost_by_what_is_returned(play: Play) -> None:
    def act(me: Any, message: Any, socket: Socket) -> Socket:
        assign_joins(me, socket)
        return socket.assign(n=1)

    ref, _ = play({"handle_cast": act})
    cast(ref, "join")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert "handle_cast called socket.join(), whose result would be lost" in str(reason)


BEHIND: dict[str, Callable[[Any], Any]] = {
    "assign": lambda me: me.socket.assign(n=1),
    "await_join": lambda me: me.socket.await_join(TOPIC),
}


@pytest.mark.parametrize("method", BEHIND)
def test_what_is_lost_behind_an_assignment_is_called_by_its_name(play: Play, method: str) -> None:
    def act(me: Any) -> None:
        me.socket = me.socket.join(TOPIC)
        me.actor_ref.tell(TopicJoinSucceeded(TOPIC))
        BEHIND[method](me)

    ref, log = play()
    connected(ref, log)
    with pytest.raises(CallbackReturnError, match=rf"do called socket\.{method}\(\)"):
        ref.proxy().do(act).get(timeout=PATIENCE)
    ref, log = play({"handle_cast": lambda me, *_: act(me)})
    connected(ref, log)
    cast(ref, "act")
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, CallbackReturnError)
    assert f"handle_cast called socket.{method}()" in str(reason)


def test_only_the_clients_thread_assigns_its_socket(play: Play) -> None:
    def act(me: Any) -> None:
        errors: list[Exception] = []

        def assign() -> None:
            try:
                me.socket = me.socket.assign(n=1)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=assign)
        thread.start()
        thread.join(PATIENCE)
        raise errors[0]

    ref, _ = play()
    with pytest.raises(NotOwnerError, match="the assignment of socket: the socket belongs to"):
        ref.proxy().do(act).get(timeout=PATIENCE)
    assert "n" not in get_state(ref).socket.assigns


def test_what_is_no_loss(play: Play) -> None:
    """What asks nothing of the server may be tried out, and a join that has failed given up."""

    def hear_no(me: Any, _: Any, socket: Socket) -> Socket:
        socket.assign(n=1)
        try:
            socket.join(TOPIC).await_join(TOPIC, timeout=0.01)
        except AwaitTimeoutError:
            socket = socket.assign(n=2)
        socket.assign(n=3)
        return socket

    ref, _ = play({"handle_cast": hear_no})
    cast(ref, "join")
    eventually(lambda: get_state(ref).socket.assigns.get("n") == 2, "the change")


def test_handle_call_may_not_lose_its_socket(play: Play) -> None:
    ref, _ = play({"handle_call": lambda *a: a[-1].assign(a=1) and Answer("ok")})
    with pytest.raises(CallbackReturnError, match=r"handle_call called socket\.assign\(\)"):
        ref.ask("m", timeout=PATIENCE)
    # The answer would be that of a client that has come to nothing.
    with pytest.raises(CallbackReturnError, match=r"handle_call called socket\.assign\(\)"):
        call(ref, "m")
    assert isinstance(wait(ref, timeout=PATIENCE), CallbackReturnError)


def test_a_proxied_method_may_not_lose_its_socket(play: Play) -> None:
    ref, _ = play()
    with pytest.raises(CallbackReturnError, match=r"do called socket\.assign\(\).*self\.socket"):
        ref.proxy().do(lambda me: me.socket.assign(a=1)).get(timeout=PATIENCE)
    become(ref, lambda socket: socket.assign(a=2))
    assert get_state(ref).socket.assigns == {"a": 2}


LATER: dict[str, tuple[str, Act]] = {
    "burst": ("handle_message", lambda ref, line: ref.tell(Burst(line, messages("e")))),
    "event": ("handle_leave", lambda ref, line: ref.tell(TopicLeft(TOPIC))),
    "tell": ("handle_info", lambda ref, line: ref.tell("m")),
    "ask": ("handle_call", lambda ref, line: ref.ask("m", timeout=PATIENCE)),
    "proxy": ("terminate", lambda ref, line: ref.proxy().stop().get(timeout=PATIENCE)),
}


@pytest.mark.parametrize("later", LATER)
def test_a_method_that_failed_leaves_no_suspicion_behind(play: Play, later: str) -> None:
    # The socket that it made is nobody's; the next callback has lost nothing.
    def fail(me: Any) -> None:
        me.socket.assign(a=1)
        raise ValueError("boom")

    callback, send = LATER[later]
    ref, log = play({"handle_call": lambda *_: Answer("ok")})
    line = connected(ref, log)
    with pytest.raises(ValueError, match="boom"):
        ref.proxy().do(fail).get(timeout=PATIENCE)
    send(ref, line)
    log.take(callback)
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"


def test_methods_may_be_called_for_their_effect_alone(play: Play) -> None:
    def act(*arguments: Any) -> None:
        socket = arguments[-1]
        socket.push(TOPIC, "e")
        socket.join(TOPIC)  # Joined: without effect.
        socket.rejoin(TOPIC)
        socket.reconnect()
        socket.collect_garbage()
        socket.leave(TOPIC)
        socket.disconnect()

    ref, log = play({"handle_cast": act})
    line = connected(ref, log)
    joined(ref, log, line)
    cast(ref, "m")
    log.take("handle_cast")
    assert before_mark(ref, log) == []
    for command in (PushMessage, CollectGarbage, LeaveTopic, CloseConnection):
        line.told(command)


# handle_call


def both(ref: Any, message: Any) -> list[Any]:
    """Call and ask."""
    return [call(ref, message), ref.ask(message, timeout=PATIENCE)]


def test_answer(play: Play) -> None:
    ref, log = play({"handle_call": lambda *a: Answer([a[1]], a[-1].assign(last=a[1]))})
    assert both(ref, "m") == [["m"], ["m"]]
    assert get_state(ref).socket.assigns == {"last": "m"}
    name, message, from_ = log.take("handle_call")
    assert (name, message) == ("handle_call", "m")
    assert isinstance(from_, From)


def test_answer_with_a_timeout(play: Play) -> None:
    ref, log = play({"handle_call": lambda *_: Answer("ok", timeout=0.01)})
    assert call(ref, "m") == "ok"
    log.take("handle_info", "timeout")


def test_answer_with_a_continuation(play: Play) -> None:
    acts: dict[str, Act] = {
        "handle_call": lambda *a: Answer("ok", a[-1].assign(a=1), then="go on"),
        "handle_continue": lambda *_: None,
    }
    ref, log = play(acts)
    assert both(ref, "m") == ["ok", "ok"]
    log.take("handle_continue", "go on")
    assert get_state(ref).socket.assigns == {"a": 1}


@pytest.mark.parametrize("kind", ["call", "ask"])
def test_a_caller_has_its_answer_before_the_continuation(play: Play, kind: str) -> None:
    gate = Gate()
    acts: dict[str, Act] = {
        "handle_call": lambda *_: Answer("ok", then="go on"),
        "handle_continue": lambda *_: gate.hold(),
    }
    ref, _ = play(acts)
    assert InThread(WAITERS[kind], ref).outcome() == "ok"
    gate.open()
    gate.wait_until_reached()


def test_an_answer_later_from_another_callback(play: Play) -> None:
    acts: dict[str, Act] = {
        "handle_call": lambda *a: Next(a[-1].assign(from_=a[2])),
        "handle_info": lambda *a: reply(a[-1].assigns["from_"], a[1]),
    }
    ref, log = play(acts)
    calling = InThread(call, ref, "m")
    log.take("handle_call")
    ref.tell("the answer")
    assert calling.outcome() == "the answer"


def test_an_answer_later_from_another_thread(play: Play) -> None:
    ref, log = play({"handle_call": lambda *_: Next()})
    calling = InThread(call, ref, "m")
    reply(log.take("handle_call")[2], "the answer")
    assert calling.outcome() == "the answer"


def test_only_the_first_answer_counts(play: Play) -> None:
    ref, log = play({"handle_call": lambda *_: Next()})
    asked = ref.ask("m", block=False)
    from_ = log.take("handle_call")[2]
    reply(from_, "the first")
    reply(from_, "the second")
    assert asked.get(timeout=PATIENCE) == "the first"
    assert before_mark(ref, log) == []


@pytest.mark.parametrize("ask", [call, pykka.ActorRef.ask])
@pytest.mark.parametrize("answer", ["bye", None])
def test_stop_with_an_answer(play: Play, ask: Act, answer: Any) -> None:
    ref, _ = play({"handle_call": lambda *a: Stop("shutdown", a[-1], answer=answer)})
    assert ask(ref, "m", timeout=PATIENCE) == answer
    assert wait(ref, timeout=PATIENCE) == "shutdown"


@pytest.mark.parametrize("ask", [call, pykka.ActorRef.ask])
def test_who_has_stopped_it_is_answered_behind_terminate(play: Play, ask: Act) -> None:
    """As of GenServer, and also where that raises."""
    asked: list[From] = []
    answered: list[bool] = []

    def stop(_self: Any, _message: Any, from_: From, _socket: Socket) -> Stop:
        asked.append(from_)
        return Stop("normal", answer="bye")

    def terminate(*_: Any) -> None:
        answered.append(asked[0].future.done)
        raise ValueError

    ref, _ = play({"handle_call": stop, "terminate": terminate})
    assert ask(ref, "m", timeout=PATIENCE) == "bye"
    assert answered == [False]


@pytest.mark.parametrize("ask", [call, pykka.ActorRef.ask])
def test_stop_without_an_answer(play: Play, ask: Act) -> None:
    ref, _ = play({"handle_call": lambda *_: Stop("shutdown")})
    with pytest.raises(ActorDeadError, match="shutdown"):
        ask(ref, "m", timeout=PATIENCE)


@pytest.mark.parametrize("wrap", [lambda f: f, Answer], ids=["the future", "Answer(future)"])
@pytest.mark.parametrize("kind", FUTURES)
def test_an_answer_may_be_a_future(play: Play, kind: str, wrap: Act) -> None:
    future = FUTURES[kind]()
    ref, log = play({"handle_call": lambda *_: wrap(future)})
    asked = ref.ask("m", block=False)
    log.take("handle_call")
    # The actor does not wait for it.
    assert before_mark(ref, log) == []
    future.set("the value")
    assert asked.get(timeout=PATIENCE) == "the value"
    assert both(ref, "m") == ["the value", "the value"]


def test_a_future_that_fails_fails_the_caller_alone(play: Play) -> None:
    future = Future[Any]()
    ref, log = play({"handle_call": lambda *_: Answer(future)})
    future.fail(ValueError("boom"))
    with pytest.raises(ValueError, match="boom"):
        call(ref, "m")
    log.take("handle_call")
    assert before_mark(ref, log) == []


# start


def test_start_returns_when_init_has_returned() -> None:
    class Client(ClientActor):
        def init(self, a: int, *, b: int) -> Socket:
            given.append((a, b, threading.current_thread()))
            return self.socket.assign(a=a)

    given: list[Any] = []
    ref = Client.start(1, b=2)
    assert given[0][:2] == (1, 2)
    assert given[0][2] is not threading.current_thread()
    assert get_state(ref).socket.assigns == {"a": 1}
    ref.stop()


EXITS = [SystemExit(3), KeyboardInterrupt()]


@pytest.mark.parametrize("error", [ValueError("boom"), *EXITS], ids=repr)
def test_start_raises_what_init_raised(play: Play, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        play({"init": raising(error)}, name="failing")
    assert raised.value is error
    assert whereis("failing") is None


def test_start_raises_a_wrong_configuration(play: Play) -> None:
    with pytest.raises(ConfigurationError):
        play({"init": lambda *_: connect("http://test.invalid")})


def test_a_stop_in_init_is_a_start_error(play: Play) -> None:
    with pytest.raises(StartError) as raised:
        play({"init": lambda *_: Stop(("no", "way"))}, name="stopping")
    assert raised.value.reason == ("no", "way")
    assert whereis("stopping") is None


def test_ignore_in_init() -> None:
    log = Log()
    with pytest.raises(StartIgnored) as raised:
        Player.start(log, {"init": lambda *_: Ignore()}, name="ignored")
    assert isinstance(raised.value, StartError)
    assert str(raised.value) == "Player was not started: init returned Ignore()"
    assert (raised.value.client_class, raised.value.reason) == (Player, "ignore")
    assert whereis("ignored") is None
    assert list(log.queue) == [("init",)]  # No terminate either.


def test_init_without_a_return_keeps_the_default_socket(play: Play) -> None:
    ref, _ = play({"init": lambda *_: None})
    assert get_state(ref).socket.socket_pid is ref


def test_init_with_a_timeout(play: Play) -> None:
    _, log = play({"init": lambda *_: Next(timeout=0.01)})
    log.take("handle_info", "timeout")


def test_the_continuation_of_init_comes_before_anything_else(play: Play) -> None:
    def init(me: Any) -> Any:
        me.actor_ref.tell("told in init")
        me.send_after(0, "a timer")
        return Next(connect(URI, test_mode=True), then="go on")

    _, log = play({"init": init, "handle_continue": lambda *_: None})
    assert log.get(timeout=PATIENCE) == ("init",)
    assert log.get(timeout=PATIENCE) == ("handle_continue", "go on")


def test_a_taken_name(play: Play) -> None:
    ref, _ = play(name="taken")
    with pytest.raises(AlreadyStartedError) as raised:
        play(name="taken")
    assert raised.value.ref is ref
    assert raised.value.name == "taken"
    assert whereis("taken") is ref


def test_a_name_is_taken_from_the_moment_init_begins(play: Play) -> None:
    gate = Gate()
    starting = InThread(lambda: play({"init": lambda *_: gate.hold()}, name="starting"))
    gate.wait_until_reached()
    with pytest.raises(AlreadyStartedError) as raised:
        play(name="starting")
    gate.open()
    ref, _ = starting.outcome()
    assert raised.value.ref is ref


@pytest.mark.parametrize("end", ENDS)
def test_a_name_is_free_at_the_end(play: Play, end: str) -> None:
    name = ("any", "hashable")
    ref, _ = play(ENDING, name=name)
    assert whereis(name) is ref
    ENDS[end](ref)
    wait(ref, timeout=PATIENCE)
    assert whereis(name) is None
    assert name not in names._names  # Nor is the dead kept.
    again, _ = play(name=name)
    assert whereis(name) is again


def test_a_client_that_is_stopped_while_it_starts(play: Play) -> None:
    reached = threading.Event()

    def init(*_: Any) -> Any:
        socket = connect(URI, test_mode=True)
        reached.set()
        return socket.await_connect(timeout=600)

    starting = InThread(lambda: play({"init": init}, name="starting"))
    assert reached.wait(PATIENCE)
    ref = whereis("starting")
    assert ref is not None
    ref.stop(timeout=PATIENCE)
    assert isinstance(starting.outcome(), ActorDeadError)
    assert whereis("starting") is None


# the class

HOOKS = ["__init__", "on_start", "on_stop", "on_failure", "on_receive"]


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_are_final(hook: str) -> None:
    with pytest.raises(TypeError, match=f"Client.{hook} is final"):
        type("Client", (ClientActor,), {hook: boom})


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_are_final_in_mixins_too(hook: str) -> None:
    mixin = type("Mixin", (), {hook: boom})
    with pytest.raises(TypeError, match=f"Client.{hook} is final"):
        type("Client", (mixin, ClientActor), {})


def test_restart_is_an_argument_of_the_class() -> None:
    class Transient(ClientActor, restart="transient"):
        pass

    class Inheriting(Transient):
        pass

    assert ClientActor.restart == "permanent"
    assert (Transient.restart, Inheriting.restart) == ("transient", "transient")
    with pytest.raises(TypeError, match="restart must be"):
        type("Wrong", (ClientActor,), {}, restart="always")


# GenServer's operations


def test_tell_cast_call_and_ask(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *_: None, "handle_call": lambda *_: Answer("ok")})
    ref.tell({"a": "message"})
    cast(ref, ["cast"])
    assert call(ref, "call") == "ok"
    assert ref.ask("ask") == "ok"
    assert log.get(timeout=PATIENCE) == ("handle_info", {"a": "message"})
    assert log.get(timeout=PATIENCE) == ("handle_cast", ["cast"])
    assert log.get(timeout=PATIENCE)[:2] == ("handle_call", "call")
    assert log.get(timeout=PATIENCE)[:2] == ("handle_call", "ask")


@pytest.mark.parametrize("message", [None, 0, "", (), "timeout"])
def test_any_message_may_be_told(play: Play, message: Any) -> None:
    ref, log = play()
    ref.tell(message)
    assert log.get(timeout=PATIENCE) == ("handle_info", message)


def test_names_are_taken_where_refs_are(play: Play) -> None:
    acts: dict[str, Act] = {
        "handle_cast": lambda *_: None,
        "handle_call": lambda *_: Answer("ok"),
    }
    ref, log = play(acts, name="named")
    cast("named", "m")
    log.take("handle_cast", "m")
    assert call("named", "m") == "ok"
    state = get_state("named")
    assert isinstance(state, ClientState)
    assert state.socket.socket_pid is ref
    ref.tell(TopicJoinSucceeded(TOPIC))
    wait_until_joined("named", TOPIC)
    with pytest.raises(AwaitTimeoutError):
        wait("named", timeout=0)


def test_a_proxy_is_taken_too(play: Play) -> None:
    ref, _ = play({"handle_call": lambda *_: Answer("ok")})
    assert call(ref.proxy(), "m") == "ok"
    assert get_state(ref.proxy()).socket.socket_pid is ref


def test_a_call_that_times_out(play: Play) -> None:
    ref, log = play({"handle_call": lambda *_: Next()})
    with pytest.raises(AwaitTimeoutError, match="awaited the answer of Player") as raised:
        call(ref, "m", timeout=0.01)
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.timeout == 0.01
    reply(log.take("handle_call")[2], "too late")
    assert before_mark(ref, log) == []


def test_the_dead_and_the_unknown(play: Play) -> None:
    ref, _ = play(name="dead")
    ref.stop()
    for target in (ref, "dead", "nobody"):
        for ask in (lambda t: call(t, "m"), get_state, lambda t: wait_until_joined(t, TOPIC)):
            with pytest.raises(ActorDeadError):
                ask(target)
        cast(target, "m")
    with pytest.raises(ActorDeadError):
        ref.tell("m")
    with pytest.raises(ActorDeadError):
        ref.ask("m", timeout=PATIENCE)


# exceptions


def test_an_exception_in_ask_goes_to_the_caller(play: Play) -> None:
    ref, log = play({"handle_call": boom})
    with pytest.raises(ValueError, match="boom"):
        ref.ask("m", timeout=PATIENCE)
    log.take("handle_call")
    assert before_mark(ref, log) == []


def test_an_exception_in_a_proxied_method_goes_to_the_caller(play: Play) -> None:
    ref, log = play()
    with pytest.raises(ValueError, match="boom"):
        ref.proxy().do(boom).get(timeout=PATIENCE)
    assert before_mark(ref, log) == []


def test_an_exception_in_call_goes_to_the_caller_and_ends_the_client(play: Play) -> None:
    ref, log = play({"handle_call": boom})
    with pytest.raises(ValueError, match="boom") as raised:
        call(ref, "m")
    assert wait(ref, timeout=PATIENCE) is raised.value
    assert log.take("terminate") == ("terminate", raised.value)


@each_callback
def test_an_exception_elsewhere_ends_the_client(play: Play, name: str, trigger: Act) -> None:
    ref, log = run(play, name, trigger, boom)
    reason = wait(ref, timeout=PATIENCE)
    assert isinstance(reason, ValueError)
    assert log.take("terminate") == ("terminate", reason)
    assert not ref.is_alive()


@pytest.mark.parametrize("kind", ["call", "ask"])
def test_an_exception_in_a_continuation_ends_the_client(play: Play, kind: str) -> None:
    # Who asked has its answer: there is nobody else whom it could reach.
    ref, _ = play({"handle_call": lambda *_: Answer("ok", then="go on"), "handle_continue": boom})
    assert WAITERS[kind](ref) == "ok"
    assert isinstance(wait(ref, timeout=PATIENCE), ValueError)


@pytest.mark.parametrize("kind", ["call", "ask"])
def test_an_exception_in_a_continuation_goes_to_who_still_waits(play: Play, kind: str) -> None:
    ref, _ = play({"handle_call": lambda *_: Next(then="go on"), "handle_continue": boom})
    with pytest.raises(ValueError, match="boom"):
        WAITERS[kind](ref)
    if kind == "call":
        assert isinstance(wait(ref, timeout=PATIENCE), ValueError)
    else:
        assert get_state(ref).socket.socket_pid is ref


def test_a_crash_closes_the_connection_and_is_logged(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    ref, log = play({"handle_cast": boom})
    line = connected(ref, log)
    cast(ref, "m")
    wait(ref, timeout=PATIENCE)
    line.told(CloseConnection)
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert (record.name, record.levelno) == ("slipstream_actor.client", logging.ERROR)
    assert "has crashed" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_a_timer_that_raises_ends_the_client(play: Play) -> None:
    ref, _ = play({"handle_info": boom})
    timer(ref, lambda me: me.send_after(0, "m"))
    assert isinstance(wait(ref, timeout=PATIENCE), ValueError)


@pytest.mark.parametrize("error", [ValueError("boom"), *EXITS], ids=repr)
def test_an_exception_in_terminate_is_logged(
    play: Play, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    ref, log = play({"terminate": raising(error)})
    line = connected(ref, log)
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"
    line.told(CloseConnection)
    assert "terminate of Player" in caplog.text


def test_an_abnormal_stop_is_logged_and_a_normal_one_is_not(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    for reason in ("normal", "shutdown", ("shutdown", 1), "out of order"):
        ref, _ = play({"handle_info": lambda *a: Stop(a[1])})
        ref.tell(reason)
        assert wait(ref, timeout=PATIENCE) == reason
    logged = [r for r in caplog.records if r.name == "slipstream_actor.client"]
    assert [r.getMessage().partition(": ")[2] for r in logged] == ["'out of order'"]


@pytest.mark.parametrize("error", EXITS, ids=repr)
@each_callback
def test_an_exit_ends_that_client_alone(
    play: Play, name: str, trigger: Act, error: BaseException
) -> None:
    other, log = play()
    ref, _ = run(play, name, trigger, raising(error))
    assert wait(ref, timeout=PATIENCE) is error
    assert before_mark(other, log) == []


@pytest.mark.parametrize("error", EXITS, ids=repr)
@pytest.mark.parametrize("kind", ["call", "ask", "proxy"])
def test_who_asked_for_an_exit_is_answered(play: Play, kind: str, error: BaseException) -> None:
    other, log = play()
    ref, _ = play({"handle_call": raising(error)})
    if kind == "proxy":
        asking = InThread(lambda: ref.proxy().do(raising(error)).get(timeout=PATIENCE))
    else:
        asking = InThread(WAITERS[kind], ref)
    assert isinstance(asking.outcome(), (type(error), ActorDeadError))
    assert wait(ref, timeout=PATIENCE) is error
    assert before_mark(other, log) == []


# who waits when the client ends


@pytest.mark.parametrize("end", ENDS)
def test_who_waits_for_a_later_answer_is_told_of_the_end(play: Play, end: str) -> None:
    ref, log = play({"handle_call": lambda *_: Next(), **ENDING})
    callers = [InThread(WAITERS[kind], ref) for kind in ("call", "ask")]
    for _ in callers:
        log.take("handle_call")
    ENDS[end](ref)
    for caller in callers:
        assert isinstance(caller.outcome(), ActorDeadError)


def waiting_for_a_join(ref: Any) -> InThread:
    """Wait for `TOPIC` in a thread, and return when the client knows."""
    gate = Gate()
    ref.proxy().do(lambda me: gate.hold())
    gate.wait_until_reached()
    waiter = InThread(WAITERS["wait_until_joined"], ref)
    eventually(lambda: ref.actor_inbox.depth, "the waiter's message")
    gate.open()
    get_state(ref)
    return waiter


@pytest.mark.parametrize("end", ENDS)
def test_who_waits_for_a_join_is_told_of_the_end(play: Play, end: str) -> None:
    ref, _ = play(ENDING)
    waiter = waiting_for_a_join(ref)
    ENDS[end](ref)
    assert isinstance(waiter.outcome(), ActorDeadError)


@pytest.mark.parametrize("kind", WAITERS)
@pytest.mark.parametrize("end", ["Stop", "crash"])
def test_who_waits_in_the_mailbox_is_told_of_the_end(play: Play, kind: str, end: str) -> None:
    gate = Gate()
    acts: dict[str, Act] = {
        "handle_info": lambda *_: gate.hold() or (Stop("shutdown") if end == "Stop" else boom())
    }
    ref, _ = play(acts)
    ref.tell("m")
    gate.wait_until_reached()
    waiter = InThread(WAITERS[kind], ref)
    eventually(lambda: ref.actor_inbox.depth, "the waiter's message")
    gate.open()
    assert isinstance(waiter.outcome(), ActorDeadError)


def ask_until_dead(ask: Act, ref: Any, begun: threading.Semaphore) -> None:
    while True:
        ask(ref)
        begun.release()


@pytest.mark.parametrize("kind", ["call", "ask", "proxy", "get_state"])
def test_nobody_waits_for_ever_while_the_client_stops(play: Play, kind: str) -> None:
    for _ in range(20):
        ref, _ = play({"handle_call": lambda *_: Answer("ok")})
        begun = threading.Semaphore(0)
        askers = [InThread(ask_until_dead, WAITERS[kind], ref, begun) for _ in range(6)]
        assert begun.acquire(timeout=PATIENCE)
        ref.stop(timeout=PATIENCE)
        outcomes = [asker.outcome() for asker in askers]
        assert [type(outcome) for outcome in outcomes] == [ClientEndedError] * len(askers)


# futures through proxies


@pytest.mark.parametrize("kind", FUTURES)
def test_a_proxied_method_may_return_a_future(play: Play, kind: str) -> None:
    future = FUTURES[kind]()
    ref, log = play()
    proxied = ref.proxy().do(lambda me: future)
    # The actor does not wait for it.
    assert before_mark(ref, log) == []
    with pytest.raises(pykka.Timeout):
        proxied.get(timeout=0.01)
    future.set("the value")
    assert proxied.get(timeout=PATIENCE) == "the value"


def test_a_future_of_a_future(play: Play) -> None:
    inner, outer = Future[Any](), Future[Any]()
    ref, _ = play()
    waiting = InThread(lambda: ref.proxy().do(lambda me: outer).get(timeout=PATIENCE))
    outer.set(inner)
    inner.set("the value")
    assert waiting.outcome() == "the value"


def test_a_future_of_another_actor(play: Play) -> None:
    other, _ = play({"handle_call": lambda *a: Answer(a[1] * 2)})
    ref, _ = play()
    proxy = ref.proxy()
    assert proxy.do(lambda me: other.ask(21, block=False)).get(timeout=PATIENCE) == 42
    mapped = proxy.do(lambda me: other.ask(21, block=False).map(str))
    assert mapped.get(timeout=PATIENCE) == "42"
    assert proxy.do(lambda me: other.stop(block=False)).get(timeout=PATIENCE) is True


def test_a_future_that_fails_through_a_proxy(play: Play) -> None:
    future = Future[Any]()
    future.fail(ValueError("boom"))
    ref, log = play()
    with pytest.raises(ValueError, match="boom"):
        ref.proxy().do(lambda me: future).get(timeout=PATIENCE)
    assert before_mark(ref, log) == []


def test_self_socket_is_the_current_socket_in_proxied_methods(play: Play) -> None:
    ref, _ = play({"handle_cast": lambda *a: a[-1].assign(n=a[1])})
    cast(ref, 1)
    proxy = ref.proxy()
    assert proxy.do(lambda me: me.socket.assigns["n"]).get(timeout=PATIENCE) == 1
    become(ref, lambda socket: socket.update("n", lambda n: n + 1))
    assert proxy.socket.get(timeout=PATIENCE).assigns == {"n": 2}


# timers


def timer(ref: Any, start: Callable[[Any], Timer]) -> Timer:
    """Have a timer started in the actor, as a public method of the user's would."""
    started = ref.proxy().do(start).get(timeout=PATIENCE)
    assert isinstance(started, Timer)
    return started


def test_send_after(play: Play) -> None:
    ref, log = play()

    def start(me: Any) -> None:
        me.send_after(0.02, "later")
        me.send_after(0, "now")

    ref.proxy().do(start).get(timeout=PATIENCE)
    assert log.get(timeout=PATIENCE) == ("handle_info", "now")
    assert log.get(timeout=PATIENCE) == ("handle_info", "later")


def test_timers_that_are_due_together_come_in_their_order(play: Play) -> None:
    def start(me: Any) -> None:
        for n in range(5):
            me.send_after(-n, n)  # Less than 0 is as 0.

    ref, log = play()
    ref.proxy().do(start).get(timeout=PATIENCE)
    assert [log.get(timeout=PATIENCE)[1] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_send_interval(play: Play) -> None:
    ref, log = play()
    ticking = timer(ref, lambda me: me.send_interval(0.005, "tick"))
    for _ in range(5):
        assert log.get(timeout=PATIENCE) == ("handle_info", "tick")
    ticking.cancel()
    before_mark(ref, log)
    with pytest.raises(queue.Empty):
        log.get(timeout=0.05)


def test_a_cancelled_timer_says_nothing(play: Play) -> None:
    def start(me: Any) -> None:
        me.send_after(0.01, "cancelled").cancel()
        me.send_after(0.02, "not cancelled")

    ref, log = play()
    ref.proxy().do(start).get(timeout=PATIENCE)
    assert log.get(timeout=PATIENCE) == ("handle_info", "not cancelled")


def test_a_timer_that_is_cancelled_from_outside_says_nothing(play: Play) -> None:
    # Its time comes while the client waits for it.
    ref, log = play()
    timer(ref, lambda me: me.send_after(0.4, "cancelled")).cancel()
    with pytest.raises(queue.Empty):
        log.get(timeout=0.6)


def test_timers_may_be_set_by_another_thread(play: Play) -> None:
    here: list[Any] = []
    ref, log = play({"handle_cast": lambda me, *_: here.append(me)})
    cast(ref, "who are you")
    [me] = eventually(lambda: here, "the client itself")
    assert log.take("handle_cast")
    # The client sleeps, without a deadline of its own.
    me.send_after(0.01, "once")
    assert log.get(timeout=PATIENCE) == ("handle_info", "once")
    again = me.send_interval(0.01, "again")
    for _ in range(3):
        assert log.get(timeout=PATIENCE) == ("handle_info", "again")
    again.cancel()
    with pytest.raises(ValueError, match="interval"):
        me.send_interval(0, "never")


def test_a_timer_may_be_an_event(play: Play) -> None:
    ref, log = play()
    timer(ref, lambda me: me.send_after(0, MessageReceived(TOPIC, "e")))
    log.take("handle_message", TOPIC, "e")


def busy(seconds: float) -> None:
    """Take time, as a callback that computes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def limited(act: Act) -> Act:
    """Do `act`, but not for ever: a client that hears of nothing else could not be stopped."""
    over = time.monotonic() + PATIENCE / 2
    return lambda *arguments: act(*arguments) if time.monotonic() < over else Stop("starved")


def test_an_interval_shorter_than_its_work_starves_nobody(play: Play) -> None:
    ref, log = play({"handle_info": limited(lambda *_: busy(0.002))})
    timer(ref, lambda me: me.send_interval(0.001, "tick"))
    for _ in range(3):
        log.take("handle_info", "tick")
    ref.tell("hello")
    log.take("handle_info", "hello")
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"


def test_a_timeout_of_nothing_starves_nobody(play: Play) -> None:
    ref, log = play({"handle_info": limited(lambda *_: Next(timeout=0))})
    ref.tell("begin")
    for _ in range(3):
        log.take("handle_info", "timeout")
    ref.tell("hello")
    log.take("handle_info", "hello")
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"


# the timeout of a Next


def test_a_timeout_comes_once(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *_: Next(timeout=0.01)})
    cast(ref, "m")
    log.take("handle_info", "timeout")
    with pytest.raises(queue.Empty):
        log.get(timeout=0.1)


ARRIVALS: dict[str, Act] = {
    "tell": lambda ref, line: ref.tell("m"),
    "cast": lambda ref, line: cast(ref, "m"),
    "call": lambda ref, line: InThread(WAITERS["call"], ref),
    "ask": lambda ref, line: ref.ask("m", block=False),
    "proxy": lambda ref, line: ref.proxy().do(lambda me: None),
    "event": lambda ref, line: ref.tell(Burst(line, messages("e"))),
}


@pytest.mark.parametrize("kind", ARRIVALS)
def test_no_timeout_when_something_came(play: Play, kind: str) -> None:
    def on_continue(me: Any, *_: Any) -> Next:
        me.send_after(0.2, "the end")
        gate.hold()
        return Next(timeout=0.1)

    gate = Gate()
    acts: dict[str, Act] = {
        "handle_continue": on_continue,
        "handle_info": lambda *a: Next(then="wait") if a[1] == "begin" else None,
        "handle_cast": lambda *_: None,
        "handle_call": lambda *_: Answer("ok"),
    }
    ref, log = play(acts)
    line = connected(ref, log)
    ref.tell("begin")
    gate.wait_until_reached()
    ARRIVALS[kind](ref, line)
    eventually(lambda: ref.actor_inbox.depth, "the arrival")
    gate.open()
    entries = []
    while (entry := log.get(timeout=PATIENCE)) != ("handle_info", "the end"):
        entries.append(entry)
    assert ("handle_info", "timeout") not in entries


def test_no_timeout_when_something_is_there_already(play: Play) -> None:
    gate = Gate()
    acts: dict[str, Act] = {
        "handle_cast": lambda *_: gate.hold() or Next(timeout=0),
        "handle_info": once(lambda *_: Next(timeout=0)),
    }
    ref, log = play(acts)
    cast(ref, "m")
    gate.wait_until_reached()
    ref.tell(1)
    ref.tell(2)
    gate.open()
    assert log.take("handle_info") == ("handle_info", 1)
    assert log.take("handle_info") == ("handle_info", 2)
    assert before_mark(ref, log) == []


def test_no_timeout_when_something_came_in_the_same_burst(play: Play) -> None:
    acts: dict[str, Act] = {
        "handle_message": lambda me, *a: (
            Next(timeout=0.01) if a[1] == "1" else me.send_after(0.05, "the end") and None
        )
    }
    ref, log = play(acts)
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2")))
    assert seen(log, 3) == ["1", "2", "the end"]


def test_a_look_at_the_state_is_no_reason_to_forget_a_timeout(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *_: Next(timeout=0.05)})
    cast(ref, "m")
    log.take("handle_cast")
    get_state(ref)
    log.take("handle_info", "timeout")


def test_a_continuation_decides_about_the_timeout(play: Play) -> None:
    # GenServer takes the one or the other; with both, what comes last counts.
    acts: dict[str, Act] = {
        "handle_cast": lambda *_: Next(timeout=0.01, then="go on"),
        "handle_continue": lambda me, *_: me.send_after(0.05, "the end") and None,
    }
    ref, log = play(acts)
    cast(ref, "m")
    log.take("handle_continue")
    assert log.get(timeout=PATIENCE) == ("handle_info", "the end")


# continuations


def test_a_continuation_comes_before_what_is_in_the_mailbox(play: Play) -> None:
    gate = Gate()
    acts: dict[str, Act] = {
        "handle_cast": lambda *_: gate.hold() or Next(then=1),
        "handle_continue": lambda *a: Next(then=a[1] + 1) if a[1] < 3 else None,
    }
    ref, log = play(acts)
    cast(ref, "m")
    gate.wait_until_reached()
    ref.tell("behind")
    gate.open()
    assert log.take("handle_continue") == ("handle_continue", 1)
    assert log.get(timeout=PATIENCE) == ("handle_continue", 2)
    assert log.get(timeout=PATIENCE) == ("handle_continue", 3)
    assert log.get(timeout=PATIENCE) == ("handle_info", "behind")


def test_a_continuation_comes_before_the_rest_of_the_burst(play: Play) -> None:
    acts: dict[str, Act] = {
        "handle_message": once(lambda *_: Next(then="go on")),
        "handle_continue": lambda *_: None,
    }
    ref, log = play(acts)
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2")))
    assert seen(log, 3) == ["1", "go on", "2"]


def test_none_is_a_term_like_any_other(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *_: Next(then=None), "handle_continue": lambda *_: None})
    cast(ref, "m")
    assert log.take("handle_continue") == ("handle_continue", None)


# a stop from outside


def test_a_stop_comes_after_the_running_callback(play: Play) -> None:
    gate = Gate()
    ref, log = play({"handle_message": lambda *a: gate.hold() or a[-1].assign(done=True)})
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2")))
    gate.wait_until_reached()
    log.take("handle_message")
    ref.tell("told before")
    asked = ref.proxy().do(lambda me: me.socket.assigns["done"])
    ref.tell(Burst(line, messages("3")))
    stopped = ref.stop(block=False)
    gate.open()
    assert stopped.get(timeout=PATIENCE) is True
    assert asked.get(timeout=PATIENCE) is True
    assert list(log.queue) == [("handle_info", "told before"), ("terminate", "normal")]
    line.told(CloseConnection)


def test_what_comes_after_a_stop_is_refused(play: Play) -> None:
    gate = Gate()
    ref, log = play({"handle_cast": lambda *_: gate.hold()})
    cast(ref, "m")
    gate.wait_until_reached()
    log.take("handle_cast")
    stopped = ref.stop(block=False)
    ref.tell("too late")
    asked = ref.ask("too late", block=False)
    again = ref.stop(block=False)
    gate.open()
    assert stopped.get(timeout=PATIENCE) is True
    assert again.get(timeout=PATIENCE) is True
    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    assert ref.stop(timeout=PATIENCE) is False
    assert list(log.queue) == [("terminate", "normal")]


class LongAwait:
    """Awaits what never comes; the test knows when it waits."""

    def __init__(self) -> None:
        self._begun, self._passed_over = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self._begun.set()
        return arguments[-1].await_message(event=self._pass_over, timeout=600)

    def _pass_over(self, event: str) -> bool:
        if event == "passed over":
            self._passed_over.set()
        return False

    def wait_until_waiting(self, ref: Any) -> None:
        assert self._begun.wait(PATIENCE)
        ref.tell(MessageReceived(TOPIC, "passed over"))
        assert self._passed_over.wait(PATIENCE)


def test_a_stop_ends_a_waiting_await(play: Play) -> None:
    waiting = LongAwait()
    ref, log = play({"handle_cast": waiting})
    cast(ref, "m")
    waiting.wait_until_waiting(ref)
    assert ref.stop(timeout=PATIENCE) is True
    assert wait(ref, timeout=PATIENCE) == "normal"
    assert log.take("terminate") == ("terminate", "normal")


def test_a_stop_ends_an_await_in_a_burst(play: Play) -> None:
    waiting = LongAwait()
    ref, log = play({"handle_message": waiting})
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2")))
    waiting.wait_until_waiting(ref)
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"
    # What was told before the stop is handled, the rest of the burst is not.
    assert seen(log, 2) == ["1", "passed over"]
    assert log.get(timeout=PATIENCE) == ("terminate", "normal")


@pytest.mark.parametrize("kind", ["call", "ask", "proxy"])
def test_who_asked_for_an_await_is_told_of_the_stop(play: Play, kind: str) -> None:
    waiting = LongAwait()
    ref, _ = play({"handle_call": waiting})
    if kind == "proxy":
        asking = InThread(lambda: ref.proxy().do(lambda me: waiting(me.socket)).get())
    else:
        asking = InThread(WAITERS[kind], ref)
    waiting.wait_until_waiting(ref)
    ref.stop(timeout=PATIENCE)
    assert isinstance(asking.outcome(), ActorDeadError)
    assert wait(ref, timeout=PATIENCE) == "normal"


def test_a_stop_in_an_await_is_no_lost_socket(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    waiting = LongAwait()
    ref, _ = play()
    ref.proxy().do.defer(lambda me: waiting(me.socket.assign(a=1)))
    waiting.wait_until_waiting(ref)
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"
    assert "crashed" not in caplog.text


def test_terminate_may_await(play: Play) -> None:
    messages = []

    def terminate(*arguments: Any) -> None:
        messages.append(arguments[-1].await_message(event="last", timeout=PATIENCE).payload)

    gate = Gate()
    ref, _ = play({"terminate": terminate, "handle_cast": lambda *_: gate.hold()})
    cast(ref, "m")
    gate.wait_until_reached()
    stopped = ref.stop(block=False)
    ref.tell(MessageReceived(TOPIC, "last", "words"))
    gate.open()
    assert stopped.get(timeout=PATIENCE) is True
    assert messages == ["words"]


def test_a_client_stops_itself(play: Play) -> None:
    ref, log = play({"handle_cast": lambda me, *_: me.stop()})
    cast(ref, "m")
    assert wait(ref, timeout=PATIENCE) == "normal"
    assert log.take("terminate") == ("terminate", "normal")


# bursts


def test_events_of_bursts_and_messages_come_in_their_order(play: Play) -> None:
    ref, log = play()
    line = connected(ref, log)
    ref.tell(1)
    ref.tell(Burst(line, messages("a", "b")))
    ref.tell(2)
    ref.tell(Burst(line, messages("c")))
    assert seen(log, 5) == [1, "a", "b", 2, "c"]


def test_an_await_first_looks_through_the_rest_of_the_burst(play: Play) -> None:
    awaited: list[str] = []

    def on_message(_: Any, topic: str, event: str, payload: Any, socket: Socket) -> None:
        if event == "1":
            awaited.append(socket.await_message(event=lambda e: e in "35", timeout=0).event)

    ref, log = play({"handle_message": on_message})
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2", "3", "4", "5")))
    assert seen(log, 4) == ["1", "2", "4", "5"]
    assert awaited == ["3"]


def test_an_await_passes_over_and_keeps_the_order(play: Play) -> None:
    gate = Gate()

    def on_cast(*arguments: Any) -> None:
        gate.hold()
        assert arguments[-1].await_message(event="c", timeout=PATIENCE).event == "c"

    ref, log = play({"handle_cast": on_cast, "handle_call": lambda *a: Answer(a[1])})
    line = connected(ref, log)
    cast(ref, "m")
    gate.wait_until_reached()
    log.take("handle_cast")
    ref.tell(1)
    ref.tell(Burst(line, messages("a", "b")))
    asked = ref.ask("asked", block=False)
    ref.tell(Burst(line, messages("c", "d")))
    ref.tell(2)
    gate.open()
    assert seen(log, 6) == [1, "a", "b", "asked", "d", 2]
    assert asked.get(timeout=PATIENCE) == "asked"


def test_awaits_in_a_row_take_what_they_want(play: Play) -> None:
    awaited: list[str] = []

    def on_message(*arguments: Any) -> None:
        if arguments[2] == "1":
            awaited.extend(arguments[-1].await_message(event=e, timeout=0).event for e in "324")

    ref, log = play({"handle_message": on_message})
    line = connected(ref, log)
    ref.tell(Burst(line, messages("1", "2", "3", "4", "5")))
    assert seen(log, 2) == ["1", "5"]
    assert awaited == ["3", "2", "4"]


# events belong to their connection


def test_events_of_a_former_connection_are_dropped(play: Play) -> None:
    ref, log = play()
    former = connected(ref, log)
    line = connected(ref, log)
    late = [
        *messages("late"),
        TopicJoinSucceeded(TOPIC),
        ReplyReceived(TOPIC, "1", Reply("ok")),
        ChannelClosed(CLOSED),
    ]
    ref.tell(Burst(former, late))
    assert before_mark(ref, log) == []
    socket = get_state(ref).socket
    assert socket.channel_pid is line
    assert socket.joins == {}


def test_events_of_a_replaced_connection_are_dropped_within_the_burst(play: Play) -> None:
    ref, log = play({"handle_message": lambda *a: a[-1].connect(URI, test_mode=True)})
    line = connected(ref, log)
    ref.tell(Burst(line, [*messages("1", "2"), ChannelClosed(CLOSED)]))
    assert log.take("handle_message")[2] == "1"
    assert log.get(timeout=PATIENCE) == ("handle_disconnect", ClosedByClient())
    assert before_mark(ref, log) == []
    line.told(CloseConnection)


def test_a_connection_that_is_not_the_sockets_is_closed(play: Play) -> None:
    # As when a method has connected, failed, and lost the socket.
    ref, log = play()
    connected(ref, log)
    orphan = Line()
    ref.tell(Burst(orphan, [ChannelConnected(orphan)]))
    assert before_mark(ref, log) == []
    orphan.told(CloseConnection)


def test_a_connection_that_is_not_the_sockets_is_closed_at_the_end_too(play: Play) -> None:
    gate = Gate()
    ref, _ = play({"handle_cast": lambda *_: gate.hold() or Stop("shutdown")})
    cast(ref, "m")
    gate.wait_until_reached()
    orphan = Line()
    ref.tell(Burst(orphan, [ChannelConnected(orphan)]))
    gate.open()
    orphan.told(CloseConnection)


def test_after_our_disconnect_it_was_us_whatever_comes(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *a: a[-1].disconnect()})
    line = connected(ref, log)
    cast(ref, "disconnect")
    line.told(CloseConnection)
    ref.tell(Burst(line, [ChannelClosed(ClosedByPeer(1006))]))
    assert log.take("handle_disconnect") == ("handle_disconnect", ClosedByClient())
    assert get_state(ref).socket.reconnect_counter == 0


# events of joins


def test_a_crash_of_a_topic_that_we_have_left_is_no_reason_to_rejoin(play: Play) -> None:
    ref, log = play({"handle_message": lambda *a: a[-1].leave(TOPIC)})
    line = connected(ref, log)
    join_ref = joined(ref, log, line)
    crash = TopicJoinClosed(TOPIC, ChannelCrashed({}), join_ref)
    ref.tell(Burst(line, [*messages("leave!"), crash]))
    log.take("handle_message")
    before_mark(ref, log)
    assert get_state(ref).socket.join_status(TOPIC) == "closed"


def test_handle_join_is_not_called_for_a_topic_that_we_have_left(play: Play) -> None:
    # It would push, and there is nothing joined.
    ref, log = play({"handle_message": lambda *a: a[-1].leave(TOPIC)})
    line = connected(ref, log)
    join_ref = request(ref, line)
    ref.tell(Burst(line, [*messages("leave!"), TopicJoinSucceeded(TOPIC, {}, join_ref)]))
    log.take("handle_message")
    assert before_mark(ref, log) == []
    assert not get_state(ref).socket.joined(TOPIC)


def test_the_end_of_a_former_join_leaves_the_new_one(play: Play) -> None:
    ref, log = play({"handle_cast": lambda *a: a[-1].leave(TOPIC).join(TOPIC)})
    line = connected(ref, log)
    former = joined(ref, log, line)
    cast(ref, "again")
    line.told(LeaveTopic)
    current = line.told(JoinTopic).join_ref
    assert current != former
    ref.tell(Burst(line, [TopicJoinSucceeded(TOPIC, {}, current), TopicLeft(TOPIC, former)]))
    assert log.take("handle_leave") == ("handle_leave", TOPIC)
    assert log.take("handle_join")
    assert before_mark(ref, log) == []
    assert get_state(ref).socket.joined(TOPIC)


# events that are sent by hand


def test_a_close_by_hand_is_taken_at_its_word(play: Play) -> None:
    ref, log = play()
    line = connected(ref, log)
    joined(ref, log, line)
    ref.tell(ChannelClosed("because I say so"))
    assert log.take("handle_disconnect") == ("handle_disconnect", "because I say so")
    socket = get_state(ref).socket
    assert not socket.connected
    assert socket.join_status(TOPIC) == "closed"
    assert socket.reconnect_counter == 1
    # What connection there is, is no longer wanted.
    line.told(CloseConnection)


def test_joins_by_hand_are_taken_at_their_word(play: Play) -> None:
    ref, log = play({"handle_topic_close": lambda *_: None})
    line = connected(ref, log)
    joined(ref, log, line)
    ref.tell(TopicJoinClosed(TOPIC, ChannelCrashed({})))
    log.take("handle_topic_close")
    assert get_state(ref).socket.join_status(TOPIC) == "closed"
    ref.tell(TopicJoinSucceeded(TOPIC, {"by": "hand"}))
    log.take("handle_join")
    socket = get_state(ref).socket
    assert socket.joined(TOPIC)
    assert socket.joins[TOPIC].response == {"by": "hand"}


class Told:
    """The least that a connection by hand can be."""

    def __init__(self) -> None:
        self.commands: list[Any] = []

    def tell(self, command: Any) -> None:
        self.commands.append(command)

    def is_alive(self) -> bool:
        return True


def test_a_connection_by_hand_needs_only_to_be_told(play: Play) -> None:
    told = Told()
    ref, log = play({"handle_cast": lambda *a: a[-1].disconnect()})
    ref.tell(ChannelConnected(told))
    log.take("handle_connect")
    cast(ref, "disconnect")
    assert before_mark(ref, log) == [("handle_cast", "disconnect")]
    assert told.commands == [CloseConnection()]
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"


def test_a_connection_by_hand_may_be_any_actor(play: Play) -> None:
    class Other(pykka.ThreadingActor):
        use_daemon_thread = True

        def on_receive(self, message: Any) -> None:
            told.append(message)

    told: list[Any] = []
    other = Other.start()
    ref, log = play({"handle_call": lambda *_: Next()})
    ref.tell(ChannelConnected(other))
    log.take("handle_connect")
    asked = ref.ask("m", block=False)
    log.take("handle_call")
    ref.stop(timeout=PATIENCE)
    assert wait(ref, timeout=PATIENCE) == "normal"
    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    other.stop()
    assert told == [CloseConnection()]


def test_the_end_does_not_wait_for_a_connection_that_a_thread_plays(play: Play) -> None:
    # In a test the thread that plays the server is the one that stops the client.
    ref, log = play({"init": lambda *_: connect(URI, test_mode=True, close_timeout_msec=60_000)})
    ref.tell(ChannelConnected(new_socket().socket_pid))
    log.take("handle_connect")
    assert ref.stop(timeout=PATIENCE) is True
    inbox = current().actor_inbox
    assert inbox.receive(lambda m, _: TAKE if type(m) is CloseConnection else 0, PATIENCE)


# a look inside, and waiting


def test_get_state_of_a_client(play: Play) -> None:
    gate = Gate()
    ref, log = play({"handle_cast": lambda *_: gate.hold()})
    line = connected(ref, log)
    cast(ref, "m")
    gate.wait_until_reached()
    asking = InThread(get_state, ref)
    eventually(lambda: ref.actor_inbox.depth == 1, "the question")
    for n in range(3):
        ref.tell(n)
    gate.open()
    state = asking.outcome()
    assert state.mailbox == 3
    assert state.connection is line
    assert state.socket.channel_pid is line


def test_get_state_of_a_busy_client_times_out(play: Play) -> None:
    gate = Gate()
    ref, _ = play({"handle_cast": lambda *_: gate.hold()})
    cast(ref, "m")
    with pytest.raises(AwaitTimeoutError, match="awaited the state of Player"):
        get_state(ref, timeout=0.01)
    gate.open()


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 1), "other", None, 7])
def test_wait_returns_the_reason(play: Play, reason: Any) -> None:
    ref, log = play({"handle_info": lambda *_: Stop(reason)})
    waiting = InThread(wait, ref)
    ref.tell("m")
    assert waiting.outcome() == reason
    assert log.take("terminate") == ("terminate", reason)
    assert wait(ref) == reason


def await_the_join(socket: Socket) -> Socket:
    return socket.join(TOPIC).await_join(TOPIC, timeout=PATIENCE)


JOINERS: dict[str, Act] = {
    "returned": lambda *a: await_the_join(a[-1]),
    "assigned": lambda me, *a: setattr(me, "socket", await_the_join(a[-1])),
}


@pytest.mark.parametrize("kind", JOINERS)
def test_wait_until_joined_sees_a_join_that_was_awaited(play: Play, kind: str) -> None:
    ref, log = play({"handle_cast": JOINERS[kind]})
    line = connected(ref, log)
    waiting = waiting_for_a_join(ref)
    cast(ref, "join")
    ref.tell(Burst(line, [TopicJoinSucceeded(TOPIC, {}, line.told(JoinTopic).join_ref)]))
    assert waiting.outcome() is None


def test_every_error_has_the_one_root() -> None:
    for error in (CallbackReturnError, StartError, AlreadyStartedError, AwaitTimeoutError):
        assert issubclass(error, SlipstreamError)
