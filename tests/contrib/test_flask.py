"""The Flask extension, in an application with a view or two."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue

from slipstream_actor import (
    ClientActor,
    ConfigurationError,
    Reply,
    SlipstreamError,
    Socket,
    connect,
)
from slipstream_actor.contrib.flask import Slipstream
from slipstream_actor.testing import PhoenixServer, SocketTest
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS
from tests.support.pages import DOCS, ROOT, fences

URI = "ws://test.invalid/socket/websocket"
ROOM = "bench:a"
NOBODY = "ws://127.0.0.1:1/socket/websocket"


class Rooms(ClientActor):
    def init(self, uri: str, **options: Any) -> Socket:
        return connect(uri, **options).join(ROOM)

    def double(self, number: int) -> int:
        return 2 * number


class Broken(ClientActor):
    def init(self, uri: str) -> Socket:
        raise LookupError("no token")


def make_app(slipstream: Slipstream, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(SLIPSTREAM_CLIENT=Rooms, SLIPSTREAM_URI=URI)
    app.config.update(config)
    slipstream.init_app(app)

    @app.post("/ask")
    def ask() -> ResponseReturnValue:
        answer: ResponseReturnValue = slipstream.request(ROOM, "ask", timeout=0.2).get().unwrap()
        return answer

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return slipstream.health()

    @app.get("/ready")
    def ready() -> ResponseReturnValue:
        return slipstream.health(start=True)

    return app


@pytest.fixture
def slipstream() -> Slipstream:
    return Slipstream()


@pytest.fixture
def app(slipstream: Slipstream) -> Iterator[Flask]:
    app = make_app(slipstream)
    yield app
    for handle in app.extensions["slipstream"].values():
        handle.stop()


def test_a_view_asks(app: Flask, slipstream: Slipstream, socket_test: SocketTest) -> None:
    socket_test.serve(ROOM, "ask", {"n": 1})
    with socket_test.override(slipstream.client):
        answer = app.test_client().post("/ask")
        assert (answer.status_code, answer.json) == (200, {"n": 1})
        assert slipstream.invoke(Rooms.double, 4).get(timeout=5) == 8


def test_the_extension_can_be_given_the_application(socket_test: SocketTest) -> None:
    app = Flask(__name__)
    app.config.update(SLIPSTREAM_CLIENT=Rooms, SLIPSTREAM_URI=URI)
    slipstream = Slipstream(app)
    assert slipstream.status()["state"] == "not started"


def test_a_second_init_app_does_nothing(app: Flask, slipstream: Slipstream) -> None:
    before = slipstream.client
    app.config["SLIPSTREAM_URI"] = "another"
    slipstream.init_app(app)
    Slipstream().init_app(app)
    assert slipstream.client is before
    assert list(app.cli.commands).count("slipstream") == 1


def test_it_opens_nothing_before_it_is_used(app: Flask, slipstream: Slipstream) -> None:
    assert slipstream.status()["state"] == "not started"
    assert app.test_client().get("/health").status_code == 200
    assert slipstream.status()["state"] == "not started"


def test_each_application_has_its_own_clients(slipstream: Slipstream) -> None:
    one, two = make_app(slipstream), make_app(slipstream)
    with one.app_context():
        first = slipstream.client
    with two.app_context():
        assert slipstream.client is not first
    with pytest.raises(RuntimeError, match=r"several applications .* app\.app_context"):
        _ = slipstream.client


def test_without_an_application_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no application has been given to init_app"):
        _ = Slipstream().request(ROOM, "ask")


def test_a_thread_without_a_context_has_the_only_application(
    app: Flask, slipstream: Slipstream
) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(slipstream.client))
    thread.start()
    thread.join()
    assert found == [app.extensions["slipstream"]["default"]]


def test_several_clients_are_found_by_their_names(slipstream: Slipstream) -> None:
    declared = {"client": Rooms, "uri": URI}
    app = Flask(__name__)
    app.config["SLIPSTREAM_CLIENTS"] = {"chat": declared}
    slipstream.init_app(app)
    assert slipstream.client is slipstream.clients["chat"]
    other = Flask(__name__)
    other.config["SLIPSTREAM_CLIENTS"] = {"chat": declared, "orders": declared}
    several = Slipstream(other)
    assert list(several.clients) == ["chat", "orders"]
    with pytest.raises(RuntimeError, match="take one of clients, 'chat', 'orders'"):
        _ = several.client


@pytest.mark.parametrize(
    "key", ["SLIPSTREAM_URL", "SLIPSTREAM_ERROR_RESPONSES", "SLIPSTREAM_DEBUG_DIR"]
)
def test_what_is_wrong_raises_at_init_app(slipstream: Slipstream, key: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_app(slipstream, **{key: ["maybe"]})
    assert raised.value.option == key


# what went wrong


def test_an_error_is_answered_with_its_status(
    app: Flask,
    slipstream: Slipstream,
    socket_test: SocketTest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    socket_test.serve(ROOM, "ask", Reply("error", {"reason": "refused", "token": "s3cret"}))
    with socket_test.override(slipstream.client):
        answer = app.test_client().post("/ask")
    assert (answer.status_code, answer.json) == (409, {"error": "ReplyError"})
    assert "Retry-After" not in answer.headers
    line = "answered with 409: the reply has the status 'error': \"refused\""
    assert line in caplog.messages
    assert "s3cret" not in caplog.text


def test_a_phoenix_that_is_away_is_a_503(
    app: Flask, slipstream: Slipstream, socket_test: SocketTest
) -> None:
    rooms = socket_test.start(Rooms, URI, test_mode=True)
    with slipstream.override(rooms):
        answer = app.test_client().post("/ask")
    assert (answer.status_code, answer.json) == (503, {"error": "AwaitTimeoutError"})
    assert answer.headers["Retry-After"] == "1"


def test_what_may_have_been_done_is_a_504_without_retry_after(
    app: Flask, slipstream: Slipstream, socket_test: SocketTest
) -> None:
    with socket_test.override(slipstream.client) as rooms:

        def hang_up(payload: Any) -> None:
            socket_test.disconnect(rooms)

        socket_test.serve(ROOM, "ask", hang_up)
        answer = app.test_client().post("/ask")
    body = {"error": "NotConnectedError", "maybe_sent": True}
    assert (answer.status_code, answer.json) == (504, body)
    assert "Retry-After" not in answer.headers


def test_a_mistake_is_not_answered_for(app: Flask, slipstream: Slipstream) -> None:
    app.config["TESTING"] = True
    app.add_url_rule(
        "/wrong", view_func=lambda: str(slipstream.request(ROOM, "ask", object()).get())
    )
    with pytest.raises(SlipstreamError):
        app.test_client().get("/wrong")


def test_the_application_may_answer_itself(slipstream: Slipstream, socket_test: SocketTest) -> None:
    app = Flask(__name__)
    app.register_error_handler(SlipstreamError, lambda error: ("mine", 418))
    app.config.update(SLIPSTREAM_CLIENT=Rooms, SLIPSTREAM_URI=URI)
    slipstream.init_app(app)
    app.add_url_rule("/", view_func=lambda: str(slipstream.request(ROOM, "ask", timeout=0).get()))
    with slipstream.override(socket_test.start(Rooms, URI, test_mode=True)):
        assert app.test_client().get("/").status_code == 418


def test_the_answers_can_be_turned_off(slipstream: Slipstream, socket_test: SocketTest) -> None:
    app = make_app(slipstream, SLIPSTREAM_ERROR_RESPONSES=False)
    with slipstream.override(socket_test.start(Rooms, URI, test_mode=True)):
        assert app.test_client().post("/ask").status_code == 500


# health


def test_health_is_503_while_it_is_not_connected(
    app: Flask, slipstream: Slipstream, socket_test: SocketTest
) -> None:
    rooms = socket_test.start(Rooms, URI, test_mode=True)
    browser = app.test_client()
    with slipstream.override(rooms):
        assert browser.get("/health").status_code == 503
        socket_test.accept_connect(rooms)
        socket_test.assert_join(ROOM)
        slipstream.wait_until_joined(ROOM)
        answer = browser.get("/health")
    assert answer.status_code == 200
    assert answer.json == {
        "healthy": True,
        "clients": {
            "default": {
                "state": "running",
                "connected": True,
                "topics": {ROOM: "joined"},
                "restarts": 0,
            }
        },
    }


def test_ready_starts_what_nobody_has_used() -> None:
    slipstream = Slipstream()
    app = make_app(slipstream, SLIPSTREAM_OPTIONS={"test_mode": True})
    assert app.test_client().get("/ready").status_code == 503
    assert slipstream.status()["state"] == "running"
    slipstream.client.stop()


def test_a_client_that_cannot_start_is_not_ready() -> None:
    slipstream = Slipstream()
    app = make_app(slipstream, SLIPSTREAM_CLIENT=Broken)
    assert app.test_client().get("/ready").status_code == 503


# flask slipstream status


def status(*arguments: str, **config: Any) -> tuple[int, str]:
    app = make_app(Slipstream(), **config)
    result = app.test_cli_runner().invoke(args=["slipstream", "status", *arguments])
    return result.exit_code, result.stdout


def test_the_application_of_the_guide_has_its_address_from_the_environment(
    tmp_path: Path,
) -> None:
    """Which is what `flask`, and gunicorn, start it with."""
    page = (DOCS / "guides" / "web.md").read_text(encoding="utf-8")
    [source] = [block.code for block in fences(page) if block.title == "app.py"]
    (tmp_path / "app.py").write_text(source, encoding="utf-8")
    with PhoenixServer(SHELL_CHANNELS) as server:
        found = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "app", "slipstream", "status"],
            cwd=tmp_path,
            env={**os.environ, "FLASK_SLIPSTREAM_URI": server.uri, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert "default (Rooms): connected, rooms:lobby joined" in found.stdout, found
    assert found.returncode == 0


def test_status_connects_for_itself_and_takes_its_leave(server: PhoenixServer) -> None:
    code, said = status(SLIPSTREAM_URI=server.uri)
    assert said == f"in a process of its own:\ndefault (Rooms): connected, {ROOM} joined\n"
    assert code == 0
    server.wait_for_connections(0)


def test_status_says_why_it_is_not_connected() -> None:
    code, said = status("--timeout", "0.2", SLIPSTREAM_URI=NOBODY)
    assert code == 1
    assert "default (Rooms): not connected, running: 127.0.0.1:1: Connection refused" in said


def test_status_says_why_a_client_cannot_be_started() -> None:
    code, said = status(SLIPSTREAM_CLIENT=Broken)
    assert code == 1
    assert "default (Broken): cannot be started: LookupError: no token" in said


def test_status_of_one_of_several(server: PhoenixServer) -> None:
    clients = {
        "away": {"client": Rooms, "uri": NOBODY},
        "here": {"client": Rooms, "uri": server.uri},
    }
    code, said = status("here", SLIPSTREAM_CLIENTS=clients)
    assert (code, "away" in said) == (0, False)
    assert status("nobody", SLIPSTREAM_CLIENTS=clients)[0] == 2


def test_nothing_of_flask_is_imported_before_it_is_used() -> None:
    code = "import sys, slipstream_actor.contrib.flask; print('flask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
