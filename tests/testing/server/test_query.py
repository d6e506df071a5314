"""Query strings, as Plug reads them."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor.testing.server import query


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", {}),
        ("a=1&b=2&a=3", {"a": "3", "b": "2"}),
        ("a", {"a": ""}),
        ("a=&&b==c", {"a": "", "b": "=c"}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("m[k]=v&m[l]=w", {"m": {"k": "v", "l": "w"}}),
        ("m[k][]=v&m[k][]=w", {"m": {"k": ["v", "w"]}}),
        ("a%5B%5D=1", {"a": ["1"]}),
        ("plus=a+b&e=%F0%9F%98%80&p=%2B", {"plus": "a b", "e": "😀", "p": "+"}),
        ("bad=%zz&short=%4", {"bad": "%zz", "short": "%4"}),
        ("[]=1&a[=2&a]=3", {"[]": "1", "a[": "2", "a]": "3"}),
        ("a=1&a[]=2", {"a": ["2"]}),
        ("a[]=1&a[k]=2&a[l]=3", {"a": {"k": "2", "l": "3"}}),
        ("a[k]=1&a[]=2&a[]=3", {"a": ["2", "3"]}),
        ("a[k]=1&a=2", {"a": "2"}),
        ("a=1&a[k]=2", {"a": {"k": "2"}}),
        ("m[a[b]=1&m[a]b[c]=2", {"m": {"a[b": "1", "a]b[c": "2"}}),
        ("a[][k]=1", {"a": [{"k": "1"}]}),
        ("a[][k]=1&a[][l]=2&a[]=3", {"a": [{"k": "1", "l": "2"}, "3"]}),
        ("a[][]=1&a[][]=2", {"a": [["1", "2"]]}),
    ],
)
def test_parse(text: str, params: dict[str, Any]) -> None:
    assert query.parse(text.encode()) == params


def test_what_is_nested_deeply() -> None:
    inner = query.parse(b"a" + b"[a]" * 3_000 + b"=1")
    depth = 0
    while isinstance(inner, dict):
        inner, depth = inner["a"], depth + 1
    assert (inner, depth) == ("1", 3_001)


@pytest.mark.parametrize("text", [b"bad=%ff", b"%ff=bad", b"bad=\xff"])
def test_what_is_no_utf8(text: bytes) -> None:
    with pytest.raises(query.BadQuery):
        query.parse(text)
