"""Who is in a topic, against the embedded server (notes 50 and 51)."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from slipstream_actor import ClientActor, Presence, Socket, connect, get_state, wait_until_joined
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE
from tests.support.raw_server import OK, TEXT, Peer, RawServer, broadcast, frame, message

TOPIC = "presence:r"


class User(ClientActor):
    """Joins as a user, and notes who else is there."""

    vsn = "2.0.0"

    def init(self, uri: str, user: str, meta: Any = None) -> Socket:
        self.log: queue.Queue[Any] = queue.Queue()
        options: dict[str, Any] = {
            "vsn": self.vsn,
            "reconnect_after_msec": [20],
            "reconnect_jitter_msec": 0,
        }
        params = {"user": user, "meta": meta or {}}
        self.params = params
        return connect(uri, **options).track_presence(TOPIC).join(TOPIC, params)

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> Any:
        self.log.put(("join", key, current, new))

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket
    ) -> Any:
        self.log.put(("leave", key, current, left))

    def handle_presence_sync(self, topic: str, socket: Socket) -> Any:
        self.log.put(("sync", dict(socket.presences(topic))))

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        self.log.put(("message", event))

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        self.log.put(("disconnect",))
        return super().handle_disconnect(reason, socket)

    def push(self, event: str, payload: Any) -> None:
        self.socket.push(TOPIC, event, payload)

    def leave(self) -> None:
        self.socket = self.socket.leave(TOPIC)

    def leave_and_wait(self) -> None:
        self.socket = self.socket.leave(TOPIC).await_leave(TOPIC)

    def here(self) -> Any:
        return dict(self.socket.presences(TOPIC))

    def rejoin(self) -> None:
        self.socket = self.socket.join(TOPIC, self.params)

    def forget(self) -> None:
        self.socket = self.socket.forget(TOPIC)

    def leave_and_join(self) -> None:
        """Do both in one call: what comes meanwhile is delivered behind it."""
        left = self.socket.leave(TOPIC).await_leave(TOPIC)
        self.socket = left.join(TOPIC, self.params).await_join(TOPIC)


class OldUser(User):
    vsn = "1.0.0"


class Party:
    """Users that are stopped at the end."""

    def __init__(self, uri: str, stack: ExitStack, kind: type[User] = User) -> None:
        self._uri = uri
        self._stack = stack
        self._kind = kind

    def enter(self, user: str, uri: str | None = None, **meta: Any) -> Guest:
        guest = Guest(self._kind.start(uri or self._uri, user, meta))
        self._stack.callback(guest.ref.stop)
        wait_until_joined(guest.ref, TOPIC)
        return guest


class Guest:
    """A user, and what it noted."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref
        self.proxy = ref.proxy()
        self._log = self.proxy.log.get(timeout=PATIENCE)

    def until(self, *names: str) -> list[Any]:
        """Return the joins and leaves until just these are there, each as often as it has metas."""
        changes: list[Any] = []
        while True:
            kind, *entry = self._log.get(timeout=PATIENCE)
            if kind == "sync":
                there = [key for key, presence in entry[0].items() for _ in presence["metas"]]
                if sorted(there) == sorted(names):
                    return changes
            else:
                assert kind in ("join", "leave", "disconnect")
                changes.append((kind, *entry))

    def metas(self, key: str) -> list[Any]:
        presences = get_state(self.ref).socket.presences(TOPIC)
        metas: list[Any] = presences[key]["metas"]
        return metas


@pytest.fixture
def party(server: PhoenixServer) -> Iterator[Party]:
    with ExitStack() as stack:
        yield Party(server.uri, stack)


def names(changes: list[Any]) -> list[tuple[str, str]]:
    return [(kind, *rest[:1]) for kind, *rest in changes]


def test_two_clients_see_each_other_come_and_go(party: Party) -> None:
    alice = party.enter("alice")
    assert names(alice.until("alice")) == [("join", "alice")]
    bob = party.enter("bob", mood="good")
    assert names(bob.until("alice", "bob")) == [("join", "alice"), ("join", "bob")]
    [(_, _, current, new)] = alice.until("alice", "bob")
    assert current is None
    assert new["metas"][0]["mood"] == "good"
    bob.proxy.leave().get(timeout=PATIENCE)
    [(kind, key, current, left)] = alice.until("alice")
    assert (kind, key, current["metas"], left) == ("leave", "bob", [], new)
    bob.proxy.rejoin().get(timeout=PATIENCE)
    assert names(alice.until("alice", "bob")) == [("join", "bob")]


