"""What `repl` reads keys from: a terminal that stays raw."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from prompt_toolkit.input import Input, create_input

__all__ = ["keyboard"]


def keyboard() -> Input:
    """Return the terminal on standard input, which stays raw while text is drawn above a prompt.

    Prompt-toolkit would have it collect and echo lines meanwhile. A Ctrl-D that is typed then ends
    such a line, and comes as a NUL when the terminal is raw again: nothing would end.
    """
    if sys.platform == "win32":
        return create_input()

    from prompt_toolkit.input.vt100 import Vt100Input

    class Keyboard(Vt100Input):
        def cooked_mode(self) -> AbstractContextManager[None]:
            return nullcontext()

    return Keyboard(sys.stdin)
