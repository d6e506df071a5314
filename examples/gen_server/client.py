"""A client that serves the program around it, as a GenServer does: casts, calls, messages."""

from __future__ import annotations

from typing import Any

from slipstream_actor import (
    Answer,
    ClientActor,
    From,
    Next,
    Ref,
    Reply,
    Socket,
    Stop,
    call,
    cast,
    connect,
)
from slipstream_actor import reply as answer

ROOM = "notes:lobby"


class Notes(ClientActor):
    """Shares notes with a room, keeps those of the others for a while, and tells of them."""

    def init(self, uri: str, keep: float = 60.0, **options: Any) -> Next:
        """Return at once; `handle_continue` comes next, before any other message."""
        self.keep = keep
        socket = connect(uri, **options).assign(notes=(), asked={})
        return Next(socket, then="join")

    def handle_continue(self, term: Any, socket: Socket) -> Socket:
        """What whoever called `start` need not wait for."""
        return socket.join(ROOM)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        """`cast`: nobody waits. The push is kept until the room is joined."""
        _, text = message
        socket.push(ROOM, "note", {"text": text}, buffer=True)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Any:
        """`call`: somebody waits, for an answer now, later, or with the end."""
        match message:
            case "notes":
                return Answer(socket.assigns["notes"])
            case "count":
                ref = socket.push(ROOM, "count", buffer=True)
                return Next(socket.update("asked", lambda asked: {**asked, ref: from_}))
            case "close":
                return Stop("normal", answer="closed")
        return super().handle_call(message, from_, socket)  # Which raises, and names the message.

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> Socket | None:
        """The room's answer to "count" is the answer to whoever called."""
        return self.pass_on(ref, reply, socket)

    def handle_push_failed(
        self, ref: Ref, topic: str, event: str, reason: Any, socket: Socket
    ) -> Any:
        """There will be no answer: whoever called hears why. A note's failure is logged."""
        if ref in socket.assigns["asked"]:
            return self.pass_on(ref, Reply("error", reason), socket)
        return super().handle_push_failed(ref, topic, event, reason, socket)

    def pass_on(self, ref: Ref, reply: Reply, socket: Socket) -> Socket | None:
        """Answer the caller that waits for the outcome of a push, if there is one."""
        asked = dict(socket.assigns["asked"])
        from_ = asked.pop(ref, None)
        if from_ is None:
            return None
        answer(from_, reply)
        return socket.assign(asked=asked)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """A note of somebody's: keep it, and have oneself told when it is time to forget it."""
        self.send_after(self.keep, ("forget", payload["text"]))
        return socket.update("notes", lambda notes: (*notes, payload["text"]))

    def handle_info(self, message: Any, socket: Socket) -> Socket:
        """What `ref.tell(message)` sent, or a timer."""
        _, text = message
        return socket.update("notes", lambda notes: tuple(n for n in notes if n != text))


def note(text: str) -> None:
    """Share a note, from any thread."""
    cast("notes", ("note", text))


def notes() -> tuple[str, ...]:
    """Return the notes of the last minute."""
    kept: tuple[str, ...] = call("notes", "notes")
    return kept


def count() -> int:
    """Return how many notes the room has seen; raises `ReplyError` when it does not say."""
    total: int = call("notes", "count").unwrap()["count"]
    return total
