"""The commands of `repl`, without a terminal: lines in, and what a client makes of them out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.calls import call
from slipstream_actor.cli.listen import Listener
from slipstream_actor.cli.output import shown
from slipstream_actor.cli.sources import decoded_json, is_utf8
from slipstream_actor.client.asking import request
from slipstream_actor.client.returns import Answer
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.socket.socket import Socket

__all__ = ["COMMANDS", "HELP", "Ended", "Talk", "Talker"]

Show = Callable[..., object]

HELP = """\
join TOPIC [JSON]          join a topic, with params
push TOPIC EVENT [JSON]    push an event; the reply is shown when it comes
leave TOPIC                leave a topic
topics                     what is joined, or was asked for
presences TOPIC            who is there
help                       these lines
quit                       end, as Ctrl-D does"""


class Ended(Exception):
    """No more commands are wanted."""


class Wrong(Exception):
    """A line is no command."""


class Talker(Listener):
    """Does what it is cast, and shows what comes; `show(kind, topic, text)` may be slow."""

    def init(  # type: ignore[override]
        self, uri: str, options: dict[str, Any], show: Show, ready: Callable[[], object]
    ) -> Socket:
        self.show: Show = show
        self.ready: Callable[[], object] = ready
        return super().init(uri, [], {}, options)

    def handle_connect(self, socket: Socket) -> None:
        super().handle_connect(socket)
        self.ready()

    def handle_call(self, question: Any, _: Any, socket: Socket) -> Any:
        answer = question(socket)
        return Answer(None, answer) if isinstance(answer, Socket) else Answer(answer, socket)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
        self.joined.add(topic)
        self.show("joined", topic, shown(response))

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        if topic not in self.joined and socket.connected:
            self.show("not joined", topic, described(reason))
            return None
        return super().handle_topic_close(topic, reason, socket)

    def handle_leave(self, topic: str, socket: Socket) -> None:
        self.joined.discard(topic)
        self.show("left", topic, "")

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.show(event, topic, shown(payload))

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> None:
        if current is None:
            self.show("came", topic, key)

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket
    ) -> None:
        if not current.get("metas"):
            self.show("went", topic, key)


# What a join, or a leave, ends in.
SETTLED = ("joined", "not joined", "left")


class Talk:
    """What is typed, for one client; in a script, which `waits`, one command after the other."""

    def __init__(self, show: Show, seconds: float, *, waits: bool) -> None:
        self.client: Any = None
        self._show = show
        self._seconds = seconds
        self._waits = waits
        self._settled: dict[str, threading.Event] = {}

    def show(self, kind: str, topic: str, text: str) -> None:
        """Show what has come."""
        self._show(kind, topic, text)
        if kind in SETTLED and (settled := self._settled.pop(topic, None)) is not None:
            settled.set()

    def obey(self, line: str) -> None:
        """Do what a line says. Raises `Ended`."""
        name, _, rest = line.strip().partition(" ")
        if not name:
            return
        act = COMMANDS.get(name)
        try:
            if not is_utf8(line):
                raise Wrong("that is not UTF-8")
            if act is None:
                raise Wrong('there is no such command; "help" lists them')
            act(self, rest.strip())
        except (Wrong, SlipstreamError, ValueError, TypeError) as error:
            # The client raises the last two for arguments that it does not take.
            self._show("error", name, str(error))

    def topics(self) -> list[str]:
        """Return the topics that are joined, or asked for."""
        return [topic for topic, status in self._statuses().items() if status != "closed"]

    def _statuses(self) -> dict[str, Any]:
        statuses: dict[str, Any] = self._call(
            lambda socket: {topic: join.status for topic, join in socket.joins.items()}
        )
        return statuses

    def _call(self, question: Callable[[Socket], Any]) -> Any:
        return call(self.client, question, timeout=self._seconds)

    def join(self, rest: str) -> None:
        """`join TOPIC [JSON]`."""
        topic, params = word(rest, "a topic")
        value = json_of(params)
        if topic in self.topics():
            raise Wrong("it is joined, or asked for, already")
        self._settle(topic, lambda socket: socket.track_presence(topic).join(topic, value))

    def leave(self, rest: str) -> None:
        """`leave TOPIC`."""
        topic = only(rest, "a topic")
        if topic not in self.topics():
            raise Wrong("it is not joined")
        self._settle(topic, lambda socket: socket.leave(topic))

    def _settle(self, topic: str, ask: Callable[[Socket], Socket]) -> None:
        settled = self._settled[topic] = threading.Event()
        self._call(ask)
        if self._waits:
            settled.wait(self._seconds)

    def push(self, rest: str) -> None:
        """`push TOPIC EVENT [JSON]`."""
        topic, rest = word(rest, "a topic")
        event, payload = word(rest, "an event")
        reply = request(self.client, topic, event, json_of(payload), timeout=self._seconds)
        reply.add_done_callback(functools.partial(self._replied, topic))
        if self._waits:
            reply.wait(self._seconds)

    def _replied(self, topic: str, future: Any) -> None:
        try:
            reply: Reply = future.get()
        except SlipstreamError as error:
            self._show("error", topic, str(error))
        else:
            self._show(f"reply {reply.status}", topic, shown(reply.response))

    def list_topics(self, rest: str) -> None:
        """`topics`."""
        nothing(rest)
        for topic, status in self._statuses().items():
            self._show(status, topic, "")

    def presences(self, rest: str) -> None:
        """`presences TOPIC`."""
        topic = only(rest, "a topic")
        state = self._call(lambda socket: socket.presences(topic))
        for key, presence in state.items():
            self._show("present", topic, f"{key} {shown(dict(presence))}")

    def help(self, rest: str) -> None:
        """`help`."""
        nothing(rest)
        for line in HELP.splitlines():
            self._show("", "", line)

    def quit(self, rest: str) -> None:
        """`quit`."""
        nothing(rest)
        raise Ended


def word(rest: str, what: str) -> tuple[str, str]:
    """Return the next word of a line, and what follows it."""
    first, _, more = rest.partition(" ")
    if not first:
        raise Wrong(f"{what} is missing")
    return first, more.strip()


def only(rest: str, what: str) -> str:
    """Return the last word of a line."""
    first, more = word(rest, what)
    nothing(more)
    return first


def nothing(rest: str) -> None:
    """Have nothing left of a line."""
    if rest:
        raise Wrong("that is too much")


def json_of(text: str) -> Any:
    """Return what JSON says, `{}` for none."""
    try:
        return decoded_json(text) if text else {}
    except ValueError as error:
        raise Wrong(f"that {error}") from None


COMMANDS: dict[str, Callable[[Talk, str], None]] = {
    "join": Talk.join,
    "push": Talk.push,
    "leave": Talk.leave,
    "topics": Talk.list_topics,
    "presences": Talk.presences,
    "help": Talk.help,
    "quit": Talk.quit,
}
