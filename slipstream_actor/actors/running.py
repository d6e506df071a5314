"""What runs in an actor's thread: looked up when somebody asks, which costs the actor nothing.

The thread's own frames are looked at. `since` is from the message or burst that is being handled: a
burst's callbacks are not told apart, so it says for how long the actor has not looked into its
inbox, and not for how long this very callback runs.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.actors.shared import HAS_LOCK

__all__ = ["Running", "running_in", "stack_of", "this_thread"]

OURS = "slipstream_actor."
# Whose frames stand between ours and those of a user.
BENEATH = ("pykka", "threading", "functools", "contextlib", "gevent", "greenlet")
# Where the bottom of an actor's thread is, and callbacks of our own.
BOTTOM, DEFAULTS = "_actor_loop", "slipstream_actor.client.defaults"
# No deeper than this: a runaway recursion is not to be walked to its end. And so many are shown.
DEEPEST, MOST_SHOWN = 2_000, 100

# Held while no garbage is collected, and whether that is so. A signal may be handled meanwhile.
_looking = threading.RLock()
_paused = False


class Running(NamedTuple):
    """The `callback` (or method) that runs, and for how many `seconds` its actor is busy."""

    callback: str
    seconds: float | None

    def __str__(self) -> str:
        busy = "" if self.seconds is None else f" for {self.seconds:.1f} s"
        return f"it is in {self.callback}{busy}"


def this_thread() -> Any:
    """Return what `running_in` finds the frames of the calling thread, or greenlet, by."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        greenlet: Any = sys.modules["greenlet"]
        return greenlet.getcurrent()
    return threading.get_ident()


def running_in(ref: Any) -> Running | None:
    """Return what runs in the thread of the actor `ref`; `None` when it waits for a message."""
    inbox = ref.actor_inbox
    since, codes = inbox.busy_since, codes_in(inbox.thread)
    if inbox.busy_since != since:  # The next message has begun meanwhile.
        since, codes = inbox.busy_since, codes_in(inbox.thread)
    if not codes:
        return None
    # Behind a decorator of the user's is the method that it is for.
    code = next((code for code in codes if is_method(ref.actor_class, code)), codes[0])
    seconds = None if since is None else max(0.0, time.monotonic() - since)
    return Running(code.co_name, seconds)


def stack_of(ref: Any) -> list[str]:
    """Return what runs in the thread of the actor `ref`, the innermost last: file, line and name
    of each call, and of no call its arguments."""
    lines = [
        f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
        for frame in frames_of(ref.actor_inbox.thread, MOST_SHOWN)
    ]
    return lines[::-1]


def is_method(actor_class: type, code: CodeType) -> bool:
    """Whether it is the code of a method of the class, by its name."""
    method = inspect.unwrap(getattr(actor_class, code.co_name, None) or is_method)
    return getattr(method, "__code__", None) is code


def codes_in(thread: Any) -> list[CodeType]:
    """Return the code of a user's that runs in a thread, the outermost first."""
    return [frame.f_code for frame in frames_of(thread) if is_users(frame)][::-1]


def is_users(frame: FrameType) -> bool:
    """Whether a frame is of a user's code."""
    module = str(frame.f_globals.get("__name__", ""))
    return module == DEFAULTS or not (
        module.startswith(OURS) or module.partition(".")[0] in BENEATH
    )


def frames_of(thread: Any, most: int = DEEPEST) -> list[FrameType]:
    """Return the frames of a thread or greenlet, the innermost first.

    None of a thread that may run meanwhile: without the interpreter's lock its frames are nothing
    that another one can look at.
    """
    found: list[FrameType] = []
    if thread is None or not HAS_LOCK:
        return found
    with uncollected():
        frame = current_frame(thread)
        while frame is not None and frame.f_code.co_name != BOTTOM and len(found) < most:
            found.append(frame)
            frame = frame.f_back
    return found


def current_frame(thread: Any) -> FrameType | None:
    """Return the innermost frame of a thread or greenlet."""
    if isinstance(thread, int):
        return sys._current_frames().get(thread)
    frame: FrameType | None = thread.gr_frame  # `None` of the one that runs.
    return frame


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Have no garbage collected, while frames of other threads are looked at.

    CPython 3.11 makes an object for each, which may begin a collection; and what that calls lets
    other threads go on. The frame that the object is for is gone then, and the process crashes; or
    it stands still for ever with whoever starts a thread (gh-106883).
    """
    global _paused  # noqa: PLW0603 - the process has one collector
    with _looking:
        collects = gc.isenabled()
        try:
            _paused = _paused or collects
            gc.disable()
            yield
        finally:
            if collects:
                gc.enable()
                _paused = False


def _reset_in_child() -> None:
    """Undo what a thread has begun that is not there."""
    global _looking, _paused  # noqa: PLW0603 - nothing else could free it
    _looking = threading.RLock()
    if _paused:
        gc.enable()
        _paused = False


reset_in_child(_reset_in_child)
