"""What the library logs while a test runs, record by record, from whatever thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.clients import PATIENCE

NAME = "slipstream_actor"


class LogLines(logging.Handler):
    """Keeps the records of the library's loggers; who waits for one has a deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def texts(self, level: int = logging.INFO) -> list[str]:
        """Return what was said from a level on: "WARNING Kitchen 'pantry' …"."""
        return [f"{r.levelname} {r.getMessage()}" for r in self.records if r.levelno >= level]

    def clear(self) -> None:
        """Forget what was said."""
        self.records.clear()

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait until a condition holds that what is said may change; return whether it does."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def wait_for(self, count: int) -> list[str]:
        """Return what was said, once there are so many lines."""
        assert self.wait(lambda: len(self.texts()) >= count), self.texts()
        return self.texts()


@contextmanager
def listening(level: int = logging.INFO) -> Iterator[LogLines]:
    """Listen to the library from a level on."""
    logger, lines = logging.getLogger(NAME), LogLines()
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(level)
    try:
        yield lines
    finally:
        logger.setLevel(before)
        logger.removeHandler(lines)
