"""What a `__del__` can ask, which may run at any time: at the interpreter's exit too."""

from __future__ import annotations

import sys

__all__ = ["WithFinalizer"]


class WithFinalizer:
    """What has a `__del__`, in which `_is_finalizing` says whether the interpreter ends."""

    __slots__ = ()

    # Kept here: the names of modules may be gone by then.
    _is_finalizing = staticmethod(sys.is_finalizing)
