"""The log of frames: what it shows, what it hides, and what it costs."""

from __future__ import annotations

import collections
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import Message
from slipstream_actor.errors import Shown
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.telemetry import frame_log, redaction
from slipstream_actor.telemetry.frame_log import received as log_all
from slipstream_actor.telemetry.frame_log import sending
from slipstream_actor.telemetry.redaction import redacted
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, recording

FRAMES = "slipstream_actor.frames"
HIDDEN = "hidden-value"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The lines that were logged."""
    caplog.set_level(logging.DEBUG, FRAMES)
    return lambda: [r.getMessage() for r in caplog.records if r.name == FRAMES]


def received(message: Message) -> None:
    log_all([message])


# what it shows


def test_lines_are_those_of_phoenix_js(lines: Any) -> None:
    sending(
        [
            Message("1", "1", "room:1", "phx_join", {"name": "alice"}),
            PushMessage("room:1", "new:msg", {"body": "hello", "n": [1, None, 2.5]}, "2", "1"),
            Message(None, "3", "phoenix", "heartbeat", {}),
        ]
    )
    received(Message("1", "1", "room:1", "phx_reply", {"status": "ok", "response": {"a": "b"}}))
    received(Message("1", "2", "room:1", "phx_reply", {"status": "error", "response": {"a": "b"}}))
    received(Message(None, None, "room:1", "shout", {"a": "b"}))
    received(Message("1", None, "room:1", "after_join", b"\x00\x01"))
    assert lines() == [
        "push room:1 phx_join (1, 1) {'name': …}",
        "push room:1 new:msg (1, 2) {'body': 'hello', 'n': [1, None, 2.5]}",
        "push phoenix heartbeat (None, 3) {}",
        "receive ok room:1 phx_reply (1, 1) {'a': …}",
        "receive error room:1 phx_reply (1, 2) {'a': 'b'}",
        "receive room:1 shout {'a': 'b'}",
        "receive room:1 after_join <2 bytes>",
    ]


def test_what_is_long_or_breaks_lines_is_cut_and_quoted(lines: Any) -> None:
    sending([Message("1", "2", "room\nfake", "e" * 1000, {str(n): "x" * 1000 for n in range(50)})])
    [line] = lines()
    assert "\n" not in line
    assert "room\\nfake" in line
    assert len(line) < 1000


def test_a_reply_that_is_none_is_shown_as_it_is(lines: Any) -> None:
    received(Message("1", "1", "room:1", "phx_reply", "what?"))
    received(Message("1", "2", "room:1", "phx_reply", {"status": 7}))
    assert lines() == [
        "receive room:1 phx_reply (1, 1) 'what?'",
        "receive 7 room:1 phx_reply (1, 2) None",
    ]


def test_a_conversation_is_logged(server: PhoenixServer, lines: Any) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("bench:room", {"reply": {"key": 1}})).get(timeout=PATIENCE)
        log.take("join")
        client.do(lambda s: s.push("bench:room", "echo", {"a": "b"})).get(timeout=PATIENCE)
        log.take("reply")
    assert lines()[:4] == [
        "push bench:room phx_join (1, 1) {'reply': …}",
        "receive ok bench:room phx_reply (1, 1) {'key': …}",
        "push bench:room echo (1, 2) {'a': 'b'}",
        "receive ok bench:room phx_reply (1, 2) {'a': 'b'}",
    ]


# what it hides

SECRET_KEYS = [
    "token",
    "accessToken",
    "X-Api-Key",
    "api_key",
    "password",
    "passwd",
    "user_secret",
    "Authorization",
    "Cookie",
    "session_id",
    "jwt",
    "credentials",
    "private_key",
    "signature",
    "pwd",
    "userPwd",
    "pass",
    "db_pass",
    "pw",
    "userPw",
    "_csrf",
    "XSRF-TOKEN",
    "card_number",
    "cardNumber",
    "iban",
    "PINCode",
    "pin",
    "signing_key",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_stands_under_a_secrets_name_is_hidden(key: str) -> None:
    for payload in (
        {key: HIDDEN},
        {"a": [{"b": {key: {"c": HIDDEN}}}]},
        collections.OrderedDict({key: [HIDDEN]}),
    ):
        assert HIDDEN not in redacted(payload)
        assert key in redacted(payload)


PLAIN_KEYS = ["author", "co_authors", "className", "passenger", "spinner", "key", "card", "body"]


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_what_stands_under_other_names_is_shown(key: str) -> None:
    assert redacted({key: "shown"}) == repr({key: "shown"})
    assert redacted(f"{key}=shown") == repr(f"{key}=shown")


PAIRS = [
    (["authorization", HIDDEN], "['authorization', …]"),
    (("x-api-key", {"a": HIDDEN}), "('x-api-key', …)"),
    ([["a", "b"], ["cookie", HIDDEN]], "[['a', 'b'], ['cookie', …]]"),
    ({"name": "authorization", "value": HIDDEN}, "{'name': 'authorization', 'value': …}"),
    ({"Key": "password", "Value": [HIDDEN]}, "{'Key': 'password', 'Value': …}"),
    ({"name": "alice", "value": "b"}, "{'name': 'alice', 'value': 'b'}"),
    (["a", "b", "c"], "['a', 'b', 'c']"),
]


@pytest.mark.parametrize(("payload", "line"), PAIRS)
def test_what_stands_beside_a_secrets_name_is_hidden(payload: Any, line: str) -> None:
    assert redacted(payload) == line


TOKENS = [
    "Bearer abc",
    "bearer   a.b-c",
    "Basic dXNlcjpwdw==",
    "SFMyNTY.g2gDYQ.abc",
    "SFM1MTI.g2gDYQ.abc-_",
    "QTEyOEdDTQ.abc.def",
    "eyJhbGciOiJIUzI1NiJ9.e30.x",
]


@pytest.mark.parametrize("token", TOKENS)
def test_what_looks_like_a_token_is_hidden_wherever_it_stands(token: str, lines: Any) -> None:
    assert redacted({"value": token, "in": [token]}) == "{'value': …, 'in': […]}"
    assert redacted(f"it is {token} indeed") == "'it is … indeed'"
    sending([Message("1", "2", f"user:{token}", f"said:{token}", {})])
    received(Message("1", "2", f"user:{token}", "phx_reply", {"status": token}))
    assert lines() == ["push user:… said:… (1, 2) {}", "receive … user:… phx_reply (1, 2) None"]


TEXTS = [
    ("see https://u:p@h/a?b=c", "see https://…@h/a?b=c"),
    ("postgres://u:p#w@h and http://h/@u", "postgres://…@h and http://h/@u"),
    ("/a?token=x&b=c", "/a?token=…&b=c"),
    ("/a?next=/b?x=1&user[password]=x,y", "/a?next=/b?x=1&user[password]=…"),
    ("u=https://h/?access_token=x", "u=https://h/?access_token=…"),
    ("u=https%3A%2F%2Fh%3Ftoken%3Dx&b=c", "u=https%3A%2F%2Fh%3Ftoken%3D…&b=c"),
    ('{"token": "x", "b": "c"}', '{"token": …", "b": "c"}'),
    ('{"token":"x\\"y","b":1}', '{"token":…","b":1}'),
    ('{"pin": 1234, "b": 1}', '{"pin": … "b": 1}'),
    ('{"b": 1, "secret": {"a": "x"}}', '{"b": 1, "secret": …'),
    ('"{\\"pwd\\": \\"x y\\", \\"b\\": 1}"', '"{\\"pwd\\": …\\", \\"b\\": 1}"'),
    ("{'pwd': 'x y', 'b': 1}", "{'pwd': …', 'b': 1}"),
    ("Cookie: a=x; b=y\nAccept: all", "Cookie: …\nAccept: all"),
    ("Authorization: Digest x y", "Authorization: …"),
    ("password: hunter2 or so", "password: … or so"),
    ("hey Jude, heyJude: session of 3, the author: me", None),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_what_looks_like_a_secret_within_a_text_is_hidden(text: str, shown: str | None) -> None:
    assert redacted(text) == repr(text if shown is None else shown)


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://u:{HIDDEN * 200}@host",
        f"?token={HIDDEN * 200}",
        f'{{"token": "{HIDDEN * 200}"}}',
        f"Bearer {HIDDEN * 200}",
        f"eyJ{HIDDEN * 200}",
    ],
)
def test_a_secret_that_is_cut_is_hidden(text: str, lines: Any) -> None:
    assert HIDDEN not in redacted(text)
    if "=" not in text and "{" not in text:
        sending([Message("1", "2", text, text, {})])
        assert HIDDEN not in lines()[0]


@given(st.text("a:/=@'\"\\ .eyJ[{&", max_size=3), st.integers(0, 5000))
def test_no_text_takes_long(part: str, times: int) -> None:
    """What is read of a text is bounded, and so is what is shown."""
    assert len(redacted(part * times)) < 1000


PLAIN = st.text("abcdef", max_size=4)
PAYLOADS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PLAIN | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(PLAIN, inner),
    max_leaves=20,
)


@given(PAYLOADS, PAYLOADS, st.sampled_from(SECRET_KEYS), PLAIN)
def test_at_every_depth(around: Any, beside: Any, key: str, at: str) -> None:
    payload = {at: [around, {key: {"x": HIDDEN, "y": beside}}], "z": {key: [HIDDEN, beside]}}
    assert HIDDEN not in redacted(payload)


def test_of_what_is_no_json_the_type_is_shown() -> None:
    class Mine:
        def __repr__(self) -> str:
            return HIDDEN

    assert redacted({"a": Mine(), "b": b"xyz", "c": bytearray(2)}) == (
        "{'a': <Mine>, 'b': <3 bytes>, 'c': <2 bytes>}"
    )


def test_join_params_are_names_whatever_they_are(lines: Any) -> None:
    for params in ({"a": {"b": HIDDEN}}, [HIDDEN], HIDDEN, None):
        sending([Message("1", "1", "room:1", "phx_join", params)])
    # In V1 nothing says which reply is a join's.
    received(Message(None, "1", "r", "phx_reply", {"status": "ok", "response": {"a": HIDDEN}}))
    # A refusal may quote the params.
    received(Message("1", "1", "r", "phx_reply", {"status": "error", "response": {"a": HIDDEN}}))
    assert lines() == [
        "push room:1 phx_join (1, 1) {'a': …}",
        *["push room:1 phx_join (1, 1) …"] * 3,
        "receive ok r phx_reply (None, 1) {'a': …}",
        "receive error r phx_reply (1, 1) {'a': …}",
    ]


def test_a_payload_that_changes_meanwhile_disturbs_nobody(lines: Any) -> None:
    class Changing(collections.UserDict[str, Any]):
        def __iter__(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    sending([Message("1", "2", "room:1", "event", Changing({"a": 1}))])
    assert lines() == ["push room:1 event (1, 2) <Changing: RuntimeError>"]


# what it costs


@pytest.mark.parametrize("level", [logging.NOTSET, logging.INFO, logging.WARNING])
def test_when_it_is_off_nothing_is_formatted(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(logging.Logger):
        def isEnabledFor(self, level: int) -> bool:
            raise AssertionError("its own level says it")

    monkeypatch.setattr(frame_log, "logger", Off(FRAMES, level))
    monkeypatch.setattr(Shown, "repr1", None)  # Nothing is formatted.
    sending([Message("1", "2", "room:1", "event", {})] * 100)
    log_all([Message("1", "2", "room:1", "event", {})] * 100)


@pytest.mark.parametrize("above", [None, "slipstream_actor"])
def test_the_level_of_a_logger_above_turns_nothing_on(
    above: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, above)
    sending([Message("1", "2", "room:1", "event", {})])
    received(Message("1", "2", "room:1", "event", {}))
    assert caplog.records == []


def test_what_is_disabled_altogether_is_off(lines: Any) -> None:
    logging.disable(logging.DEBUG)
    try:
        sending([Message("1", "2", "room:1", "event", {})])
    finally:
        logging.disable(logging.NOTSET)
    assert lines() == []


@pytest.mark.parametrize(
    ("response", "shown"),
    [
        ({"reason": "unmatched topic"}, "{'reason': 'unmatched topic'}"),
        ({"reason": "join crashed", "a": HIDDEN}, "{'reason': 'join crashed', 'a': …}"),
        ({"reason": "too many channels joined"}, "{'reason': 'too many channels joined'}"),
        ({"reason": HIDDEN}, "{'reason': …}"),
        ({"reason": ["unmatched topic"]}, "{'reason': …}"),
        ({"other": "unmatched topic"}, "{'other': …}"),
        ("unmatched topic", "…"),
    ],
)
def test_of_an_answer_to_a_join_a_reason_of_phoenix_is_shown(
    response: Any, shown: str, lines: Any
) -> None:
    reply = {"status": "error", "response": response}
    received(Message(None, "2", "room:1", "phx_reply", reply))
    assert lines() == [f"receive error room:1 phx_reply (None, 2) {shown}"]


LEAF = "x" * 900
BIG: dict[str, Any] = {
    "lists in lists": [[[[LEAF] * 10] * 10] * 10] * 10,
    "mappings in mappings": {
        f"{i}": {f"{j}": {f"{k}": dict.fromkeys("0123456789", LEAF) for k in range(10)}}
        for i in range(10)
        for j in range(10)
    },
    "empty lists in lists": [[[[[]] * 10] * 10] * 10] * 10,
    "a long text": {"first": "aB" * 4_500_000},
    "a long name": {"aB" * 4_500_000: 1},
    "a name that is a value": {"name": "aB" * 4_500_000, "value": 1},
    "many names": {f"{i}": i for i in range(100_000)},
    "many numbers": list(range(100_000)),
    "a set": set(range(100_000)),
    "a frozen set": frozenset(range(100_000)),
}


@pytest.mark.parametrize("kind", BIG)
@pytest.mark.parametrize("event", ["new:msg", "phx_join", "phx_reply"])
def test_of_a_big_payload_only_the_beginning_is_looked_at(
    kind: str, event: str, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, characters = 0, 0
    render, read = Shown.repr1, redaction.without_credentials

    def repr1(self: Any, x: Any, level: int) -> str:
        nonlocal looks
        looks += 1
        return render(self, x, level)

    def without_credentials(text: str) -> str:
        nonlocal characters
        characters += min(len(text), redaction.READ)
        return read(text)

    monkeypatch.setattr(Shown, "repr1", repr1, raising=False)
    monkeypatch.setattr(redaction, "without_credentials", without_credentials)
    payload = BIG[kind]
    sending([PushMessage("room:1", event, payload, "2", "1")])
    answer = {"status": "ok", "response": payload} if event == "phx_reply" else payload
    received(Message("1", "2", "room:1", event, answer))
    assert looks < 1_000
    assert characters < 20_000
    assert all(len(line) < 600 for line in lines())


def test_of_a_big_payload_the_beginning_is_shown(lines: Any) -> None:
    payload = {"first": 1, "deep": BIG["mappings in mappings"], "last": 2}
    sending([PushMessage("room:1", "new:msg", payload, "2", "1")])
    [line] = lines()
    beginning = "push room:1 new:msg (1, 2) {'first': 1, 'deep': {'0': {'9': {'0': {...}"
    assert line.startswith(beginning), line


@given(st.text(min_size=1), st.integers(1_001, 5_000))
def test_what_stands_under_a_name_too_long_to_read_is_hidden(name: str, size: int) -> None:
    long = (name * size)[:size]
    assert HIDDEN not in redacted({long: HIDDEN})
