"""A client in a world of faults, against a plain model, step by step.

The model says of a client only what its user may rely on: whether it is to be connected, what it
is to be joined to and with which params, and what becomes of each push. `tests.simulation` is the
world; `make state-machine CONVERSATIONS=5000` explores more of it.
"""

from __future__ import annotations

import os
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.configuration import retry
from slipstream_actor.protocol.channels import JoinState
from slipstream_actor.protocol.commands import JoinTopic
from tests.support.model import Model
from tests.support.modelled_client import OPTIONS, OTHER, URI, Client
from tests.support.simulated_server import Channel
from tests.support.simulation import Answer, Attempt, World, timers_of

EXAMPLES = int(os.environ.get("SLIPSTREAM_EXAMPLES", "300"))
PHASES = tuple(Phase)
# Longer than any schedule of the configuration below.
LONG_ENOUGH = 120.0

TOPICS = ("room:1", "room:2", "room:3")
CALLBACKS = ("connect", "disconnect", "join", "message", "reply", "topic_close", "leave")

JOINS = ("ok", "refused", "for good", "join crashed", "unmatched", "silence")
PUSHES = ("reply", "twice", "odd", "later", "later", "crash", "stop", "stop_reply")
MOVES = ("client", "client", "connection", "socket", "server", "network")

topics = st.sampled_from(TOPICS)
params = st.sampled_from(["plain", "plain", "callable", "part", "raises", "returns no JSON"])
pushes = st.sampled_from(["plain", "asked", "buffered"])
timeouts = st.sampled_from([None, None, 0.1, 2.0, 30.0])
rejoins = st.sampled_from(["same", "now", "later", "plain", "raises"])
actions = st.one_of(
    st.tuples(st.just("join"), topics, params, timeouts),
    st.tuples(st.just("rejoin"), topics, rejoins),
    st.tuples(st.just("leave"), topics, timeouts),
    st.tuples(st.sampled_from(["renew", "forget"]), topics),
    st.tuples(st.just("push"), topics, pushes),
    st.tuples(st.just("connect"), st.sampled_from([URI, OTHER])),
    st.tuples(st.just("reconnect"), st.sampled_from([None, 0.0, 2.0])),
    st.just(("disconnect",)),
)


