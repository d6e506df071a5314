"""What is offered, and what of the answer is in force: RFC 7692 section 7.1 as a table."""

from __future__ import annotations

import pytest

from slipstream_actor.configuration.extensions import DeflateParameters
from slipstream_actor.wire.extensions import agreed, offer_line

NAME = "permessage-deflate"
PLAIN = [NAME]


def test_nothing_is_offered_unless_it_is_configured() -> None:
    assert offer_line([]) == []


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (NAME, f"{NAME}; client_max_window_bits"),
        (f"{NAME}; client_max_window_bits", f"{NAME}; client_max_window_bits"),
        (f"{NAME}; client_max_window_bits=10", f"{NAME}; client_max_window_bits=10"),
        (
            f"{NAME};server_no_context_takeover;server_max_window_bits=9",
            f"{NAME};server_no_context_takeover;server_max_window_bits=9; client_max_window_bits",
        ),
    ],
)
def test_what_is_offered(item: str, value: str) -> None:
    """As it is configured; that the server may limit our window is always said."""
    assert offer_line([item]) == [f"Sec-WebSocket-Extensions: {value}"]


@pytest.mark.parametrize("extensions", [[], PLAIN])
def test_no_answer_is_no_compression(extensions: list[str]) -> None:
    assert agreed(extensions, "") is None


def params(
    server_bits: int | None = None,
    client_bits: int = 15,
    *,
    server: bool = False,
    client: bool = False,
) -> DeflateParameters:
    return DeflateParameters(server, client, server_bits, client_bits)


@pytest.mark.parametrize(
    ("offer", "answer", "in_force"),
    [
        ("", "", params()),
        # Bandit's and cowboy's ways of writing it (docs/protocol.md#note-48).
        ("", ";client_max_window_bits=15", params()),
        ("", "; client_max_window_bits=15", params()),
        ("", "; client_max_window_bits=9", params(client_bits=9)),
        ("; client_max_window_bits=10", "", params(client_bits=10)),
        ("; client_max_window_bits=10", "; client_max_window_bits=10", params(client_bits=10)),
        ("; client_max_window_bits=10", "; client_max_window_bits=8", params(client_bits=8)),
        # A server may limit itself unasked, and ask us to forget.
        ("", "; server_max_window_bits=11", params(11)),
        ("", "; server_no_context_takeover", params(server=True)),
        ("", "; client_no_context_takeover", params(client=True)),
        # What we say of ourselves holds, granted or not.
        ("; client_no_context_takeover", "", params(client=True)),
        ("; server_no_context_takeover", "; server_no_context_takeover", params(server=True)),
        ("; server_max_window_bits=12", "; server_max_window_bits=12", params(12)),
        ("; server_max_window_bits=12", "; server_max_window_bits=8", params(8)),
        ("", '; server_max_window_bits="10"', params(10)),
    ],
)
def test_what_is_in_force(offer: str, answer: str, in_force: DeflateParameters) -> None:
    assert agreed([NAME + offer], NAME + answer) == in_force


ANSWER = f"the server's answer on {NAME}"


@pytest.mark.parametrize(
    ("offer", "answer", "problem"),
    [
        ("", "x-other", "the server chose an extension that was not offered"),
        ("", "x-webkit-deflate-frame", "the server chose an extension that was not offered"),
        ("", f"{NAME}, x-other", "the server chose an extension that was not offered"),
        ("", f"{NAME}, {NAME}", f"the server's Sec-WebSocket-Extensions has {NAME} 2 times"),
        ("", " , ", f"the server's Sec-WebSocket-Extensions has {NAME} 0 times"),
        (
            "",
            f"{NAME};",
            "the server's Sec-WebSocket-Extensions lacks a name, or has one that is none",
        ),
        ("", f"{NAME}; foo", f"{ANSWER} has a parameter that there is not"),
        (
            "",
            f"{NAME}; client_max_window_bits",
            f"{ANSWER} has no value for client_max_window_bits",
        ),
        (
            "",
            f"{NAME}; server_max_window_bits=16",
            f"{ANSWER} has a server_max_window_bits that is not from 8 to 15",
        ),
        (
            "; client_max_window_bits=10",
            f"{NAME}; client_max_window_bits=11",
            f"{ANSWER} has a client_max_window_bits above the 10 that was offered",
        ),
        (
            "; server_no_context_takeover",
            NAME,
            f"{ANSWER} lacks server_no_context_takeover, which was asked for",
        ),
        (
            "; server_max_window_bits=10",
            NAME,
            f"{ANSWER} lacks a server_max_window_bits of 10 at most, which was asked for",
        ),
        (
            "; server_max_window_bits=10",
            f"{NAME}; server_max_window_bits=11",
            f"{ANSWER} lacks a server_max_window_bits of 10 at most, which was asked for",
        ),
    ],
)
def test_an_answer_that_is_none_to_the_offer(offer: str, answer: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        agreed([NAME + offer], answer)
    assert str(raised.value) == problem


def test_a_choice_where_nothing_was_offered() -> None:
    with pytest.raises(ValueError, match="chose an extension, and none was offered"):
        agreed([], NAME)
