"""Connections of Django's ORM in a client's thread."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import django
import pytest
from django.db import connections
from django.test.utils import override_settings

from slipstream_actor import (
    Answer,
    ClientActor,
    From,
    InitResult,
    Next,
    Socket,
    StartError,
    Stop,
    call,
    connect,
    invoke,
    on,
    wait,
)
from slipstream_actor.testing import SocketTest
from tests.support.programs import Outcome, run

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
django.setup()

from slipstream_actor.contrib.django.orm import with_fresh_connections  # noqa: E402

URI = "ws://test.invalid/socket/websocket"


class Database:
    """What Django asks of a connection, which counts it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.vendor = "none"

    def close_if_unusable_or_obsolete(self) -> None:
        self.log.append("fresh")

    def close(self) -> None:
        self.log.append("close")


class Keeper(ClientActor):
    """Uses the database wherever its own code runs, and calls methods of its own."""

    def init(self, log: list[str], fails: bool = False) -> InitResult:
        self.log = log
        self.use()
        if fails:
            return Stop("as asked")
        return connect(URI, test_mode=True).join("rooms:a")

    def use(self) -> int:
        self.log.append(f"used by {threading.current_thread().name.partition('-')[0]}")
        connections["default"]
        return 5

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.use()

    @on("rooms:a", "known")
    def known(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        self.use()
        return socket.assign(known=payload)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer:
        if message == "raise":
            self.use()
            raise RuntimeError("as asked")
        return Answer(list(self.log), then="go on")

    def handle_continue(self, term: Any, socket: Socket) -> Next:
        self.use()
        return Next(socket)

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.use()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with the database of each thread: `all` is those that the thread has."""
    found: list[str] = []
    database = Database(found)
    monkeypatch.setattr(connections, "create_connection", lambda alias: database)
    return found


KEEPER = with_fresh_connections(Keeper)
USED = ["fresh", "used by Keeper", "fresh"]


def taken(log: list[str]) -> list[str]:
    found = [*log]
    log.clear()
    return found


def test_each_callback_begins_and_ends_as_a_request(
    socket_test: SocketTest, log: list[str]
) -> None:
    ref = socket_test.start(KEEPER, log)
    # There is none before the first use; the first callback closes it, whatever its age.
    assert taken(log) == ["used by Keeper", "close"]
    socket_test.connect_and_assert_join(ref, "rooms:a")
    taken(log)
    for event in ("other", "known"):
        socket_test.push(ref, "rooms:a", event, {})
    assert call(ref, "log") == [*USED, *USED, "fresh"]
    assert invoke(ref, Keeper.use).get(timeout=5) == 5
    assert ref.proxy().use().get(timeout=5) == 5
    assert log[-6:] == [*USED, *USED]
    taken(log)
    ref.stop()
    assert taken(log) == ["fresh", "used by Keeper", "close"]


def test_a_callback_that_raises(socket_test: SocketTest, log: list[str]) -> None:
    ref = socket_test.start(KEEPER, log)
    taken(log)
    with pytest.raises(RuntimeError):
        call(ref, "raise")
    wait(ref, 5)
    assert taken(log) == [*USED, "fresh", "used by Keeper", "close"]


def test_a_client_that_does_not_begin_leaves_none(log: list[str]) -> None:
    with pytest.raises(StartError):
        KEEPER.start(log, fails=True)
    assert taken(log) == ["used by Keeper", "close"]


def test_it_is_the_same_client_to_everybody_else() -> None:
    assert issubclass(KEEPER, Keeper)
    assert (KEEPER.__name__, KEEPER.__qualname__) == (Keeper.__name__, Keeper.__qualname__)
    assert KEEPER.__module__ == Keeper.__module__
    assert KEEPER.restart == Keeper.restart


def test_settings_have_it_used(log: list[str]) -> None:
    from slipstream_actor.contrib.django import clients

    declared = {"client": Keeper, "options": {"log": log}}
    with override_settings(SLIPSTREAM_CLIENTS={"keeper": declared}):
        assert issubclass(clients["keeper"].client_class, Keeper)
        assert clients["keeper"].invoke(Keeper.use).get(timeout=5) == 5
        assert "used by Keeper 'keeper'" in log
        assert log[-1] == "fresh"


REAL = """
import sys
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["slipstream_actor.contrib.django"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1], "CONN_MAX_AGE": None,
    }},
    SLIPSTREAM_CLIENTS={"keeper": {"client": "__main__.Keeper"}},
)
import django
django.setup()
from django.db import connection
from slipstream_actor import ClientActor
from slipstream_actor.contrib.django import clients

class Keeper(ClientActor):
    def use(self):
        with connection.cursor() as cursor:
            return cursor.execute("SELECT 5").fetchone()[0]

    def keep(self):
        self.use()
        self.kept = connection.connection

    def is_kept(self):
        return self.use() == 5 and connection.connection is self.kept

    def age(self):
        connection.close_at = 0  # As CONN_MAX_AGE says it.

keeper = clients["keeper"].proxy()
keeper.keep().get()
print(keeper.is_kept().get())
keeper.age().get()
print(keeper.is_kept().get())
clients["keeper"].stop()
"""


def test_a_connection_that_is_too_old_is_replaced(tmp_path: Path) -> None:
    """One that is well and not too old is kept."""
    assert run(REAL, str(tmp_path / "db.sqlite3")) == Outcome(0, "True\nFalse\n", "")
