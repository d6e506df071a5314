"""From an address to a connected, non-blocking socket: names, proxies, TCP and TLS, one deadline.

Everything waits through a `Waiter`, so that a stop or a `disconnect` ends it at once.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from slipstream_actor.configuration import Configuration
from slipstream_actor.reasons import ConnectFailed, ConnectFailedKind

__all__ = ["AttemptFailed", "Waiter", "dial"]

T = TypeVar("T")
IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR}


class AttemptFailed(Exception):
    """An attempt to connect has failed, for `reason`."""

    def __init__(self, kind: ConnectFailedKind, detail: str, **answer: Any) -> None:
        super().__init__(detail)
        self.reason = ConnectFailed(kind, detail, **answer)


class Waiter(Protocol):
    """How to wait during an attempt. Raises `AttemptFailed("timeout", …)` at its deadline."""

    def left(self, phase: str) -> float:
        """Return the seconds until the deadline."""

    def ready(
        self,
        sock: socket.socket,
        phase: str,
        *,
        read: bool = False,
        write: bool = False,
        at_most: float | None = None,
    ) -> bool:
        """Wait for `sock`; `False` when `at_most` seconds passed first."""

    def elsewhere(self, phase: str, function: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Run what cannot be done without blocking in a thread, and wait for its result."""


def dial(config: Configuration, waiter: Waiter) -> socket.socket:
    """Return a non-blocking socket connected to the configured host, TLS done.

    Raises `AttemptFailed`.
    """
    proxy = proxy_for(config)
    sock = dial_proxy(config, proxy, waiter) if proxy else dial_tcp(config, waiter)
    try:
        return handshake(sock, config, waiter) if config.secure else sock
    except BaseException:
        sock.close()
        raise


def dial_tcp(config: Configuration, waiter: Waiter) -> socket.socket:
    """Try the host's addresses in turn, each with its share of the time that is left."""
    addresses = resolve(config.host, config.port, waiter)
    failed = AttemptFailed("resolve", f"{config.host} has no address")
    for tried, (family, kind, proto, _, address) in enumerate(addresses):
        share = waiter.left("TCP") / (len(addresses) - tried)
        last = tried == len(addresses) - 1
        try:
            sock = socket.socket(family, kind, proto)
            return connect(sock, address, config, waiter, None if last else share)
        except OSError as error:
            failed = AttemptFailed(kind_of(error), f"{config.host}:{config.port}: {text(error)}")
    raise failed


def connect(
    sock: socket.socket, address: Any, config: Configuration, waiter: Waiter, at_most: float | None
) -> socket.socket:
    """Connect `sock` to one address; `OSError` when it cannot be."""
    try:
        set_options(sock, config)
        code = sock.connect_ex(address)
        if code in IN_PROGRESS:
            if not waiter.ready(sock, "TCP", write=True, at_most=at_most):
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        return sock
    except BaseException:
        sock.close()
        raise


def resolve(host: str, port: int, waiter: Waiter) -> list[Any]:
    """Return the addresses of `host`.

    `getaddrinfo` cannot be interrupted: for a name it runs in a thread of its own, which is
    abandoned at the deadline, and ends when the system's resolver gives up.
    """

    def look_up() -> list[Any]:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    try:
        if is_address(host):
            return look_up()
        return waiter.elsewhere("name resolution", look_up, lambda _: None)
    except (OSError, UnicodeError) as error:
        raise AttemptFailed("resolve", f"{host}: {text(error)}") from error


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, and needs no look-up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def set_options(sock: socket.socket, config: Configuration) -> None:
    """Set what websocket-client would set on a socket of its own, and the option `sockopt`."""
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in config.sockopt:
            sock.setsockopt(*option)
    except OSError as error:
        raise AttemptFailed("io", f"sockopt: {text(error)}") from error


@functools.cache
def default_context() -> ssl.SSLContext:
    """Return the context that verifies certificate and host name, with HTTP/1.1 only (note 43)."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def handshake(sock: socket.socket, config: Configuration, waiter: Waiter) -> ssl.SSLSocket:
    """Return `sock` with TLS on it."""
    context = config.ssl_context or default_context()
    with tls_errors(config.host):
        secure = context.wrap_socket(
            sock, server_hostname=config.host, do_handshake_on_connect=False
        )
    try:
        with tls_errors(config.host):
            while True:
                try:
                    secure.do_handshake()
                    return secure
                except ssl.SSLWantReadError:
                    waiter.ready(secure, "the TLS handshake", read=True)
                except ssl.SSLWantWriteError:
                    waiter.ready(secure, "the TLS handshake", write=True)
    except BaseException:
        secure.close()
        raise


@contextlib.contextmanager
def tls_errors(host: str) -> Iterator[None]:
    """Map what a TLS handshake raises."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise AttemptFailed("tls", f"{host}: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise AttemptFailed("tls", f"{host}: {text(error)}") from error


def proxy_for(config: Configuration) -> str | None:
    """Return the URL of the proxy to use: the option's, or the environment's."""
    if config.proxy is not None:
        return config.proxy or None
    if config.host == "localhost" or urllib.request.proxy_bypass(config.host):
        return None
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(config.host).is_loopback:
            return None
    proxies = urllib.request.getproxies()
    return proxies.get("https" if config.secure else "http") or proxies.get("all")


def dial_proxy(config: Configuration, url: str, waiter: Waiter) -> socket.socket:
    """Return a socket that a proxy has connected to the host."""
    try:
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
        from python_socks.sync import Proxy
    except ImportError as error:
        detail = "a proxy needs the extra: pip install 'slipstream_actor[proxy]'"
        raise AttemptFailed("proxy", detail) from error
    left = waiter.left("the proxy")

    def ask() -> socket.socket:
        remote_names = True if url.startswith("socks5h:") else None
        proxy = Proxy.from_url(url.replace("socks5h:", "socks5:", 1), rdns=remote_names)
        return proxy.connect(config.host, config.port, timeout=left)

    try:
        sock = waiter.elsewhere("the proxy", ask, lambda sock: sock.close())
    except (ProxyConnectionError, ProxyError, ProxyTimeoutError, OSError, ValueError) as error:
        # Their texts may hold the URL, and with it the password.
        raise AttemptFailed("proxy", f"the proxy failed: {type(error).__name__}") from error
    set_options(sock, config)
    return sock


def kind_of(error: OSError) -> ConnectFailedKind:
    """Return which kind of failure a TCP error is."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else "io"


def text(error: Exception) -> str:
    """Return what an error says, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
