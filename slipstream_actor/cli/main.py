"""The tool's door: its version needs no extra, all else is behind one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from slipstream_actor.cli.output import discard_output, say
from slipstream_actor.cli.signals import Terminated, ending_on_signals
from slipstream_actor.cli.streams import with_streams
from slipstream_actor.debug.version import installed_version

__all__ = ["main"]

OTHER, USAGE = 1, 2
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143
OF_THE_EXTRA = {"typer", "rich", "prompt_toolkit"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status; `arguments` are the command line's by default."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with with_streams():
        return run_guarded(given)


def run_guarded(given: list[str]) -> int:
    """Run a command, and return the exit status for what it ends with."""
    try:
        with ending_on_signals():
            status = run_command(given)
            # What fails here is told of here, and not by the interpreter at its end.
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except Terminated:
        return TERMINATED
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE
    except OSError as error:
        discard_output()
        say(f"slipstream-actor: {error.strerror or error}")
        return OTHER


def run_command(given: list[str]) -> int:
    """Run a command, if what it needs is there."""
    if given == ["--version"]:
        print(f"slipstream_actor {installed_version()}")
        return 0
    try:
        from slipstream_actor.cli.application import run

        if not given:
            with contextlib.redirect_stdout(sys.stderr):
                run(["--help"])
            return USAGE
        return run(given)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OF_THE_EXTRA:
            raise
        print(
            "slipstream-actor: this command needs the extra slipstream_actor[cli]",
            file=sys.stderr,
        )
        return USAGE
