"""`push`: one push, or one for each line of standard input, and the replies."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.options import Connecting, with_connecting
from slipstream_actor.cli.output import Writer, shown, with_payload
from slipstream_actor.cli.sources import (
    decoded_json,
    json_from,
    object_from,
    read_file,
    require_pushable,
    require_utf8,
    wrong,
)
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.socket import Socket, connect

__all__ = ["push"]


@with_connecting
def push(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The endpoint; env:NAME hides one with a token.")
    ],
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What to join.")],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="What to push.")],
    connecting: Connecting,
    payload: Annotated[
        str,
        typer.Argument(
            metavar="JSON|@FILE|env:NAME|-",
            help="The payload; - pushes each line of standard input.",
        ),
    ] = "{}",
    await_reply: Annotated[
        bool, typer.Option("--await-reply", help="Wait for the reply, and show it.")
    ] = False,
    binary: Annotated[
        bool,
        typer.Option("--binary", help="The payload is bytes, and all of standard input is one."),
    ] = False,
    params: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|env:NAME", help="Params of the join.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, as in a pipe, on a terminal too.")
    ] = False,
) -> None:
    """Join a topic and push an event to it.

    With --await-reply each reply is shown: in a pipe, or with --json, as a line of JSON,
    {"status", "response"}, with "binary": true where the response is base64. The exit status is
    then 11 if one has another status than "ok".
    """
    require_utf8("TOPIC", topic)
    require_pushable("push", event)
    where, options = connecting.checked(uri)
    join_params = {} if params is None else object_from("--params", params)
    payloads = bytes_of(payload) if binary else values_of(payload)
    if payload != "-":
        # What is wrong with it is known before anybody is called.
        payloads = iter(list(payloads))
    if not connecting.verbose:
        # What fails is raised here.
        logging.getLogger("slipstream_actor").setLevel(logging.CRITICAL)
    seconds = connecting.seconds
    writer = Writer(as_json=as_json)
    refused = 0
    with connect(where, **options) as opened:
        socket = opened.await_connect(None).join(topic, join_params).await_join(topic, None)
        for value in payloads:
            ref = socket.push(topic, event, value, seconds)
            if await_reply:
                reply = socket.await_reply(ref, seconds)
                refused += not reply.ok
                write(writer, reply)
        if not await_reply:
            flush(socket, seconds)
    if refused:
        raise Failure(Exit.REPLY, "the server replied with another status than ok")


def flush(socket: Socket, seconds: float) -> None:
    """Wait until the server has what was pushed: it answers a heartbeat behind it."""
    socket.ping(seconds)


def values_of(payload: str) -> Iterator[Any]:
    """Yield the payloads that are meant, decoded."""
    if payload != "-":
        yield json_from("the payload", payload)
        return
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            value = decoded_json(line)
        except ValueError as error:
            raise wrong(f"line {number} of standard input", str(error)) from None
        yield value


def bytes_of(payload: str) -> Iterator[bytes]:
    """Yield the payload as bytes: a file's, those of standard input, or an argument's."""
    if payload == "-":
        yield read_file("the payload", "-")
    elif payload.startswith("@"):
        yield read_file("the payload", payload[1:])
    else:
        yield payload.encode("utf-8", "surrogateescape")


def write(writer: Writer, reply: Reply) -> None:
    """Write one reply."""
    if writer.pretty:
        style = "bold green" if reply.ok else "bold red"
        writer.text((reply.status, style), (" ", ""), (shown(reply.response), ""))
    else:
        writer.line({"status": reply.status, **with_payload("response", reply.response)})
