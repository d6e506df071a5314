"""Every recorded conversation that can be played, at the embedded server."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.testing.server.replay import play, read

RECORDED = Path(__file__).parents[2] / "protocol"

NOT_PLAYED = {
    r"frames_sent_with_upgrade": "bytes, not frames; see test_server",
    r"idle_timeout_server_pushes": "it is made of pauses; see test_server",
    r"leave_twice_pipelined|push_racing_.*|race_.*": "timing decides; see test_races",
    r"longpoll": "the embedded server has no long polling",
    r"oversize_.*": "the big frames were not recorded; see test_server",
    r"tls_.*": "over TLS; see test_tls",
}
"""Conversations of the current version that are passed over, and why."""

OLD_BEHAVIOUR = {
    r"channel_raise": "phx_error has a reason since 1.8.10",
    r"disconnect_broadcast": "1001 since 1.8.8",
    r"duplicate_join|leave_and_rejoin|push_stale_join_ref|v1_basics": "1.8.3 drops stale join_refs",
    r"leave_no_join_ref": "1.8.12 takes a leave without a join_ref",
}
"""Conversations with 1.7 that contradict 1.8.12, whose behaviour the server has."""


def _names(folder: str, passed_over: dict[str, str]) -> list[str]:
    names = [path.stem for path in sorted((RECORDED / folder).glob("*.jsonl"))]
    return [name for name in names if not any(re.fullmatch(x, name) for x in passed_over)]


@pytest.mark.parametrize("name", _names("transcripts", NOT_PLAYED))
def test_current(name: str) -> None:
    _play("transcripts", name)


@pytest.mark.parametrize("name", _names("transcripts-1.7", OLD_BEHAVIOUR))
def test_like_1_7(name: str) -> None:
    _play("transcripts-1.7", name)


def _play(folder: str, name: str) -> None:
    with PhoenixServer() as server:
        # The recorded three seconds of idling prove no more than a short while does.
        server.mounts["/socket_small"] = replace(server.mounts["/socket_small"], timeout=0.2)
        hooks = {"server receives SIGTERM": server.stop, "server receives SIGKILL": server.drop}
        play(read(RECORDED / folder / f"{name}.jsonl"), server.host, server.port, hooks)


@pytest.mark.parametrize(
    ("folder", "passed_over"), [("transcripts", NOT_PLAYED), ("transcripts-1.7", OLD_BEHAVIOUR)]
)
def test_no_reason_is_outdated(folder: str, passed_over: dict[str, str]) -> None:
    names = [path.stem for path in (RECORDED / folder).glob("*.jsonl")]
    for pattern in passed_over:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
