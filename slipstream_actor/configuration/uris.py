"""An endpoint's URI as others see it: a log without its secrets, TLS without its zone."""

from __future__ import annotations

import urllib.parse

__all__ = ["place", "redact", "server_name", "without_escapes"]


def without_escapes(host: str) -> str:
    """Return the host of a URI with the zone of an address decoded (RFC 6874 section 2)."""
    address, _, zone = host.partition("%25")
    # A zone that is written without an escape may begin with 25 itself.
    return f"{address}%{urllib.parse.unquote(zone)}" if ":" in address and zone else host


def server_name(host: str) -> str:
    """Return a host as others know it: an address without its zone (RFC 6874 section 4); and as TLS
    names and verifies it, without the dot that a name may end with (RFC 6066 section 3)."""
    return host.partition("%")[0].removesuffix(".")


def redact(uri: urllib.parse.SplitResult) -> str:
    """Return `uri` without user information and with the names of its query alone."""
    pairs = urllib.parse.parse_qsl(uri.query, keep_blank_values=True)
    # What has no value may itself be one: a token, with the padding of its base64.
    parts = [f"{name}=…" if value.strip("=") else "…" for name, value in pairs]
    query = "?" + "&".join(parts) if parts else ""
    return f"{place(uri)}{query}"


def place(uri: urllib.parse.SplitResult) -> str:
    """Return scheme, host and path of `uri`: no user information, and nothing of its query."""
    return f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path}"
