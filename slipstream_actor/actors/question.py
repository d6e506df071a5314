"""What a future is asked for: how an error calls it that tells that it has not come."""

from __future__ import annotations

from typing import Any, NamedTuple

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

__all__ = ["Question"]


class Question(NamedTuple):
    """What was asked of the actor `ref`: a `message`, or what `text` says; of a `topic`, or none.

    Made for each question, and put into words when there is no answer only.
    """

    ref: Any
    message: Any = None
    text: str = ""
    topic: str | None = None

    def __str__(self) -> str:
        """Say what is awaited: never what a message holds."""
        message = self.message
        if self.text:
            return self.text
        if isinstance(message, ProxyCall):
            return f"the answer of {self.ref} to {'.'.join(message.attr_path)}()"
        if isinstance(message, ProxyGetAttr):
            return f"the attribute {'.'.join(message.attr_path)} of {self.ref}"
        if isinstance(message, ProxySetAttr):
            return f"the assignment of {'.'.join(message.attr_path)} of {self.ref}"
        if isinstance(message, _ActorStop):
            return f"the end of {self.ref}"
        return f"the answer of {self.ref} to an ask"

    def standing(self) -> str:
        """Return how it stands, as the end of an error's text."""
        standing = getattr(self.ref, "standing", None)
        text = standing(self.topic) if standing is not None else ""
        return f": {text}" if text else ""
