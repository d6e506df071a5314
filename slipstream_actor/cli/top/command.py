"""`top`: the processes of a host, and their clients."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import sys
import time
from typing import Annotated, Protocol

import typer

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.options import header_of, seconds_of, trusting
from slipstream_actor.cli.output import ReaderWatch, Writer
from slipstream_actor.cli.signals import stay
from slipstream_actor.cli.sources import secret_from, text_from, wrong
from slipstream_actor.cli.top.local import LocalProcesses, is_directory
from slipstream_actor.cli.top.remote import RemoteProcesses, address_of, is_address
from slipstream_actor.cli.top.reports import Process
from slipstream_actor.cli.top.rows import SORTS, Row, filtered, ordered, rows_of
from slipstream_actor.cli.top.screen import as_plain, lines_of, summary
from slipstream_actor.cli.top.terminal import Keys, Screen, Stops, can_be_live
from slipstream_actor.cli.top.view import View
from slipstream_actor.debug.directory import VARIABLE

__all__ = ["top"]

TOKEN_VARIABLE = "SLIPSTREAM_DASHBOARD_TOKEN"
# Seconds between two looks of a snapshot: rates are what was counted between them.
BETWEEN_TWO = 0.55
# Seconds until it is looked whether the terminal has another size, or an answer has become late.
LOOK_AGAIN = 0.25


class Source(Protocol):
    """Where the processes are from."""

    where: str

    def turn(self, now: float) -> None:
        """Ask whoever is to be asked."""

    def take(self, ready: object, now: float) -> bool:
        """Take in what has come, if it is for this one."""

    def processes(self, now: float) -> list[Process]:
        """Return what is known."""

    def answered(self, times: int) -> bool:
        """Whether all have answered so often."""

    def check(self) -> None:
        """Raise `Failure` when who was named has not answered."""

    def close(self) -> None:
        """Ask no more."""


def top(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH|URL",
            help="A directory of local sockets, one of them, or the URL of a mounted dashboard"
            f" (env:NAME hides one with a password); by default ${VARIABLE}.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One table, as in a pipe.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One table as JSON lines, one for each client.")
    ] = False,
    interval: Annotated[
        str, typer.Option(metavar="TIME", help="Time between two looks at a process.")
    ] = "2s",
    sort: Annotated[
        str, typer.Option(metavar="KEY", help=f"What to order by: {', '.join(SORTS)}.")
    ] = "process",
    filter_: Annotated[
        str, typer.Option("--filter", metavar="TEXT", help="Only what has these words in it.")
    ] = "",
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Time for the answers to a single look.")
    ] = "2s",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="env:NAME|file:PATH|prompt",
            help="For a URL: sent as Authorization: Bearer; by default"
            f" ${TOKEN_VARIABLE}, if it is set.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE", help='For a URL: a header; "Name: env:NAME" hides its value.'
        ),
    ] = None,
    cafile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="For a URL: authorities to trust besides the system's."),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="Serve the page instead, on loopback, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of --web; 0 takes a free one.")
    ] = 0,
) -> None:
    """Show the processes of this host and their clients, live, as htop does.

    Of each client how it stands, its topics and mailbox, the callback that runs and for how long,
    round trip, traffic, reconnects, and why it failed last; of a process that runs no Python for a
    while, since when it does not answer. In a pipe, with --once or with --json it is one table.

    Keys: arrows or j and k, s and S for the order, r to turn it round, / to filter, q to quit.
    """
    every, patience = seconds_of("--interval", interval), seconds_of("--timeout", timeout)
    if sort not in SORTS:
        raise wrong("--sort", f"takes one of {', '.join(SORTS)}")
    place = place_of(where)
    if web:
        serve(place, port)
        return
    view = View(sort, filter_)
    live = can_be_live() and not once and not as_json
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        between = every if live else BETWEEN_TWO
        authority = token, header or [], cafile
        source = stack.enter_context(
            contextlib.closing(source_of(place, selector, between or 0.0, authority))
        )
        if live:
            run(source, selector, view)
        else:
            snapshot(source, selector, view, patience or 0.0, as_json=as_json)


def place_of(where: str | None) -> str:
    """Return the path or URL that is meant."""
    if where is not None:
        return text_from("PATH|URL", where)
    directory = os.environ.get(VARIABLE)
    if not directory:
        raise Failure(Exit.USAGE, f"name a PATH or a URL, or set {VARIABLE}")
    return directory


Authority = tuple[str | None, list[str], str | None]


def source_of(
    place: str, selector: selectors.BaseSelector, interval: float, authority: Authority
) -> Source:
    """Return where the processes are from. Raises `Failure`."""
    if not is_address(place):
        return LocalProcesses(place, selector, interval)
    token, header, cafile = authority
    headers = [header_of(text) for text in header]
    bearer = os.environ.get(TOKEN_VARIABLE) if token is None else secret_from("--token", token)
    if bearer:
        headers.append(("Authorization", f"Bearer {bearer}"))
    context = None if cafile is None else trusting(cafile)
    return RemoteProcesses(address_of(place, headers, context), selector, interval)


def turn(source: Source, selector: selectors.BaseSelector, seconds: float) -> list[object]:
    """Ask, and wait for what comes; return what is not the source's."""
    source.turn(time.monotonic())
    ready = [key.data for key, _ in selector.select(max(0.0, seconds))]
    return [one for one in ready if not source.take(one, time.monotonic())]


