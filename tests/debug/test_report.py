"""`report` and `get_status`: all that runs, as plain data, whatever hangs, and no secret in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import (
    ChildSpec,
    ClientActor,
    ClientEndedError,
    ClientHandle,
    Socket,
    Supervisor,
    call,
    connect,
    debug,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.debug.ages import in_hand, oldest_age
from slipstream_actor.debug.connections import age_of, refs_of
from slipstream_actor.debug.options import options_of
from slipstream_actor.debug.rates import rates_of
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.reason_texts import named
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ClosedByPeer,
    Disconnected,
    JoinRefused,
)
from slipstream_actor.supervision.status import status_of
from slipstream_actor.testing import FaultProxy, PhoenixServer, accept_connect
from tests.support.clients import PATIENCE, eventually, recording
from tests.support.planted import SECRETS, get_stuck, leaked, planted, secret
from tests.support.programs import DEADLINE, ROOT, run
from tests.support.threads import looks_into_threads

URI = "ws://test.invalid/socket/websocket"
TOPIC = "bench:a"
OK: dict[str, Any] = {"status": "ok", "response": {}}


class Quiet(ClientActor):
    def init(self, uri: str = URI, *topics: str) -> Socket:
        socket = connect(uri, test_mode=uri == URI, reconnect_after_msec=[60_000])
        for topic in topics:
            socket = socket.join(topic)
        return socket


def part_of(ref: Any, **options: Any) -> dict[str, Any]:
    """Return the part of a client, which has to be the same in the whole."""
    part = debug.get_status(ref, **options)
    others = debug.report(**options)["clients"]
    assert part["id"] in [other["id"] for other in others]
    return part


@pytest.fixture
def quiet(server: PhoenixServer) -> Iterator[Any]:
    ref = Quiet.start(server.uri, TOPIC, name="quiet")
    wait_until_joined(ref, TOPIC, PATIENCE)
    yield ref
    ref.stop()


def test_a_client_that_is_well(quiet: Any) -> None:
    part = part_of(quiet)
    assert (part["label"], part["name"]) == ("Quiet 'quiet'", "quiet")
    assert part["class"].endswith(".Quiet")
    assert (part["status"], part["last_failure"], part["next_attempt_in"]) == (
        "connected",
        None,
        None,
    )
    assert [(t["topic"], t["status"], t["reason"]) for t in part["topics"]] == [
        (TOPIC, "joined", None)
    ]
    assert part["callback"] is None
    assert part["mailbox"] == {"depth": 0, "oldest": None, "oldest_age": None}
    assert part["reconnects"] == 0
    assert [passage["what"] for passage in part["history"]] == ["connected"]
    connection = part["connection"]
    assert connection["status"] == "connected"
    assert connection["counters"]["frames_in"] == 1
    assert connection["owner"] == "Quiet 'quiet'"
    assert (connection["topic_count"], connection["joined_count"]) == (1, 1)
    whole = debug.report()
    assert [c["id"] for c in whole["connections"]] == [connection["id"]]
    assert json.loads(json.dumps(whole)) == whole


def test_by_name_and_what_has_no_status(quiet: Any) -> None:
    assert debug.get_status("quiet")["id"] == quiet.actor_urn
    connection = debug.get_status("quiet")["connection"]
    pid = quiet.proxy().socket.get().channel_pid
    assert debug.get_status(pid)["id"] == connection["id"]
    with pytest.raises(ClientEndedError):
        debug.get_status("nobody")
    with pytest.raises(TypeError):
        debug.get_status(connect(URI, test_mode=True).socket_pid)
    quiet.stop()
    with pytest.raises(ClientEndedError):
        debug.get_status(quiet)
    eventually(lambda: not debug.report()["connections"], "the end of the connection")


def test_the_connection_of_a_plain_thread(server: PhoenixServer) -> None:
    with connect(server.uri) as socket:
        socket.join(TOPIC).await_connect().await_join(TOPIC)
        whole = debug.report()
        assert whole["clients"] == []
        (connection,) = whole["connections"]
        assert connection["owner"].startswith("thread ")
        assert [t["topic"] for t in connection["topics"]] == [TOPIC]


def test_a_client_that_comes_and_goes(proxy: FaultProxy) -> None:
    with recording(proxy.uri, reconnect_after_msec=[0, 60_000]) as (ref, log):
        log.take("connect")
        proxy.cut()
        log.take("disconnect")
        log.take("disconnect")
        part = eventually(
            lambda: (p := debug.get_status(ref))["status"] == "waiting" and p, "the backoff"
        )
        whats = [passage["what"] for passage in part["history"]]
        assert whats == ["connected", "closed", "failed"]
        assert [p["reason"] for p in part["history"]] == [None, "ClosedByPeer", "ConnectFailed"]
        assert part["last_failure"]["type"] == "ConnectFailed"
        assert "answers no HTTP request" in part["last_failure"]["hint"]
        assert 0 < part["next_attempt_in"] <= 60
        assert part["connection"] is None


def test_supervisors_and_handles(server: PhoenixServer) -> None:
    handle = ClientHandle(Quiet, server.uri, name="handled")
    supervisor = Supervisor.start([ChildSpec(Quiet, server.uri, id="one")], max_restarts=9)
    try:
        (known,) = [h for h in debug.report()["handles"] if h["name"] == "handled"]
        assert (known["state"], known["client"]) == ("not started", None)
        ref = handle.ref
        child = Supervisor.which_children(supervisor)[0].ref
        assert child is not None
        child.stop()
        part = eventually(
            lambda: (
                (s := debug.report()["supervisors"][0])["restarts"] == 1
                and s["children"][0]["client"] is not None
                and s
            ),
            "the restart",
        )
        (other,) = part["children"]
        assert (other["id"], other["restarts"], other["restart"]) == ("one", 1, "permanent")
        assert other["client"] in [c["id"] for c in debug.report()["clients"]]
        assert debug.get_status(supervisor)["max_restarts"] == 9
        (known,) = [h for h in debug.report()["handles"] if h["name"] == "handled"]
        assert (known["state"], known["client"]) == ("running", ref.actor_urn)
    finally:
        handle.stop()
        supervisor.stop()


# secrets


@looks_into_threads
def test_no_secret_is_in_a_report() -> None:
    """And they are hidden, not lost."""
    with planted() as ref:
        get_stuck(ref)
        whole = debug.report(stacks=True)
        text = json.dumps(whole)
        assert leaked(text) == []
        assert len(SECRETS) > 15
        part = debug.get_status("planted", stacks=True)
        assert leaked(json.dumps(part)) == []
        assert part["callback"]["name"] == "handle_cast"
        assert any("in Planted.handle_cast" in line for line in part["callback"]["stack"])
        assert sorted(part["assigns"]) == ["argument", "held"]
        assert part["mailbox"]["depth"] >= 1
        assert part["requests"] == 1
        assert part["configuration"]["headers"] == ["X-Api-Key", "Cookie"]
        assert part["configuration"]["params"] == "…"
        assert "key=…" in part["uri"]
        refused = next(t for t in part["topics"] if t["topic"] == "vault:refused")
        assert refused["reason"]["type"] == "JoinRefused"
        assert 0 < refused["rejoin_in"] <= 600
        refs = part["connection"]["refs"]
        assert {"push", "request"} <= {r["kind"] for r in refs}
        asked = next(r for r in refs if r["kind"] == "request")
        assert 0 < asked["due_in"] <= 60
        assert all(0 <= r["age"] < 60 for r in refs)


def test_only_well_known_reasons_are_shown() -> None:
    assert named(JoinRefused({"reason": "unauthorized"})).endswith('"unauthorized"')
    for reason in (
        JoinRefused({"reason": secret("refusal")}),
        JoinRefused(secret("refusal")),
        ChannelCrashed({"why": secret("refusal")}),
        ClosedByPeer(1000, secret("refusal")),
        Disconnected(ClosedByPeer(1000, secret("refusal"))),
        RuntimeError(secret("refusal")),
        secret("refusal"),
        ("shutdown", secret("refusal")),
    ):
        assert not leaked(named(reason))
    assert "1000" in named(ClosedByPeer(1000, "x"))


def test_the_options_are_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = connect(
        URI,
        test_mode=True,
        proxy=f"http://al:{secret('proxy')}@proxy.invalid:1",
        reconnect_after_msec=lambda attempt: 1,
        json_parser=json,
        params=dict,
    )
    options = options_of(socket.channel_config)
    assert options is not None
    assert leaked(json.dumps(options)) == []
    assert options["proxy"] == "…"
    assert options["reconnect_after_msec"].endswith("function")
    assert options_of(connect(URI, test_mode=True, proxy=False).channel_config)["proxy"] is False  # type: ignore[index]


# what it costs, and whom it waits for


@looks_into_threads
def test_it_waits_for_nobody() -> None:
    """Not for a callback, and not for an `init`."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(ClientActor):
        def init(self) -> Socket:
            begun.set()
            go_on.wait(PATIENCE)
            return self.socket

    starting = threading.Thread(target=lambda: Slow.start(name="slow").stop())
    starting.start()
    try:
        assert begun.wait(PATIENCE)
        part = debug.get_status("slow", stacks=True)
        assert (part["status"], part["callback"]["name"]) == ("new", "init")
    finally:
        go_on.set()
        starting.join()


