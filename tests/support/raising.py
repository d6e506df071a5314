"""An exception at each point at which Python runs signal handlers, as one of theirs would come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType


class OutOfNowhere(BaseException):
    """What a signal handler raises."""


def raised_at_each_point(function: Callable[[], object]) -> Iterator[int]:
    """Call a function again and again, each time with an exception one point later, until it gets
    to its end; yield the point each time that it has raised."""
    point = 0
    while True:
        point += 1
        try:
            call_and_raise(function, point)
        except OutOfNowhere:
            yield point
        else:
            return


def call_and_raise(function: Callable[[], object], point: int) -> None:
    """Call a function, and raise at the beginning of a call, or behind one of C, in it."""
    passed = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal passed
        if event in ("call", "c_return"):
            passed += 1
            if passed == point:
                raise OutOfNowhere

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
