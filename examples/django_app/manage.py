"""`python -m examples.django_app.manage check | runserver | slipstream_status | …`."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


def main(arguments: list[str]) -> None:
    """Run a command of Django's."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
