"""What a web application's settings may say, and what is said of those that are wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest

from slipstream_actor import ClientActor, ConfigurationError, Socket, connect
from slipstream_actor.contrib.settings import handles

URI = "ws://test.invalid/socket/websocket"
HERE = "tests.contrib.test_settings"


class Rooms(ClientActor):
    def init(self, uri: str, *, greeting: str = "hello", **options: Any) -> Socket:
        return connect(uri, **options).assign(greeting=greeting)


class Named(ClientActor):
    def init(self, *, uri: str) -> Socket:
        return connect(uri, test_mode=True)


class Fixed(ClientActor):
    def init(self) -> Socket:
        return connect(URI, test_mode=True)


SETTINGS: dict[str, Any] = {"SLIPSTREAM_CLIENT": Rooms, "SLIPSTREAM_URI": URI}


@pytest.mark.parametrize("client", [Rooms, f"{HERE}.Rooms", f"{HERE}:Rooms"])
def test_a_client_is_a_class_or_where_it_is(client: Any) -> None:
    found = handles({"DEBUG": True, **SETTINGS, "SLIPSTREAM_CLIENT": client})
    assert list(found) == ["default"]
    # By the path it is another one in tests that are imported without a package.
    assert found["default"].client_class.__name__ == "Rooms"


def test_the_uri_and_the_options_are_for_init() -> None:
    options = {"greeting": "hi", "test_mode": True}
    handle = handles({**SETTINGS, "SLIPSTREAM_OPTIONS": options})["default"]
    socket = handle.proxy().socket.get()
    assert socket.assigns["greeting"] == "hi"
    assert socket.channel_config.uri.geturl() == URI
    handle.stop()


@pytest.mark.parametrize(
    "settings", [{**SETTINGS, "SLIPSTREAM_CLIENT": Named}, {"SLIPSTREAM_CLIENT": Fixed}]
)
def test_init_may_take_the_uri_by_name_or_have_its_own(settings: dict[str, Any]) -> None:
    handle = handles(settings)["default"]
    assert handle.proxy().socket.get().channel_config.uri.geturl() == URI
    handle.stop()


def test_several_clients_have_names() -> None:
    several = {
        "orders": {"client": Rooms, "uri": URI, "options": {"test_mode": True}, "name": "orders"},
        "chat": {"client": Fixed},
    }
    found = handles({**SETTINGS, "SLIPSTREAM_CLIENTS": several})
    assert list(found) == ["default", "orders", "chat"]
    assert found["orders"].name == "orders"
    assert found["chat"].client_class is Fixed


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "SLIPSTREAM_CLIENT", "is missing"),
    ({"SLIPSTREAM_URI": URI}, "SLIPSTREAM_CLIENT", "is missing"),
    ({**SETTINGS, "SLIPSTREAM_URL": URI}, "SLIPSTREAM_URL", "did you mean SLIPSTREAM_URI"),
    ({"SLIPSTREAM_CLIENT": Rooms}, "SLIPSTREAM_URI", "missing a required argument: 'uri'"),
    ({**SETTINGS, "SLIPSTREAM_URI": "http://x"}, "SLIPSTREAM_URI", "must begin with ws://"),
    ({**SETTINGS, "SLIPSTREAM_URI": None}, "SLIPSTREAM_URI", "type NoneType"),
    ({**SETTINGS, "SLIPSTREAM_CLIENT": int}, "SLIPSTREAM_CLIENT", "subclass of ClientActor"),
    ({**SETTINGS, "SLIPSTREAM_CLIENT": "Rooms"}, "SLIPSTREAM_CLIENT", "package.module.Class"),
    *(
        ({**SETTINGS, "SLIPSTREAM_CLIENT": path}, "SLIPSTREAM_CLIENT", "package.module.Class")
        for path in (".b.c", "..b", ".b:c", ".:b", "b.", "b:")
    ),
    ({**SETTINGS, "SLIPSTREAM_CLIENT": "no.Rooms"}, "SLIPSTREAM_CLIENT", "No module named 'no'"),
    ({**SETTINGS, "SLIPSTREAM_CLIENT": f"{HERE}.Room"}, "SLIPSTREAM_CLIENT", "there is no Room in"),
    ({"SLIPSTREAM_CLIENT": Fixed, "SLIPSTREAM_URI": URI}, "SLIPSTREAM_URI", "Fixed.init(self)"),
    ({**SETTINGS, "SLIPSTREAM_OPTIONS": 1}, "SLIPSTREAM_OPTIONS", "a mapping; got a int"),
    ({**SETTINGS, "SLIPSTREAM_OPTIONS": {1: 2}}, "SLIPSTREAM_OPTIONS", "names for keys"),
    (
        {**SETTINGS, "SLIPSTREAM_OPTIONS": {"vns": "2.0.0"}},
        "SLIPSTREAM_OPTIONS['vns']",
        "did you mean vsn?",
    ),
    (
        {**SETTINGS, "SLIPSTREAM_OPTIONS": {"auth_token": 7}},
        "SLIPSTREAM_OPTIONS['auth_token']",
        "got a value of type int",
    ),
    ({"SLIPSTREAM_CLIENTS": [Rooms]}, "SLIPSTREAM_CLIENTS", "a mapping; got a list"),
    (
        {"SLIPSTREAM_CLIENTS": {"a": Rooms}},
        "SLIPSTREAM_CLIENTS['a']",
        "must be a mapping, as {'client': Rooms, 'uri': …}; got the class Rooms",
    ),
    ({"SLIPSTREAM_CLIENTS": {"a": "Rooms"}}, "SLIPSTREAM_CLIENTS['a']", "mapping; got a str"),
    (
        {"SLIPSTREAM_CLIENTS": {"a": {"klass": Rooms}}},
        "SLIPSTREAM_CLIENTS['a']['klass']",
        "is no key of a client; the keys are client, uri, options and name",
    ),
    ({"SLIPSTREAM_CLIENTS": {"a": {}}}, "SLIPSTREAM_CLIENTS['a']['client']", "is missing"),
    (
        {"SLIPSTREAM_CLIENTS": {"a": {"URI": URI}}},
        "SLIPSTREAM_CLIENTS['a']['URI']",
        "did you mean uri?",
    ),
    (
        {"SLIPSTREAM_CLIENTS": {"a": {"client": Rooms, "uri": URI, "options": {"proxy": 1}}}},
        "SLIPSTREAM_CLIENTS['a']['options']['proxy']",
        "got a value of type int",
    ),
    (
        {**SETTINGS, "SLIPSTREAM_CLIENTS": {"default": {"client": Fixed}}},
        "SLIPSTREAM_CLIENTS['default']",
        "there is one already",
    ),
]


@pytest.mark.parametrize(("settings", "option", "problem"), WRONG)
def test_what_is_wrong_is_named(settings: dict[str, Any], option: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(problem)) as raised:
        handles(settings)
    assert raised.value.option == option


def test_a_value_that_is_wrong_is_not_told() -> None:
    options = {"auth_token": ["a secret"]}
    with pytest.raises(ConfigurationError) as raised:
        handles({**SETTINGS, "SLIPSTREAM_OPTIONS": options})
    assert "a secret" not in str(raised.value)


def test_a_key_of_somebody_elses_is_left_to_him() -> None:
    assert handles({**SETTINGS, "SLIPSTREAM_MORE": 1}, others=("SLIPSTREAM_MORE",))