class ClientMachine(RuleBasedStateMachine):
    """The rules: what a user, a server and a network may do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.legal = True
        self.defects: list[Exception] = []
        self.world = World(self.opened, self.asked_to_join)
        self.begin()

    def begin(self) -> None:
        """Start a client and have it connect."""
        self.model = Model(lambda: self.world.now)
        self.script: dict[str, list[Any]] = {}
        self.refs: set[str] = set()
        self.every: list[Attempt] = []
        self.client: Client
        Client.start(self)
        self.at_once(("connect", URI))

    def opened(self, attempt: Attempt) -> None:
        self.every.append(attempt)
        self.model.opened(attempt)

    def asked_to_join(self, command: JoinTopic) -> None:
        self.model.asked(command.topic, command.join_ref)

    # what the client is told to do

    def at_once(self, action: Any) -> None:
        """Have the client do something before it handles anything else."""
        self.client.actor_inbox.push_front(action)
        self.world.step(self.client)

    @initialize(
        topics=st.lists(topics, max_size=3, unique=True),
        server=st.sampled_from(["silent", "well", "well", "lost"]),
        drives=st.booleans(),
    )
    def a_client_that_has_begun(self, topics: list[str], server: str, drives: bool) -> None:
        self.world.drive(drives)
        if server != "silent":
            self.everything_happens()
        if server == "lost":
            self.a_fault("lost")
        for topic in topics:
            self.at_once(("join", topic, "plain"))
            if server != "silent":
                self.it_goes_well_for_a_while(0.2 if server == "well" else 6.0)

    @rule(actions=st.lists(actions, min_size=1, max_size=3))
    def act(self, actions: list[Any]) -> None:
        for action in actions:
            self.at_once(action)

    @rule(topic=topics, kind=pushes, count=st.sampled_from([1, 1, 2, 5]))
    def push(self, topic: str, kind: str, count: int) -> None:
        for _ in range(count):
            self.at_once(("push", topic, kind))

    @rule(callback=st.sampled_from(CALLBACKS), action=actions)
    def in_the_next_callback(self, callback: str, action: Any) -> None:
        self.script.setdefault(callback, []).append(action)

    @rule(how=st.sampled_from(["now", "stop", *CALLBACKS]), rarely=st.integers(0, 4))
    def the_client_ends(self, how: str, rarely: int) -> None:
        if rarely:
            return
        if how == "stop":
            self.client.stop()
        elif how == "now":
            self.client.actor_inbox.tell(("boom",))
        else:
            self.script.setdefault(how, []).append(("boom",))

    # what happens to it

    @rule(moves=st.lists(st.tuples(st.sampled_from(MOVES), st.integers(1, 4)), min_size=1))
    def a_little_happens(self, moves: list[tuple[str, int]]) -> None:
        """Here some messages are handled, and there."""
        for who, count in moves:
            if who == "client":
                self.world.step(self.client, count)
                self.an_end_is_an_end()
                continue
            for attempt in self.attempts():
                if who in ("connection", "socket"):
                    attempt.inbox.socket_first = who == "socket"
                    self.world.step_connection(attempt, count)
                elif who == "server":
                    for _ in range(count):
                        attempt.server.serve()
                else:
                    attempt.wire.deliver(count)

    @precondition(lambda self: any(a.connecting for a in self.world.attempts))
    @rule(how=st.sampled_from(["accept", "accept", "accept", "refused", "upgrade"]))
    def the_server_answers_an_attempt(self, how: Answer) -> None:
        for attempt in self.world.attempts:
            if attempt.connecting:
                attempt.answer = how
                self.world.step_connection(attempt)

    @rule(
        joins=st.lists(st.sampled_from(JOINS), max_size=2),
        pushes=st.lists(st.sampled_from(PUSHES), max_size=3),
        answered_leaves=st.integers(0, 1),
    )
    def the_server_plans(self, joins: list[str], pushes: list[str], answered_leaves: int) -> None:
        plans = self.world.plans
        plans.joins, plans.pushes, plans.answered_leaves = joins, pushes, answered_leaves

    @precondition(lambda self: any(c.pending for c in self.channels()))
    @rule(at=st.integers(0, 3), again=st.booleans())
    def the_server_replies(self, at: int, again: bool) -> None:
        for channel in self.channels():
            if channel.pending:
                channel.server.reply(channel, at % len(channel.pending), again=again)

    @precondition(lambda self: self.channels())
    @rule(data=st.data(), how=st.sampled_from(["crash", "stop"]))
    def a_channel_ends(self, data: Any, how: str) -> None:
        channel = data.draw(st.sampled_from(self.channels()))
        channel.server.end_channel(channel.topic, crash=how == "crash")

    @precondition(lambda self: self.channels())
    @rule(data=st.data(), count=st.sampled_from([1, 2, 9]), broadcast=st.booleans())
    def a_channel_says(self, data: Any, count: int, broadcast: bool) -> None:
        channel = data.draw(st.sampled_from(self.channels()))
        for _ in range(count):
            channel.server.say(channel.topic, broadcast=broadcast)

    @precondition(lambda self: self.attempts())
    @rule(how=st.sampled_from([1000, 1001, 1012, None, "lost", "blocked", "blocked", "flows"]))
    def a_fault(self, how: Any) -> None:
        for attempt in self.attempts():
            if how == "flows":
                attempt.wire.blocked = False
            elif how in ("lost", "blocked"):
                setattr(attempt.wire, how, True)
            else:
                attempt.server.end(how)

    @precondition(lambda self: self.attempts())
    @rule(topic=topics, seconds=st.sampled_from([8.0, 11.0]), then=st.sampled_from(["leave", None]))
    def the_server_stands_still(self, topic: str, seconds: float, then: str | None) -> None:
        """A slow join blocks the whole connection (note 12)."""
        for attempt in self.attempts():
            attempt.wire.blocked = True
        self.at_once(("join", topic, "plain"))
        for _ in range(2):
            for attempt in self.attempts():
                self.world.step_connection(attempt, 5)
            self.world.step(self.client, 5)
            self.world.now += seconds / 2
        if then is not None:
            self.at_once((then, topic))

    @rule()
    def everything_happens(self) -> None:
        while self.world.go_on():
            pass

    @rule(seconds=st.sampled_from([0.02, 0.2, 1.5, 6.0, 11.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(seconds=st.sampled_from([0.2, 2.0, 12.0]))
    def it_goes_well_for_a_while(self, seconds: float) -> None:
        self.world.run_until(lambda: False, seconds)

    # helpers

    def attempts(self) -> list[Attempt]:
        """Return the connections that there are; former ones may still be among them."""
        return [a for a in self.world.attempts if a.alive and not a.connecting]

    def channels(self) -> list[Channel]:
        """Return the channels that the server has, on any connection."""
        return [c for a in self.attempts() for c in a.server.channels.values()]

    # what must hold

    @invariant()
    def all_is_legal(self) -> None:
        self.legal = False
        self.callbacks_are_legal()
        self.what_is_sent_is_legal()
        self.nothing_grows()
        self.an_end_is_an_end()
        self.legal = True

    def callbacks_are_legal(self) -> None:
        if self.defects:
            raise self.defects[0]

    def what_is_sent_is_legal(self) -> None:
        for attempt in self.every:
            for message in attempt.wire.written:
                join_ref, ref, _, event, payload = message
                assert ref not in self.refs, f"{ref} was used twice"
                self.refs.add(ref)
                if event == "hello":
                    self.model.on_the_wire(payload["push"], join_ref, attempt.server)
            attempt.wire.written.clear()

    def nothing_grows(self) -> None:
        buffer = self.client.actor_inbox.buffer
        assert len(buffer) <= OPTIONS["buffer_max_pushes"]
        assert buffer.topics() <= self.model.wanted_topics().keys()

    def an_end_is_an_end(self) -> None:
        if not self.client.actor_stopped.is_set():
            return
        self.callbacks_are_legal()
        self.what_is_sent_is_legal()
        self.model.check_outcomes()
        self.world.run_until(lambda: False, 5.0)
        assert not self.world.attempts
        self.begin()

    def teardown(self) -> None:
        try:
            if self.legal:
                self.settle()
        finally:
            self.world.undo()

    def settle(self) -> None:
        """The server is well and everything has its time: now all must be as it is wanted."""
        self.world.plans.clear()
        self.world.run_until(lambda: False, LONG_ENOUGH)
        self.an_end_is_an_end()
        self.world.run_until(lambda: False, LONG_ENOUGH)
        self.callbacks_are_legal()
        self.what_is_sent_is_legal()
        self.model.check_outcomes()
        self.nothing_is_left()
        assert not self.model.owed_disconnects
        assert not +self.model.owed_leaves
        socket = self.client.socket
        alive = [a for a in self.world.attempts if a.alive]
        assert socket.connected == self.model.wanted == bool(alive)
        if alive:
            [attempt] = alive
            assert attempt is self.model.attempt
            self.joins_are_as_wanted(attempt)

    def joins_are_as_wanted(self, attempt: Attempt) -> None:
        wanted = self.model.wanted_topics()
        server = {topic: c.params.get("value") for topic, c in attempt.server.channels.items()}
        assert server == wanted
        socket, protocol = self.client.socket, attempt.actor._protocol
        assert {topic for topic in TOPICS if socket.joined(topic)} == wanted.keys()
        for topic, channel in attempt.server.channels.items():
            join = socket.joins[topic]
            assert join.join_ref == channel.join_ref == protocol.channels[topic].join_ref
            assert protocol.channels[topic].state is JoinState.JOINED
        assert protocol.channels.keys() == wanted.keys()
        assert not protocol.refs
        assert not protocol.former
        assert not protocol._joining
        assert protocol.next_deadline() == protocol.heartbeats.due
        assert attempt.actor._room.bytes == 0
        assert len(timers_of(attempt.inbox)) == 1
        assert not attempt.actor._paused

    def nothing_is_left(self) -> None:
        inbox = self.client.actor_inbox
        assert isinstance(inbox, Inbox)
        assert inbox.depth == 0
        assert not inbox.ledger._asked
        assert not inbox.buffer
        assert not timers_of(inbox)


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jitter, by chance that an example has again when it is run again."""
    monkeypatch.setattr(retry, "chance", partial(random.uniform, 0))


# A failure is made small, which takes its time.
pytestmark = pytest.mark.timeout(600 + EXAMPLES)

TestClient = ClientMachine.TestCase
TestClient.settings = settings(
    max_examples=EXAMPLES,
    phases=PHASES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
