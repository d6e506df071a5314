"""What the URL of a proxy says: the option's, and the environment's."""

from __future__ import annotations

import urllib.parse
from typing import Any, NamedTuple

from slipstream_actor.configuration.rules import RuleError, clean_text

__all__ = ["ProxyUrl", "parse_proxy_url", "proxy_url"]

# The ports of URLs that have none.
PORTS = {"http": 80, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
MAX_SOCKS_LOGIN = 255
A_URL = "must be a URL with http, socks4, socks5 or socks5h"


class ProxyUrl(NamedTuple):
    """The parts of a proxy's URL, `user` and `password` decoded; without a user both are empty."""

    kind: str
    host: str
    port: int
    user: str
    password: str


def proxy_url(value: Any) -> Any:
    """Require a proxy's URL, `None` or `False`."""
    if value is None or value is False:
        return value
    if not isinstance(value, str):
        raise RuleError(f"{A_URL}; None, or False")
    if parse_proxy_url(clean_text(value)).kind == "http":
        return value
    try:
        import python_socks  # noqa: F401 - only whether it is there
    except ImportError:
        raise RuleError("needs the extra: pip install 'slipstream_actor[proxy]'") from None
    return value


def parse_proxy_url(url: str) -> ProxyUrl:
    """Return the parts of a proxy's URL. Raises `RuleError`, whose text holds nothing of it.

    The user and the password end at the `@`, and may hold `/`, `?` and `#`, as for `urllib`.
    """
    kind, separator, rest = url.partition("://")
    kind = kind.lower()
    if kind not in PORTS or not separator:
        raise RuleError(A_URL)
    path = rest.find("/", rest.find("@") + 1)
    login, _, place = (rest if path < 0 else rest[:path]).rpartition("@")
    host, port = address(place)
    user, _, password = login.partition(":")
    parts = ProxyUrl(
        kind,
        host,
        PORTS[kind] if port is None else port,
        urllib.parse.unquote(user),
        urllib.parse.unquote(password),
    )
    require_login(parts)
    return parts


def address(place: str) -> tuple[str, int | None]:
    """Return host and port of what stands behind the login."""
    try:
        parts = urllib.parse.urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or " " in host or port == 0:
        # Not where it was caught: what led to it holds the URL.
        raise RuleError("must be a URL with a host, and a port from 1 to 65535 or none")
    return host, port


def require_login(parts: ProxyUrl) -> None:
    """Refuse a user and a password that the protocol cannot carry."""
    both = parts.user + parts.password
    clean_text(both)
    if parts.password and not parts.user:
        raise RuleError("must have a user with its password")
    if parts.kind == "http":
        if ":" in parts.user:
            raise RuleError("must have a user without a colon (RFC 7617 section 2)")
        return
    if not both.isascii() or max(len(parts.user), len(parts.password)) > MAX_SOCKS_LOGIN:
        raise RuleError(
            f"must have a user and a password of ASCII, for SOCKS, and of up to {MAX_SOCKS_LOGIN}"
            " characters each"
        )
    if parts.kind != "socks4" and parts.user and not parts.password:
        raise RuleError("must have a password with its user, for SOCKS 5 (RFC 1929)")
