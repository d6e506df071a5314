"""A look into a running supervisor: what `get_state` returns of one."""

from __future__ import annotations

import msgspec

from slipstream_actor.supervision.spec import Child

__all__ = ["SupervisorState"]


class SupervisorState(msgspec.Struct, frozen=True):
    """A supervisor's state.

    Its `children` as `which_children` has them, its options, how many `restarts` of the last
    `max_seconds` count, and how many messages wait.
    """

    children: tuple[Child, ...]
    strategy: str
    max_restarts: int
    max_seconds: float
    restarts: int
    mailbox: int
