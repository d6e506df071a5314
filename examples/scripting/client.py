"""A script: no actor of one's own, every step awaited in the order in which it is written."""

from __future__ import annotations

import sys
from typing import Any

from slipstream_actor import JoinFailedError, connect

TOPIC = "bench:script"


def main(uri: str, **options: Any) -> None:
    """Connect, join, push and leave; each `await_*` has a timeout, 5 s by default."""
    socket = connect(uri, **options).await_connect()

    try:
        socket.join("test:bad").await_join("test:bad")
    except JoinFailedError as error:
        print(f"refused: {error.reason}")

    socket = socket.join(TOPIC, {"reply": {"hello": "script"}}).await_join(TOPIC)
    print(f"joined: {socket.joins[TOPIC].response}")

    ref = socket.push(TOPIC, "echo", {"n": 1})
    print(f"reply: {socket.await_reply(ref).unwrap()}")

    socket.push(TOPIC, "broadcast", {"n": 2})
    message = socket.await_message(TOPIC, "shout", {"n": lambda n: n > 1})
    print(f"message: {message.event} {message.payload}")

    socket = socket.leave(TOPIC).await_leave(TOPIC)
    socket = socket.disconnect().await_disconnect()
    print(f"connected: {socket.connected}")


if __name__ == "__main__":
    main(sys.argv[1])
