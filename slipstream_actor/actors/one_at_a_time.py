"""What several threads ask for, and one of them does for all."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["OneAtATime"]


class OneAtATime:
    """Nobody waits for it, and a signal handler that raises leaves it to whoever asks next.

    Reentrant: whoever is called back may ask, and wait for the outcome.
    """

    __slots__ = ("_whose",)

    def __init__(self) -> None:
        self._whose: dict[str, int] = {}

    def do(self, is_wanted: Callable[[], object], function: Callable[[], object]) -> None:
        """Call `function` as long as it `is_wanted`, unless another thread does so already, which
        looks again behind it."""
        me = threading.get_ident()
        nested = self._whose.get("now") == me
        try:
            while is_wanted() and self._whose.setdefault("now", me) == me:
                function()
                if not nested:
                    del self._whose["now"]
        finally:
            if not nested and self._whose.get("now") == me:
                del self._whose["now"]
