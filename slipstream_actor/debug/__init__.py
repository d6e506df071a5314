"""Looking into running actors, with the names of Erlang's `sys`, and reports of all of them.

Open `report.py` first; `state.py` has `get_state`. May use `supervision` and below.
"""

from slipstream_actor.debug.report import get_status, report
from slipstream_actor.debug.state import get_state

__all__ = ["get_state", "get_status", "report"]
