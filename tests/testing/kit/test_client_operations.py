"""What a client does in test mode works as with a connection."""

from __future__ import annotations

import re
import threading
from typing import Any

import pykka
import pytest
from pykka import ActorDeadError

from slipstream_actor import (
    ChannelConnectFailed,
    ChannelCrashed,
    ChannelEnded,
    ConnectFailed,
    Disconnected,
    Down,
    HeartbeatTimeout,
    NotConnectedError,
    NotJoinedError,
    PushTimeout,
    Ref,
    Reply,
    Socket,
    Stop,
    TopicJoinClosed,
    call,
    cast,
    connect,
    get_state,
    monitor,
    wait,
    wait_until_joined,
)
from slipstream_actor.testing import SocketTest
from tests.conftest import descriptors
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import (
    PARAMS,
    TOPIC,
    URI,
    Joiner,
    KitClient,
    failure,
    have,
)


def test_awaits_inside_of_callbacks(server: SocketTest, joined: Any) -> None:
    def ask(socket: Socket) -> Socket:
        reply = socket.await_reply(socket.push(TOPIC, "ask"), timeout=PATIENCE)
        return socket.assign(answer=reply.unwrap())

    cast(joined, ask)
    server.reply(joined, server.assert_push(TOPIC, "ask"), Reply("ok", 42))
    assert call(joined, lambda socket: socket.assigns["answer"]) == 42


def test_awaits_of_every_kind(server: SocketTest, client: Any) -> None:
    def walk(socket: Socket) -> Socket:
        socket = socket.await_connect(timeout=PATIENCE).join(TOPIC)
        socket = socket.await_join(TOPIC, timeout=PATIENCE)
        socket.await_message(TOPIC, "go", timeout=PATIENCE)
        socket = socket.leave(TOPIC).await_leave(TOPIC, timeout=PATIENCE)
        return socket.disconnect().await_disconnect(timeout=PATIENCE).assign(done=True)

    cast(client, walk)
    server.connect_and_assert_join(client, TOPIC)
    server.push(client, TOPIC, "go")
    server.assert_leave(TOPIC)
    server.assert_disconnect()
    assert call(client, lambda socket: socket.assigns["done"], timeout=PATIENCE)


def test_a_plain_thread_is_a_client_too(server: SocketTest) -> None:
    socket = connect(URI, test_mode=True).join(TOPIC)
    server.accept_connect(socket.socket_pid)
    socket = socket.await_connect()
    server.assert_join(TOPIC, client=socket)
    socket = socket.await_join(TOPIC)
    ref = socket.push(TOPIC, "ask", {"n": 1})
    server.reply(socket, server.assert_push(TOPIC, "ask"), Reply("ok", {"n": 2}))
    assert socket.await_reply(ref).unwrap() == {"n": 2}
    server.push(socket, TOPIC, "news")
    assert socket.await_message(TOPIC).event == "news"
    server.disconnect(socket, HeartbeatTimeout())
    socket = socket.await_disconnect()
    assert not socket.connected
    with pytest.raises(NotConnectedError):
        socket.push(TOPIC, "ask")


def test_a_script_in_another_thread(server: SocketTest) -> None:
    sockets: list[Socket] = []
    made, outcome = threading.Event(), Log()

    def script() -> None:
        sockets.append(connect(URI, test_mode=True).join(TOPIC))
        made.set()
        socket = sockets[0].await_connect(timeout=PATIENCE).await_join(TOPIC, timeout=PATIENCE)
        outcome.put(("reply", socket.await_reply(socket.push(TOPIC, "ask"), timeout=PATIENCE)))

    thread = threading.Thread(target=script)
    thread.start()
    assert made.wait(PATIENCE)
    server.connect_and_assert_join(sockets[0].socket_pid, TOPIC)
    push = server.assert_push(TOPIC, "ask", client=sockets[0])
    server.reply(sockets[0], push)
    assert outcome.take("reply") == ("reply", Reply("ok"))
    thread.join(PATIENCE)


def test_pings_are_answered_and_are_no_pushes(server: SocketTest, joined: Any) -> None:
    assert call(joined, lambda socket: socket.ping()) >= 0
    server.refute_push()


def test_a_reconnect_waits_for_no_delay(server: SocketTest, log: Log) -> None:
    client = server.start(Joiner, log, reconnect_after_msec=[3_600_000])
    server.connect_and_assert_join(client, TOPIC)
    server.disconnect(client)
    server.connect_and_assert_join(client, TOPIC)
    wait_until_joined(client, TOPIC, timeout=PATIENCE)
    log.take("connect")
    log.take("disconnect")
    log.take("connect")


