"""Which version of the library it is that runs."""

from __future__ import annotations

import functools


@functools.cache
def installed_version() -> str:
    """Return the version that was installed, which setup.cfg names; "0+unknown" if none was."""
    # Not at the top: it is slow to import, and few programs ask.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("slipstream_actor")
    except PackageNotFoundError:
        return "0+unknown"
