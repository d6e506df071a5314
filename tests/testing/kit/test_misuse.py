"""Wrong uses of the kit are told where they are made."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    ConfigurationError,
    ConnectFailed,
    Reply,
    Socket,
    connect,
    new_socket,
)
from slipstream_actor.testing import PhoenixServer, SocketTest
from tests.support.clients import PATIENCE, Log, Recorder, recording
from tests.testing.kit.kit_client import TOPIC, Joiner, KitClient, have


@pytest.fixture
def test() -> Iterator[SocketTest]:
    with SocketTest(assert_timeout=PATIENCE) as test:
        yield test


# clients that are not in test mode

ACCEPTANCES: dict[str, Any] = {
    "accept_connect": lambda test, client: test.accept_connect(client),
    "refuse_connect": lambda test, client: test.refuse_connect(client),
    "connect_and_assert_join": lambda test, client: test.connect_and_assert_join(client),
}


@pytest.mark.parametrize("name", ACCEPTANCES)
@pytest.mark.parametrize("kind", ["reference", "name", "proxy"])
def test_a_client_with_a_connection_of_its_own(
    test: SocketTest, phoenix: PhoenixServer, log: Log, name: str, kind: str
) -> None:
    ref = test.start(Recorder, phoenix.uri, log, name="chat")
    client = {"reference": ref, "name": "chat", "proxy": ref.proxy()}[kind]
    log.take("connect")
    message = r"\Atest_mode: Recorder 'chat' has .* test_mode=True "
    with pytest.raises(ConfigurationError, match=message) as caught:
        ACCEPTANCES[name](test, client)
    assert caught.value.option == "test_mode"
    assert log.empty()


def test_its_callback_may_wait_meanwhile(phoenix: PhoenixServer, test: SocketTest) -> None:
    release = threading.Event()
    with recording(phoenix.uri) as (client, log):
        log.take("connect")
        blocked = client.proxy().do(lambda socket: release.wait(PATIENCE) and None)
        with pytest.raises(ConfigurationError):
            test.accept_connect(client)
        release.set()
        blocked.get(timeout=PATIENCE)


def test_a_socket_with_a_connection_of_its_own(phoenix: PhoenixServer, test: SocketTest) -> None:
    socket = connect(phoenix.uri).await_connect()
    with pytest.raises(ConfigurationError, match="<ThreadRef MainThread> has a connection"):
        test.accept_connect(socket)
    socket.disconnect().await_disconnect()


def test_one_that_never_connected_is_told_by_hand(test: SocketTest, log: Log) -> None:
    client = test.start(Unconnected, log)
    test.refuse_connect(client)
    assert log.take("disconnect") == ("disconnect", ConnectFailed("refused"))
    test.accept_connect(new_socket())
    test.accept_connect(new_socket().socket_pid)


class Unconnected(KitClient):
    """Does not ask for a connection."""

    def init(self, log: Any, **options: Any) -> Socket:  # type: ignore[override]
        self.log = log
        return new_socket()

    def handle_disconnect(self, reason: Any, socket: Socket) -> None:
        self.note("disconnect", reason)


# replies to what is no push


@pytest.mark.parametrize("kind", ["JoinRequest", "NoneType", "int", "bytes"])
def test_a_reply_to_no_push(test: SocketTest, log: Log, kind: str) -> None:
    client = test.start(Joiner, log)
    request: Any = test.connect_and_assert_join(client)
    wrong = {"JoinRequest": request, "NoneType": None, "int": 1, "bytes": b"1"}[kind]
    with pytest.raises(TypeError, match=f"ref must be a PushRequest or its ref, not {kind}"):
        test.reply(client, wrong)


def test_a_reply_to_the_push_of_another_client(test: SocketTest, log: Log) -> None:
    alice, bob = (test.start(Joiner, log, name=name) for name in ("alice", "bob"))
    for client in (alice, bob):
        test.connect_and_assert_join(client)
    have(alice, "push", TOPIC, "ask")
    push = test.assert_push()
    message = r"a push of Joiner 'alice' is no push of Joiner 'bob'\Z"
    with pytest.raises(ValueError, match=message):
        test.reply("bob", push)
    test.reply(alice.proxy(), push)
    log.take("reply")


# patterns

METHODS: list[tuple[str, tuple[str, ...]]] = [
    ("assert_join", ("topic", "params")),
    ("refute_join", ("topic", "params")),
    ("assert_leave", ("topic",)),
    ("refute_leave", ("topic",)),
    ("assert_push", ("topic", "event", "payload")),
    ("refute_push", ("topic", "event", "payload")),
]
PATTERNS = [(method, name) for method, names in METHODS for name in names]


@pytest.mark.parametrize(("method", "name"), PATTERNS)
@pytest.mark.parametrize("kind", ["LocalRef", "ActorProxy", "ThreadRef", "Socket", "Reply"])
def test_what_can_be_no_pattern(
    test: SocketTest, log: Log, method: str, name: str, kind: str
) -> None:
    client = test.start(KitClient, log)
    socket = new_socket()
    wrong = {
        "LocalRef": client,
        "ActorProxy": client.proxy(),
        "ThreadRef": socket.socket_pid,
        "Socket": socket,
        "Reply": Reply("ok"),
    }[kind]
    meant = "reply=" if kind == "Reply" else "client="
    message = re.escape(f"{name} cannot be of {kind}: did you mean {meant}?")
    with pytest.raises(TypeError, match=message):
        getattr(test, method)(**{name: wrong})


TEXTS = [*((m, n) for m, n in PATTERNS if n in ("topic", "event")), ("serve", "event")]


@pytest.mark.parametrize(("method", "name"), [*TEXTS, ("serve_joins", "topic")])
def test_a_payload_in_the_place_of_a_text(test: SocketTest, method: str, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a text, ANY or a pattern for a text"):
        getattr(test, method)(**{name: {"n": 1}})


@pytest.mark.parametrize(("wrong", "kind"), [(KitClient, "the class KitClient"), ("name", "a str")])
def test_only_a_handle_is_overridden(test: SocketTest, wrong: Any, kind: str) -> None:
    refused = pytest.raises(TypeError, match=f"^override takes the handle to replace, not {kind}$")
    with refused, test.override(wrong):
        raise AssertionError("it began")


def test_a_mistake_is_told_before_the_client_is_accepted(test: SocketTest, log: Log) -> None:
    client = test.start(KitClient, log)
    with pytest.raises(TypeError, match="did you mean reply="):
        test.connect_and_assert_join(client, TOPIC, Reply("ok"))
    with pytest.raises(TypeError, match="timeout must be seconds"):
        test.connect_and_assert_join(client, TOPIC, timeout="1")  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="it was not accepted"):
        test.assert_join(timeout=0)


# timeouts


@pytest.mark.parametrize("name", ["assert_timeout", "refute_timeout"])
def test_the_defaults_are_seconds(name: str) -> None:
    options: Any = {name: "1"}
    with pytest.raises(TypeError, match=f"{name} must be seconds or None, not str"):
        SocketTest(**options)
    assert getattr(SocketTest(**{name: None}), name) == getattr(SocketTest, name)


@pytest.mark.parametrize(
    "name", [*(name for name, _ in METHODS), "assert_disconnect", "refute_disconnect"]
)
def test_a_timeout_is_seconds(test: SocketTest, name: str) -> None:
    with pytest.raises(TypeError, match="timeout must be seconds or None, not str"):
        getattr(test, name)(timeout="1")


@pytest.mark.parametrize(("value", "why"), [(math.nan, "not NaN"), (math.inf, "come to an end")])
@pytest.mark.parametrize(
    "name", [*(name for name, _ in METHODS), "assert_disconnect", "refute_disconnect"]
)
def test_a_timeout_comes_to_an_end(test: SocketTest, name: str, value: float, why: str) -> None:
    with pytest.raises(ValueError, match=f"timeout must be seconds.*{why}"):
        getattr(test, name)(timeout=value)
    with pytest.raises(ValueError, match=f"assert_timeout must be seconds.*{why}"):
        SocketTest(assert_timeout=value)


@pytest.mark.parametrize("wrong", [None, 1, ["t"], b"t"])
def test_what_the_server_pushes_has_texts(test: SocketTest, log: Log, wrong: Any) -> None:
    client = test.start(KitClient, log)
    with pytest.raises(TypeError, match="topic must be a str, not"):
        test.push(client, wrong, "event")
    with pytest.raises(TypeError, match="event must be a str, not"):
        test.push(client, TOPIC, wrong)
