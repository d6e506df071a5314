"""The settings: what differs between machines."""

from __future__ import annotations

import os
import ssl

from slipstream_actor import Options


def token() -> str:
    """Asked for at each attempt to connect."""
    return os.environ["SHOP_TOKEN"]


SHOP_URI = os.environ.get("SHOP_URI", "ws://localhost:4000/socket/websocket")
# The one line that a dict of options needs: its type.
SHOP_OPTIONS: Options = {
    "auth_token": token,
    "params": {"client": "web"},
    "headers": {"x-team": "shop"},
    "heartbeat_interval_msec": 15_000,
    "reconnect_after_msec": [50, 200, 1_000, 5_000],
    "rejoin_after_msec": lambda attempt: attempt * 500,
    "reply_timeout_msec": 5_000,
    "proxy": None,
    "origin": None,
}
if SHOP_URI.startswith("wss:"):
    SHOP_OPTIONS["ssl_context"] = ssl.create_default_context()
