"""Join params as they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import Ref, SerializerError
from slipstream_actor.contrib.ray.params import read_params, stored_params
from slipstream_actor.contrib.ray.store import decode, encode


def token() -> dict[str, Any]:
    return {"token": "secret"}


NAME = f"{__name__}:token"


def through_the_store(params: Any) -> Any:
    return read_params(decode(encode(stored_params(params))))


@pytest.mark.parametrize(
    "params", [{}, {"a": [1, "two", None]}, {"a": Ref("1", "t", None)}, [1], "plain", None]
)
def test_what_is_json_comes_back(params: Any) -> None:
    assert through_the_store(params) == params


def test_a_function_is_stored_by_its_name_and_called_nowhere() -> None:
    for params in (token, NAME):
        assert b"secret" not in encode(stored_params(params))
        assert through_the_store(params) is token


@pytest.mark.parametrize(
    "params",
    [
        lambda: {"a": 1},
        {"token": token},
        f"{__name__}:missing",
        f"{__name__}:NAME",
        "no.module:name",
    ],
)
def test_what_no_other_process_could_import_is_refused(params: Any) -> None:
    with pytest.raises(TypeError):
        stored_params(params)


def test_a_module_that_fails_when_it_is_imported_is_an_error_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_a_secret.py").write_text("raise KeyError('SECRET')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for use in (stored_params, lambda name: read_params({"function": name})):
        with pytest.raises(TypeError, match="SECRET"):
            use("needs_a_secret:token")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(SerializerError):
        stored_params({"a": object()})
