"""`manage.py slipstream_status [NAME …]`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from slipstream_actor.contrib.django.registry import clients
from slipstream_actor.contrib.probe import connect_briefly

__all__ = ["Command"]


class Command(BaseCommand):
    """Connects the clients from a process of its own, and says how they stand."""

    help = (
        "Connect the clients (all, or those named), from a process of its own, and say how they"
        " stand. The exit status is 0 if every client has connected and joined its topics within"
        " the timeout, 1 if one has not. Of the web server's processes it tells nothing: a health"
        " view of theirs does that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take names and a timeout."""
        parser.add_argument("names", nargs="*", metavar="NAME", help="as in SLIPSTREAM_CLIENTS")
        parser.add_argument("--timeout", type=float, default=5.0, help="seconds (default: 5)")

    def handle(self, *args: Any, names: list[str], timeout: float, **options: Any) -> None:
        """Connect, say and close again."""
        for name in names:
            if name not in clients:
                raise CommandError(f"{name!r} is none of {', '.join(clients)}")
        chosen = {name: clients[name] for name in names or clients}
        if not all(connect_briefly(chosen, timeout, self.stdout.write)):
            sys.exit(1)