def test_topics_are_joined_again(server: SocketTest, joined: Any, log: Log) -> None:
    server.disconnect(joined)
    server.connect_and_assert_join(joined, TOPIC, PARAMS, Reply("ok", {"again": True}))
    assert log.take("join") == ("join", TOPIC, {"again": True})


def test_not_without_rejoin_on_reconnect(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, rejoin_on_reconnect=False)
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join(TOPIC)
    server.disconnect(client)
    server.accept_connect(client)
    call(client, lambda socket: None)
    server.refute_join()


def test_a_topic_is_joined_again_after_its_crash(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, rejoin_after_msec=[0])
    server.accept_connect(client)
    have(client, "join", TOPIC, {"n": 1})
    server.assert_join(TOPIC)
    client.tell(TopicJoinClosed(TOPIC, ChannelCrashed({})))
    server.assert_join(TOPIC, {"n": 1})
    wait_until_joined(client, TOPIC, timeout=PATIENCE)


def test_an_attempt_to_connect_fails_by_hand(server: SocketTest, client: Any, log: Log) -> None:
    client.tell(ChannelConnectFailed(ConnectFailed("refused")))
    log.take("disconnect", ConnectFailed("refused"))
    server.accept_connect(client)
    log.take("connect")


def test_leave_and_join_in_one_go(server: SocketTest, joined: Any) -> None:
    have(joined, "leave", TOPIC)
    have(joined, "join", TOPIC, {"second": True})
    server.assert_join(TOPIC, {"second": True})
    server.assert_leave(TOPIC)
    assert call(joined, lambda socket: socket.joined(TOPIC))


def test_buffered_pushes_come_after_the_join(server: SocketTest, client: Any) -> None:
    server.accept_connect(client)

    def early(socket: Socket) -> Socket:
        socket = socket.join(TOPIC)
        socket.push(TOPIC, "early", {"n": 1}, buffer=True)
        return socket

    cast(client, early)
    join = server.assert_join(TOPIC)
    assert server.assert_push(TOPIC, "early").ref.join_ref == join.join_ref


def test_a_push_that_is_not_answered_in_time_fails(
    server: SocketTest, joined: Any, log: Log
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=0.01) and None)
    push = server.assert_push(TOPIC, "ask")
    assert log.take("push_failed") == ("push_failed", push.ref, PushTimeout())


@pytest.mark.parametrize("options", [{}, {"reply_timeout": 60}])
def test_the_first_reply_to_a_push_counts(
    server: SocketTest, joined: Any, log: Log, options: dict[str, Any]
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", **options) and None)
    push = server.assert_push(TOPIC, "ask")
    server.reply(joined, push, Reply("ok", 1))
    server.reply(joined, push, Reply("ok", 2))
    server.push(joined, TOPIC, "behind")
    assert log.take("reply") == ("reply", push.ref, Reply("ok", 1))
    assert log.get(timeout=PATIENCE) == ("message", TOPIC, "behind", {})


def test_a_reply_that_comes_too_late_is_none(server: SocketTest, joined: Any, log: Log) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=0.01) and None)
    push = server.assert_push(TOPIC, "ask")
    assert log.take("push_failed") == ("push_failed", push.ref, PushTimeout())
    server.reply(joined, push)
    server.push(joined, TOPIC, "behind")
    assert log.get(timeout=PATIENCE) == ("message", TOPIC, "behind", {})


