"""What the shell tool is told, and what it answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from slipstream_actor.debug.version import installed_version

NO_COMMAND = 2
"""The exit status when there is nothing to do: argparse's own for wrong arguments."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status; `arguments` are the command line's by default.

    Raises `SystemExit` after `--help` (0), and for wrong arguments (2).
    """
    parser = parser_of_arguments()
    options = parser.parse_args(arguments)
    if options.version:
        print(f"slipstream_actor {installed_version()}")
        return 0
    parser.print_help(sys.stderr)
    return NO_COMMAND


def parser_of_arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slipstream_actor",
        description="A synchronous Phoenix Channels client on Pykka actors.",
    )
    parser.add_argument("--version", action="store_true", help="print the version, and exit")
    return parser
