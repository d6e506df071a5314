"""`SLIPSTREAM_CLIENTS`: what `manage.py check` finds, and what `clients` makes of it."""

from __future__ import annotations

import os
import sys
from typing import Any

import django
import pytest
from django.test import override_settings

from slipstream_actor import ClientActor, ConfigurationError, Socket, connect, debug
from slipstream_actor.testing import PhoenixServer
from tests.support.programs import run

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
django.setup()

from slipstream_actor.contrib.django import clients  # noqa: E402 - behind the setup
from slipstream_actor.contrib.django.checks import check_clients  # noqa: E402
from slipstream_actor.contrib.django.registry import ConfiguredHandle  # noqa: E402

URI = "ws://localhost:4000/socket/websocket"
HERE = "tests.contrib.django.test_settings"


class Chat(ClientActor):
    """What the settings name."""

    def init(self, uri: str, room: str = "bench:a", **options: Any) -> Socket:
        return connect(uri, **options).join(room)


class Fixed(ClientActor):
    """Knows its address."""

    def init(self) -> Socket:
        return connect(URI)


class Elsewhere(ClientActor):
    """Calls the address otherwise."""

    def init(self, endpoint: str) -> Socket:
        return connect(endpoint)


NO_CLIENT = object()
CHAT = {"client": f"{HERE}.Chat", "uri": URI}
PLACE = "SLIPSTREAM_CLIENTS['chat']"

MISTAKES: list[tuple[Any, str, str]] = [
    ([], "SLIPSTREAM_CLIENTS", "mapping"),
    ({"chat": "x"}, PLACE, "mapping"),
    ({"chat": Chat}, PLACE, "as {'client': Chat, 'uri': …}; got the class Chat"),
    (
        {"chat": {**CHAT, "klass": Chat}},
        f"{PLACE}['klass']",
        "the keys are client, uri, options, name, uri_env and token_env",
    ),
    ({"chat": {**CHAT, "urii": URI}}, f"{PLACE}['urii']", "did you mean uri?"),
    ({"chat": {"uri": URI}}, f"{PLACE}['client']", "missing"),
    ({"chat": {**CHAT, "client": "nowhere.Chat"}}, f"{PLACE}['client']", "cannot import"),
    ({"chat": {**CHAT, "client": f"{HERE}.Chatt"}}, f"{PLACE}['client']", "there is no Chatt"),
    ({"chat": {**CHAT, "client": f"{HERE}.NO_CLIENT"}}, f"{PLACE}['client']", "subclass"),
    ({"chat": {**CHAT, "client": 5}}, f"{PLACE}['client']", "subclass"),
    ({"chat": {"client": f"{HERE}.Chat"}}, f"{PLACE}['uri']", "missing"),
    ({"chat": {"client": f"{HERE}.Elsewhere"}}, f"{PLACE}['uri']", "missing"),
    (
        {"chat": {"client": Fixed, "options": {"vsn": "2.0.0"}}},
        f"{PLACE}['options']",
        "does not fit Fixed.init",
    ),
    ({"chat": {**CHAT, "uri": "http://x"}}, f"{PLACE}['uri']", "ws"),
    (
        {"chat": {**CHAT, "options": {"heartbeat_msec": 1}}},
        f"{PLACE}['options']['heartbeat_msec']",
        "no such option",
    ),
    (
        {"chat": {**CHAT, "options": {"max_requests": 0}}},
        f"{PLACE}['options']['max_requests']",
        "",
    ),
    (
        {"chat": {"client": f"{HERE}.Chat", "uri_env": "NO_SUCH_URI"}},
        f"{PLACE}['uri_env']",
        "NO_SUCH_URI is not set",
    ),
    ({"chat": {**CHAT, "uri_env": 5}}, f"{PLACE}['uri_env']", "name of an environment variable"),
    (
        {"chat": {**CHAT, "token_env": "NO_SUCH_TOKEN"}},
        f"{PLACE}['token_env']",
        "NO_SUCH_TOKEN is not set",
    ),
    # As Django's own settings have their keys.
    ({"chat": {"CLIENT": "nowhere.Chat", "URI": URI}}, f"{PLACE}['CLIENT']", "cannot import"),
]


