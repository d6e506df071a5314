"""What the beginning of a JSON text holds, wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.telemetry.beginning import beginning_of
from slipstream_actor.telemetry.redaction import redacted

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
CONTAINERS = st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)


def begins(part: Any, whole: Any) -> bool:
    """Whether a value is the beginning of another one."""
    if isinstance(whole, dict) and isinstance(part, dict):
        part, whole = list(part.items()), list(whole.items())
        names = [name for name, _ in whole[: len(part)]]
        if [name for name, _ in part] != names:
            return False
        part, whole = [value for _, value in part], [value for _, value in whole]
    if isinstance(whole, list) and isinstance(part, list):
        last = len(part) - 1
        return len(part) <= len(whole) and all(
            begins(p, w) if at == last else p == w
            for at, (p, w) in enumerate(zip(part, whole, strict=False))
        )
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part)
    return bool(part == whole)


@given(value=CONTAINERS, part=st.floats(0, 1), ascii_only=st.booleans(), indent=st.booleans())
def test_it_is_the_beginning_wherever_it_is_cut(
    value: Any, part: float, ascii_only: bool, indent: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=2 if indent else None)
    data = text.encode(errors="replace")
    value = json.loads(data)
    cut = data[: 1 + int(part * (len(data) - 1))]
    begun = beginning_of(cut)
    assert begins(begun, value), (cut, begun)
    if cut == data:
        assert begun == value


@pytest.mark.parametrize(
    ("cut", "begun"),
    [
        ('{"a": 1, "b": "xy', {"a": 1, "b": "xy"}),
        ('{"a": 1, "bcd', {"a": 1}),
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": {"b": [1, {"c": "', {"a": {"b": [1, {"c": ""}]}}),
        ('["a\\', ["a"]),
        ('["a\\u00', ["a"]),
        ('["a\\ud83d', ["a"]),
        ('["a\\ud83d\\ude', ["a"]),
        ('["a\\\\u00', ["a\\u00"]),
        ('["]}", "{[\\""', ["]}", '{["']),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": tru', {}),
        ('"only text', "only text"),
    ],
)
def test_where_it_is_cut(cut: str, begun: Any) -> None:
    assert beginning_of(cut.encode()) == begun


@pytest.mark.parametrize("data", [b"", b"tru", b"12.", b"[}", b"[" * 100_000])
def test_what_has_no_beginning(data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        beginning_of(data)


# in the log

PAD = "x" * 100_000
SECRETS: dict[str, Any] = {
    "under a name": {"token": "SECRET"},
    "a pair": {"headers": [["password", "SECRET"]]},
    "a pair that is a mapping": {"params": [{"name": "api_key", "value": "SECRET"}]},
    "within a text": {"url": "https://example.com/?token=SECRET"},
    "a token": ["Bearer SECRET123"],
    "deeper": {"a": [{"b": {"credentials": {"c": "SECRET"}}}]},
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("padded", [True, False])
def test_secrets_are_hidden_as_if_it_were_decoded(name: str, padded: bool) -> None:
    value = {"first": SECRETS[name], **({"pad": PAD} if padded else {})}
    shown = redacted(msgspec.Raw(json.dumps(value).encode()))
    assert "SECRET" not in shown
    assert shown.startswith(redacted({"first": SECRETS[name]})[:-1])
    assert len(shown) <= 500


def test_a_secret_that_is_cut_is_hidden() -> None:
    for size in range(960, 1000):
        text = json.dumps({"pad": "x" * size, "token": "SECRET" * 100})
        assert "SECRET" not in redacted(msgspec.Raw(text.encode()))


def test_what_is_no_json_is_counted() -> None:
    assert redacted(msgspec.Raw(b'{"token": "SECRET" "')) == "<20 bytes>"
