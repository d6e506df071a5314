"""`serve`: the embedded server."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.watch import Watch

__all__ = ["serve"]


def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:CHANNELS",
            help="A mapping of topic patterns to Channel classes, or a function that returns one;"
            " by default channels to try things out with.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen at; 0 takes a free one.")
    ] = 4000,
    compress: Annotated[
        bool,
        typer.Option("--compress", help="Compress for clients that offer it (permessage-deflate)."),
    ] = False,
    reload: Annotated[
        bool, typer.Option(help="Begin anew when a module below this directory changes.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    reloaded: Annotated[bool, typer.Option("--reloaded", hidden=True)] = False,
) -> None:
    """Run the embedded Phoenix server, with channels of your own, until Ctrl-C.

    Its URI is written to standard output once it listens.
    """
    try:
        from slipstream_actor.cli.serving import begin_anew, listen, load
    except ImportError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    watch = Watch() if target is not None and reload else None
    with watch or nullcontext():
        channels = load(target, stay=reloaded)
        if channels is not None:
            listen(channels, host, port, watch, compress=compress, reloaded=reloaded, quiet=quiet)
        if watch is not None:
            begin_anew(target, host, watch.port or port, watch, compress=compress, quiet=quiet)
