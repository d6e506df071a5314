"""In which order the addresses of a host are tried, and what is remembered of them.

One process remembers of a host and port which address it last came to, and whether that led to a
websocket. Plain dictionary operations only: no lock that a fork or a signal handler could meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from slipstream_actor.wire.waiter import AttemptFailed, Route, Waiter

__all__ = ["Address", "in_order", "remembering"]

Address: TypeAlias = tuple[int, int, int, Any]
"""Family, type, protocol and socket address."""

MOST = 256

_last: dict[tuple[str, int], tuple[Address, bool]] = {}


def in_order(host: str, port: int, found: list[Any]) -> list[Address]:
    """Return what `getaddrinfo` has found in the order to try it, each address once.

    The families take turns, as in RFC 8305 section 4, beginning with the system's choice. The
    address that worked last time comes first, one that led nowhere last.
    """
    addresses = list(
        dict.fromkeys((family, kind, proto, at) for family, kind, proto, _, at in found)
    )
    last, worked = _last.get((host, port), (None, False))
    if last not in addresses:
        return interleaved(addresses)
    others = [address for address in addresses if address != last]
    return interleaved([last, *others]) if worked else [*interleaved(others), last]


def interleaved(addresses: list[Address]) -> list[Address]:
    """Return `addresses` with the families in turns; within one they keep their order."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


@contextlib.contextmanager
def remembering(waiter: Waiter) -> Iterator[None]:
    """Remember whether what is done here worked with the address that has answered.

    A refusal is an answer, but for one that says that the server itself has failed.
    """
    try:
        yield
    except AttemptFailed as failed:
        status = failed.reason.status
        remember(waiter.route, status is not None and status < 500)
        raise
    remember(waiter.route, True)


def remember(route: Route | None, worked: bool) -> None:
    """Remember of a route's host whether its address worked, and forget the oldest ones."""
    if route is None:
        return
    host, port, address = route
    _last.pop((host, port), None)
    _last[host, port] = address, worked
    for _ in range(len(_last) - MOST):
        # Another thread may be at it too.
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):
            del _last[next(iter(_last))]
