"""What a user may rely on: the plain model that `tests.test_state_machine` holds a client to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import msgspec

__all__ = ["Model", "Push", "Topic"]

JOIN_TIMEOUT = 10.0

# "recorded": asked for and not sent yet; "asked": sent, and joined when it was answered; "lost":
# joined again with the next connection; "gone": left, or refused or closed for good.
TopicState = Literal["recorded", "asked", "lost", "gone"]


class Topic(msgspec.Struct):
    """A topic that was asked for. Messages of joins up to `floor` are those of former ones.

    A rejoin with a delay is made no earlier than `due`; a join has `timeout` seconds from when it
    was `asked_at`.
    """

    value: int | None
    state: TopicState = "recorded"
    join_ref: str | None = None
    joined: bool = False
    floor: int = 0
    due: float = 0.0
    timeout: float = JOIN_TIMEOUT
    asked_at: float = 0.0


class Push(msgspec.Struct):
    """A push that was accepted, and what became of it."""

    number: int
    topic: str
    kind: str
    join_ref: str | None = None  # once it is on the wire
    replies: int = 0
    failures: int = 0
    never_sent: bool = False


class Model:
    """One client, as its user sees it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        # Where it is to connect to, and no earlier than when, where that was said.
        self.uri = ""
        self.due = 0.0
        self.link: Literal["scheduled", "open", "closing"] | None = None
        self.up = False
        self.configured = False
        self.attempt: Any = None
        # A connection was replaced, and its `handle_disconnect` is to come; that callback runs.
        self.owed_disconnects = 0
        self.replacing = False
        # Topics that were left, and whose `handle_leave` is to come.
        self.owed_leaves: Counter[str] = Counter()
        self.topics: dict[str, Topic] = {}
        self.pushes: dict[str, Push] = {}
        self.refused_pushes: set[int] = set()
        self.sent: dict[int, int] = {}
        self.last_sent: dict[str, int] = {}
        self.numbers = 0

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    # the connection

    @property
    def wanted(self) -> bool:
        return self.link in ("scheduled", "open")

    def connect(self, uri: str) -> None:
        if self.replacing:
            return
        self.uri, self.due = uri, 0.0
        if self.configured:
            for topic in self.topics.values():  # None is carried over.
                topic.state, topic.joined = "gone", False
        self.configured = True
        self._replaced()
        self.link = "open"

    def reconnect(self, delay: float | None = None) -> bool:
        """Whether there is a configuration to connect with."""
        if not self.configured or self.replacing:
            return self.configured
        on_the_way = self.link == "open" and self.attempt.alive
        if self.link != "scheduled" and (not on_the_way or (delay == 0 and self.up)):
            self._replaced()
            self.link, self.due = "scheduled", 0.0
        if self.link == "scheduled" and delay is not None:
            self.due = self.now() + delay
        return True

    def _replaced(self) -> None:
        """Another connection is to take the place of this one."""
        self.owed_disconnects += self.up
        self._connection_over()
        self.up = False

    def disconnect(self) -> None:
        if self.link == "scheduled":
            self.link = None
        elif self.link == "open":
            self.link = "closing"

    def opened(self, attempt: Any) -> None:
        assert self.link in ("open", "scheduled")
        assert self.now() >= self.due
        assert attempt.actor._config.uri.geturl().startswith(self.uri)
        self.link, self.attempt, self.due = "open", attempt, 0.0

    def connected(self) -> None:
        assert self.link in ("open", "closing")
        assert not self.up
        assert not self.owed_disconnects
        self.up = True

    def disconnected(self, *, by_client: bool) -> None:
        if self.owed_disconnects:
            assert by_client
            self.owed_disconnects -= 1
            self.replacing = True
            return
        assert self.link in ("open", "closing")
        assert by_client == (self.link == "closing")
        for topic in self.topics.values():
            if topic.state == "asked" and topic.join_ref is not None:
                self._has_outcomes(topic.join_ref)
        self._connection_over()
        self.link, self.up = None, False

    def _connection_over(self) -> None:
        for push in self.pushes.values():
            push.join_ref = None
        for topic in self.topics.values():
            topic.joined, topic.join_ref = False, None
            topic.due = 0.0  # What comes back comes back with the next connection.
            if topic.state == "asked":
                topic.state = "lost"

    # topics

    def wanted_topics(self) -> dict[str, int | None]:
        return {name: t.value for name, t in self.topics.items() if t.state != "gone"}

    def join(self, name: str, timeout: float | None = None) -> int:
        """Return the number in the params that are to be used."""
        value = self.next_number()
        topic = self.topics.setdefault(name, Topic(value))
        if topic.state != "asked":
            topic.state, topic.value, topic.due = "recorded", value, 0.0
            topic.timeout = JOIN_TIMEOUT if timeout is None else timeout
        return value

    def rejoin(
        self, name: str, *, closed: bool, anew: bool = False, delay: float | None = None
    ) -> int:
        """`closed` is what the socket says of the topic: else it is without effect."""
        value = self.next_number()
        topic = self.topics[name]
        if closed:
            assert topic.state != "asked"
            if delay is not None:
                topic.due = self.now() + delay
            elif topic.state != "recorded" or anew:
                topic.due = 0.0
            topic.state = "recorded"
            topic.value = value if anew else topic.value
        else:
            assert topic.state in ("asked", "recorded")
        return value

    def leave(self, name: str) -> None:
        if name in self.topics:
            topic = self.topics[name]
            if topic.state != "gone":
                self.owed_leaves[name] += 1
                topic.value = None  # Its params are dropped.
            topic.state, topic.joined, topic.due = "gone", False, 0.0

    def forget(self, name: str) -> None:
        assert self.topics[name].state != "asked"
        del self.topics[name]

    def asked(self, name: str, join_ref: str | None) -> None:
        topic = self.topics[name]
        assert topic.state in ("recorded", "lost"), f"a join of {name}, which is {topic.state}"
        assert self.up
        assert self.now() >= topic.due
        topic.state, topic.join_ref, topic.joined = "asked", join_ref, False
        topic.due, topic.asked_at = 0.0, self.now()

    def joined(self, name: str, response: Any) -> None:
        topic = self.topics[name]
        assert self.up
        assert not self.owed_leaves[name]
        assert topic.state == "asked"
        assert not topic.joined
        assert response["connection"] == self.attempt.number
        assert response["join_ref"] == topic.join_ref
        topic.joined = True
        topic.floor = int(response["join_ref"]) - 1

    def topic_closed(self, name: str, end: Any, *, timed_out: bool) -> None:
        topic = self.topics[name]
        assert not timed_out or self.now() >= topic.asked_at + topic.timeout
        assert self.up
        assert not self.owed_leaves[name]
        assert topic.state == "asked"
        if end is not None:
            assert end["connection"] == self.attempt.number
            assert end["join_ref"] == topic.join_ref
        self._end(topic)

    def left(self, name: str) -> None:
        if self.owed_leaves[name]:
            self.owed_leaves[name] -= 1
            return
        topic = self.topics[name]
        assert self.up
        assert topic.state == "asked"
        assert topic.join_ref in self.attempt.server.closed
        self._end(topic)

    def _end(self, topic: Topic) -> None:
        if topic.join_ref is not None:
            topic.floor = int(topic.join_ref)
            self._has_outcomes(topic.join_ref)
        topic.state, topic.joined = "gone", False

    def heard(self, name: str, payload: Any) -> None:
        assert self.up
        assert payload["connection"] == self.attempt.number
        if payload["join_ref"] is not None and name in self.topics:
            assert int(payload["join_ref"]) > self.topics[name].floor

    # pushes

    def pushed(self, ref: str, push: Push) -> None:
        assert str(ref) not in self.pushes
        self.pushes[str(ref)] = push

    def on_the_wire(self, number: int, join_ref: str, server: Any) -> None:
        assert number not in self.refused_pushes
        assert number not in self.sent, f"push {number} was sent twice"
        self.sent[number] = 1
        push = next(p for p in self.pushes.values() if p.number == number)
        assert not push.never_sent
        push.join_ref = join_ref
        if push.kind == "buffered":
            assert join_ref in server.accepted
            assert number > self.last_sent.get(push.topic, 0)
            self.last_sent[push.topic] = number

    def replied(self, ref: str, reply: Any) -> None:
        push = self.pushes[str(ref)]
        assert not push.failures
        assert not push.replies
        push.replies += 1
        if reply.response != {"reason": "unmatched topic"}:
            assert reply.response["payload"] == {"push": push.number}
            assert reply.response["connection"] == self.attempt.number

    def push_failed(self, ref: str, topic: str, *, never_sent: bool) -> None:
        push = self.pushes[str(ref)]
        assert topic == push.topic
        assert push.kind != "plain"
        assert not push.failures
        assert not push.replies
        assert not (never_sent and push.number in self.sent)
        push.failures, push.never_sent = 1, never_sent

    def _has_outcomes(self, join_ref: str) -> None:
        """What was sent to a join has its outcome when that ends, and not a timeout later."""
        for push in self.pushes.values():
            if push.kind != "plain" and push.join_ref == join_ref:
                assert push.replies or push.failures

    def check_outcomes(self) -> None:
        """Every push that asked for an outcome has one."""
        for ref, push in self.pushes.items():
            if push.kind != "plain":
                assert bool(push.replies) != bool(push.failures), f"{ref}: {push}"
