"""`bench`: how long a push and its reply take, and how many of them a second has room for."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from slipstream_actor.actors.calls import call, cast
from slipstream_actor.actors.future import Future
from slipstream_actor.cli.distribution import histogram, summary
from slipstream_actor.cli.listen import Listener, failure_of
from slipstream_actor.cli.options import Connecting, with_connecting
from slipstream_actor.cli.output import Writer
from slipstream_actor.cli.sources import json_from, object_from, require_pushable, require_utf8
from slipstream_actor.client.asking import request
from slipstream_actor.client.returns import Answer
from slipstream_actor.client.waiting import wait_until_joined
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.socket import Socket

__all__ = ["bench"]

BINS = 12
WIDEST = 40
"""Characters of the histogram's longest bar."""
DRAWN = 50
"""So many times a progress bar is drawn."""


class Counting(Listener):
    """Joins, and counts the messages that are no replies."""

    count: int = 0

    def handle_message(self, *_: Any) -> None:
        self.count += 1

    def handle_call(self, _: Any, __: Any, socket: Socket) -> Any:
        return Answer(self.count, socket)


@with_connecting
def bench(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="The endpoint; env:NAME hides one with a token.")
    ],
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What to join.")],
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="What to push; the channel has to reply to it.")
    ],
    connecting: Connecting,
    payload: Annotated[
        str, typer.Argument(metavar="JSON|@FILE|env:NAME", help="The payload.")
    ] = "{}",
    count: Annotated[
        int, typer.Option(min=1, help="So many round trips, one by one and then pipelined.")
    ] = 1000,
    in_flight: Annotated[
        int, typer.Option(min=1, max=10_000, help="So many without a reply at once, pipelined.")
    ] = 100,
    params: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|env:NAME", help="Params of the join.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON, as in a pipe, on a terminal too.")
    ] = False,
) -> None:
    """Measure round trips: one after the other, and pipelined; and what comes meanwhile.

    Tells percentiles and a histogram of the times, how many pushes with replies a second has room
    for, and how many other messages came in while they were pipelined.
    """
    require_utf8("TOPIC", topic)
    require_pushable("bench", event)
    value = json_from("the payload", payload)
    join_params = {} if params is None else object_from("--params", params)
    where, options = connecting.checked(uri)
    writer = Writer(as_json=as_json)
    client = Counting.start(where, [topic], join_params, options)
    try:
        cast(client, "begin")
        joined(client, topic)
        found = Measured(client, (topic, event, value), connecting.seconds)
        progress = sys.stderr.isatty() and not connecting.quiet
        found.one_by_one(shown(range(count), "one by one", progress))
        found.pipelined(shown(range(count), "pipelined ", progress), in_flight)
    finally:
        client.stop()
    if writer.pretty:
        write(writer, found.report())
    else:
        writer.line(found.report())


def joined(client: Any, topic: str) -> None:
    """Wait until a client has joined. Raises `Failure` with what has ended it else."""
    try:
        wait_until_joined(client, topic, timeout=None)
    except ClientEndedError:
        raise failure_of(client.actor_inbox.ended.get()) from None


class Measured:
    """What has been measured of one kind of push."""

    def __init__(self, client: Any, push: tuple[str, str, Any], seconds: float) -> None:
        self._client = client
        self._push = push
        self._seconds = seconds
        self._statuses: Counter[str] = Counter()
        self._times: list[float] = []
        self._pipelined: dict[str, Any] = {}
        self._inbound: dict[str, Any] = {}

    def ask(self) -> Future[Reply]:
        """Push once."""
        return request(self._client, *self._push, timeout=self._seconds)

    def one_by_one(self, numbers: Iterable[int]) -> None:
        """Measure each round trip by itself."""
        for _ in numbers:
            began = time.perf_counter()
            reply = self.ask().get()
            self._times.append(time.perf_counter() - began)
            self._statuses[reply.status] += 1

    def pipelined(self, numbers: Iterable[int], in_flight: int) -> None:
        """Measure how many a second has room for, and what comes in meanwhile."""
        waiting: deque[Future[Reply]] = deque()
        came, replies = self._came(), self._statuses.total()
        began = time.perf_counter()
        for _ in numbers:
            waiting.append(self.ask())
            if len(waiting) >= in_flight:
                self._statuses[waiting.popleft().get().status] += 1
        while waiting:
            self._statuses[waiting.popleft().get().status] += 1
        seconds = time.perf_counter() - began
        replies = self._statuses.total() - replies
        self._pipelined = {**rate(replies, seconds), "in_flight": in_flight}
        self._inbound = rate(self._came() - came, seconds)

    def report(self) -> dict[str, Any]:
        """Return all that was found, times in milliseconds."""
        times = [seconds * 1000 for seconds in self._times]
        bins = histogram(times, BINS)
        return {
            "round_trips": {
                **rate(len(times), sum(self._times)),
                "milliseconds": {name: round(ms, 3) for name, ms in summary(times).items()},
                "histogram": [
                    {"from": round(b.start, 3), "to": round(b.end, 3), "count": b.size}
                    for b in bins
                ],
            },
            "pipelined": self._pipelined,
            "inbound": self._inbound,
            "replies": dict(self._statuses),
        }

    def _came(self) -> int:
        return int(call(self._client, "count", timeout=self._seconds))


def rate(count: int, seconds: float) -> dict[str, Any]:
    """Return a number of things, how long they took, and how many that is in a second."""
    return {"count": count, "seconds": round(seconds, 4), "per_second": round(count / seconds, 1)}


def shown(numbers: range, what: str, progress: bool) -> Iterator[int]:
    """Yield the numbers, with a bar on standard error that says how far that is."""
    if not progress:
        yield from numbers
        return
    # Seldom, and in this thread: what draws takes time from what is measured.
    portion = max(1, len(numbers) // DRAWN)
    with bar(what, len(numbers)) as draw:
        for number in numbers:
            if number % portion == 0:
                draw(number)
            yield number


@contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    """Show a progress bar, which goes when it is full."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done, refresh=True)


def write(writer: Writer, found: dict[str, Any]) -> None:
    """Write what was found, as lines for people."""
    trips, pipelined, inbound = found["round_trips"], found["pipelined"], found["inbound"]
    told = f"{trips['count']} one by one, {trips['per_second']:,.0f}/s"
    writer.text(("round trips  ", "bold"), (told, ""))
    times = "  ".join(f"{name} {ms:.2f}" for name, ms in trips["milliseconds"].items())
    writer.text(("ms           ", "bold"), (times, ""))
    most = max(each["count"] for each in trips["histogram"])
    for each in trips["histogram"]:
        length = round(each["count"] / most * WIDEST)
        span = f"{each['from']:>9.2f} - {each['to']:>8.2f}  "
        writer.text((span, "dim"), (f"{'#' * length:<{WIDEST}}", "cyan"), (f" {each['count']}", ""))
    told = f"{pipelined['count']}, {pipelined['per_second']:,.0f}/s"
    writer.text(("pipelined    ", "bold"), (f"{told}, {pipelined['in_flight']} in flight", ""))
    told = f"{inbound['count']} other messages meanwhile, {inbound['per_second']:,.0f}/s"
    writer.text(("inbound      ", "bold"), (told, ""))
    statuses = ", ".join(f"{count} {status}" for status, count in found["replies"].items())
    writer.text(("replies      ", "bold"), (statuses, ""))
