"""`listen`: a topic's messages as they come."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

import typer

from slipstream_actor.actors.calls import cast
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.cli.exits import Exit, Failure, status_of
from slipstream_actor.cli.options import Connecting, seconds_of, with_connecting
from slipstream_actor.cli.output import ReaderWatch, Writer, shown, with_payload
from slipstream_actor.cli.sources import object_from, require_utf8
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.returns import Stop
from slipstream_actor.client.subscriptions import Subscription, subscribe
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.reason_texts import described, text_of
from slipstream_actor.protocol.reasons import ClosedByServer
from slipstream_actor.socket.socket import Socket, connect, new_socket

__all__ = ["listen"]

logger: Logger = get_logger("slipstream_actor.cli")


class Listener(ClientActor):
    """Joins the topics when it is told to, and stays; a failure before all was well ends it."""

    def init(self, uri: str, topics: list[str], params: Any, options: dict[str, Any]) -> Socket:
        self.joined: set[str] = set()
        self.topics: list[str] = topics
        self.params: Any = params
        self.connected: bool = False
        self.uri: str = uri
        self.options: dict[str, Any] = options
        return new_socket()

    def handle_cast(self, _: Any, __: Socket) -> Socket:
        socket = connect(self.uri, **self.options)
        for topic in self.topics:
            socket = socket.join(topic, self.params)
        return socket

    def handle_connect(self, socket: Socket) -> None:
        self.connected = True

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        if not self.connected:
            return Stop(("shutdown", reason), socket)
        return super().handle_disconnect(reason, socket)

    def handle_join(self, topic: str, _: Any, socket: Socket) -> None:
        # Of later joins the client's own log says that.
        if topic not in self.joined:
            self.joined.add(topic)
            logger.info("joined %r", topic)

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        if topic not in self.joined and socket.connected:
            return Stop(("shutdown", reason), socket)
        return super().handle_topic_close(topic, reason, socket)

    def handle_leave(self, topic: str, socket: Socket) -> Any:
        if all(socket.join_status(topic) == "closed" for topic in self.topics):
            return Stop(("shutdown", ClosedByServer()), socket)
        return None


class Ending:
    """Closes the subscription, once: after a time, or when nobody reads any more."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.broken_pipe: bool = False

    def reader_gone(self) -> None:
        self.broken_pipe = True
        self._subscription.close()


@with_connecting
def listen(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The endpoint; env:NAME hides one with a token.")
    ],
    topics: Annotated[list[str], typer.Argument(metavar="TOPIC", help="What to join.")],
    connecting: Connecting,
    event: Annotated[
        list[str] | None, typer.Option(help="Show this event alone; may be repeated.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|env:NAME", help="Params of the joins.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End after this time: 10s, 2m.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, as in a pipe, on a terminal too.")
    ] = False,
) -> None:
    """Show the messages of topics as they come.

    On a terminal they are made readable; in a pipe, or with --json, each is a line of JSON:
    {"topic", "event", "payload"}, with "binary": true where the payload is base64. Comes back when
    the connection is lost, and says so on standard error.
    """
    for topic in topics:
        require_utf8("TOPIC", topic)
    for name in event or []:
        require_utf8("--event", name)
    seconds = seconds_of("--for", for_)
    join_params = {} if params is None else object_from("--params", params)
    where, options = connecting.checked(uri)
    client = Listener.start(where, list(topics), join_params, options)
    try:
        wanted = ANY if not event else set(event).__contains__
        show(client, subscribe(client, event=wanted), Writer(as_json=as_json), count, seconds)
    finally:
        client.stop()


def show(
    client: Any, subscription: Subscription, writer: Writer, count: int | None, for_: float | None
) -> None:
    """Write messages until the count, the time, the reader or the client is at its end."""
    ending = Ending(subscription)
    timer = threading.Timer(for_ or 0.0, subscription.close)
    timer.daemon = True
    with ReaderWatch(ending.reader_gone):
        cast(client, "begin")
        if for_ is not None:
            timer.start()
        try:
            for number, message in enumerate(subscription, 1):
                write(writer, message)
                if number == count:
                    return
        except ClientEndedError as error:
            raise Failure(Exit.OTHER, str(error)) from error
        finally:
            timer.cancel()
            subscription.close()
    if ending.broken_pipe:
        raise BrokenPipeError
    # The log has said why.
    if client.actor_inbox.ended.done and (failed := client.actor_inbox.ended.get()) is not None:
        raise failure_of(failed)


def failure_of(end: Any) -> Failure:
    """Return the failure that a client has ended with."""
    if not isinstance(end, tuple):
        return Failure(Exit.OTHER, f"the client has ended: {text_of(end)}")
    return Failure(status_of(end[1]), described(end[1]), logged=True)


def write(writer: Writer, message: MessageReceived) -> None:
    """Write one message."""
    if not writer.pretty:
        fields = {"topic": message.topic, "event": message.event}
        writer.line({**fields, **with_payload("payload", message.payload)})
        return
    now = time.strftime("%H:%M:%S")
    writer.text(
        (f"{now} ", "dim"), (message.topic, "cyan"), (" ", ""), (message.event, "bold green")
    )
    writer.text((f"         {shown(message.payload)}", ""))
