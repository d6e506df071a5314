"""`proxy`: the fault proxy, with its faults as commands on standard input."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

import typer

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.options import seconds_of
from slipstream_actor.cli.output import Writer, say
from slipstream_actor.cli.signals import stay
from slipstream_actor.cli.sources import text_from, wrong
from slipstream_actor.testing.proxy.proxy import FaultProxy

__all__ = ["proxy"]

DIRECTIONS = ("up", "down", "both")
HOWS = ("close", "reset", "half_close")


class Unknown(Exception):
    """A line is no command."""


def proxy(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The server to pass everything on to.")],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen at; 0 takes a free one.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Stand between clients and a server, and do what networks do.

    Its URI is written to standard output once it listens; "help" on standard input lists the
    faults. It runs until "quit" or Ctrl-C, or the end of what is typed at a terminal.
    """
    try:
        running = FaultProxy(text_from("URI", uri), host, port)
    except ValueError:
        # The error's text may hold a part of it.
        raise wrong("URI", "takes a URI with a host and a port") from None
    except OSError as error:
        raise Failure(Exit.OTHER, f"cannot listen, or resolve: {error.strerror}") from None
    with running:
        # Of a query or a login, which may hold a token, the caller knows himself.
        parts = urlsplit(running.uri)
        netloc = parts.netloc.rpartition("@")[2]
        print(parts._replace(netloc=netloc, query="", fragment="").geturl(), flush=True)
        obey(running, quiet=quiet)


def obey(running: FaultProxy, *, quiet: bool) -> None:
    """Do what the lines of standard input say."""
    for line in sys.stdin:
        words = [spelled(word) for word in line.split()]
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("quit", "exit"):
            return
        try:
            command(words)(running, words[1:])
        except (Unknown, Failure, ValueError) as error:
            say(f"{line.strip()}: {error}")
            continue
        except BrokenPipeError:
            raise
        except OSError as error:
            say(f"{line.strip()}: {error.strerror}")
            continue
        if not quiet and words[0] not in ("help", "status"):
            say(f"done: {line.strip()}")
    # A script has set its faults, and they are to last.
    if not sys.stdin.isatty():
        stay()


def spelled(word: str) -> str:
    """Return a word as the commands have it: with "_", which may be typed as "-"."""
    plain = word.replace("-", "_")
    return plain if plain in (*COMMANDS, *HOWS) else word


Act: TypeAlias = Callable[[FaultProxy, list[str]], object]


def command(words: Sequence[str]) -> Act:
    """Return what a line's first word stands for."""
    act = COMMANDS.get(words[0])
    if act is None:
        raise Unknown('there is no such command; "help" lists them')
    return act


def taken(rest: list[str], *among: Sequence[str]) -> list[Any]:
    """Return for each list of words the one that is given of it, or `None`; no word may be left."""
    found: list[Any] = []
    for words in among:
        given = [word for word in rest if word in words]
        found.append(given[0] if given else None)
        if given:
            rest.remove(given[0])
    if rest:
        raise Unknown(f"{rest[0]!r} is too much, or wrong")
    return found


def direction_of(rest: list[str]) -> Any:
    """Return the direction that is given, "both" if none is."""
    [direction] = taken(rest, DIRECTIONS)
    return direction or "both"


def number_of(rest: list[str], what: str) -> float:
    """Return the number that the arguments begin with, and take it off."""
    try:
        number = float(rest[0])
    except (IndexError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Unknown(f"{what} is missing")
    del rest[0]
    return number


def seconds_in(rest: list[str]) -> float:
    """Return the time that the arguments begin with, and take it off."""
    if not rest:
        raise Unknown("a time is missing, such as 200ms")
    text = rest.pop(0)
    return 0.0 if text == "0" else seconds_of("it", text) or 0.0


def plainly(act: Callable[[FaultProxy], object]) -> Act:
    """Return a command without arguments."""

    def run(running: FaultProxy, rest: list[str]) -> None:
        taken(rest)
        act(running)

    return run


def delay(running: FaultProxy, rest: list[str]) -> None:
    seconds = seconds_in(rest)
    running.delay(seconds, direction_of(rest))


def throttle(running: FaultProxy, rest: list[str]) -> None:
    if rest[:1] == ["off"]:
        running.throttle(None, direction_of(rest[1:]))
        return
    rate = number_of(rest, "a number of bytes per second")
    running.throttle(rate, direction_of(rest))


def cut(running: FaultProxy, rest: list[str]) -> None:
    after = int(number_of(rest, "a number of bytes")) if rest[:1] and rest[0].isdigit() else 0
    direction, how = taken(rest, DIRECTIONS, HOWS)
    running.cut(after, direction or "down", how or "close")


def half_close(running: FaultProxy, rest: list[str]) -> None:
    [direction] = taken(rest, DIRECTIONS)
    running.half_close(direction or "down")


def wait(_: FaultProxy, rest: list[str]) -> None:
    seconds = seconds_in(rest)
    taken(rest)
    time.sleep(seconds)


def status(running: FaultProxy) -> None:
    counts = {
        "connections": running.connections,
        "accepted": running.accepted,
        "bytes_up": running.bytes_up,
        "bytes_down": running.bytes_down,
    }
    writer = Writer(as_json=False)
    if writer.pretty:
        writer.text(*((f"{name} {count}  ", "") for name, count in counts.items()))
    else:
        writer.line(counts)


def show_help(_: FaultProxy) -> None:
    say(HELP)


HELP = """\
refuse                             new connections are refused
silence                            new connections are taken, and nothing is said
black_hole [up|down|both]          nothing passes; it waits
drop [up|down|both]                bytes are swallowed
delay TIME [up|down|both]          bytes come later: 200ms, 2s; 0 turns it off
throttle BYTES|off [up|down|both]  so many bytes per second
cut [AFTER] [up|down|both] [close|reset|half_close]
                                   connections end after so many bytes
reset                              all connections are reset, once
half_close [up|down|both]          that way ends on all connections, once
heal                               all is well again
wait TIME                          the next command comes later
status                             connections and bytes, on standard output
help                               these lines
quit                               end"""

COMMANDS: dict[str, Act] = {
    "refuse": plainly(FaultProxy.refuse),
    "silence": plainly(FaultProxy.silence),
    "black_hole": lambda running, rest: running.black_hole(direction_of(rest)),
    "drop": lambda running, rest: running.drop(direction_of(rest)),
    "delay": delay,
    "throttle": throttle,
    "cut": cut,
    "reset": plainly(FaultProxy.reset),
    "half_close": half_close,
    "heal": plainly(FaultProxy.heal),
    "wait": wait,
    "status": plainly(status),
    "help": plainly(show_help),
}