def found() -> list[tuple[str | None, str]]:
    """The ids and texts of what is wrong."""
    return [(one.id, str(one.msg)) for one in check_clients()]


@pytest.mark.parametrize(("setting", "place", "what"), MISTAKES)
def test_each_mistake_is_named(setting: Any, place: str, what: str) -> None:
    with override_settings(SLIPSTREAM_CLIENTS=setting):
        [(id, text)] = found()
    assert id in ("slipstream.E001", "slipstream.E002")
    assert text.startswith((f"{place}: ", f"{place} "))
    assert what in text


@pytest.mark.parametrize(
    "declared",
    [
        CHAT,
        {**CHAT, "client": Chat},
        {"CLIENT": Chat, "URI": URI, "OPTIONS": {"max_requests": 5}},
        {"client": f"{HERE}:Fixed"},
        {**CHAT, "options": {"room": "bench:b", "max_requests": 5}, "name": "somebody"},
        {"client": f"{HERE}.Elsewhere", "uri": URI},
    ],
)
def test_what_is_right(declared: Any) -> None:
    with override_settings(SLIPSTREAM_CLIENTS={"chat": declared}):
        assert found() == []


def test_each_wrong_client_is_told() -> None:
    with override_settings(SLIPSTREAM_CLIENTS={"a": {}, "b": CHAT, "c": {}}):
        assert [text.partition(":")[0] for _, text in found()] == [
            "SLIPSTREAM_CLIENTS['a']['client']",
            "SLIPSTREAM_CLIENTS['c']['client']",
        ]


