"""`manage.py check`: each mistake in the settings, by the name of the setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from slipstream_actor.contrib.django.registry import SETTING, debug_dir, declared, made
from slipstream_actor.contrib.settings import DEBUG_DIR, require_directory
from slipstream_actor.errors import ConfigurationError, suggest

__all__ = ["check_clients"]

# How alike a name is to ours, for it to be a slip of the pen.
ALIKE = 0.85
KNOWN = (SETTING, DEBUG_DIR)


def check_clients(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings, of each client the first mistake."""
    return [*unknown_settings(), *wrong_directory(), *wrong_clients()]


def unknown_settings() -> Iterator[CheckMessage]:
    """Yield a warning for each setting that looks like one of ours, and is none."""
    for key in dir(settings):
        if key not in KNOWN and (meant := suggest(key, KNOWN, ALIKE)):
            yield Warning(f"{key} is no setting{meant}", id="slipstream.W001")


def wrong_directory() -> Iterator[CheckMessage]:
    """Yield an error where `SLIPSTREAM_DEBUG_DIR` is no path."""
    try:
        require_directory(debug_dir())
    except ConfigurationError as error:
        yield Error(str(error), id="slipstream.E004")


def wrong_clients() -> Iterator[CheckMessage]:
    """Yield an error for each client that could not be started."""
    try:
        every = declared()
    except ConfigurationError as error:
        yield Error(str(error), id="slipstream.E001")
        return
    for alias, given in every.items():
        try:
            made(alias, given)
        except ConfigurationError as error:
            yield Error(str(error), id="slipstream.E002")
        except Exception as error:  # Raised by the module that its class is in.
            place = f"{SETTING}[{alias!r}]['client']"
            text = f"{place}: its import raised {type(error).__name__}: {error}"
            yield Error(text, id="slipstream.E003")
