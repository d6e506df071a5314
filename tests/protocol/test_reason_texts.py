"""Reasons in words: on one line, in bounds, and without a payload."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import (
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ClosedByServer,
    ConnectFailed,
    ConnectionCrashed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    LeftByClient,
    ParamsFailed,
    PushTimeout,
    TransportFailed,
)
from slipstream_actor.errors import LONGEST, one_line
from slipstream_actor.protocol import reasons
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.protocol.reason_texts import TEXTS, text_of

SECRET = "what-nobody-may-see"
# One that a server says back.
TOKEN = f"SFMyNTY.{SECRET}.AAAA"

WORDS: list[tuple[Any, str]] = [
    (ConnectFailed("upgrade", "the server answered 404", 404), "the server answered 404"),
    (ConnectFailed("io"), "io"),
    (ClosedByPeer(1012, "restarting"), 'the server closed it (1012, "restarting")'),
    (ClosedByPeer(4001, f"bad token={TOKEN}"), 'the server closed it (4001, "bad token=…")'),
    (ClosedByPeer(1000), "the server closed it (1000)"),
    (ClosedByPeer(1006), "it ended without a close frame (1006)"),
    (ClosedByClient(), "closed by this client"),
    (HeartbeatTimeout(), "the server did not answer a heartbeat"),
    (TransportFailed("Connection reset by peer"), "it broke: Connection reset by peer"),
    (ConnectionCrashed(ValueError(SECRET)), "it crashed: ValueError"),
    (JoinRefused({"reason": "members only", "x": SECRET}), 'the server refused it: "members only"'),
    (JoinRefused({"reason": f"{TOKEN} is old"}), 'the server refused it: "… is old"'),
    (JoinRefused({f"no {TOKEN}": 1}), "the server refused it: fields no …"),
    (JoinRefused({"reason": "no bearer token"}), 'the server refused it: "no bearer token"'),
    (JoinRefused({"reason": "Bearer tokens_1 is old"}), 'the server refused it: "… is old"'),
    (JoinRefused({"code": SECRET, "why": 1}), "the server refused it: fields code, why"),
    (JoinRefused({"reason": {"a": SECRET}}), "the server refused it: fields reason"),
    (JoinRefused({}), "the server refused it: no fields"),
    (JoinRefused([SECRET]), "the server refused it: list"),
    (JoinRefused(SECRET), "the server refused it: str"),
    (JoinRefused(None), "the server refused it: NoneType"),
    (JoinTimeout(), "the server did not answer in time"),
    (ParamsFailed(ValueError(SECRET)), "its params failed: ValueError"),
    (ChannelCrashed({"reason": "channel_crash"}), 'the channel crashed: "channel_crash"'),
    (ChannelCrashed({}), "the channel crashed: no fields"),
    (LeftByClient(), "left by this client"),
    (ClosedByServer(), "closed by the server"),
    (Disconnected(HeartbeatTimeout()), "disconnected: the server did not answer a heartbeat"),
    (ChannelEnded("left"), "the channel has ended: left"),
    (ChannelEnded(ClosedByServer()), "the channel has ended: closed by the server"),
    (PushTimeout(), "the server did not answer in time"),
    (BufferExpired(), "it waited too long in the buffer"),
    (BufferOverflow(), "the buffer is full"),
    (DecodingFailed("Mine", "ValueError", "binary"), "Mine raised ValueError at binary"),
    (DecodingFailed("Mine", "ValueError", "something else"), "Mine raised ValueError"),
    (ValueError(SECRET), "ValueError"),
    (None, "NoneType"),
]


@pytest.mark.parametrize(("reason", "words"), WORDS)
def test_each_reason_has_its_words(reason: Any, words: str) -> None:
    assert text_of(reason) == words


def test_no_reason_is_without_words() -> None:
    named = {getattr(reasons, name) for name in reasons.__all__}
    assert {kind for kind in named if inspect.isclass(kind)} - set(TEXTS) == set()


@given(st.text(max_size=300))
def test_a_text_of_the_server_is_one_line_in_bounds(text: str) -> None:
    for reason in (
        JoinRefused({"reason": text}),
        JoinRefused({text: SECRET}),
        ChannelCrashed({"reason": text}),
        ClosedByPeer(4000, text),
        TransportFailed(text),
        ConnectFailed("io", text),
    ):
        words = text_of(reason)
        assert words.isprintable()
        assert SECRET not in words
        # What does not print takes as many as ten.
        assert len(words) <= 10 * LONGEST + 60


def test_a_long_text_is_cut_at_200_characters() -> None:
    assert one_line("x" * 200) == "x" * 200
    assert one_line("x" * 201) == "x" * 200 + "…"
    assert text_of(JoinRefused({"reason": "y" * 1000})).count("y") == 200
    # One that is cut is a token all the same.
    told = text_of(JoinRefused({"reason": f"{'y' * 160} {TOKEN * 9}"}))
    assert told.endswith('yy ……"')


def test_what_does_not_print_is_escaped() -> None:
    assert one_line("a\nb\x1b[31m\x00\u2028") == "a\\nb\\x1b[31m\\x00\\u2028"
    assert one_line("é 日本") == "é 日本"


def test_of_many_fields_the_first_are_named() -> None:
    words = text_of(JoinRefused({f"field{n}": n for n in range(1000)}))
    assert words.endswith("field8, field9, …")
