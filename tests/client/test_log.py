"""What a client says, to the letter, with events that the test sends by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    ChannelCrashed,
    ChannelEnded,
    ClientActor,
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    PushFailed,
    PushTimeout,
    Ref,
    Socket,
    Stop,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
    connect,
    get_state,
)
from slipstream_actor.telemetry.lines import FIELDS
from tests.support.clients import PATIENCE
from tests.support.log_lines import LogLines, listening

URI = "ws://user:pa55word@kitchen.invalid:4000/socket/websocket?key=s3cret"
WHERE = "ws://kitchen.invalid:4000/socket/websocket"
FAILED = ConnectFailed(
    "upgrade", "the server answered 403", 403, {"x-secret": "s3cret"}, "<h1>s3cret</h1>"
)
HINT_403 = (
    "Hint: connect/3 of the server's socket said no (:error), or its check_origin does not know"
    " the Origin, or it does not speak this vsn; the server's log says which [troubleshooting#403]"
)


class Kitchen(ClientActor):
    """Connects without a socket; `then` is what its callbacks do."""

    def init(self, **then: Any) -> Socket:
        self.then = then
        return connect(
            URI,
            test_mode=True,
            params={"token": "t0ken"},
            reconnect_after_msec=[30_000],
            reconnect_jitter_msec=0,
            rejoin_after_msec=[10_000],
            rejoin_jitter_msec=0,
        )

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        then = self.then.get("disconnect")
        return super().handle_disconnect(reason, socket) if then is None else then(socket)

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        then = self.then.get("topic_close")
        return super().handle_topic_close(topic, reason, socket) if then is None else then(socket)

    def do(self, method: str, *arguments: Any, **options: Any) -> None:
        """Do something with the socket."""
        self.socket = getattr(self.socket, method)(*arguments, **options)


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with listening() as lines:
        yield lines
    for record in lines.records:
        text = f"{logging.Formatter().format(record)} {vars(record)}"
        assert not [secret for secret in ("s3cret", "t0ken", "pa55word") if secret in text]


@pytest.fixture
def kitchen() -> Iterator[Any]:
    """Start clients, and stop them at the end."""
    refs: list[Any] = []

    def start(name: str | None = "pantry", **then: Any) -> Any:
        refs.append(Kitchen.start(name=name, **then))
        return refs[-1]

    yield start
    for ref in refs:
        ref.stop(timeout=PATIENCE)


def tell(ref: Any, *events: Any) -> None:
    """Send events, and wait until they have been handled."""
    for event in events:
        ref.tell(event)
    get_state(ref)


def joined(ref: Any, *topics: str) -> None:
    """Have a client connected and joined."""
    tell(ref, ChannelConnected(None))
    for topic in topics:
        ref.proxy().do("join", topic, {"token": "t0ken"}).get(timeout=PATIENCE)
        tell(ref, TopicJoinSucceeded(topic, {}))


# connections


def test_it_connects(lines: LogLines, kitchen: Any) -> None:
    tell(kitchen(), ChannelConnected(None))
    assert lines.texts() == [f"INFO Kitchen 'pantry' connected to {WHERE}"]


def test_an_attempt_fails(lines: LogLines, kitchen: Any) -> None:
    tell(kitchen(), ChannelConnectFailed(FAILED))
    assert lines.texts() == [
        f"WARNING Kitchen 'pantry' cannot connect to {WHERE}: the server answered 403;"
        f" tries again in 30 s. {HINT_403}"
    ]


def test_the_same_failure_is_said_once_and_another_one_at_once(
    lines: LogLines, kitchen: Any
) -> None:
    ref = kitchen()
    refused = ConnectFailed("refused", "kitchen.invalid:4000: Connection refused")
    tell(ref, *[ChannelConnectFailed(FAILED)] * 5, *[ChannelConnectFailed(refused)] * 5)
    first, second = lines.texts()
    assert "(attempt" not in first
    assert f"cannot connect to {WHERE}: kitchen.invalid:4000: Connection refused" in second
    assert "(attempt 6, away for 0" in second


def test_it_is_back_after_failures(lines: LogLines, kitchen: Any) -> None:
    tell(kitchen(), ChannelConnectFailed(FAILED), ChannelConnected(None))
    _, back = lines.texts()
    assert back.startswith(f"INFO Kitchen 'pantry' connected to {WHERE}, after 0.")
    assert back.endswith(" s")


def test_a_connection_is_lost_and_made_again(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    tell(ref, ChannelConnected(None))
    lines.clear()
    tell(ref, ChannelClosed(ClosedByPeer(1012, "restarting")), ChannelConnected(None))
    lost, back = lines.texts()
    assert lost == (
        f"WARNING Kitchen 'pantry' has lost its connection to {WHERE}:"
        ' the server closed it (1012, "restarting"); tries again in 30 s'
    )
    assert back.startswith(f"INFO Kitchen 'pantry' connected again to {WHERE}, after 0.")


def test_a_heartbeat_is_missed(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    tell(ref, ChannelConnected(None), ChannelClosed(HeartbeatTimeout()))
    assert lines.texts()[1].startswith(
        f"WARNING Kitchen 'pantry' has lost its connection to {WHERE}: the server did not answer"
        " a heartbeat; tries again in 30 s. Hint: the network or a proxy"
    )


@pytest.mark.parametrize("event", [ChannelClosed(ClosedByPeer(1006)), ChannelConnectFailed(FAILED)])
def test_a_callback_that_asks_for_nothing_stays_away(
    lines: LogLines, kitchen: Any, event: Any
) -> None:
    ref = kitchen(disconnect=lambda socket: socket)
    tell(ref, ChannelConnected(None))
    lines.clear()
    tell(ref, event)
    warning, info = lines.texts()
    assert warning.startswith("WARNING Kitchen 'pantry' ")
    assert "; does not try again" in warning
    assert info == (
        "INFO Kitchen 'pantry' stays disconnected: handle_disconnect asked for no other attempt"
    )


def test_a_callback_that_tries_no_more_says_so_of_a_failure_that_was_told(
    lines: LogLines, kitchen: Any
) -> None:
    ref = kitchen(disconnect=lambda socket: socket.reconnect() if lines.texts() == [] else socket)
    tell(ref, *[ChannelConnectFailed(FAILED)] * 2)
    warnings = [text for text in lines.texts() if text.startswith("WARNING")]
    assert "; tries again in 30 s" in warnings[0]
    assert "; does not try again" in warnings[1]


def test_a_client_that_ends_in_a_backoff_says_nothing_of_that(
    lines: LogLines, kitchen: Any
) -> None:
    ref = kitchen()
    tell(ref, ChannelConnectFailed(FAILED))
    lines.clear()
    ref.stop(timeout=PATIENCE)
    assert lines.texts() == []


def test_a_callback_that_reconnects_at_once(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen(disconnect=lambda socket: socket.reconnect(delay=0))
    tell(ref, ChannelConnected(None))
    lines.clear()
    tell(ref, ChannelClosed(ClosedByPeer(1006)))
    assert lines.texts()[0].startswith(
        f"WARNING Kitchen 'pantry' has lost its connection to {WHERE}: it ended without a close"
        " frame (1006); tries again now"
    )


def test_a_callback_that_stops_the_client(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen(disconnect=lambda socket: Stop("normal", socket))
    ref.tell(ChannelClosed(ClosedByPeer(1006)))
    assert lines.wait_for(1) == [
        f"WARNING Kitchen 'pantry' has lost its connection to {WHERE}: it ended without a close"
        " frame (1006)"
    ]


def test_a_callback_that_raises(lines: LogLines, kitchen: Any) -> None:
    def fail(socket: Socket) -> None:
        raise ValueError("burnt")

    ref = kitchen(disconnect=fail)
    ref.tell(ChannelClosed(ClosedByPeer(1006)))
    lost, crash = lines.wait_for(2)
    assert lost == (
        f"WARNING Kitchen 'pantry' has lost its connection to {WHERE}: it ended without a close"
        " frame (1006)"
    )
    assert crash.startswith("ERROR")


def test_what_no_attempt_will_mend_is_an_error(lines: LogLines, kitchen: Any) -> None:
    reason = ConnectFailed("proxy", "a proxy needs the extra", retryable=False)
    tell(kitchen(), ChannelConnectFailed(reason))
    assert lines.texts() == ["ERROR Kitchen 'pantry' stays disconnected: a proxy needs the extra"]


def test_its_own_disconnect_is_no_loss(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    tell(ref, ChannelConnected(None), ChannelClosed(ClosedByClient()), ChannelConnected(None))
    _, stays, back = lines.texts()
    assert stays == "INFO Kitchen 'pantry' stays disconnected: disconnect was called"
    assert back.startswith(f"INFO Kitchen 'pantry' connected again to {WHERE}, after 0.")


def test_an_attempt_is_called_off(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    tell(ref, ChannelConnectFailed(FAILED))
    ref.proxy().do("disconnect").get(timeout=PATIENCE)
    assert lines.texts()[1:] == ["INFO Kitchen 'pantry' stays disconnected: disconnect was called"]


def test_another_time_is_said(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    tell(ref, ChannelConnectFailed(FAILED))
    ref.proxy().do("reconnect", delay=300).get(timeout=PATIENCE)
    assert lines.texts()[1:] == ["INFO Kitchen 'pantry' next attempt to connect in 5 min"]


# topics


def test_a_join_is_refused(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref, "room:1")
    ref.proxy().do("join", "no:1", {"token": "t0ken"}).get(timeout=PATIENCE)
    lines.clear()
    tell(ref, TopicJoinFailed("no:1", JoinRefused({"reason": "members only", "x": "s3cret"})))
    assert lines.texts() == [
        "WARNING Kitchen 'pantry' cannot join 'no:1': the server refused it: \"members only\";"
        " tries again in 10 s"
    ]


def test_a_join_is_refused_without_a_text(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen(topic_close=lambda socket: socket)
    joined(ref)
    ref.proxy().do("join", "no:1").get(timeout=PATIENCE)
    tell(ref, TopicJoinFailed("no:1", JoinRefused({"code": 7, "why": "s3cret"})))
    assert lines.texts()[1:] == [
        "WARNING Kitchen 'pantry' cannot join 'no:1': the server refused it: fields code, why;"
        " does not try again"
    ]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (lambda socket: socket, True),
        (lambda socket: socket.disconnect(), True),
        (lambda socket: Stop("normal", socket), False),
        (lambda socket: socket.rejoin("no:1", delay=5), False),
        (lambda socket: socket.rejoin("no:1", delay=0), False),
    ],
)
@pytest.mark.parametrize(
    "event",
    [
        TopicJoinFailed("no:1", JoinTimeout()),
        TopicJoinClosed("no:1", ChannelCrashed({"reason": "channel_crash"})),
    ],
)
def test_a_topic_that_is_not_asked_for_again(
    then: Any, said: bool, event: Any, lines: LogLines, kitchen: Any
) -> None:
    ref = kitchen(topic_close=then)
    joined(ref)
    ref.proxy().do("join", "no:1").get(timeout=PATIENCE)
    if isinstance(event, TopicJoinClosed):
        tell(ref, TopicJoinSucceeded("no:1", {}))
    ref.tell(event)
    [warning] = lines.wait_for(2)[1:2]
    assert warning.startswith("WARNING Kitchen 'pantry' ")
    assert ("; does not try again. Hint:" in warning) is said


def test_a_join_is_not_answered(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref)
    ref.proxy().do("join", "slow:1").get(timeout=PATIENCE)
    tell(ref, TopicJoinFailed("slow:1", JoinTimeout()))
    assert lines.texts()[1].startswith(
        "WARNING Kitchen 'pantry' cannot join 'slow:1': the server did not answer in time;"
        " tries again in 10 s. Hint: the channel's join/3 takes longer than join_timeout_msec"
    )


def test_a_channel_crashes_and_is_joined_again(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref, "room:1")
    lines.clear()
    tell(ref, TopicJoinClosed("room:1", ChannelCrashed({"reason": "channel_crash"})))
    ref.proxy().do("rejoin", "room:1", delay=0).get(timeout=PATIENCE)
    tell(ref, TopicJoinSucceeded("room:1", {}))
    lost, back = lines.texts()
    assert lost.startswith(
        "WARNING Kitchen 'pantry' has lost 'room:1': the channel crashed: \"channel_crash\";"
        " tries again in 10 s. Hint: the channel's process on the server raised"
    )
    assert back.startswith("INFO Kitchen 'pantry' joined 'room:1' again, after 0.")


def test_a_first_join_is_nothing_to_tell(lines: LogLines, kitchen: Any) -> None:
    joined(kitchen(), "room:1", "room:2")
    assert len(lines.texts()) == 1


@pytest.mark.parametrize(("count", "told"), [(1, 1), (5, 5), (6, 0), (50, 0)])
def test_topics_of_a_lost_connection(count: int, told: int, lines: LogLines, kitchen: Any) -> None:
    ref, topics = kitchen(), [f"room:{n}" for n in range(count)]
    joined(ref, *topics)
    tell(ref, ChannelClosed(ClosedByPeer(1006)))
    lines.clear()
    joined(ref, *topics)
    assert lines.texts()[1:] == [
        f"INFO Kitchen 'pantry' joined '{topic}' again" for topic in topics[:told]
    ]


def test_the_server_closes_a_channel(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref, "room:1")
    tell(ref, TopicLeft("room:1"), TopicLeft("room:1"))
    assert lines.texts()[1:] == ["INFO Kitchen 'pantry' 'room:1' was left by the server"]


def test_its_own_leave_is_nothing_to_tell(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref, "room:1")
    ref.proxy().do("leave", "room:1").get(timeout=PATIENCE)
    tell(ref, TopicLeft("room:1"))
    assert len(lines.texts()) == 1


# pushes


def test_pushes_fail(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    joined(ref, "room:1")
    lines.clear()
    crashed = ChannelEnded(ChannelCrashed({"reason": "burnt", "x": "s3cret"}))
    for number, reason in enumerate([*[PushTimeout()] * 10, crashed]):
        push = Ref(str(900 + number), "room:1", "1")
        tell(ref, PushFailed("room:1", "boil", push, reason))
    texts = [text.partition(". Hint")[0] for text in lines.texts()]
    beginning = "WARNING Kitchen 'pantry' a push of 'boil' on 'room:1' failed:"
    assert texts[0] == f"{beginning} the server did not answer in time"
    assert texts[2].startswith(f"{texts[0]} (3 times in 0.0")
    assert texts[3].startswith(
        f'{beginning} the channel has ended: the channel crashed: "burnt" (11 times in 0.'
    )
    assert len(texts) == 4


# who says it, and what a formatter is given


def test_one_without_a_name_has_a_number(lines: LogLines, kitchen: Any) -> None:
    tell(kitchen(name=None), ChannelConnected(None))
    [text] = lines.texts()
    assert text.removeprefix("INFO Kitchen-").split()[0].isdigit()


def test_two_clients_do_not_silence_each_other(lines: LogLines, kitchen: Any) -> None:
    for name in ("pantry", "cellar"):
        tell(kitchen(name=name), ChannelConnectFailed(FAILED))
    assert [text.split("'")[1] for text in lines.texts()] == ["pantry", "cellar"]


def test_every_record_has_the_fields(lines: LogLines, kitchen: Any) -> None:
    ref = kitchen()
    refused = ConnectFailed("refused", "kitchen.invalid:4000: Connection refused")
    tell(ref, ChannelConnectFailed(FAILED), ChannelConnectFailed(refused))
    joined(ref, "room:1")
    tell(ref, TopicJoinClosed("room:1", ChannelCrashed({})))
    failed, _, connected, crashed = ({f: vars(r)[f] for f in FIELDS} for r in lines.records)
    assert 29 < failed.pop("delay") <= 30
    assert failed == {
        "line": "connect_failed",
        "client": "Kitchen 'pantry'",
        "topic": None,
        "reason": "the server answered 403",
        "attempt": 1,
        "away": 0.0,
        "times": 1,
        "hint": "403",
    }
    assert connected["away"] > 0
    assert (connected["reason"], connected["hint"]) == (None, None)
    assert (crashed["topic"], crashed["hint"]) == ("room:1", "channel-crashed")
    for record in lines.records:
        values = [vars(record)[field] for field in FIELDS]
        assert {type(value) for value in values} <= {str, int, float, type(None)}


def test_nothing_is_said_when_nobody_listens(kitchen: Any) -> None:
    with listening(logging.ERROR) as lines:
        tell(kitchen(), ChannelConnectFailed(FAILED), ChannelConnected(None))
        assert lines.texts() == []
