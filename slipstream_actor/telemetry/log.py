"""The log of what happens to a client.

`OwnerLog` says it of one owner of sockets (a client, or a plain thread), and keeps what it has
said; `telemetry/lines.py` is the table of all that is said. Nothing comes here for a message or a
push that is well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.errors import one_line
from slipstream_actor.protocol.hints import DecodingFailed, hint
from slipstream_actor.protocol.reason_texts import text_of
from slipstream_actor.telemetry.lines import FIELDS, LINES
from slipstream_actor.telemetry.trouble import Count, TopicTroubles, Trouble

__all__ = ["OwnerLog", "Place", "Retry", "log_of"]


class Place(msgspec.Struct, frozen=True):
    """Where a connection leads to: `uri` without its query, and its `path`."""

    uri: str
    path: str


# When it is tried again, in seconds; `None` where nothing is known of that, or nobody is left to.
Retry: TypeAlias = "float | Literal['never'] | None"

NOTHING_LOST: frozenset[str] = frozenset()


class Way:
    """What is known of the connections of one owner to one place."""

    __slots__ = ("closed_at", "connected_before", "delay", "lost", "speaks", "trouble")

    def __init__(self) -> None:
        self.trouble: Trouble | None = None  # before the first
        self.connected_before: bool = False
        self.closed_at: float | None = None  # by its owner
        self.speaks: bool = False  # of what cannot be decoded
        self.delay: float | None = None  # until the next attempt, as it was told
        # Topics that are told when they are joined again.
        self.lost: frozenset[str] = NOTHING_LOST


# So many topics of a lost connection are told when they are joined again; more are not.
MOST_LOST = 5
# So many places are remembered.
MOST_WAYS = 8


def monotonic() -> float:
    """Return `time.monotonic()`, looked up when it is asked: tests replace it."""
    return time.monotonic()


class OwnerLog:
    """Says what happens to one owner, who is called `label`; `clock` is in seconds.

    Its owner's thread calls it; `lost` of a plain thread, and what concerns decoding, the
    connection's.
    """

    __slots__ = ("_clock", "_label", "_topics", "_troubles", "_ways")

    def __init__(self, label: str, clock: Callable[[], float] = monotonic) -> None:
        self._label = label
        self._clock = clock
        self._ways: dict[str, Way] = {}
        self._topics = TopicTroubles()
        # Each when there is something to say of it, as with most owners there never is.
        self._troubles: dict[str, Trouble] = {}

    # connections

    def connect_failed(self, place: Place, reason: Any, retry: Retry) -> bool:
        """An attempt failed, and the next one comes as `retry` says; return whether it told."""
        return self._fail("connect_failed", place, reason, retry, ())

    def lost(self, place: Place, reason: Any, retry: Retry, topics: Any = ()) -> bool:
        """A connection ended that was to stay, and with it its `topics`; return whether it told."""
        return self._fail("lost", place, reason, retry, topics)

    def _fail(self, line: str, place: Place, reason: Any, retry: Retry, topics: Any) -> bool:
        way, now, text = self._way(place), self._clock(), text_of(reason)
        lost, delay = line == "lost", delay_of(retry)
        trouble = way.trouble = way.trouble or Trouble()
        tells = trouble.fail(reason_to_tell(line, text, retry), now, lost=lost)
        if lost:
            way.lost = frozenset(topics) if tells and len(topics) <= MOST_LOST else NOTHING_LOST
        if tells:
            known = hint(reason, place.path)
            again = times(trouble.losses, now) if lost else tried(trouble, now)
            self._say(
                line,
                {"where": place.uri, "again": again},
                reason=text,
                retry=retry,
                known=known,
                **counts(trouble, now, lost=lost),
            )
        elif not lost and is_another(delay, way.delay):
            self.postponed(delay or 0.0)
        else:
            return tells
        way.delay = delay
        return tells

    def connected(self, place: Place) -> None:
        """It is connected."""
        way, now = self._way(place), self._clock()
        failed, away = False, None
        if way.trouble is not None:
            failed, away = not way.trouble.well, way.trouble.recover(now)
        if way.closed_at is not None:
            away, way.closed_at = now - way.closed_at, None
        elif failed and away is None:
            return  # Nobody was told that it was away.
        again = " again" if way.connected_before else ""
        way.connected_before = True
        after = "" if away is None else f", after {duration(away)}"
        self._say("connected", {"again": again, "where": place.uri, "after": after}, away=away)

    def stays(self, place: Place, why: str) -> None:
        """Nothing will connect it again."""
        self._way(place).closed_at = self._clock()
        self._say("stays", {"why": why}, reason=why)

    def closed(self, place: Place) -> None:
        """Its owner has closed it, and connects again."""
        self._way(place).closed_at = self._clock()

    def given_up(self, place: Place, reason: Any) -> None:
        """The configuration is wrong."""
        self._say("given_up", {"where": place.uri}, reason=text_of(reason))

    def postponed(self, delay: float) -> None:
        """The next attempt comes in `delay` seconds, and not when it was to come."""
        trouble = self._trouble("postponed")
        if trouble.fail("", self._clock()):
            self._say("postponed", {}, retry=delay)
        trouble.recover(self._clock())

    # topics

    def join_failed(self, topic: str, reason: Any, retry: Retry) -> None:
        """A join failed, and is asked for again as `retry` says."""
        self._fail_topic("join_failed", topic, reason, retry)

    def crashed(self, topic: str, reason: Any, retry: Retry) -> None:
        """A channel crashed, and is joined again as `retry` says."""
        self._fail_topic("crashed", topic, reason, retry)

    def _fail_topic(self, line: str, topic: str, reason: Any, retry: Retry) -> None:
        now, text = self._clock(), text_of(reason)
        lost = line == "crashed"
        said = reason_to_tell(line, text, retry)
        trouble, tells = self._topics.fail(topic, said, now, lost=lost)
        if tells:
            again = times(trouble.losses, now) if lost else tried(trouble, now)
            known = hint(reason)
            counted = counts(trouble, now, lost=lost)
            self._say(
                line,
                {"again": again},
                topic=topic,
                reason=text,
                retry=retry,
                known=known,
                **counted,
            )

    def joined(self, topic: str, place: Place | None) -> None:
        """A topic is joined."""
        away = self._topics.recover(topic, self._clock())
        way = None if place is None else self._ways.get(place.uri)
        is_lost = way is not None and topic in way.lost
        if way is not None and is_lost:
            way.lost -= {topic}
        if away is not None or is_lost:
            after = "" if away is None else f", after {duration(away)}"
            self._say("joined", {"after": after}, topic=topic, away=away)

    def left(self, topic: str) -> None:
        """The server has closed a topic."""
        if self._topics.fail(topic, "left", self._clock(), lost=True)[1]:
            self._say("left", {}, topic=topic)

    # messages and pushes

    def undecodable(self, place: Place, failure: DecodingFailed, count: int) -> None:
        """So many messages of a connection could not be decoded by now, the last for `failure`."""
        way = self._way(place)
        if count == 1:
            trouble = self._trouble("undecodable")
            way.speaks = trouble.fail(text_of(failure), self._clock())
            trouble.recover(self._clock())
        if way.speaks:
            self._say_undecodable(place, failure, count)

    def undecodable_late(self, place: Place, failure: DecodingFailed) -> None:
        """A message that had waited for its delivery is none."""
        text, trouble = text_of(failure), self._trouble("undecodable late")
        if trouble.fail(text, self._clock()):
            self._say_undecodable(place, failure, trouble.failures.times)
        trouble.recover(self._clock())

    def _say_undecodable(self, place: Place, failure: DecodingFailed, count: int) -> None:
        number = "a message" if count == 1 else f"{count} messages"
        put = {"where": place.uri, "count": number}
        self._say("undecodable", put, reason=text_of(failure), known=hint(failure), times=count)

    def push_failed(self, topic: str, event: str, reason: Any) -> None:
        """A push has failed that asked for an outcome."""
        now, text, trouble = self._clock(), text_of(reason), self._trouble("push_failed")
        if trouble.fail(text, now):
            put = {"event": quoted(event), "again": times(trouble.failures, now)}
            counted = {"times": trouble.failures.times}
            self._say("push_failed", put, topic=topic, reason=text, known=hint(reason), **counted)
        trouble.recover(now)

    # what a connection does

    def attempt(self, line: str, place: Place, reason: Any = None) -> None:
        """An attempt begins, succeeds, or its connection ends: "opening", "opened", "ended"."""
        self._say(line, {"where": place.uri}, reason=None if reason is None else text_of(reason))

    def dropped(self, size: int, why: str) -> None:
        """A message of so many bytes is nobody's."""
        self._say("dropped", {"size": str(size)}, reason=one_line(why))

    # where it runs

    def no_threads(self) -> None:
        """Nothing of it runs while no request does."""
        self._say("no_threads", {})

    # saying

    def _way(self, place: Place) -> Way:
        way = self._ways.get(place.uri)
        if way is None:
            if len(self._ways) >= MOST_WAYS:
                del self._ways[next(iter(self._ways))]
            way = self._ways[place.uri] = Way()
        return way

    def _trouble(self, what: str) -> Trouble:
        """Return the trouble of something, made when it is first asked for, in any thread."""
        return self._troubles.get(what) or self._troubles.setdefault(what, Trouble())

    def _say(self, key: str, put: dict[str, str], **fields: Any) -> None:
        line, known, retry = LINES[key], fields.pop("known", None), fields.pop("retry", None)
        if not line.logger.isEnabledFor(line.level):
            return
        extra = {**dict.fromkeys(FIELDS), "line": key, "client": self._label, **fields}
        extra["hint"] = None if known is None else known.anchor
        extra["delay"], topic = delay_of(retry), fields.get("topic")
        text = line.text.format(
            **{
                "reason": extra["reason"],
                "next": next_one(retry, postponed=key == "postponed"),
                "hint": "" if known is None else f". Hint: {known}",
                "topic": "" if topic is None else quoted(topic),
                **put,
            }
        )
        line.logger.log(line.level, "%s %s", self._label, text, extra=extra)


