"""Looking into running actors, with the names of Erlang's `sys`, and reports of all of them.

Open `report.py` first; `state.py` has `get_state`, `control.py` what changes a client, and
`observer.py` how one is watched, `serving.py` the local socket. May use `supervision` and below.
"""

from slipstream_actor.debug.control import replace_state, resume, suspend
from slipstream_actor.debug.directory import serve_in
from slipstream_actor.debug.report import get_status, report
from slipstream_actor.debug.serving import DebugServer, serve
from slipstream_actor.debug.state import get_state
from slipstream_actor.debug.statistics import statistics
from slipstream_actor.debug.tracing import trace

__all__ = [
    "DebugServer",
    "get_state",
    "get_status",
    "replace_state",
    "report",
    "resume",
    "serve",
    "serve_in",
    "statistics",
    "suspend",
    "trace",
]
