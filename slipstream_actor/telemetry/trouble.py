"""How often a trouble is told: at once, and while nothing changes ever more seldom.

Pure: the time is an argument, in seconds on any clock. What fails for a day is told some thirty
times for one reason, however often it fails, and however often it is well in between.
"""

from __future__ import annotations

__all__ = ["CALM", "Count", "TopicTroubles", "Trouble"]

# It is told again so many seconds after a reason was told first, and hourly behind the last.
STEPS = (60.0, 600.0, 3600.0)
HOUR = 3600.0
# What has been well for so long begins anew.
CALM = 3600.0
# So many reasons of one trouble are each told at once; all others are one.
MOST_REASONS = 8
# What was well in between is told at once so many times for the same reason.
MOST_RELAPSES = 3
# So many topics in trouble at the same time have each their own; all others are one.
MOST_TOPICS = 20


class Count:
    """How often something has happened, `times`, and when first, `began`."""

    __slots__ = ("began", "times")

    def __init__(self) -> None:
        self.times: int = 0
        self.began: float = 0.0

    def add(self, now: float) -> None:
        """It happens."""
        if not self.times:
            self.began = now
        self.times += 1


class Trouble:
    """What fails, is well again, and may fail again: one connection, or one topic.

    `failures`: attempts that have failed; `losses`: how often it was lost that had been well.
    `attempts`: how many attempts have failed since it was well, at `since`. The two counts go on
    when it is well for less than `CALM`.
    """

    def __init__(self) -> None:
        self._last = -CALM
        self.well: bool = True
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        self.failures: Count = Count()
        self.losses: Count = Count()
        self.since: float = now
        self.attempts: int = 0
        self._told = False  # since it was well
        self._reasons: dict[str, int] = {}
        self._step = 0
        self._told_first = self._due = now

    def fail(self, reason: str, now: float, *, lost: bool = False) -> bool:
        """An attempt has failed, or it is `lost`, for `reason`; return whether to tell that."""
        relapse = self.well
        if relapse:
            if self.is_over(now):
                self._begin(now)
            self.well, self._told, self.since, self.attempts = False, False, now, 0
        self._last = now
        (self.losses if lost else self.failures).add(now)
        self.attempts += not lost
        tells = self._is_new(reason, now, relapse=relapse) or self._is_due(now)
        self._told = self._told or tells
        return tells

    def recover(self, now: float) -> float | None:
        """It is well; return the seconds since it was so last, if its failure was told."""
        if self.well:
            return None
        self.well, self._last = True, now
        return now - self.since if self._told else None

    def is_over(self, now: float) -> bool:
        """Whether nothing is to be remembered of it."""
        return now - self._last >= CALM

    def _is_new(self, reason: str, now: float, *, relapse: bool) -> bool:
        told = self._reasons.get(reason, 0)
        if told:
            if not relapse or told >= MOST_RELAPSES:
                return False
        elif len(self._reasons) >= MOST_REASONS:
            return False
        else:
            self._step, self._told_first, self._due = 0, now, now + STEPS[0]
        self._reasons[reason] = told + 1
        return True

    def _is_due(self, now: float) -> bool:
        if now < self._due:
            return False
        while self._due <= now:
            self._step += 1
            behind = max(0, self._step - len(STEPS) + 1)
            self._due = self._told_first + STEPS[min(self._step, len(STEPS) - 1)] + behind * HOUR
        return True


class TopicTroubles:
    """The troubles of a client's topics: of ten thousand that fail at once not each is told."""

    __slots__ = ("_of", "_others")

    def __init__(self) -> None:
        self._of: dict[str, Trouble] = {}
        self._others: Trouble | None = None

    def fail(
        self, topic: str, reason: str, now: float, *, lost: bool = False
    ) -> tuple[Trouble, bool]:
        """A join has failed, or a topic is `lost`; return the trouble that it is part of, and
        whether to tell it."""
        trouble = self._of.get(topic)
        if trouble is None and len(self._of) >= MOST_TOPICS:
            self._of = {t: known for t, known in self._of.items() if not known.is_over(now)}
        if trouble is None and len(self._of) < MOST_TOPICS:
            trouble = self._of[topic] = Trouble()
        if trouble is None:
            trouble = self._others = self._others or Trouble()
        return trouble, trouble.fail(reason, now, lost=lost)

    def recover(self, topic: str, now: float) -> float | None:
        """A topic is joined; return the seconds since it was so last, if its failure was told."""
        trouble = self._of.get(topic)
        return None if trouble is None else trouble.recover(now)
