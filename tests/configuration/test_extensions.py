"""The header `Sec-WebSocket-Extensions`: its grammar, and the parameters of permessage-deflate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.configuration.extensions import (
    DeflateParameters,
    Extension,
    deflate_parameters,
    read,
)

TOKENS = st.text("abcxyz019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
VALUES = st.none() | TOKENS
EXTENSIONS = st.lists(
    st.builds(Extension, TOKENS, st.lists(st.tuples(TOKENS, VALUES), max_size=4).map(tuple)),
    max_size=4,
)
SPACES = st.sampled_from(["", " ", "\t", "  "])


def written(extensions: list[Extension], space: str, *, quoted: bool) -> str:
    """The header's value, as whoever writes it may."""
    items = []
    for name, parameters in extensions:
        parts = [name]
        for parameter, value in parameters:
            shown = f'"{value}"' if quoted else value
            parts.append(
                parameter if value is None else f"{parameter}{space}={space}{shown}",
            )
        items.append(f"{space};{space}".join(parts))
    return f"{space},{space}".join(items)


@given(EXTENSIONS, SPACES, st.booleans())
def test_what_is_written_is_read(extensions: list[Extension], space: str, quoted: bool) -> None:
    assert read(written(extensions, space, quoted=quoted)) == extensions


@given(st.text(max_size=60) | st.text('ab=";,\\ \t', max_size=30))
def test_anything_else_is_refused(header: str) -> None:
    """And nothing raises what is not a `ValueError`."""
    try:
        extensions = read(header)
    except ValueError:
        return
    assert read(written(extensions, "", quoted=False)) == extensions


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("A-B", [Extension("a-b", ())]),
        ('a; b="c"', [Extension("a", (("b", "c"),))]),
        ('a; b="\\c\\d"', [Extension("a", (("b", "cd"),))]),
        ("a;b;b=1 , a", [Extension("a", (("b", None), ("b", "1"))), Extension("a", ())]),
    ],
)
def test_as_rfc_6455_has_it(header: str, expected: list[Extension]) -> None:
    assert read(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "a b",
        "a;",
        "a;;b",
        ";a",
        "a/b",
        "é",
        'a"',
        "a; b=",
        "a; =b",
        "a; b=c d",
        "a; b=c=d",
        'a; b="c',
        'a; b=""',
        'a; b="c d"',
        'a; b="c,d"',
        'a; b="c"d',
    ],
)
def test_what_is_no_header(header: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(header)


def parameters(text: str, *, offered: bool) -> DeflateParameters:
    [extension] = read(f"permessage-deflate{text}")
    return deflate_parameters(extension, offered=offered)


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DeflateParameters()),
        (";server_no_context_takeover", DeflateParameters(server_no_context_takeover=True)),
        ("; Client_No_Context_Takeover", DeflateParameters(client_no_context_takeover=True)),
        ("; server_max_window_bits=8", DeflateParameters(server_max_window_bits=8)),
        ('; client_max_window_bits="15"', DeflateParameters(client_max_window_bits=15)),
        (
            ";client_max_window_bits=9;server_max_window_bits=10"
            ";client_no_context_takeover;server_no_context_takeover",
            DeflateParameters(True, True, 10, 9),
        ),
    ],
)
def test_parameters(text: str, expected: DeflateParameters, offered: bool) -> None:
    found = parameters(text, offered=offered)
    assert found == expected
    assert read(str(found)) != []
    assert deflate_parameters(read(str(found))[0], offered=offered) == expected


def test_a_limit_without_a_value_is_for_offers_alone() -> None:
    assert parameters("; client_max_window_bits", offered=True).client_max_window_bits == 15
    with pytest.raises(ValueError, match="has no value for client_max_window_bits"):
        parameters("; client_max_window_bits", offered=False)


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("; foo", "has a parameter that there is not"),
        ("; foo=1", "has a parameter that there is not"),
        ("; server_max_window_bits", "has no value for server_max_window_bits"),
        ("; server_max_window_bits=7", "has a server_max_window_bits that is not from 8 to 15"),
        ("; server_max_window_bits=16", "has a server_max_window_bits that is not from 8 to 15"),
        ("; client_max_window_bits=08", "has a client_max_window_bits that is not from 8 to 15"),
        ("; client_max_window_bits=+9", "has a client_max_window_bits that is not from 8 to 15"),
        (
            "; server_no_context_takeover=1",
            "has a value for server_no_context_takeover, which takes none",
        ),
        (
            "; server_max_window_bits=9; server_max_window_bits=9",
            "has server_max_window_bits twice",
        ),
        (
            "; client_no_context_takeover; client_no_context_takeover",
            "has client_no_context_takeover twice",
        ),
    ],
)
def test_parameters_that_there_are_not(text: str, problem: str, offered: bool) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        parameters(text, offered=offered)