def test_a_module_that_raises(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_clients.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(SLIPSTREAM_CLIENTS={"chat": {**CHAT, "client": "broken_clients.Chat"}}):
        [(id, text)] = found()
    assert id == "slipstream.E003"
    assert text.startswith(f"{PLACE}['client']: its import raised ZeroDivisionError")


def test_a_setting_that_looks_like_ours() -> None:
    with override_settings(SLIPSTREAM_CLIENT={}, SLIPSTREAM_TIMEOUT=5):
        assert found() == [
            ("slipstream.W001", "SLIPSTREAM_CLIENT is no setting; did you mean SLIPSTREAM_CLIENTS?")
        ]


def test_a_directory_that_is_none() -> None:
    with override_settings(SLIPSTREAM_CLIENTS={"chat": CHAT}, SLIPSTREAM_DEBUG_DIR=5):
        [(id, text)] = found()
        assert id == "slipstream.E004"
        assert text.startswith("SLIPSTREAM_DEBUG_DIR: ")
        with pytest.raises(ConfigurationError):
            _ = clients["chat"].ref
    with override_settings(SLIPSTREAM_CLIENTS={}, SLIPSTREAM_DEBUG_DIRS="x"):
        assert [id for id, _ in found()] == ["slipstream.W001"]
    with override_settings(SLIPSTREAM_CLIENTS={}, SLIPSTREAM_DEBUG_DIR="x"):
        assert found() == []


def test_a_client_that_is_not_there() -> None:
    with (
        override_settings(SLIPSTREAM_CLIENTS={"chat": CHAT}),
        pytest.raises(KeyError, match="did you mean chat"),
    ):
        _ = clients["chatt"]


def test_the_clients_of_the_settings() -> None:
    with override_settings(SLIPSTREAM_CLIENTS={"chat": CHAT, "other": CHAT}):
        assert list(clients) == ["chat", "other"]
        assert len(clients) == 2
        assert "chat" in clients
        assert clients["chat"] is clients["chat"]
        assert clients["chat"] is not clients["other"]


def test_what_is_wrong_is_told_at_the_first_use() -> None:
    with override_settings(SLIPSTREAM_CLIENTS={"chat": {**CHAT, "client": "nowhere.Chat"}}):
        chat = clients["chat"]
        assert chat.status()["state"] == "not started"
        with pytest.raises(ConfigurationError, match="nowhere"):
            _ = chat.ref


def test_environment_variables(server: PhoenixServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable outranks what is written, which is for machines that have none."""
    monkeypatch.setenv("CHAT_URI", server.uri)
    monkeypatch.setenv("CHAT_TOKEN", "secret")
    declared = {**CHAT, "uri": "ws://nowhere.invalid/", "uri_env": "CHAT_URI"}
    with override_settings(SLIPSTREAM_CLIENTS={"chat": {**declared, "token_env": "CHAT_TOKEN"}}):
        clients["chat"].wait_until_joined("bench:a")
        assert clients["chat"]._kwargs["auth_token"] == "secret"
        monkeypatch.delenv("CHAT_URI")


@pytest.mark.parametrize(
    ("declared", "variable", "value", "wrong"),
    [
        ({"uri_env": "CHAT_URI"}, "CHAT_URI", "http://localhost/", "must begin with ws://"),
        ({"URI_ENV": "CHAT_URI", "uri": URI}, "CHAT_URI", "x", "must begin with ws://"),
        ({"uri_env": "CHAT_URI", "client": Fixed}, "CHAT_URI", URI, "does not fit Fixed.init("),
        ({"token_env": "CHAT_TOKEN", "client": Fixed}, "CHAT_TOKEN", "x9", "does not fit Fixed"),
    ],
)
def test_what_the_environment_says_wrong_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
    declared: dict[str, Any],
    variable: str,
    value: str,
    wrong: str,
) -> None:
    monkeypatch.setenv(variable, value)
    [key] = [key for key in declared if key.lower().endswith("_env")]
    with override_settings(SLIPSTREAM_CLIENTS={"chat": {"client": Chat, **declared}}):
        [(_, text)] = found()
    assert text.startswith(f"{PLACE}[{key!r}] ({variable}): ")
    assert wrong in text
    assert value not in text


def test_what_is_written_wrong_is_told_though_the_environment_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAT_URI", URI)
    declared = {"client": Chat, "uri_env": "CHAT_URI", "options": {"max_requests": 0}}
    with override_settings(SLIPSTREAM_CLIENTS={"chat": declared}):
        [(_, text)] = found()
    assert text.startswith(f"{PLACE}['options']['max_requests']: ")


def test_other_settings_are_another_client(server: PhoenixServer) -> None:
    """Also through a handle that a module keeps."""
    chat = None
    for room in ("bench:a", "bench:b"):
        declared = {**CHAT, "uri": server.uri, "options": {"room": room}}
        with override_settings(SLIPSTREAM_CLIENTS={"chat": declared}):
            chat = chat or clients["chat"]
            chat.wait_until_joined(room)
            assert list(chat.status()["topics"]) == [room]
        server.wait_for_connections(0)


def test_a_report_reads_no_settings() -> None:
    kept = ConfiguredHandle("nobody")  # To read what the settings say of it raises.
    told = [part for part in debug.report()["handles"] if part["class"] is None]
    assert [part["state"] for part in told if "nobody" in str(part["name"])] == ["not started"]
    assert kept.alias == "nobody"


FORKED = """
import os, signal, threading
import django
from django.conf import settings
from slipstream_actor import ClientActor, connect

class Fixed(ClientActor):
    def init(self):
        return connect("ws://localhost/")

settings.configure(SLIPSTREAM_CLIENTS={"chat": {"client": Fixed}})
django.setup()
from slipstream_actor.contrib.django import clients

held, go_on = threading.Event(), threading.Event()

def hold():
    with clients["chat"]._making:
        held.set()
        go_on.wait(60)

threading.Thread(target=hold).start()
assert held.wait(10)
pid = os.fork()
if pid == 0:
    signal.alarm(15)
    print(clients["chat"].client_class.__name__, flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
go_on.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks are tried on Linux alone")
def test_a_handle_that_another_thread_was_making_at_a_fork() -> None:
    assert run(FORKED) == (0, "Fixed\n0\n", "")
