"""Which extensions are offered, and what of the server's answer is in force (RFC 7692 section 7.1).

The answer is taken strictly: where the two sides understand it differently, every message is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from slipstream_actor.configuration.extensions import (
    DEFLATE,
    MOST_BITS,
    DeflateParameters,
    deflate_parameters,
    read,
)

__all__ = ["agreed", "offer_line"]

HEADER = "Sec-WebSocket-Extensions"


def offer_line(extensions: Sequence[str]) -> list[str]:
    """Return the header line that offers the option `extensions`: none where that is empty.

    That we let the server limit our window is always said (RFC 7692 section 7.1.2.2).
    """
    if not extensions:
        return []
    [item] = extensions
    limits = offered(extensions).client_max_window_bits is not None
    return [f"{HEADER}: {item if limits else f'{item}; client_max_window_bits'}"]


def offered(extensions: Sequence[str]) -> DeflateParameters:
    """Return the parameters that the option offers."""
    [extension] = read(extensions[0])
    return deflate_parameters(extension, offered=True)


def agreed(extensions: Sequence[str], answer: str) -> DeflateParameters | None:
    """Return what is in force by the server's `answer`, the header's value, `None` for nothing.

    `extensions` is the option. Raises `ValueError` for an answer that is not one to the offer.
    """
    if not answer:
        return None
    if not extensions:
        raise ValueError("the server chose an extension, and none was offered")
    try:
        chosen = read(answer)
    except ValueError as error:
        raise ValueError(f"the server's {HEADER} {error}") from None
    if any(extension.name != DEFLATE for extension in chosen):
        raise ValueError("the server chose an extension that was not offered")
    if len(chosen) != 1:
        raise ValueError(f"the server's {HEADER} has {DEFLATE} {len(chosen)} times")
    try:
        return in_force(offered(extensions), deflate_parameters(chosen[0], offered=False))
    except ValueError as error:
        raise ValueError(f"the server's answer on {DEFLATE} {error}") from None


def in_force(offer: DeflateParameters, answer: DeflateParameters) -> DeflateParameters:
    """Return what holds for the two sides. Raises `ValueError`.

    What we asked of the server it has to grant; what we said of ourselves we do in any case.
    """
    if offer.server_no_context_takeover and not answer.server_no_context_takeover:
        raise ValueError("lacks server_no_context_takeover, which was asked for")
    asked, granted = offer.server_max_window_bits, answer.server_max_window_bits
    if asked is not None and (granted is None or granted > asked):
        raise ValueError(f"lacks a server_max_window_bits of {asked} at most, which was asked for")
    most, limit = offer.client_max_window_bits or MOST_BITS, answer.client_max_window_bits
    if limit is not None and limit > most:
        raise ValueError(f"has a client_max_window_bits above the {most} that was offered")
    return DeflateParameters(
        answer.server_no_context_takeover,
        offer.client_no_context_takeover or answer.client_no_context_takeover,
        granted,
        most if limit is None else limit,
    )