def test_an_update_is_a_join_and_a_leave(party: Party) -> None:
    alice, bob = party.enter("alice"), party.enter("bob", mood="good")
    alice.until("alice", "bob")
    [before] = alice.metas("bob")
    bob.proxy.push("update_meta", {"mood": "bad"}).get(timeout=PATIENCE)
    join, leave = alice.until("alice", "bob")
    [after] = alice.metas("bob")
    assert after["mood"] == "bad"
    assert after["phx_ref_prev"] == before["phx_ref"]
    assert join == ("join", "bob", {"metas": [before]}, {"metas": [after]})
    assert leave == ("leave", "bob", {"metas": [after]}, {"metas": [before]})


def test_two_connections_of_one_key_are_two_metas(party: Party) -> None:
    phone, laptop = party.enter("alice", device="phone"), party.enter("alice", device="laptop")
    [_, (kind, _, current, new)] = phone.until("alice", "alice")
    assert kind == "join"
    assert [meta["device"] for meta in current["metas"]] == ["phone"]
    assert [meta["device"] for meta in new["metas"]] == ["laptop"]
    assert [meta["device"] for meta in phone.metas("alice")] == ["phone", "laptop"]
    laptop.ref.stop()
    [(kind, _, current, left)] = phone.until("alice")
    assert kind == "leave"
    assert [meta["device"] for meta in current["metas"]] == ["phone"]
    assert [meta["device"] for meta in left["metas"]] == ["laptop"]


def test_a_connection_that_is_killed_leaves_and_comes_back(party: Party, proxy: FaultProxy) -> None:
    """Who came and went meanwhile is reported when it is back, and so are its own metas, which
    are others now."""
    alice, carol = party.enter("alice"), party.enter("carol")
    bob = party.enter("bob", proxy.uri)
    bob.until("alice", "bob", "carol")
    alice.until("alice", "bob", "carol")
    [before] = bob.metas("bob")
    with proxy.refuse():
        proxy.reset()
        assert names(alice.until("alice", "carol"))[-1] == ("leave", "bob")
        carol.ref.stop()
        party.enter("dave")
        alice.until("alice", "dave")
        # Meanwhile bob knows what it knew.
        assert sorted(get_state(bob.ref).socket.presences(TOPIC)) == ["alice", "bob", "carol"]
    changes = [change for change in bob.until("alice", "bob", "dave") if change[0] != "disconnect"]
    assert sorted(names(changes)) == [
        ("join", "bob"),
        ("join", "dave"),
        ("leave", "bob"),
        ("leave", "carol"),
    ]
    [after] = bob.metas("bob")
    assert after["phx_ref"] != before["phx_ref"]
    assert names(alice.until("alice", "bob", "dave")) == [("join", "bob")]


def padded(size: int) -> tuple[Any, Any, Any]:
    """Three presences, of so many bytes and more each."""
    one, two, three = ({"metas": [{"phx_ref": ref, "pad": "x" * size}]} for ref in ("1", "2", "3"))
    return one, two, three


@pytest.mark.parametrize("size", [0, 100_000])
def test_who_came_before_the_join_and_has_gone_unheard_is_not_there(size: int) -> None:
    """A topic is left and joined in one go. What the former join was sent comes behind the reply to
    the new one, up to the former's phx_close (note 14), and is older than the state."""
    alice, bob, ghost = padded(size)

    def script(peer: Peer) -> None:
        peer.upgrade()
        old = peer.join()
        peer.send(message(old, None, TOPIC, "presence_state", {"alice": alice}))
        leave = peer.expect("phx_leave")
        new = peer.join()
        peer.send(
            broadcast("presence_diff", {"joins": {"ghost": ghost}, "leaves": {}}, TOPIC)
            + message(old, leave[1], TOPIC, "phx_reply", OK)
            + message(old, old, TOPIC, "phx_close")
            + broadcast("presence_diff", {"joins": {"bob": bob}, "leaves": {}}, TOPIC)
            + message(new, None, TOPIC, "presence_state", {"alice": alice})
        )
        peer.serve()

    with RawServer(script) as server, ExitStack() as stack:
        guest = Party(server.uri, stack).enter("alice")
        assert guest.until("alice") == [("join", "alice", None, alice)]
        guest.proxy.leave().get(timeout=PATIENCE)
        guest.proxy.rejoin().get(timeout=PATIENCE)
        assert guest.until("alice", "bob") == [("join", "bob", None, bob)]


