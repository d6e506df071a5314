"""A request, and what happens meanwhile, at each of its steps: each is sent once, with one outcome.

What happens comes in the same thread, as a signal handler does: no lock may be in its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    CancelledError,
    Reply,
    SlipstreamError,
    request,
    wait_until_joined,
)
from slipstream_actor.client import asking
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.testing import SocketTest
from tests.client.test_requests import LOBBY, Rooms
from tests.support.clients import PATIENCE
from tests.support.interruptions import interrupted


@pytest.fixture
def server() -> Iterator[SocketTest]:
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.0) as server:
        yield server


@pytest.fixture
def joined(server: SocketTest) -> Any:
    ref = server.start(Rooms)
    server.connect_and_assert_join(ref, LOBBY)
    wait_until_joined(ref, LOBBY, PATIENCE)
    return ref


def test_a_request_in_the_middle_of_a_request(server: SocketTest, joined: Any) -> None:
    futures: list[Any] = []

    def ask(n: int) -> Callable[[], object]:
        return lambda: futures.append(request(joined, LOBBY, "say", {"n": n}, timeout=PATIENCE))

    for _ in interrupted(lambda: (ask(1), ask(2))):
        for future in futures:
            server.reply(joined, server.assert_push(LOBBY, "say"), Reply("ok", 1))
            del future
        assert all(future.get() == Reply("ok", 1) for future in futures)
        assert 1 <= len(futures) <= 2
        futures.clear()
    server.refute_push()
    assert asking.open_requests(joined) == 0


def waiting(joined: Any) -> Any:
    """Return a request that waits, though it need not: nobody has looked."""
    asked = asking.pending(LOBBY, "say", {}, PATIENCE)
    requests = asking.requests_of(joined)
    asked.ref, asked.owner, asked.push_ref = joined, requests, joined.actor_inbox.next_ref()
    assert requests._admit(asked)
    requests._waiting[LOBBY] = [(asked.number, asked)]
    return asked


def test_a_request_while_what_waits_is_sent(server: SocketTest, joined: Any) -> None:
    requests = asking.requests_of(joined)
    asked: list[Any] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        asked[:] = [waiting(joined)]
        return (
            requests.flush,
            lambda: asked.append(request(joined, LOBBY, "say", timeout=PATIENCE)),
        )

    for _ in interrupted(prepare):
        for _ in asked:
            server.reply(joined, server.assert_push(LOBBY, "say"), Reply("ok", 1))
        assert all(future.get() == Reply("ok", 1) for future in asked)
    server.refute_push()
    assert asking.open_requests(joined) == 0
    assert not requests._waiting


@pytest.mark.parametrize("what", ["cancel", "time out", "fail", "reply"])
def test_one_outcome_whatever_comes_while_it_is_sent(
    server: SocketTest, joined: Any, what: str
) -> None:
    requests = asking.requests_of(joined)
    kept: list[Any] = []
    seen: list[Any] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        asked: PendingRequest = waiting(joined)
        kept[:], seen[:] = [asked], []
        asked.add_done_callback(seen.append)
        acts: dict[str, Callable[[], object]] = {
            "cancel": asked.cancel,
            "time out": asked.time_out,
            "fail": lambda: asked.fail(CancelledError("by hand")),
            "reply": lambda: asked.conclude(Reply("ok", "early")),
        }
        return requests.flush, acts[what]

    for _ in interrupted(prepare):
        future = kept[0]
        if not future.done:
            # Behind those that had their outcome when they were sent.
            while (sent := server.assert_push(LOBBY, "say")).ref != future.push_ref:
                pass
            server.reply(joined, sent, Reply("ok", 1))
        try:
            outcome: Any = future.get(timeout=PATIENCE)
        except SlipstreamError as error:
            outcome = error
        assert isinstance(outcome, (Reply, SlipstreamError))
        assert what == "time out" or not isinstance(outcome, AwaitTimeoutError)
        assert seen == [future]
    assert asking.open_requests(joined) == 0
    assert not requests._waiting
