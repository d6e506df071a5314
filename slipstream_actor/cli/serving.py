"""What `serve` does: the embedded server, begun anew when its channels' code changes.

Imported when it is asked for: the server needs an extra of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.output import say
from slipstream_actor.cli.signals import stay
from slipstream_actor.cli.sources import wrong
from slipstream_actor.cli.watch import Watch
from slipstream_actor.testing.server.router import Channels, Router
from slipstream_actor.testing.server.server import PhoenixServer
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS

__all__ = ["begin_anew", "listen", "load"]


def listen(
    channels: Channels,
    host: str,
    port: int,
    watch: Watch | None,
    *,
    compress: bool,
    reloaded: bool,
    quiet: bool,
) -> None:
    """Serve until a file has changed, or for ever."""
    try:
        server = PhoenixServer(channels, host, port, compress=compress)
    except OSError as error:
        where = f"{host}:{port}"
        raise Failure(Exit.OTHER, f"cannot listen at {where}: {error.strerror}") from None
    with server:
        if reloaded:
            if not quiet:
                say(f"serves {server.uri} again")
        else:
            print(server.uri, flush=True)
        if watch is None:
            stay()
        watch.port = server.port
        watch.wait()


def load(target: str | None, *, stay: bool) -> Channels | None:
    """Return the channels. Of code that fails after a reload the error is told, and it is `None`:
    the next change may mend it."""
    if target is None:
        return SHELL_CHANNELS
    name, colon, attribute = target.partition(":")
    if not colon or not name or not attribute:
        raise wrong("MODULE:CHANNELS", "takes a module and a name in it, such as my_app:channels")
    look_here()
    # Python takes cached bytecode for current after a change within the same second.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return checked(getattr(importlib.import_module(name), attribute))
    except Failure as failure:
        text = failure.text
    except (Exception, SystemExit) as error:
        text = "".join(traceback.format_exception(error)).rstrip()
    finally:
        sys.dont_write_bytecode = before
    if not stay:
        raise Failure(Exit.USAGE, f"{target} cannot be loaded:\n{text}")
    say(f"{target} cannot be loaded, and waits for the next change:\n{text}")
    return None


def look_here() -> None:
    """Have modules looked for in the current directory first."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def checked(found: Any) -> Channels:
    """Return channels that are some."""
    channels = found() if callable(found) and not isinstance(found, (Mapping, type)) else found
    try:
        Router(channels)
    except (TypeError, ValueError) as error:
        rule = "is no mapping of topic patterns to Channel classes"
        raise wrong("MODULE:CHANNELS", f"{rule}: {error}") from None
    return channels  # type: ignore[no-any-return]


def begin_anew(
    target: str | None, host: str, port: int, watch: Watch, *, compress: bool, quiet: bool
) -> NoReturn:
    """Put a new interpreter in the place of this one, once a file has changed."""
    watch.wait()
    if not quiet:
        say("a file has changed")
    more = [*(["--compress"] if compress else []), *(["--quiet"] if quiet else [])]
    arguments = ["serve", str(target), "--host", host, "--port", str(port), "--reloaded", *more]
    os.execv(sys.executable, [sys.executable, "-m", "slipstream_actor", *arguments])