# live


def run(source: Source, selector: selectors.BaseSelector, view: View) -> None:
    """Show what there is until somebody wants to see no more."""
    with Stops() as stops:
        while not view.over:
            look(source, selector, view, stops)
            stops.stop()


def look(source: Source, selector: selectors.BaseSelector, view: View, stops: Stops) -> None:
    """Have the terminal until somebody wants to see no more, or types Ctrl-Z."""
    screen = Screen()
    with Keys() as keys, screen.shown():
        if keys.descriptor is not None:
            selector.register(keys.descriptor, selectors.EVENT_READ, keys)
        while not (view.over or stops.wanted):
            draw(source, screen, view)
            for _ in turn(source, selector, LOOK_AGAIN):
                for key in keys.read():
                    view.press(key)
            if keys.over:
                view.quit()
        if keys.descriptor is not None:
            selector.unregister(keys.descriptor)


def draw(source: Source, screen: Screen, view: View) -> None:
    """Draw the screen."""
    rows = rows_of(source.processes(time.monotonic()))
    view.show(rows)
    width, height = screen.size
    screen.draw(lines_of(view, title_of(rows, source), width, height))


def title_of(rows: list[Row], source: Source) -> str:
    return f"{time.strftime('%H:%M:%S')} {summary(rows, source.where)}"


# a snapshot


def snapshot(
    source: Source, selector: selectors.BaseSelector, view: View, patience: float, *, as_json: bool
) -> None:
    """Write one table, when all have answered twice: rates are between two looks."""
    deadline = time.monotonic() + max(patience, 2 * BETWEEN_TWO)
    reading, writing = os.pipe()
    with (
        open(reading, "rb", buffering=0) as gone,
        open(writing, "wb", buffering=0) as told,
        ReaderWatch(lambda: told.write(b".")),
    ):
        selector.register(gone, selectors.EVENT_READ, gone)
        try:
            while (left := deadline - time.monotonic()) > 0:
                if turn(source, selector, min(left, LOOK_AGAIN)):
                    raise BrokenPipeError
                if source.answered(2):
                    break
        finally:
            selector.unregister(gone)
    source.check()
    rows = rows_of(source.processes(time.monotonic()))
    title = title_of(rows, source)
    chosen = ordered(filtered(rows, view.filter), view.sort)
    if as_json:
        writer = Writer(as_json=True)
        for row in chosen:
            writer.line(row)
        return
    for line in as_plain(chosen, title, width_of_output()):
        print(line)
    sys.stdout.flush()


def width_of_output() -> int | None:
    """Return how wide the terminal is; `None` in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# the page


def serve(place: str, port: int) -> None:
    """Serve the page for the processes of a directory, until Ctrl-C."""
    if is_address(place) or not is_directory(place):
        raise Failure(Exit.USAGE, "--web shows the processes of a directory")
    from slipstream_actor import dashboard

    try:
        server = dashboard.serve(port, directory=place)
    except OSError as error:
        text = f"cannot listen at 127.0.0.1:{port}: {error.strerror}"
        raise Failure(Exit.OTHER, text) from None
    with server:
        print(server.url, flush=True)
        stay()