def test_it_costs_less_than_a_millisecond_a_client() -> None:
    """At its best: others use the machine too."""
    refs = [Quiet.start(URI, *(f"room:{n}" for n in range(10))) for _ in range(20)]
    try:
        debug.report()
        taken = []
        for _ in range(20):
            begun = time.thread_time()
            whole = debug.report()
            taken.append(time.thread_time() - begun)
        assert len(whole["clients"]) == 20
        assert min(taken) / 20 < 0.001
    finally:
        for ref in refs:
            ref.stop()


def test_of_many_topics_the_first_are_shown() -> None:
    ref = Quiet.start(URI, *(f"room:{n}" for n in range(300)))
    part = debug.get_status(ref)
    assert (len(part["topics"]), part["topic_count"]) == (100, 300)
    ref.stop()


def test_it_looks_while_everything_changes(server: PhoenixServer) -> None:
    """Whatever a client does meanwhile, a report comes."""
    over = threading.Event()
    sent = 0

    class Busy(ClientActor):
        def init(self) -> Socket:
            return connect(server.uri).join(TOPIC)

        def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
            self.actor_ref.tell("go")

        def handle_info(self, message: Any, socket: Socket) -> Any:
            nonlocal sent
            for n in range(50):
                socket.push(TOPIC, "echo", {"n": n}, reply_timeout=5)
            sent += 50
            if not over.is_set():
                self.actor_ref.tell("go")
            return socket.join(f"bench:{sent % 500}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    ref = Busy.start()
    try:
        eventually(lambda: sent, "the first push")
        for _ in range(200):
            json.dumps(debug.report(stacks=True))
    finally:
        sys.setswitchinterval(interval)
        over.set()
        ref.stop()


def test_a_mailbox_is_looked_at_while_a_burst_ends() -> None:
    """Its depth is asked for by any thread."""
    bursts: list[Burst | None] = [Burst(None, [1, 2])]

    class Ending(Inbox):
        """Whose burst is over as soon as somebody has seen it."""

        @property
        def burst(self) -> Burst | None:
            return bursts.pop() if bursts else None

        @burst.setter
        def burst(self, burst: Burst | None) -> None:
            assert burst is None

    inbox = Ending()
    assert inbox.depth == 2
    assert inbox.depth == 0


def test_a_mailbox_has_all_that_waits(server: PhoenixServer, proxy: FaultProxy) -> None:
    """What lies in the queue is what reads have brought, and one read brings many."""
    with recording(proxy.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        debug.suspend(ref)
        proxy.black_hole()
        for n in range(200):
            server.broadcast(TOPIC, "news", {"n": n})
        proxy.heal()
        eventually(lambda: debug.get_status(ref)["connection"]["undelivered"] == 200, "all of them")
        assert debug.get_status(ref)["mailbox"]["depth"] == 200
        assert debug.get_state(ref).mailbox == 200
        assert status_of(ref, "running", 0, None, 0)["mailbox"] == 200
        debug.resume(ref)
        eventually(lambda: debug.get_status(ref)["mailbox"]["depth"] == 0, "none of them")


def test_the_oldest_message_is_at_least_so_old() -> None:
    """As long as nothing is taken out between two looks."""
    inbox = Inbox()
    assert oldest_age(inbox, 1, in_hand(inbox), 100.0) is None  # Nothing is known of its owner.
    inbox.busy_since = 99.0
    assert oldest_age(inbox, 2, in_hand(inbox), 100.0) is None  # Seen for the first time.
    assert oldest_age(inbox, 3, in_hand(inbox), 104.0) == 4.0
    before = in_hand(inbox)
    inbox.busy_since = 105.0
    assert oldest_age(inbox, 3, before, 106.0) is None  # The next one was begun while we looked.
    assert oldest_age(inbox, 3, in_hand(inbox), 107.0) is None
    assert oldest_age(inbox, 3, in_hand(inbox), 108.0) == 1.0
    inbox.burst = Burst(None, [1, 2])
    assert oldest_age(inbox, 3, in_hand(inbox), 109.0) is None
    inbox.burst.events.popleft()
    assert oldest_age(inbox, 2, in_hand(inbox), 110.0) is None
    assert oldest_age(inbox, 2, in_hand(inbox), 112.0) == 2.0
    inbox.tell("one")
    inbox.receive(lambda message, _: message == "one")  # An await has taken something.
    assert oldest_age(inbox, 2, in_hand(inbox), 113.0) is None
    assert oldest_age(inbox, 0, in_hand(inbox), 114.0) is None
    assert oldest_age(inbox, 1, in_hand(inbox), 115.0) is None  # Another one, since then.


def test_what_waits_behind_a_callback_grows_older() -> None:
    with planted() as ref:
        get_stuck(ref)
        ages = [debug.get_status(ref)["mailbox"]["oldest_age"] for _ in range(3)]
        assert ages[0] is None
        assert 0 <= ages[1] <= ages[2]
        ref._actor_weakref().go_on.set()
        eventually(lambda: debug.get_status(ref)["mailbox"]["depth"] == 0, "the end")
        assert debug.get_status(ref)["mailbox"]["oldest_age"] is None


def test_how_often_it_came_back(proxy: FaultProxy) -> None:
    with recording(proxy.uri, reconnect_after_msec=[0]) as (ref, log):
        log.take("connect")
        for times in (1, 2):
            proxy.cut()
            log.take("disconnect")
            proxy.heal()
            log.take("connect")
            assert debug.get_status(ref)["reconnects"] == times


def test_the_program_is_named_without_its_arguments(tmp_path: Path) -> None:
    program = "import json; from slipstream_actor import debug; print(json.dumps(debug.report()))"
    assert json.loads(run(program, secret("argument")).output)["command"] == "-c"
    for file in (tmp_path / "worker.py", tmp_path / "pack" / "__main__.py"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(program, encoding="utf-8")
    output = run(tmp_path / "worker.py", secret("argument")).output
    assert json.loads(output)["command"] == "worker.py"
    assert not leaked(output)
    module = [sys.executable, "-m", "pack", secret("argument")]
    done = subprocess.run(
        module,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert json.loads(done.stdout)["command"] == "-m pack"


def test_rates_are_the_difference_of_two_reports() -> None:
    class Connection:
        pass

    one = Connection()
    assert rates_of(one, (0, 0, 0, 0), 100.0) is None
    assert rates_of(one, (5, 5, 5, 5), 100.1) is None  # too soon
    assert rates_of(one, (20, 10, 4, 2), 102.0) == {
        "bytes_in": 10.0,
        "bytes_out": 5.0,
        "frames_in": 2.0,
        "frames_out": 1.0,
        "seconds": 2.0,
    }
    # Who asks right behind that has them too.
    assert rates_of(one, (20, 10, 4, 2), 102.1) is not None
    assert rates_of(one, (20, 10, 4, 2), 104.0) == {
        "bytes_in": 0.0,
        "bytes_out": 0.0,
        "frames_in": 0.0,
        "frames_out": 0.0,
        "seconds": 2.0,
    }


def test_a_join_says_when_its_time_is_over() -> None:
    numbers = iter(range(1, 100))
    protocol = Protocol(next_ref=lambda: str(next(numbers)), join_timeout=10.0)
    protocol.join(JoinTopic("room:1"), 100.0)
    (part,) = refs_of(protocol, 104.0)
    assert (part["kind"], part["topic"], part["event"]) == ("join", "room:1", "phx_join")
    assert (part["due_in"], part["age"]) == (6.0, 4.0)


def test_each_ref_says_for_how_long_it_has_waited() -> None:
    """What is sent together has the time of that."""
    numbers = iter(range(1, 100))
    protocol = Protocol(next_ref=lambda: str(next(numbers)))
    for topic in ("room:1", "room:2"):
        protocol.join(JoinTopic(topic), 100.0)
        protocol.receive(
            Message(protocol.channels[topic].join_ref, "1", topic, "phx_reply", OK), 101.0
        )
    for ref, now in (("70", 102.0), ("71", 103.0)):
        push = PushMessage("room:1", "e", {}, Ref(ref, "room:1", "1"), "1", awaited=True)
        assert protocol.push(push, now)
    protocol.leave("room:2", 104.0)
    ages = {(part["kind"], part["age"]) for part in refs_of(protocol, 110.0)}
    assert {("push", 8.0), ("push", 7.0), ("leave", 6.0)} <= ages
    # Settled between the two looks.
    waiting = protocol.refs["70"]
    protocol.receive(Message("1", "70", "room:1", "phx_reply", OK), 111.0)
    assert age_of("70", waiting, None, 112.0) is None


def test_round_trips_of_heartbeats(server: PhoenixServer) -> None:
    with recording(server.uri, heartbeat_interval_msec=200) as (ref, log):
        log.take("connect")
        heartbeat = eventually(
            lambda: (
                (h := debug.get_status(ref)["connection"]["heartbeat"])["round_trips"][1:] and h
            ),
            "two round trips",
        )
        assert all(0 <= seconds < PATIENCE for seconds in heartbeat["round_trips"])
        assert heartbeat["rtt"] is not None


def test_the_child_of_a_fork_has_nobody(server: PhoenixServer) -> None:
    program = """
import json, os, sys
from slipstream_actor import ClientActor, connect, debug, wait_until_joined
class Client(ClientActor):
    def init(self, uri):
        return connect(uri).join("bench:a")
ref = Client.start(sys.argv[1])
wait_until_joined(ref, "bench:a")
pid = os.fork()
if pid == 0:
    whole = debug.report(stacks=True)
    json.dumps(whole)
    fine = (whole["clients"], whole["connections"], whole["supervisors"]) == ([], [], [])
    os._exit(0 if fine and whole["pid"] == os.getpid() else 1)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert code == 0, code
assert len(debug.report()["connections"]) == 1
"""
    outcome = run(program, server.uri)
    assert outcome.code == 0, outcome.errors


def test_what_ended_is_in_no_report() -> None:
    ref = Quiet.start()
    accept_connect(ref)
    ref.stop()
    assert wait(ref, PATIENCE) == "normal"
    assert debug.report()["clients"] == []
    with pytest.raises(ClientEndedError):
        call(ref, 1)
