"""Which proxy to use, and how to speak with it: with one of SOCKS by python-socks (extra `proxy`).

python-socks' own `connect` blocks, and cannot be cancelled: its connectors are given our stream.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.proxy_urls import ProxyUrl, parse_proxy_url
from slipstream_actor.configuration.rules import RuleError
from slipstream_actor.configuration.uris import server_name
from slipstream_actor.wire.waiter import AttemptFailed, Cancelled, text

__all__ = ["open_proxy", "proxy_for"]

# What is said of one that cannot be: the option's was looked at when it was given.
OF_ENVIRONMENT = "the environment's proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY)"

LookUp: TypeAlias = Callable[[str, int], list[Any]]
# Asks a proxy, through a stream to it, for a connection to a host and a port.
Connector: TypeAlias = Callable[[Any, str, int], None]


def proxy_for(config: Configuration) -> str | None:
    """Return the URL of the proxy to use: the option's, or the environment's.

    Raises `AttemptFailed`.
    """
    if config.proxy is not None:
        return config.proxy or None
    is_here = server_name(config.host) == "localhost" or is_loopback(config.host)
    if is_here or not may_have_proxies():
        return None
    with importing():
        import urllib.request  # It brings much, and few have a proxy.

    if any(map(urllib.request.proxy_bypass, names_of(config))):
        return None
    proxies = urllib.request.getproxies()
    url = proxies.get("https" if config.secure else "http") or proxies.get("all")
    return f"http://{url}" if url and "://" not in url else url


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Map what an import raises where no more files can be opened; a later one may go well."""
    try:
        yield
    except OSError as error:
        raise AttemptFailed("io", f"{error.filename}: {text(error)}") from error


def names_of(config: Configuration) -> list[str]:
    """Return what NO_PROXY may call the configured host: for `urllib` also its name in Unicode, and
    its address with brackets."""
    names = list(dict.fromkeys((config.host, config.uri.hostname or "")))
    return names + [
        f"[{name}]:{config.port}" if ":" in name else f"{name}:{config.port}" for name in names
    ]


def is_loopback(host: str) -> bool:
    """Whether a host is an address of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_have_proxies() -> bool:
    """Whether the environment names a proxy, or the system may."""
    asks_system = sys.platform in ("darwin", "win32")
    return asks_system or any(name.lower().endswith("_proxy") for name in os.environ)


class Resolver:
    """Resolves names where a proxy does not (SOCKS 4), without blocking."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up

    def resolve(self, host: str, port: int = 0, family: int = 0) -> tuple[int, str]:
        """Return family and address of `host`, IPv4 first."""
        addresses = sorted(self._look_up(host, port), key=lambda info: info[0] != socket.AF_INET)
        return addresses[0][0], addresses[0][4][0]


def open_proxy(url: str, look_up: LookUp) -> tuple[str, int, Connector]:
    """Return a proxy's host and port, and what connects through a stream to it."""
    try:
        parts = parse_proxy_url(url)
    except RuleError as error:
        raise AttemptFailed("proxy", f"{OF_ENVIRONMENT} {error}", retryable=False) from error
    connect = by_http(parts) if parts.kind == "http" else by_socks(parts, look_up)
    return parts.host, parts.port, connect


def by_http(parts: ProxyUrl) -> Connector:
    """Return what connects through an HTTP proxy (RFC 9110 section 9.3.6)."""

    def connect(stream: Any, to_host: str, to_port: int) -> None:
        place = f"[{to_host}]:{to_port}" if ":" in to_host else f"{to_host}:{to_port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if parts.user:
            login = base64.b64encode(f"{parts.user}:{parts.password}".encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        stream.write("\r\n".join([*lines, "", ""]).encode())
        stream.read_consent()

    return connect


def by_socks(parts: ProxyUrl, look_up: LookUp) -> Connector:
    """Return what connects through a SOCKS proxy."""
    try:
        with importing():
            from python_socks import ProxyType
            from python_socks._connectors.factory_sync import create_connector
            from python_socks._protocols.errors import ReplyError
    except ImportError as error:
        detail = f"{OF_ENVIRONMENT} needs the extra: pip install 'slipstream_actor[proxy]'"
        raise AttemptFailed("proxy", detail, retryable=False) from error
    remote_names = True if parts.kind == "socks5h" else None
    kind = ProxyType[parts.kind.removesuffix("h").upper()]
    resolver: Any = Resolver(look_up)
    connector = create_connector(kind, parts.user, parts.password, remote_names, resolver)

    def connect(stream: Any, to_host: str, to_port: int) -> None:
        try:
            connector.connect(stream, to_host, to_port)
        except ReplyError as error:
            code = error.error_code
            how = "failed" if code is None else f"refused (code {code})"
            raise AttemptFailed("proxy", f"the proxy {how}: {error}") from error
        except (AttemptFailed, Cancelled, OSError):
            raise
        except Exception as error:
            # Whatever python-socks makes of an odd answer.
            raise AttemptFailed("proxy", f"the proxy failed: {type(error).__name__}") from error

    return connect
