"""A client whose token expires: its reasons by hand, and the whole with the embedded server."""

from __future__ import annotations

import itertools
import queue
from typing import Any

import pytest

from examples.token_refresh.__main__ import OneTimeServer
from examples.token_refresh.client import TOPIC, Account, Token
from slipstream_actor import ConnectFailed, wait, wait_until_joined
from slipstream_actor.testing import SocketTest

URI = "ws://test.invalid/socket/websocket"
REFUSED = ConnectFailed("upgrade", status=403)
DOWN = ConnectFailed("upgrade", status=503)


def numbered() -> Any:
    numbers = itertools.count(1)
    return lambda: f"token-{next(numbers)}"


def test_a_token_is_kept_until_it_is_discarded() -> None:
    token = Token(numbered())
    assert [token(), token()] == ["token-1", "token-1"]
    token.discard()
    assert token() == "token-2"


def test_a_fetch_that_fails_is_tried_again() -> None:
    answers = iter([OSError("down"), "token"])

    def fetch() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    token = Token(fetch)
    with pytest.raises(OSError, match="down"):
        token()
    assert token() == "token"


def token_of(account: Any) -> str:
    token: str = account.proxy().token().get(timeout=5)
    return token


def test_a_refusal_discards_the_token(socket_test: SocketTest) -> None:
    account = socket_test.start(Account, URI, numbered(), test_mode=True)
    assert token_of(account) == "token-1"
    socket_test.refuse_connect(account, DOWN)
    assert token_of(account) == "token-1"
    socket_test.refuse_connect(account, REFUSED)
    assert token_of(account) == "token-2"
    socket_test.connect_and_assert_join(account, TOPIC)


def test_it_gives_up_when_no_token_is_any_good(socket_test: SocketTest) -> None:
    account = socket_test.start(Account, URI, numbered(), test_mode=True)
    for _ in range(3):
        socket_test.refuse_connect(account, REFUSED)
    assert wait(account, 5) == ("shutdown", "unauthorized")


def test_a_token_that_was_good_starts_the_count_anew(socket_test: SocketTest) -> None:
    account = socket_test.start(Account, URI, numbered(), test_mode=True)
    for _ in range(2):
        socket_test.refuse_connect(account, REFUSED)
    socket_test.connect_and_assert_join(account, TOPIC)
    for _ in range(2):
        socket_test.refuse_connect(account, REFUSED)
    socket_test.connect_and_assert_join(account, TOPIC)


def test_with_a_server_that_lets_each_token_in_once() -> None:
    fetched: queue.Queue[str] = queue.Queue()
    numbers = itertools.count(1)

    def fetch() -> str:
        token = f"token-{next(numbers)}"
        fetched.put(token)
        return token

    server = OneTimeServer()
    with server:
        account = Account.start(server.uri, fetch, reconnect_jitter_msec=0)
        try:
            wait_until_joined(account, TOPIC)
            assert fetched.get(timeout=5) == "token-1"
            server.disconnect("alice")
            assert fetched.get(timeout=10) == "token-2"
            wait_until_joined(account, TOPIC)
        finally:
            account.stop()
    assert server.used == {"token-1", "token-2"}
