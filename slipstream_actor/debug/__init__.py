"""Looking into running actors, as Erlang's `sys` does: `get_state`.

Open `state.py` first. May use `supervision` and below.
"""

from slipstream_actor.debug.state import get_state

__all__ = ["get_state"]
