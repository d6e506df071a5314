"""The context managers that pytest's fixtures are adapters of, by the fixtures' names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from slipstream_actor.testing.kit.kit import SocketTest

if TYPE_CHECKING:
    from slipstream_actor.testing.proxy.proxy import FaultProxy
    from slipstream_actor.testing.server.router import Channels
    from slipstream_actor.testing.server.server import PhoenixServer

__all__ = ["phoenix_proxy", "phoenix_server", "socket_test"]


@contextlib.contextmanager
def socket_test(**options: Any) -> Iterator[SocketTest]:
    """Be the server of the block's clients, by a `SocketTest` with these options."""
    with SocketTest(**options) as server:
        yield server


@contextlib.contextmanager
def phoenix_server(channels: Channels | None = None, **options: Any) -> Iterator[PhoenixServer]:
    """Run an embedded `PhoenixServer` with these channels and options; needs its extra."""
    from slipstream_actor.testing.server.server import PhoenixServer

    with PhoenixServer(channels, **options) as server:
        yield server


@contextlib.contextmanager
def phoenix_proxy(
    upstream: PhoenixServer | Channels | str | None = None,
) -> Iterator[FaultProxy]:
    """Run a `FaultProxy` before a server, a URI, or an embedded server with these channels."""
    from slipstream_actor.testing.proxy.proxy import FaultProxy

    with contextlib.ExitStack() as stack:
        if upstream is None or isinstance(upstream, Mapping):
            upstream = stack.enter_context(phoenix_server(upstream))
        uri = upstream if isinstance(upstream, str) else upstream.uri
        yield stack.enter_context(FaultProxy(uri))
