"""Which threads read and write frames, as the frame log has them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FRAMES = "slipstream_actor.frames"


class FrameThreads(logging.Handler):
    """The first words of the names of threads that have logged a line which `wants` is true of."""

    def __init__(self, wants: Callable[[str], bool]) -> None:
        super().__init__()
        self._wants = wants
        self.threads: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self._wants(record.getMessage()):
            self.threads.append(re.split(r"[ -]", str(record.threadName))[0])


@contextmanager
def frame_threads(wants: Callable[[str], bool]) -> Iterator[FrameThreads]:
    """Look at the frame log for a while."""
    handler = FrameThreads(wants)
    logger = logging.getLogger(FRAMES)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)
