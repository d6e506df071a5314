"""Who is in a topic: the diffs and the states that clients see."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from slipstream_actor.testing import PhoenixServer
from tests.testing.server.raw_client import RawClient

TOPIC = "presence:r"


def connect(stack: ExitStack, server: PhoenixServer) -> RawClient:
    client = stack.enter_context(RawClient(server.host, server.port))
    assert client.upgrade().status == 101
    return client


def enter(client: RawClient, user: str, **meta: Any) -> tuple[Any, Any]:
    """→ one's own diff, and the state."""
    client.message("1", "1", TOPIC, "phx_join", {"user": user, "meta": meta})
    assert client.receive().value[4] == {"response": {}, "status": "ok"}
    return diff(client), state(client)


def diff(client: RawClient) -> Any:
    """A broadcast: no refs."""
    join_ref, ref, _, event, payload = client.receive().value
    assert (join_ref, ref, event) == (None, None, "presence_diff")
    return payload


def state(client: RawClient) -> Any:
    """A push: the join_ref."""
    join_ref, ref, _, event, payload = client.receive().value
    assert (join_ref, ref, event) == ("1", None, "presence_state")
    return payload


def metas(presences: Any, key: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in meta.items() if k != "phx_ref"} for meta in presences[key]["metas"]]


def test_others_see_joins_and_leaves(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        alice, bob = connect(stack, server), connect(stack, server)
        enter(alice, "alice")
        own, everyone = enter(bob, "bob", mood="good")
        assert everyone.keys() == {"alice", "bob"}
        assert diff(alice) == own
        assert metas(own["joins"], "bob") == [{"online_at": 1, "mood": "good"}]
        bob.disconnect()
        gone = diff(alice)
        assert gone == {"joins": {}, "leaves": {"bob": everyone["bob"]}}


def test_two_connections_of_one_key_are_two_metas(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        one, other = connect(stack, server), connect(stack, server)
        enter(one, "alice", device=1)
        _, everyone = enter(other, "alice", device=2)
        assert [meta["device"] for meta in everyone["alice"]["metas"]] == [1, 2]
        assert len({meta["phx_ref"] for meta in everyone["alice"]["metas"]}) == 2
        diff(one)
        other.message("1", "2", TOPIC, "phx_leave", {})
        assert [meta["device"] for meta in diff(one)["leaves"]["alice"]["metas"]] == [2]


def test_a_replaced_channel_leaves(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        alice, bob = connect(stack, server), connect(stack, server)
        enter(alice, "alice")
        enter(bob, "bob")
        diff(alice)
        bob.message("2", "2", TOPIC, "phx_join", {"user": "bob"})
        assert diff(alice)["leaves"].keys() == {"bob"}
        assert diff(alice)["joins"].keys() == {"bob"}


def test_a_crashed_channel_leaves(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        alice, bob = connect(stack, server), connect(stack, server)
        enter(alice, "alice")
        enter(bob, "bob")
        diff(alice)
        bob.message("1", "2", TOPIC, "no such event", {})
        assert diff(alice)["leaves"].keys() == {"bob"}
        assert bob.receive().value[3] == "phx_error"


def test_an_update_of_what_is_not_tracked_says_nothing(server: PhoenixServer) -> None:
    with ExitStack() as stack:
        alice = connect(stack, server)
        enter(alice, "alice")
        alice.message("1", "2", TOPIC, "untrack", {})
        assert alice.receive().value[1] == "2"
        assert diff(alice)["leaves"].keys() == {"alice"}
        alice.message("1", "3", TOPIC, "update_meta", {"a": 1})
        assert alice.receive().value[1] == "3"
        assert alice.silent()
