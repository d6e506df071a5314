"""The client of a shard: joined to its topics whenever it begins, fenced at each delivery."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ClientActor,
    MessageReceived,
    Next,
    Socket,
    connect,
    on,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.contrib.ray import hosting
from slipstream_actor.contrib.ray.hosting import Host, guarded
from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer
from tests.contrib.ray.rooms import Rooms, phoenix, taken, uri_of
from tests.support.clients import eventually

PATIENCE = 20.0


def stored(**params: Any) -> dict[str, Any]:
    return {"params": params}


def test_topics_are_joined_left_and_joined_again_by_the_next_client() -> None:
    with phoenix() as (server, log):
        host = Host(Rooms, (uri_of(server),), {}, lambda: None)
        host.start()
        host.change({"rooms:a": stored(a=1), "rooms:b": stored()}, ())
        log.wait(lambda log: log.are_joined(["rooms:a", "rooms:b"]), PATIENCE)
        host.change({"rooms:c": stored()}, ["rooms:b"])
        log.wait(lambda log: log.are_joined(["rooms:c"]) and not log.joined["rooms:b"], PATIENCE)
        eventually(lambda: not host.leaving())
        assert host.topics.keys() == {"rooms:a", "rooms:c"}
        log.clear()
        with pytest.raises(ValueError, match="as asked"):
            host.handle.call("crash")
        log.wait(lambda log: log.joins() == {"rooms:a", "rooms:c"}, PATIENCE)
        joined = [entry.params for entry in log.entries if entry.topic == "rooms:a"]
        assert {"a": 1} in joined
        host.stop(0.0)


def test_what_a_busy_client_has_not_done_in_time_is_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with phoenix() as (server, log):
        host = Host(Busy, (uri_of(server),), {}, lambda: None)
        host.start()
        host.change({"rooms:a": stored()}, ())
        log.wait(lambda log: log.are_joined(["rooms:a"]), PATIENCE)
        go_on = threading.Event()
        busy = host.handle.invoke(Busy.wait, go_on)
        with monkeypatch.context() as patch:
            patch.setattr(hosting, "PATIENCE", 0.2)
            with pytest.raises(AwaitTimeoutError):
                host.change({"rooms:b": stored()}, ["rooms:a"])
        assert host.topics.keys() == {"rooms:a"}
        go_on.set()
        busy.get(timeout=PATIENCE)
        host.change({"rooms:b": stored()}, ["rooms:a"])
        log.wait(lambda log: log.are_joined(["rooms:b"]) and not log.joined["rooms:a"], PATIENCE)
        host.stop(0.0)


def test_what_it_has_begun_when_its_time_is_over_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what it is joined to from then on."""
    armed, inside, go_on = threading.Event(), threading.Event(), threading.Event()

    class Late(Future[Any]):
        """Whose time is over when what it is to tell of has begun."""

        def get(self, *, timeout: float | None = None) -> Any:
            assert inside.wait(PATIENCE)
            return super().get(timeout=0.0)

    def require_lease() -> None:
        if armed.is_set():
            inside.set()
            assert go_on.wait(PATIENCE)

    with phoenix() as (server, log):
        host = Host(Rooms, (uri_of(server),), {}, require_lease)
        host.start()
        monkeypatch.setattr(hosting, "Future", Late)
        armed.set()
        host.change({"rooms:a": stored()}, ())
        assert host.topics.keys() == {"rooms:a"}
        go_on.set()
        log.wait(lambda log: log.are_joined(["rooms:a"]), PATIENCE)
        host.stop(0.0)


def test_a_server_may_take_its_time_to_answer_a_leave() -> None:
    """Another shard joins the topic then, which no client alone has to see to."""
    with phoenix() as (server, _), FaultProxy(uri_of(server)) as proxy:
        host = Host(Rooms, (proxy.uri,), {"join_timeout_msec": 50}, lambda: None)
        host.start()
        host.change({"rooms:a": stored()}, ())
        host.handle.wait_until_joined("rooms:a", PATIENCE)
        with proxy.black_hole("down"):
            host.change({"rooms:b": stored()}, ["rooms:a"])
            # Asked for behind the leave, whose time would be over too.
            eventually(lambda: host.handle.status()["topics"]["rooms:b"] == "closed")
            assert host.leaving() == {"rooms:a"}
        eventually(lambda: not host.leaving())
        host.stop(0.0)