def log_of(owner: Any) -> OwnerLog | None:
    """Return the log of an owner of sockets, which is kept beside its inbox; `None` of one that is
    no process of this library."""
    inbox = getattr(owner, "actor_inbox", None)
    if not isinstance(inbox, Inbox):
        return None
    if inbox.log is None:
        # In one step: its connection may ask meanwhile.
        vars(inbox).setdefault("log", OwnerLog(one_line(str(getattr(owner, "label", owner)))))
    log: OwnerLog = inbox.log
    return log


# words


def counts(trouble: Trouble, now: float, *, lost: bool) -> dict[str, Any]:
    count = trouble.losses if lost else trouble.failures
    return {"attempt": trouble.attempts, "away": now - trouble.since, "times": count.times}


def is_another(delay: float | None, told: float | None) -> bool:
    """Whether a delay is another one than was told, to somebody who waits for it."""
    if delay is None or told is None or max(delay, told) < 1.0:
        return False
    return delay >= 2 * told or told >= 2 * delay


def tried(trouble: Trouble, now: float) -> str:
    """Return how often something was tried, unless it is the first time."""
    if trouble.attempts < 2:
        return times(trouble.failures, now)
    return f" (attempt {trouble.attempts}, away for {duration(now - trouble.since)})"


def times(count: Count, now: float) -> str:
    """Return how often something has happened, unless it is the first time."""
    if count.times < 2:
        return ""
    return f" ({count.times} times in {duration(now - count.began)})"


def delay_of(retry: Retry) -> float | None:
    """Return the seconds until it is tried again."""
    return None if retry == "never" else retry


def reason_to_tell(line: str, reason: str, retry: Retry) -> str:
    """Return what is told once: that it is not tried again is another reason, and told at once."""
    return f"{line} {reason} never" if retry == "never" else f"{line} {reason}"


def next_one(retry: Retry, *, postponed: bool) -> str:
    """Return when it is tried again."""
    if retry is None:
        return ""
    if retry == "never":
        return "; does not try again"
    when = "now" if retry < 0.001 else f"in {duration(retry)}"
    return f" {when}" if postponed else f"; tries again {when}"


def duration(seconds: float) -> str:
    """Return a time in a unit that one can grasp."""
    if seconds < 9.95:
        return f"{max(seconds, 0.001):.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def quoted(text: str) -> str:
    """Return a topic or an event in quotes, on one line."""
    return f"'{one_line(text)}'"
