"""Something happens in the middle of a function, at each moment at which a signal could be handled.

CPython looks for signals behind a call of what is written in C, at the beginning of a function, and
before a jump back. `interrupted(function, act)` calls the function again and again, and `act` once
in each call: at the first such moment of the package's code, or of what else is told, then at the
second, and so on.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from slipstream_actor.actors import inbox

PACKAGE = inbox.__file__.rpartition("/actors/")[0]
CALLS = {"CALL", "CALL_FUNCTION_EX", "CALL_KW"}
MOMENTS = {*CALLS, "RESUME", "JUMP_BACKWARD"}
# How often what is traced does not tell of a moment that there is, and once more.
UNTOLD = 1 if sys.version_info < (3, 12) else 2
# What stands between a call and the next instruction.
SKIPPED = {"CACHE", "EXTENDED_ARG"}


class Interruption:
    """Calls `act` at the nth moment of what it traces: files whose names begin with `within`."""

    def __init__(self, nth: int, act: Callable[[], object], within: str) -> None:
        self.happened = False
        self._within = within
        self._left = nth
        self._act = act
        self._last: dict[int, str] = {}
        self._names: dict[CodeType, dict[int, str]] = {}

    def run(self, function: Callable[[], Any]) -> Any:
        """Call `function`; return what it returns."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return function()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        # A call of a function in Python is no moment: its own beginning was one.
        self._last.pop(id(frame.f_back), None)
        if not frame.f_code.co_filename.startswith(self._within) or self.happened:
            return None
        self._last[id(frame)] = "RESUME"
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event != "opcode" or self.happened:
            return self._step
        code = frame.f_code
        if code not in self._names:
            self._names[code] = {i.offset: i.opname for i in dis.get_instructions(code)}
        name = self._names[code].get(frame.f_lasti, "")
        if name in SKIPPED:
            return self._step
        last = self._last.get(id(frame), "")
        self._last[id(frame)] = name
        if last in MOMENTS:
            self._left -= 1
            if self._left < 0:
                self.happened = True
                sys.settrace(None)
                self._act()
        return self._step


def interrupted(
    prepare: Callable[[], tuple[Callable[[], Any], Callable[[], object]]],
    within: str = PACKAGE,
) -> Iterator[Any]:
    """Yield, for each moment, what the function returned or raised that `prepare` has returned.

    The other that it returns happens at that moment. After the last moment the iteration ends: from
    CPython 3.12 on, when it has not happened twice; the first calls after a trace has ended are not
    told of.
    """
    nth = missed = 0
    while missed < UNTOLD:
        function, act = prepare()
        interruption = Interruption(nth, act, within)
        try:
            result = interruption.run(function)
        except BaseException as error:
            result = error
        yield result
        if interruption.happened:
            nth, missed = nth + 1, 0
        else:
            missed += 1
        assert nth < 100_000, "it has no end"