def test_one_topic_whose_params_cannot_be_had_keeps_no_other_from_being_joined() -> None:
    with phoenix() as (server, log):
        host = Host(Rooms, (uri_of(server),), {}, lambda: None)
        host.start()
        host.change({"rooms:a": {"function": "no.module:name"}, "rooms:b": stored()}, ())
        log.wait(lambda log: log.are_joined(["rooms:b"]), PATIENCE)
        assert host.topics.keys() == {"rooms:b"}
        host.stop(0.0)


def test_a_topic_that_nothing_joins_again_is_revived() -> None:
    joins: list[str] = []

    class Closing(Channel):
        def join(self, params: Any) -> None:
            joins.append(self.topic)

        def handle_in(self, event: str, payload: Any) -> Any:
            self.stop()

    with PhoenixServer({"rooms:*": Closing}) as server:
        host = Host(Rooms, (server.uri,), {}, lambda: None)
        host.start()
        host.change({"rooms:a": stored()}, ())
        host.handle.wait_until_joined("rooms:a", PATIENCE)
        # A normal stop of the server's, after which a client does not join again.
        _ = host.handle.request("rooms:a", "stop")
        eventually(lambda: host.handle.status()["topics"] == {"rooms:a": "closed"})
        host.revive()
        eventually(lambda: joins == ["rooms:a", "rooms:a"])
        host.stop(0.0)


class Busy(Rooms):
    def wait(self, go_on: threading.Event) -> None:
        go_on.wait(PATIENCE)


class Fenced(Exception):
    pass


class Listening(ClientActor):
    def init(self, uri: str, heard: list[str]) -> Next:
        self.heard = heard
        return Next(connect(uri), then="begun")

    def handle_continue(self, term: Any, socket: Socket) -> None:
        self.heard.append(term)

    def is_there(self) -> bool:
        return True

    @on("rooms:*", "new")
    def new(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.heard.append("new")

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.heard.append("other")


def test_each_delivery_asks_for_the_lease() -> None:
    heard: list[str] = []
    fenced: list[str] = []
    holds = threading.Event()
    holds.set()

    def require_lease() -> None:
        if not holds.is_set():
            fenced.append("fenced")
            raise Fenced

    with phoenix() as (server, log):
        host = Host(Listening, (uri_of(server), heard), {}, require_lease)
        with host.handle.subscribe() as messages:
            host.start()
            host.change({"rooms:a": stored()}, ())
            log.wait(lambda log: log.are_joined(["rooms:a"]), PATIENCE)
            for event in ("new", "other"):
                server.broadcast("rooms:a", event, {})
                assert taken(messages) == MessageReceived("rooms:a", event, {})
            eventually(lambda: heard == ["begun", "new", "other"])
            for restarts, event in enumerate(("new", "other")):
                eventually(lambda: host.handle.status()["topics"].get("rooms:a") == "joined")
                # Its callbacks have returned.
                host.handle.invoke(Listening.is_there).get(timeout=PATIENCE)
                fenced.clear()
                holds.clear()
                server.broadcast("rooms:a", event, {})
                eventually(lambda: bool(fenced))
                # Its handle starts the next one, which begins by itself.
                holds.set()
                eventually(lambda: host.handle.status()["restarts"] > restarts)  # noqa: B023
            assert [word for word in heard if word != "begun"] == ["new", "other"]
        host.stop(0.0)


def test_the_class_is_like_the_users() -> None:
    subclass = guarded(Rooms, lambda: None)
    assert issubclass(subclass, Rooms)
    assert (subclass.__name__, subclass.__module__) == (Rooms.__name__, Rooms.__module__)
