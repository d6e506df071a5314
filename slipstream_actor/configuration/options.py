"""The options of `connect`, for type checkers and editors; what they mean stands in
`configuration`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from slipstream_actor.protocol.serializer import JsonParser, Serializer

__all__ = ["Options"]

Delays: TypeAlias = Sequence[int] | Callable[[int], float] | Callable[[int, Any], float]


class Options(TypedDict, total=False):
    """What `connect(uri, **options)` takes; a test holds it to `Configuration`'s fields."""

    heartbeat_interval_msec: int
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    params: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    auth_token: str | Callable[[], str] | None
    vsn: str
    serializer: Serializer | None
    json_parser: JsonParser | None
    reconnect_after_msec: Delays
    reconnect_jitter_msec: int
    rejoin_after_msec: Delays
    rejoin_jitter_msec: int
    stable_after_msec: int
    honor_retry_after: bool
    max_retry_after_msec: int
    rejoin_on_reconnect: bool
    reply_timeout_msec: int | None
    buffer_pushes: bool
    buffer_max_pushes: int
    buffer_max_bytes: int
    buffer_max_age_msec: int
    high_watermark: int
    low_watermark: int | None
    max_undelivered_bytes: int
    max_send_buffer_bytes: int
    max_requests: int
    connect_timeout_msec: int
    join_timeout_msec: int
    close_timeout_msec: int
    shutdown_timeout_msec: int
    max_message_bytes: int
    ssl_context: ssl.SSLContext | None
    proxy: str | Literal[False] | None
    origin: str | None
    sockopt: Sequence[tuple[Any, ...]]
    extensions: Sequence[str]
    test_mode: bool
