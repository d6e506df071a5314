"""A client full of secrets: none of them is in anything that the dashboard answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import dashboard, debug
from slipstream_actor.dashboard import stream
from slipstream_actor.dashboard.application import FILES, Dashboard
from slipstream_actor.dashboard.processes import Processes
from slipstream_actor.telemetry import list_handlers
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually, recording
from tests.support.planted import get_stuck, leaked, planted
from tests.support.wsgi import Asker, anybody

TOPIC = "bench:a"


def everything(asker: Asker, client: str, process: str) -> str:
    """Return all that is answered of a client."""
    whom = {"process": process, "client": client}
    answers = [asker.ask(path) for path in ("", *FILES, "/report.json", "/nothing")]
    answers += [asker.ask(f"/messages.json?process={process}&client={client}")]
    answers += [asker.post("/trace.json", whom)]
    for action in ("disconnect", "reconnect", "nothing"):
        answers += [asker.post("/control.json", {**whom, "client": "nobody", "action": action})]
    told = [repr(answer.headers) + answer.body.decode("latin-1") for answer in answers]
    assert asker.cookie is not None
    cookie = asker.cookie.partition("=")[2]
    assert cookie not in "".join(answer.body.decode("latin-1") for answer in answers)
    return "\n".join(told)


def test_no_secret_is_in_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PACE", 0.05)
    asker = Asker(dashboard.app(anybody, allow_control=True, events=True))
    process = str(os.getpid())
    watched = stream.Streams(Processes()).open(process)
    assert watched is not None
    with planted() as ref:
        told = [everything(asker, "planted", process)]
        get_stuck(ref)
        told += [everything(asker, "planted", process)]
        ref._actor_weakref().go_on.set()
        ref.proxy().do_again().get()
        told += [everything(asker, "planted", process)]
    streamed = ""
    while '"ended"' not in streamed:
        streamed += next(watched).decode()
    told += [streamed]
    watched.close()
    told += [everything(asker, "planted", process)]
    text = "\n".join(told)
    assert leaked(text) == []
    # It is about the client all the same.
    for part in ("planted", "vault:a", "vault:refused", "news", "shout", "phx_join", "<12 bytes>"):
        assert part in text, part


def test_nor_of_another_process(tmp_path: Path) -> None:
    """Here it is this one, by its socket."""
    processes = Processes(str(tmp_path), here=False)
    asker = Asker(Dashboard(anybody, allow_control=True, events=False, processes=processes))
    with planted() as ref, debug.serve(tmp_path / "1.sock", allow_control=True):
        told = [everything(asker, "planted", "1")]
        get_stuck(ref)
        told += [everything(asker, "planted", "1")]
        ref._actor_weakref().go_on.set()
    assert leaked("\n".join(told)) == []
    assert "vault:refused" in told[-1]


def test_no_payload_unless_it_is_allowed(server: PhoenixServer) -> None:
    """Not even one that looks like no secret, whoever else may see it."""
    allowed = Asker(dashboard.app(anybody, allow_control=True))
    asker = Asker(dashboard.app(anybody))
    process = str(os.getpid())
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC, {"name": "hush join"})).get()
        log.take("join")
        whom = {"process": process, "client": ref.actor_urn}
        for one in (asker, allowed):
            everything(one, ref.actor_urn, process)
        server.broadcast(TOPIC, "news", {"body": "hush broadcast"})
        ref.proxy().do(lambda s: s.push(TOPIC, "echo", {"body": "hush push"})).get()
        log.take("reply")
        eventually(
            lambda: "hush push" in allowed.post("/trace.json", whom).body.decode(), "the trace"
        )
        text = everything(asker, ref.actor_urn, process)
        assert "echo" in text
        assert "hush" not in text


def test_nothing_of_a_query_or_a_body_comes_back() -> None:
    asker = Asker(dashboard.app(anybody, allow_control=True))
    markup = "<script>alert(1)</script>"
    answers = [
        asker.ask(f"/messages.json?process={markup}&client={markup}"),
        asker.ask(f"/messages.json?process={os.getpid()}&client={markup}"),
        asker.ask(f"/{markup}"),
        *(
            asker.post("/control.json", {"process": p, "client": markup, "action": action})
            for p in (markup, str(os.getpid()))
            for action in (markup, "disconnect")
        ),
    ]
    for answer in answers:
        assert markup not in answer.body.decode()
        assert answer.headers["Content-Type"] != "text/html"


def test_nobody_who_does_not_look_pays(server: PhoenixServer) -> None:
    """An application that is mounted and not looked at attaches nothing."""
    asker = Asker(dashboard.app(anybody, events=True))
    assert asker.ask().status == 200
    ours = ("slipstream",)
    assert [handler for handler in list_handlers(ours) if "debug" in str(handler.id)] == []
    with recording(server.uri) as (ref, log):
        log.take("connect")
        report = json.loads(asker.ask("/report.json").body)
        assert report["processes"][0]["events"] == []
        inbox: Any = ref.actor_inbox
        assert inbox.observer is None
        # What is attached then is none of what happens with each message.
        names = {handler.event_name[1:3] for handler in list_handlers(ours)}
        assert not names & {
            ("client", "push"),
            ("client", "handle_message"),
            ("client", "handle_reply"),
            ("client", "handle_info"),
            ("connection", "handle"),
            ("connection", "traffic"),
        }