@pytest.mark.parametrize("again", [False, True], ids=["left", "joined again"])
@pytest.mark.parametrize("options", [{}, {"reply_timeout": 60}])
def test_a_reply_to_a_push_of_a_join_that_is_over_is_none(
    server: SocketTest, joined: Any, log: Log, options: dict[str, Any], again: bool
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", **options) and None)
    push = server.assert_push(TOPIC, "ask")
    have(joined, "leave", TOPIC)
    server.assert_leave(TOPIC)
    log.take("leave")
    if again:
        have(joined, "join", TOPIC)
        server.assert_join(TOPIC)
        log.take("join")
    server.reply(joined, push)
    server.push(joined, TOPIC, "behind")
    assert log.get(timeout=PATIENCE) == ("message", TOPIC, "behind", {})


def test_a_client_in_test_mode_opens_no_socket(server: SocketTest, log: Log) -> None:
    before = descriptors()
    client = server.start(KitClient, log)
    server.accept_connect(client)
    log.take("connect")
    assert descriptors() == before
    assert not isinstance(get_state(client).connection, pykka.ActorRef)


def test_a_connect_is_refused(server: SocketTest, client: Any, log: Log) -> None:
    server.refuse_connect(client)
    assert log.take("disconnect") == ("disconnect", ConnectFailed("refused"))
    assert get_state(client).socket.reconnect_counter == 1
    server.refuse_connect("client", ConnectFailed("upgrade", status=403))
    assert log.take("disconnect") == ("disconnect", ConnectFailed("upgrade", status=403))
    server.accept_connect(client)
    log.take("connect")
    client.stop()
    with pytest.raises(ActorDeadError):
        server.refuse_connect(client)


def test_a_push_of_null_and_of_nothing(server: SocketTest, joined: Any, log: Log) -> None:
    server.push(joined, TOPIC, "null", None)
    assert log.take("message") == ("message", TOPIC, "null", None)
    server.push(joined, TOPIC, "nothing")
    assert log.take("message") == ("message", TOPIC, "nothing", {})


def test_pushes_in_flight_fail_with_the_leave(server: SocketTest, joined: Any, log: Log) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=60) and None)
    push = server.assert_push(TOPIC, "ask")
    have(joined, "leave", TOPIC)
    server.assert_leave(TOPIC)
    assert log.take("push_failed") == ("push_failed", push.ref, ChannelEnded("left"))


def test_pushes_in_flight_fail_with_the_connection(
    server: SocketTest, joined: Any, log: Log
) -> None:
    cast(joined, lambda socket: socket.push(TOPIC, "ask", reply_timeout=60) and None)
    push = server.assert_push(TOPIC, "ask")
    server.disconnect(joined, HeartbeatTimeout())
    failed = ("push_failed", push.ref, Disconnected(HeartbeatTimeout()))
    assert log.take("push_failed") == failed


def test_what_the_client_does_before_it_hears_of_the_end_still_comes(
    server: SocketTest, joined: Any
) -> None:
    release = threading.Event()

    def late(socket: Socket) -> None:
        assert release.wait(PATIENCE)
        socket.push(TOPIC, "late")

    cast(joined, late)
    server.disconnect(joined)
    release.set()
    server.assert_push(TOPIC, "late")


def test_a_push_after_the_end_is_refused(server: SocketTest, joined: Any) -> None:
    def push(socket: Socket) -> str:
        with pytest.raises((NotConnectedError, NotJoinedError)) as caught:
            socket.push(TOPIC, "late")
        return type(caught.value).__name__

    server.disconnect(joined)
    assert call(joined, push) == "NotConnectedError"


def test_pushes_from_other_threads(server: SocketTest, joined: Any, log: Log) -> None:
    socket = get_state(joined).socket
    ref = socket.push(TOPIC, "from outside", reply_timeout=0.01)
    assert isinstance(ref, Ref)
    server.assert_push(TOPIC, "from outside")
    log.take("push_failed", ref, PushTimeout())


def test_monitors_hear_of_the_end(server: SocketTest, joined: Any, log: Log) -> None:
    watcher = server.start(KitClient, log)
    call(watcher, lambda socket: [monitor(joined)])
    joined.stop()
    entry = log.take("info")
    assert isinstance(entry[1], Down)


def test_a_client_that_ends_disconnects(server: SocketTest, joined: Any) -> None:
    cast(joined, lambda socket: Stop("normal", socket))
    server.assert_disconnect(client="client")
    assert wait(joined, timeout=PATIENCE) == "normal"


class Polite(KitClient):
    """Says goodbye, and waits for the answer."""

    def terminate(self, reason: Any, socket: Socket) -> None:
        reply = socket.await_reply(socket.push(TOPIC, "bye"), timeout=PATIENCE)
        self.note("terminate", reply)


def test_a_client_that_ends_is_still_answered(server: SocketTest, log: Log) -> None:
    client = server.start(Polite, log)
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join()
    log.take("join")
    stopped = client.stop(block=False)
    server.reply(client, server.assert_push(TOPIC, "bye"))
    assert log.take("terminate") == ("terminate", Reply("ok"))
    stopped.get(timeout=PATIENCE)
    server.assert_disconnect()


def test_garbage_is_no_request(server: SocketTest, joined: Any) -> None:
    have(joined, "collect_garbage")
    have(joined, "push", TOPIC, "behind")
    server.assert_push()
    assert re.search(r"what has come since the connect \(2\)", failure(server, timeout=0))
