"""`python -m examples.gen_server`: a room of notes on an embedded server, and who asks about it."""

from __future__ import annotations

import threading
from typing import Any

from examples.gen_server.client import Notes, count, note, notes
from slipstream_actor import Socket, call, wait
from slipstream_actor.testing import Channel, PhoenixServer


class NotesChannel(Channel):
    """Broadcasts notes, and counts them."""

    seen = 0

    def handle_in(self, event: str, payload: Any) -> Any:
        """Take a note, or tell how many there were."""
        if event == "note":
            NotesChannel.seen += 1
            self.broadcast("note", payload)
            return "ok"
        return "ok", {"count": self.seen}


class Demo(Notes):
    """The client, and a flag for the demo to wait for."""

    heard = threading.Semaphore(0)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """Set the flag once the note is kept."""
        self.heard.release()
        return super().handle_message(topic, event, payload, socket)


def main() -> None:
    """Share two notes, ask for them, and close."""
    with PhoenixServer({"notes:*": NotesChannel}) as server:
        ref = Demo.start(server.uri, name="notes")
        for text in ("milk", "bread"):
            note(text)
            Demo.heard.acquire(timeout=10)
        print("notes:", ", ".join(notes()))
        print("the room has seen:", count())
        ref.tell(("forget", "milk"))
        print("notes:", ", ".join(notes()))
        print(call(ref, "close"), wait(ref))


if __name__ == "__main__":
    main()