def test_a_state_for_the_join_before_is_none_of_this_one() -> None:
    """In V1 what the server sends has no join_ref (note 52) that would tell."""

    def sent(event: str, payload: Any, ref: str | None = None) -> bytes:
        told = {"topic": TOPIC, "event": event, "payload": payload, "ref": ref}
        return frame(TEXT, json.dumps(told).encode())

    def asked(peer: Peer) -> Any:
        return json.loads(peer.frame().payload)["ref"]

    alice, bob, carol = ({"metas": [{"phx_ref": ref}]} for ref in ("1", "2", "3"))

    def script(peer: Peer) -> None:
        peer.upgrade()
        old = asked(peer)
        peer.send(sent("phx_reply", OK, old))
        leave, new = asked(peer), asked(peer)
        peer.send(
            sent("phx_reply", OK, new)
            + sent("presence_state", {"alice": alice})
            + sent("phx_reply", OK, leave)
            + sent("phx_close", {}, old)
            + sent("presence_diff", {"joins": {"bob": bob}, "leaves": {}})
            + sent("presence_state", {"alice": alice})
            + sent("presence_diff", {"joins": {"carol": carol}, "leaves": {}})
        )
        peer.hold()

    with RawServer(script) as server, ExitStack() as stack:
        guest = Party(server.uri, stack, OldUser).enter("alice")
        guest.proxy.leave().get(timeout=PATIENCE)
        guest.proxy.rejoin().get(timeout=PATIENCE)
        changes = guest.until("alice", "bob", "carol")
        assert names(changes) == [("join", "alice"), ("join", "bob"), ("join", "carol")]


@pytest.mark.parametrize("size", [0, 100_000])
def test_who_came_before_a_join_that_is_awaited_and_has_gone_unheard_is_not_there(
    size: int,
) -> None:
    """A callback leaves and joins the topic, and awaits both: what the former join was sent is
    delivered behind that, and is older than the state."""
    alice, bob, ghost = padded(size)

    def script(peer: Peer) -> None:
        peer.upgrade()
        old = peer.join()
        peer.send(message(old, None, TOPIC, "presence_state", {"alice": alice}))
        leave = peer.expect("phx_leave")
        peer.send(broadcast("presence_diff", {"joins": {"ghost": ghost}, "leaves": {}}, TOPIC))
        peer.reply(leave)
        peer.send(message(old, old, TOPIC, "phx_close"))
        new = peer.join()
        peer.send(
            broadcast("presence_diff", {"joins": {"bob": bob}, "leaves": {}}, TOPIC)
            + message(new, None, TOPIC, "presence_state", {"alice": alice})
        )
        peer.serve()

    with RawServer(script) as server, ExitStack() as stack:
        guest = Party(server.uri, stack).enter("alice")
        assert guest.until("alice") == [("join", "alice", None, alice)]
        guest.proxy.leave_and_join().get(timeout=PATIENCE)
        assert guest.until("alice", "bob") == [("join", "bob", None, bob)]


def test_a_topic_that_is_forgotten_has_nobody_until_it_is_joined_again(party: Party) -> None:
    alice = party.enter("alice")
    party.enter("bob")
    alice.until("alice", "bob")
    alice.proxy.leave_and_wait().get(timeout=PATIENCE)
    assert set(alice.proxy.here().get(timeout=PATIENCE)) == {"alice", "bob"}
    alice.proxy.forget().get(timeout=PATIENCE)
    assert alice.proxy.here().get(timeout=PATIENCE) == {}
    alice.proxy.rejoin().get(timeout=PATIENCE)
    assert sorted(names(alice.until("alice", "bob"))) == [("join", "alice"), ("join", "bob")]


def test_a_plain_thread_keeps_the_state_itself(party: Party) -> None:
    alice = party.enter("alice")
    alice.until("alice")
    socket = connect(party._uri).join(TOPIC, {"user": "script"}).await_join(TOPIC)
    state = Presence.sync_state({}, socket.await_message(TOPIC, "presence_state").payload)
    assert sorted(state) == ["alice", "script"]
    alice.ref.stop()
    diff = socket.await_message(TOPIC, "presence_diff", lambda diff: "alice" in diff["leaves"])
    assert sorted(Presence.sync_diff(state, diff.payload)) == ["script"]
    socket.disconnect().await_disconnect()
