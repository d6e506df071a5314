"""The last messages in and out of a client, kept while somebody asks for them."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import Any

from slipstream_actor.debug.messages import Message, Messages
from slipstream_actor.debug.observer import listen, listener_of, stop_listening
from slipstream_actor.debug.plain import Plain, list_of

__all__ = ["recent_messages"]

# So many are kept, for so many seconds after somebody has asked last.
MOST, PATIENCE = 100, 30.0


class Recent(Messages):
    """Keeps the last messages of `ref`, what is in them only where that was asked for."""

    def __init__(self, ref: Any) -> None:
        super().__init__()
        self._ref = ref
        self._numbers = itertools.count(1)
        self._kept: deque[Plain] = deque(maxlen=MOST)
        self._until = self._payloads_until = time.monotonic()

    def asked(self, *, payloads: bool) -> list[Plain]:
        """Go on keeping messages; return those that there are, the newest last."""
        self._until = time.monotonic() + PATIENCE
        if payloads:
            self._payloads_until = self._until
        kept = list_of(lambda: self._kept, MOST)
        return kept if payloads else [{**message, "payload": None} for message in kept]

    def _note(self, message: Message) -> None:
        now = time.monotonic()
        if now > self._until:
            # Nobody looks any more, and nobody has said so.
            stop_listening(self._ref, lambda listener: listener is not self)
            return
        with_payload = now <= self._payloads_until
        self._kept.append(
            {
                "number": next(self._numbers),
                "time": time.time(),
                "direction": message.direction,
                "what": message.what,
                "said": message.said,
                "payload": message.payload() if with_payload else None,
                "how": message.how,
            }
        )


def recent_messages(ref: Any, *, payloads: bool = False) -> list[Plain]:
    """Return the last messages of a client since somebody has begun to ask, 100 at most.

    They are kept for half a minute more each time. With `payloads` they have what is shown of
    those, from the first time on that this was asked for.
    """
    recent = listener_of(ref, Recent)
    if recent is None:
        recent = Recent(ref)
        messages = recent.asked(payloads=payloads)
        listen(ref, recent)
        return messages
    return recent.asked(payloads=payloads)
