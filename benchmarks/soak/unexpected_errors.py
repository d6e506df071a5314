"""Errors that nobody has made on purpose."""

from __future__ import annotations

import logging
import sys
import threading


class UnexpectedErrors(logging.Handler):
    """Those in the log, and in threads."""

    def __init__(self, *expected: type[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self._expected = expected

    def install(self) -> None:
        """Listen to the library's log, in place of the last resort, and to threads that die."""
        logger = logging.getLogger("slipstream_actor")
        logger.addHandler(self)
        logger.propagate = False
        threading.excepthook = lambda args: self.found.append(
            f"{args.thread.name if args.thread else 'a thread'} died: {args.exc_value!r}"
        )
        sys.unraisablehook = lambda args: self.found.append(
            f"{args.exc_value!r} in {args.object!r}"
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record with an exception that is not expected."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, self._expected):
            self.found.append(self.format(record))
