"""What a health view and the commands say of clients."""

from __future__ import annotations

from slipstream_actor.contrib.health import words
from slipstream_actor.supervision.status import HandleStatus

WELL: HandleStatus = {
    "state": "running",
    "connected": True,
    "connection": "connected",
    "topics": {},
    "last_failure": None,
    "last_end": None,
    "restarts": 0,
    "in_flight": 0,
    "mailbox": 0,
    "heartbeat_rtt": None,
}


def test_a_topic_moves_no_terminals_cursor() -> None:
    topics = {"rooms:\x1b[2J\n\u202eboo": "joined", "rooms:b": "closed"}
    told = words({**WELL, "topics": topics})
    assert told == r"connected, rooms:\x1b[2J\n\u202eboo joined, rooms:b closed"
