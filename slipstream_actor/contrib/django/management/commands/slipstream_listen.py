"""`manage.py slipstream_listen NAME`: a process that runs one client, and nothing else."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from slipstream_actor.contrib.django.registry import clients
from slipstream_actor.supervision.service import run

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs a client until it ends, or a signal ends it."""

    help = (
        "Run one client of SLIPSTREAM_CLIENTS until it ends. SIGTERM and SIGINT end it in order,"
        " with exit status 0; when it has crashed the exit status is 1, and starting it again is"
        " for the service manager."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a name."""
        parser.add_argument("name", metavar="NAME", help="as in SLIPSTREAM_CLIENTS")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        """Run it. Raises `CommandError` when it has not ended normally."""
        if name not in clients:
            raise CommandError(f"{name!r} is none of {', '.join(clients)}")
        client = clients[name]
        try:
            status = run(client)
        except Exception as error:
            raise CommandError(
                f"{name} cannot be started: {type(error).__name__}: {error}"
            ) from error
        if status:
            why = client.status()["last_end"]
            raise CommandError(f"{name} has ended: {why}", returncode=status)
