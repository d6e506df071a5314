"""Which version of the library it is that runs."""

from __future__ import annotations

import functools

__all__ = ["installed_version"]

UNKNOWN = "0+unknown"


def installed_version() -> str:
    """Return the version that was installed, which setup.cfg names; "0+unknown" if none was, and
    while it cannot be read since no more files can be opened."""
    try:
        return version_found()
    except OSError:
        return UNKNOWN


@functools.cache
def version_found() -> str:
    """Return it, once it was read. Raises `OSError`."""
    # Not at the top: it is slow to import, and few programs ask.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("slipstream_actor")
    except PackageNotFoundError:
        return UNKNOWN
