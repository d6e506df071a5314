"""A page that shows what the clients of a process, or of a host, are doing: a WSGI application.

Open `application.py` first; `processes.py` has where its data is from, `guard.py` who may do what,
`local.py` serves it on loopback, `static/` is the page. May use `debug` and below.
"""

from slipstream_actor.dashboard.application import app
from slipstream_actor.dashboard.local import LocalServer, serve

__all__ = ["LocalServer", "app", "serve"]
