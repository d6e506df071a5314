"""A client that is full of secrets, in every place where one can be: for what looks in from
outside, in which none of them may be found."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slipstream_actor import (
    Answer,
    ChildSpec,
    ClientActor,
    ClientHandle,
    Socket,
    Supervisor,
    cast,
    connect,
    request,
    wait_until_joined,
)
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.channel import Channel, RefuseJoin
from tests.support.clients import PATIENCE, eventually

__all__ = ["SECRETS", "Planted", "leaked", "planted", "secret"]

# Where they are planted.
PLACES = (
    *("user", "password", "query", "header", "cookie", "param", "nested", "token", "proxy"),
    *("join_param", "rejoin_param", "push", "buffered", "request", "binary", "broadcast"),
    *("refusal", "join_answer", "assign", "argument", "cast", "call", "local", "crash", "metadata"),
    *("reply", "reason", "continue", "returned"),
)
# Without a separator: what is cut at one would be found in part.
SECRETS: dict[str, str] = {place: f"s3cret{place.replace('_', '')}" for place in PLACES}


def secret(place: str) -> str:
    return SECRETS[place]


def leaked(text: str) -> list[str]:
    """Return the places whose secret is in a text, as it is or in base64."""
    return [
        place
        for place, value in SECRETS.items()
        if value in text or base64.b64encode(value.encode()).decode()[:8] in text
    ]


class Vault(Channel):
    def join(self, params: Any) -> Any:
        if self.topic == "vault:refused":
            raise RefuseJoin({"reason": secret("refusal"), "token": secret("refusal")})
        return {"token": secret("join_answer")}

    def handle_in(self, event: str, payload: Any) -> Any:
        if event == "shout":
            self.push("news", {"password": secret("broadcast")})
        if event == "refuse":
            return "error", {"token": secret("reply"), "deep": {"reason": secret("reply")}}
        return ("ok", {"token": secret("push")}) if event == "answer" else None


class Planted(ClientActor):
    """Says when it is stuck, and is until it is let go on."""

    stuck: threading.Event
    go_on: threading.Event
    told: threading.Event

    def init(self, uri: str, token: str, stuck: threading.Event, go_on: threading.Event) -> Socket:
        self.stuck, self.go_on = stuck, go_on
        self.told = threading.Event()
        login = f"://{secret('user')}:{secret('password')}@"
        socket = connect(
            f"{uri.replace('://', login)}?key={secret('query')}",
            headers={"X-Api-Key": secret("header"), "Cookie": f"session={secret('cookie')}"},
            params={"password": secret("param"), "deep": {"key": [secret("nested")]}},
            auth_token=secret("token"),
            reconnect_after_msec=[60_000],
            close_timeout_msec=200,
        )
        socket = socket.assign("argument", token).assign("held", {"by": secret("assign")})
        return socket.join("vault:a", {"token": secret("join_param")}).join("vault:refused", {})

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Any:
        return socket.rejoin(topic, {"token": secret("rejoin_param")}, delay=600)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        """Be stuck in the middle of something."""
        local = secret("local")
        self.stuck.set()
        self.go_on.wait(PATIENCE)
        assert local

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(message)

    def push_all(self) -> None:
        push = self.socket.push
        push("vault:a", "shout", {"password": secret("push")})
        push("vault:a", "answer", {"password": secret("push")}, reply_timeout=60)
        push("vault:a", "binary", secret("binary").encode())
        push("vault:a", "silent", {"password": secret("push")}, reply_timeout=60)

    def do_again(self) -> None:
        self.socket = self.socket.join("vault:b", {"token": secret("join_param")})

    def handle_reply(self, ref: Any, reply: Any, socket: Socket) -> None:
        self.told.set()


class Crashing(Planted):
    """Its supervisor and its handle know what it has ended for."""

    def init(self, *_: Any) -> Socket:
        return Socket(self.actor_ref)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        raise RuntimeError(secret("crash"))


@contextmanager
def planted() -> Iterator[Any]:
    """Yield the ref of one that is joined; a handle and a supervisor are there too."""
    stuck, go_on = threading.Event(), threading.Event()
    with PhoenixServer({"vault:*": Vault}) as server:
        arguments = server.uri, secret("argument"), stuck, go_on
        ref: Any = Planted.start(*arguments, name="planted")
        handle = ClientHandle(Crashing, *arguments)
        supervisor = Supervisor.start([ChildSpec(Crashing, *arguments)])
        try:
            wait_until_joined(ref, "vault:a", PATIENCE)
            eventually(lambda: "closed" in str(ref.proxy().socket.get().joins), "the refusal")
            cast(handle, secret("cast"))
            eventually(lambda: handle.status()["restarts"], "the restart")
            yield ref
        finally:
            go_on.set()
            handle.stop()
            supervisor.stop()
            ref.stop()


def get_stuck(ref: Any) -> None:
    """Have it be in the middle of a callback, with messages waiting and pushes in flight."""
    ref.proxy().push_all().get()
    actor = ref._actor_weakref()
    assert actor.told.wait(PATIENCE)
    cast(ref, secret("cast"))
    assert actor.stuck.wait(PATIENCE)
    ref.tell({"token": secret("call")})
    _ = request(ref, "vault:a", "silent", {"password": secret("request")}, timeout=60)
    connection: Any = ref._actor_weakref().socket._link.connection
    eventually(lambda: len(connection._actor_weakref()._protocol.requests), "the request's way")
