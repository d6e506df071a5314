"""`python -m examples.scripting`: the script, against an embedded server."""

from __future__ import annotations

from examples.scripting.client import main
from slipstream_actor.testing import PhoenixServer

if __name__ == "__main__":
    with PhoenixServer() as server:
        main(server.uri)
