"""`Supervisor`: OTP's rules, one by one. The children end as they are told; no socket is opened."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    ActorDeadError,
    AlreadyStartedError,
    Answer,
    Child,
    ChildSpec,
    ClientActor,
    ConfigurationError,
    Down,
    Ignore,
    StartError,
    StartIgnored,
    Stop,
    Supervisor,
    SupervisorState,
    call,
    cast,
    get_state,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors import names
from slipstream_actor.actors.monitor import end_of
from slipstream_actor.supervision.supervisor import Options
from tests.client.test_client import InThread
from tests.support.clients import PATIENCE, eventually
from tests.support.supervision import (
    Boom,
    Events,
    Failures,
    Worker,
    end,
    known,
    restarted,
    running,
    supervising,
    worker,
)


@pytest.fixture
def events() -> Events:
    return Events()


def ref_of(name: Any) -> Any:
    ref = whereis(name)
    assert ref is not None
    return ref


# starting


def test_children_start_in_order_and_end_in_reverse(events: Events) -> None:
    with supervising([worker(events, key) for key in "abc"]) as supervisor:
        assert running(supervisor) == ["a", "b", "c"]
    events.take(
        *(("init", key) for key in "abc"),
        *(("terminate", key, "shutdown") for key in "cba"),
    )
    assert wait(supervisor) == "normal"


def test_a_class_is_a_child(events: Events) -> None:
    class Plain(ClientActor):
        """Nothing of its own."""

    with supervising([Plain]) as supervisor:
        [child] = Supervisor.which_children(supervisor)
        assert (child.id, child.type, child.client_class) == (Plain, "worker", Plain)
        assert child.ref is not None
        assert child.ref.is_alive()


def test_a_failed_start_ends_those_before_it(events: Events) -> None:
    boom = Boom()
    children = [
        worker(events, "a"),
        worker(events, "b"),
        worker(events, "c", begin=Failures(boom)),
        worker(events, "d"),
    ]
    with pytest.raises(StartError) as raised:
        Supervisor.start(children, name="supervisor")
    assert raised.value.reason == ("failed_to_start_child", "c", boom)
    assert raised.value.__cause__ is boom
    events.take(
        *(("init", key) for key in "abc"),
        *(("terminate", key, "shutdown") for key in "ba"),
    )
    assert events.empty()
    assert whereis("supervisor") is None


@pytest.mark.parametrize(
    ("act", "reason"),
    [(Stop("no"), "no"), (SystemExit(3), SystemExit), (KeyboardInterrupt(), None)],
)
def test_whatever_init_does_is_a_failed_start(events: Events, act: Any, reason: Any) -> None:
    with pytest.raises(StartError) as raised:
        Supervisor.start([worker(events, "a", begin=Failures(act))])
    told = raised.value.reason[2]
    assert told == reason if isinstance(reason, str) else told is act


@pytest.mark.parametrize("error", [Boom(), SystemExit(3), pykka.ActorDeadError()])
def test_whatever_start_raises_is_a_failed_start(error: BaseException) -> None:
    class Unstartable(ClientActor):
        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> Any:
            raise error

    with pytest.raises(StartError) as raised:
        Supervisor.start([Unstartable])
    assert raised.value.__cause__ is error
    with supervising([]) as supervisor:
        with pytest.raises(StartError if isinstance(error, SystemExit) else type(error)):
            Supervisor.start_child(supervisor, Unstartable)
        assert known(supervisor) == []


def test_a_child_that_ignores_is_kept_unless_it_is_temporary(events: Events) -> None:
    children = [
        worker(events, "a", begin=Ignore),
        worker(events, "b", begin=Ignore, restart="temporary"),
        worker(events, "c"),
    ]
    with supervising(children) as supervisor:
        assert known(supervisor) == ["a", "c"]
        assert running(supervisor) == ["c"]
        assert Supervisor.restart_child(supervisor, "a") is None
        assert Supervisor.start_child(supervisor, worker(events, "d", begin=Ignore)) is None
        spec = worker(events, "e", begin=Ignore, restart="temporary")
        assert Supervisor.start_child(supervisor, spec) is None
        assert known(supervisor) == ["a", "c", "d"]


def test_a_child_that_needs_one_that_ignores_has_not_ignored(events: Events) -> None:
    class Optional(ClientActor):
        def init(self) -> Ignore:
            return Ignore()

    class Needing(ClientActor):
        def init(self) -> None:
            Optional.start()

    with pytest.raises(StartError) as raised:
        Supervisor.start([worker(events, "a"), Needing])
    assert isinstance(raised.value.__cause__, StartIgnored)
    assert raised.value.reason == ("failed_to_start_child", Needing, "ignore")
    events.take(("init", "a"), ("terminate", "a", "shutdown"))


class Incomparable:
    def __eq__(self, _: object) -> bool:
        raise ValueError("not to be compared")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("reason", [Incomparable(), (Incomparable(), 1)])
def test_a_reason_that_cannot_be_compared_is_an_abnormal_one(events: Events, reason: Any) -> None:
    with supervising([worker(events, "a", restart="transient")]):
        first = ref_of("a")
        assert end(first, Stop(reason)) is reason
        eventually(lambda: whereis("a") not in (None, first), "the restart")


@pytest.mark.parametrize("strategy", ["simple_one_for_one", None, 1])
def test_a_wrong_strategy_is_named(strategy: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^strategy: must be"):
        Supervisor.start([], strategy)


def test_a_name_is_taken_once() -> None:
    with supervising([], name="supervisor") as supervisor:
        with pytest.raises(AlreadyStartedError) as raised:
            Supervisor.start([], name="supervisor")
        assert raised.value.ref is supervisor is whereis("supervisor")
    assert "supervisor" not in names._names


def test_no_thread_for_it_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("no more threads")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(StartError, match="no more threads"):
            Supervisor.start([], name="supervisor")
    with supervising([], name="supervisor"):
        pass


def test_what_starts_it_anew_is_kept(events: Events) -> None:
    one, two = worker(events, 1), worker(events, 2)
    with supervising([one], "rest_for_one", 1, 2.0, "s", restart_after_fork=True) as supervisor:
        Supervisor.start_child(supervisor, two)
        actor: Any = supervisor._actor_weakref()
    actor._begin_anew()
    again: Any = whereis("s")
    assert running(again) == [1, 2]
    kept = again._actor_weakref()._options
    assert kept == Options((one, two), "rest_for_one", 1, 2.0, "s", True)
    again.stop()


# who is restarted

REASONS = [
    ("stop", "normal"),
    (Stop("normal"), "normal"),
    (Stop("shutdown"), "shutdown"),
    (Stop(("shutdown", "term")), ("shutdown", "term")),
    (Stop("abnormal"), "abnormal"),
    (Boom(), Boom),
    (SystemExit(3), SystemExit),
]
ABNORMAL = [how for how, reason in REASONS if reason in ("abnormal", Boom, SystemExit)]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize(("how", "reason"), REASONS)
def test_restart_types(events: Events, restart: Any, how: Any, reason: Any) -> None:
    with supervising([worker(events, "a", restart=restart), worker(events, "b")]) as supervisor:
        old = ref_of("a")
        told = end(old, how)
        assert told == reason if not isinstance(reason, type) else type(told) is reason
        if restart == "permanent" or (restart == "transient" and how in ABNORMAL):
            assert running(supervisor) == ["a", "b"]
            assert ref_of("a") is not old
            assert get_state(supervisor).restarts == 1
        else:
            assert running(supervisor) == ["b"]
            assert known(supervisor) == (["b"] if restart == "temporary" else ["a", "b"])
            assert get_state(supervisor).restarts == 0


def test_the_class_says_when_it_is_restarted(events: Events) -> None:
    class Transient(Worker, restart="transient"):
        """Ends for good when it ends normally."""

    with supervising([ChildSpec(Transient, events, "a", name="a")]) as supervisor:
        end(ref_of("a"), "stop")
        assert running(supervisor) == []
        Supervisor.restart_child(supervisor, Transient)
        end(ref_of("a"), Boom())
        assert running(supervisor) == [Transient]


STRATEGIES = [
    ("one_for_one", "", "b"),
    ("rest_for_one", "dc", "bcd"),
    ("one_for_all", "dca", "abcd"),
]


@pytest.mark.parametrize(("strategy", "ended", "started"), STRATEGIES)
def test_who_begins_anew_with_it(events: Events, strategy: Any, ended: str, started: str) -> None:
    with supervising([worker(events, key) for key in "abcd"], strategy) as supervisor:
        events.take_all()
        boom = Boom()
        end(ref_of("b"), boom)
        assert running(supervisor) == ["a", "b", "c", "d"]
        assert get_state(supervisor).restarts == 1
        events.take(
            ("terminate", "b", boom),
            *(("terminate", key, "shutdown") for key in ended),
            *(("init", key) for key in started),
        )
        assert events.empty()


@pytest.mark.parametrize(("strategy", "left"), [("rest_for_one", "abe"), ("one_for_all", "be")])
def test_temporary_ones_that_must_end_are_gone(events: Events, strategy: Any, left: str) -> None:
    types = {"a": "temporary", "d": "temporary"}
    children = [worker(events, key, restart=types.get(key)) for key in "abde"]
    with supervising(children, strategy) as supervisor:
        end(ref_of("b"), Boom())
        assert running(supervisor) == known(supervisor) == list(left)


def test_those_that_had_ended_begin_anew_too(events: Events) -> None:
    """As in OTP: a strategy starts what stands behind, also what was terminated."""
    children = [worker(events, key, restart="transient") for key in "abc"]
    with supervising(children, "rest_for_one") as supervisor:
        end(ref_of("b"), "stop")
        Supervisor.terminate_child(supervisor, "c")
        assert running(supervisor) == ["a"]
        end(ref_of("a"), Boom())
        assert running(supervisor) == ["a", "b", "c"]


# failing again


def test_a_failed_restart_is_tried_again(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    begin = Failures(None, Boom("one"), Stop("two"), SystemExit("three"))
    with supervising([worker(events, "a", begin=begin)], max_restarts=4) as supervisor:
        end(ref_of("a"), Boom("zero"))
        eventually(lambda: running(supervisor) == ["a"])
        assert get_state(supervisor).restarts == 4
    assert [entry[0] for entry in events.take_all()] == [
        "init",
        "terminate",
        *["init"] * 4,
        "terminate",
    ]
    texts = [r.getMessage() for r in caplog.records if r.name == "slipstream_actor.supervisor"]
    assert [r.levelno for r in caplog.records if "restarts child 'a'" in r.getMessage()] == [
        logging.WARNING
    ] * 4
    assert "restarts child 'a', which ended: Boom('zero')" in texts[0]


@pytest.mark.parametrize("strategy", ["rest_for_one", "one_for_all"])
def test_it_goes_on_from_the_one_that_failed(events: Events, strategy: Any) -> None:
    children = [
        worker(events, "a"),
        worker(events, "b"),
        worker(events, "c", begin=Failures(None, Boom())),
        worker(events, "d"),
    ]
    with supervising(children, strategy) as supervisor:
        events.take_all()
        end(ref_of("b"), Stop("abnormal"))
        eventually(lambda: running(supervisor) == ["a", "b", "c", "d"])
        again: dict[str, list[Any]] = {
            "rest_for_one": [],
            "one_for_all": [
                ("terminate", "b", "shutdown"),
                ("terminate", "a", "shutdown"),
                ("init", "a"),
                ("init", "b"),
            ],
        }
        first: list[Any] = [
            ("terminate", "b", "abnormal"),
            ("terminate", "d", "shutdown"),
            ("terminate", "c", "shutdown"),
        ]
        if strategy == "one_for_all":
            first += [("terminate", "a", "shutdown"), ("init", "a")]
        events.take(
            *first, ("init", "b"), ("init", "c"), *again[strategy], ("init", "c"), ("init", "d")
        )
        assert events.empty()


def test_others_are_heard_between_the_tries(events: Events) -> None:
    """An `init` that raises for ever, and no limit: the mailbox has its turn."""
    begin = Failures(None, *[Boom()] * 100_000)
    with supervising([worker(events, "a", begin=begin)], max_restarts=10**6) as supervisor:
        ref_of("a").tell(Boom())
        eventually(lambda: get_state(supervisor).restarts > 5)
        assert running(supervisor) == []
        with pytest.raises(ConfigurationError, match="'a' is being restarted"):
            Supervisor.restart_child(supervisor, "a")
        with pytest.raises(ConfigurationError, match="'a' runs"):
            Supervisor.delete_child(supervisor, "a")
        Supervisor.terminate_child(supervisor, "a")
        restarts = get_state(supervisor).restarts
        assert get_state(supervisor).restarts == restarts
        assert known(supervisor) == ["a"]
        Supervisor.delete_child(supervisor, "a")
        assert known(supervisor) == []


def test_a_stop_ends_the_tries(events: Events) -> None:
    begin = Failures(None, *[Boom()] * 100_000)
    with supervising([worker(events, "a", begin=begin)], max_restarts=10**6) as supervisor:
        ref_of("a").tell(Boom())
        eventually(lambda: get_state(supervisor).restarts > 5)
    assert wait(supervisor) == "normal"


def test_too_many_restarts_end_it(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    children = [worker(events, key) for key in "abc"]
    supervisor = Supervisor.start(children, max_restarts=2, max_seconds=3600)
    for _ in range(2):
        end(ref_of("b"), Boom())
        assert running(supervisor) == ["a", "b", "c"]
    events.take_all()
    end(ref_of("b"), boom := Boom("last"))
    assert wait(supervisor, PATIENCE) == "shutdown"
    events.take(
        ("terminate", "b", boom), ("terminate", "c", "shutdown"), ("terminate", "a", "shutdown")
    )
    [error] = [
        r
        for r in caplog.records
        if (r.name, r.levelno) == ("slipstream_actor.supervisor", logging.ERROR)
    ]
    assert (
        "gives up: more than 2 restarts in 3600 s; the last child to end was 'b': Boom('last')"
        in (error.getMessage())
    )


def test_failed_restarts_count(events: Events) -> None:
    begin = Failures(None, *[Boom()] * 3)
    supervisor = Supervisor.start([worker(events, "a", begin=begin)], max_seconds=3600)
    ref_of("a").tell(Boom())
    assert wait(supervisor, PATIENCE) == "shutdown"
    assert [entry[0] for entry in events.take_all()] == ["init", "terminate", *["init"] * 3]


def test_a_supervisor_that_crashes_ends_its_children(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    boom = Boom()

    def crash(*_: Any) -> None:
        raise boom

    # A child whose `Down` went with the crash is not waited for.
    children = [worker(events, key, shutdown=None) for key in "abc"]
    supervisor = Supervisor.start(children, name="supervisor")
    monkeypatch.setitem(Supervisor._handlers, Down, crash)
    end(ref_of("b"), "stop")
    assert wait(supervisor, PATIENCE) is boom
    events.take_all()
    assert [whereis(name) for name in ("supervisor", "a", "b", "c")] == [None] * 4


def test_a_reason_that_is_too_deep_to_show_knocks_nobody_over(events: Events) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with supervising([worker(events, "a")]) as supervisor:
        end(ref_of("a"), Stop(deep))
        assert running(supervisor) == ["a"]
    while deep:  # Comparing or freeing it in one go is too deep as well.
        deep = deep.pop()


# what is asked of it


def test_both_ways_to_ask(events: Events) -> None:
    with supervising([worker(events, "a")], name="supervisor") as supervisor:
        a = ref_of("a")
        expected = [("a", a, "worker", Worker)]
        assert Supervisor.which_children("supervisor") == expected
        assert Supervisor.which_children(supervisor) == expected
        proxy = supervisor.proxy()
        assert Supervisor.which_children(proxy) == expected
        assert proxy.which_children().get() == expected
        b = proxy.start_child(worker(events, "b")).get()
        assert b is whereis("b")
        assert proxy.terminate_child(id="b").get() is None
        assert proxy.restart_child("b").get() is whereis("b")
        with pytest.raises(ConfigurationError, match=r"^id: there is no child with the id 'c'"):
            proxy.terminate_child("c").get()
        assert running(supervisor) == ["a", "b"]
    with pytest.raises(ActorDeadError):
        Supervisor.which_children(supervisor)
    with pytest.raises(ActorDeadError, match="'supervisor'"):
        Supervisor.which_children("supervisor")


def test_who_is_no_supervisor_is_not_asked(events: Events) -> None:
    with supervising([worker(events, "a")]), pytest.raises(TypeError, match="is no supervisor"):
        Supervisor.which_children("a")


def test_starting_and_stopping_a_child(events: Events) -> None:
    with supervising([]) as supervisor:
        a = Supervisor.start_child(supervisor, worker(events, "a"))
        assert a is whereis("a")
        with pytest.raises(AlreadyStartedError) as raised:
            Supervisor.restart_child(supervisor, "a")
        assert raised.value.ref is a
        assert Supervisor.terminate_child(supervisor, "a") is None
        assert not a.is_alive()
        events.take(("init", "a"), ("terminate", "a", "shutdown"))
        assert Supervisor.which_children(supervisor) == [("a", None, "worker", Worker)]
        Supervisor.terminate_child(supervisor, "a")
        new = Supervisor.restart_child(supervisor, "a")
        assert new is whereis("a") is not a
        assert get_state(supervisor).restarts == 0
        end(new, Boom())
        assert running(supervisor) == ["a"]


def test_a_temporary_child_that_is_terminated_is_gone(events: Events) -> None:
    with supervising([worker(events, "a", restart="temporary")]) as supervisor:
        Supervisor.terminate_child(supervisor, "a")
        assert known(supervisor) == []
        Supervisor.start_child(supervisor, worker(events, "a"))


def test_an_id_is_taken_also_by_one_that_does_not_run(events: Events) -> None:
    with supervising([worker(events, "a")]) as supervisor:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"^id: there is a child with the id 'a'"):
                Supervisor.start_child(supervisor, worker(events, "a"))
            Supervisor.terminate_child(supervisor, "a")
        Supervisor.delete_child(supervisor, "a")
        assert Supervisor.start_child(supervisor, worker(events, "a")) is whereis("a")


@pytest.mark.parametrize("child", [None, "a", object(), ClientActor.start])
def test_a_bad_specification_is_refused(child: Any) -> None:
    with supervising([]) as supervisor:
        with pytest.raises(ConfigurationError, match=r"^children: must be"):
            Supervisor.start_child(supervisor, child)
        assert known(supervisor) == []


@pytest.mark.parametrize("name", ["terminate_child", "restart_child", "delete_child"])
def test_an_unknown_id_is_named(name: str) -> None:
    with (
        supervising([]) as supervisor,
        pytest.raises(ConfigurationError, match=r"^id: there is no child with the id 'nobody'"),
    ):
        getattr(Supervisor, name)(supervisor, "nobody")


def test_a_start_that_fails_on_request_is_the_askers_alone(events: Events) -> None:
    begin = Failures(Boom("first"), None, Boom("second"))
    with supervising([]) as supervisor:
        with pytest.raises(Boom, match="first"):
            Supervisor.start_child(supervisor, worker(events, "a", begin=begin))
        assert known(supervisor) == []
        Supervisor.start_child(supervisor, worker(events, "a", begin=begin))
        Supervisor.terminate_child(supervisor, "a")
        with pytest.raises(Boom, match="second"):
            Supervisor.restart_child(supervisor, "a")
        assert (known(supervisor), running(supervisor)) == (["a"], [])
        assert get_state(supervisor).restarts == 0


def test_a_child_asks_its_supervisor(events: Events) -> None:
    with supervising([worker(events, "a")], name="supervisor") as supervisor:
        children = call("a", lambda: Answer(Supervisor.which_children("supervisor")))
        assert children == Supervisor.which_children(supervisor)
        b = call("a", lambda: Answer(Supervisor.start_child(supervisor, worker(events, "b"))))
        assert b is whereis("b")
        assert running(supervisor) == ["a", "b"]


def test_its_state(events: Events) -> None:
    with supervising([worker(events, "a")], "one_for_all", 7, 8.0) as supervisor:
        assert get_state(supervisor) == SupervisorState(
            (Child("a", whereis("a"), "worker", Worker),), "one_for_all", 7, 8.0, 0, 0
        )


def test_what_it_does_not_understand(caplog: pytest.LogCaptureFixture) -> None:
    with supervising([]) as supervisor:
        supervisor.tell("a secret")
        cast(supervisor, "a secret")
        with pytest.raises(TypeError, match="does not understand str"):
            supervisor.ask("m")
        with pytest.raises(TypeError, match="does not understand Request"):
            call(supervisor, "m")
        with pytest.raises(TypeError, match="does not understand WatchJoin"):
            wait_until_joined(supervisor, "topic")
        assert known(supervisor) == []
    assert "does not understand str" in caplog.text
    assert "secret" not in caplog.text


# nested


def nested(events: Events, **options: Any) -> ChildSpec:
    children = [worker(events, key) for key in "bc"]
    return ChildSpec(Supervisor, children, id="inner", name="inner", max_restarts=0, **options)


def test_supervisors_nest(events: Events) -> None:
    children = [worker(events, "a"), nested(events), worker(events, "d")]
    with supervising(children) as supervisor:
        inner = ref_of("inner")
        child = Supervisor.which_children(supervisor)[1]
        assert child == ("inner", inner, "supervisor", Supervisor)
        assert running(inner) == ["b", "c"]
    assert wait(inner) == "shutdown"
    assert [entry[1] for entry in events.take_all()] == [*"abcd", *"dcba"]


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_one_that_gave_up_ended_normally(events: Events, restart: Any) -> None:
    """By OTP's rules "shutdown" is a normal reason: only a permanent one is started again."""
    with supervising([nested(events, restart=restart)]) as supervisor:
        inner = ref_of("inner")
        b = ref_of("b")
        monitor_end = end(b, Boom())
        assert isinstance(monitor_end, Boom)
        assert wait(inner, PATIENCE) == "shutdown"
        if restart == "permanent":
            assert restarted("inner", inner)
            assert running(supervisor) == ["inner"]
            assert restarted("b", b)
        else:
            eventually(lambda: not running(supervisor))
            assert (whereis("b"), whereis("c")) == (None, None)


def test_giving_up_goes_all_the_way_up(events: Events) -> None:
    top = Supervisor.start([nested(events)], max_restarts=1, max_seconds=3600)
    for _ in range(2):
        inner, b = ref_of("inner"), ref_of("b")
        end(b, Boom())
        assert wait(inner, PATIENCE) == "shutdown"
        eventually(lambda: not top.is_alive() or whereis("b") not in (None, b))  # noqa: B023
    assert wait(top, PATIENCE) == "shutdown"
    assert (whereis("inner"), whereis("b"), whereis("c")) == (None, None, None)


def test_a_nested_one_whose_child_fails_is_a_failed_start(events: Events) -> None:
    boom = Boom()
    inner = ChildSpec(Supervisor, [worker(events, "b", begin=Failures(boom))], id="inner")
    with pytest.raises(StartError) as raised:
        Supervisor.start([worker(events, "a"), inner])
    assert raised.value.reason == (
        "failed_to_start_child",
        "inner",
        ("failed_to_start_child", "b", boom),
    )
    events.take(("init", "a"), ("init", "b"), ("terminate", "a", "shutdown"))


# races


def test_a_down_of_nobody_is_nothing(events: Events) -> None:
    with supervising([worker(events, "a"), worker(events, "b")]) as supervisor:
        Supervisor.terminate_child(supervisor, "b")
        old = ref_of("a")
        end(old, Boom())
        new = restarted("a", old)
        for stray in (Down(old, "again"), Down(new, "not at all"), Down(None, 1), Down("a", 1)):
            supervisor.tell(stray)
        assert running(supervisor) == ["a"]
        assert whereis("a") is new
        assert get_state(supervisor).restarts == 1


class Gate:
    """Holds up an `init`, and says that it does."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE)


@pytest.mark.parametrize(
    ("strategy", "restarts"), [(s, 1 + (s == "one_for_one")) for s, *_ in STRATEGIES]
)
def test_two_end_before_either_is_restarted(events: Events, strategy: Any, restarts: int) -> None:
    """The `Down` of the second finds it replaced, where the first takes it along."""
    gate = Gate()
    with supervising([worker(events, "a"), worker(events, "b")], strategy) as supervisor:
        old = [ref_of("a"), ref_of("b")]
        busy = InThread(Supervisor.start_child, supervisor, worker(events, "c", begin=gate))
        assert gate.entered.wait(PATIENCE)
        for ref in old:
            end(ref, Boom())
        gate.open.set()
        busy.outcome()
        assert running(supervisor) == ["a", "b", "c"]
        assert get_state(supervisor).restarts == restarts
        assert not {ref_of("a"), ref_of("b")} & {*old}


@pytest.mark.parametrize("strategy", [strategy for strategy, *_ in STRATEGIES])
def test_a_child_crashes_while_another_restarts(events: Events, strategy: Any) -> None:
    gate = Gate()
    children = [worker(events, "a"), worker(events, "b", begin=Failures(None, gate))]
    with supervising(children, strategy) as supervisor:
        end(ref_of("b"), Boom())
        assert gate.entered.wait(PATIENCE)
        a = ref_of("a")
        end(a, Boom())
        gate.open.set()
        assert running(supervisor) == ["a", "b"]
        assert get_state(supervisor).restarts == 2
        assert ref_of("a") is not a


def test_terminate_child_races_a_crash(events: Events) -> None:
    with supervising([worker(events, "a")], max_restarts=10**6) as supervisor:
        for _ in range(50):
            a = ref_of("a")
            a.tell(Boom())
            Supervisor.terminate_child(supervisor, "a")
            assert not a.is_alive()
            assert running(supervisor) == []
            assert whereis("a") is None
            Supervisor.restart_child(supervisor, "a")


def test_stop_races_a_restart(events: Events) -> None:
    for _ in range(50):
        supervisor = Supervisor.start([worker(events, key) for key in "ab"], "one_for_all")
        ref_of("a").tell(Boom())
        assert supervisor.stop(timeout=PATIENCE)
        assert wait(supervisor) == "normal"
        assert (whereis("a"), whereis("b")) == (None, None)
    entries = events.take_all()
    assert len([e for e in entries if e[0] == "init"]) >= len(
        [e for e in entries if e[0] == "terminate"]
    )


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_stop_ends_a_start_that_waits(
    events: Events, restarts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A child's `init` that awaits is interrupted, on the first start and on a restart."""

    class Waiting(ClientActor):
        def init(self, begin: Any) -> None:
            begin()
            if gate.entered.is_set():
                self.actor_inbox.receive(lambda *_: 0)  # As an await does.

        def handle_info(self, message: Any, socket: Any) -> Any:
            return Stop("abnormal")

    gate = Gate()
    gate.open.set()
    begin = Failures(*[None] * restarts, gate)
    children = [worker(events, "a"), ChildSpec(Waiting, begin, name="waiting")]
    starting = InThread(Supervisor.start, children, "one_for_one", 3, 5.0, "supervisor")
    for _ in range(restarts):
        starting.outcome()
        ref_of("waiting").tell("end")
    assert gate.entered.wait(PATIENCE)
    supervisor, ends = ref_of("supervisor"), end_of(ref_of("waiting"))
    caplog.clear()
    assert supervisor.stop(timeout=PATIENCE)
    if not restarts:
        assert isinstance(starting.outcome(), ActorDeadError)
    # That is an end in order, of which nothing is to be said.
    assert (ends.get(), end_of(supervisor).get(), caplog.text) == ("shutdown", "normal", "")
    assert (whereis("a"), whereis("waiting")) == (None, None)
    events.take(("init", "a"), ("terminate", "a", "shutdown"))


def test_a_stop_waits_for_the_child_whose_start_it_ended(events: Events) -> None:
    """What ended before the stop came is not started again, nor does it count."""
    gate = Gate()
    supervisor = Supervisor.start([worker(events, "a")], max_restarts=0)
    starting = InThread(Supervisor.start_child, supervisor, worker(events, "b", begin=gate))
    assert gate.entered.wait(PATIENCE)
    b = ref_of("b")
    end(ref_of("a"), boom := Boom())
    stopping = InThread(supervisor.stop)
    assert isinstance(starting.outcome(), ActorDeadError)
    assert b.is_alive()
    assert not end_of(supervisor).done
    gate.open.set()
    assert stopping.outcome() is True
    assert end_of(b).get() == "shutdown"
    assert wait(supervisor) == "normal"
    events.take(
        ("init", "a"), ("init", "b"), ("terminate", "a", boom), ("terminate", "b", "shutdown")
    )
    assert events.empty()


def test_after_a_stop_nothing_is_started(events: Events) -> None:
    """It comes while others are ended, to begin anew."""
    gate = Gate()
    children = [worker(events, "a"), worker(events, "b")]
    supervisor: Any = Supervisor.start(children, "one_for_all")
    b = ref_of("b")
    b.tell(gate)
    assert gate.entered.wait(PATIENCE)
    end(ref_of("a"), Boom())
    eventually(lambda: b.actor_inbox.stopping)
    stopping = InThread(supervisor.stop)
    eventually(lambda: supervisor.actor_inbox.stopping)
    gate.open.set()
    assert stopping.outcome() is True
    assert [entry[:2] for entry in events.take_all()] == [
        *(("init", key) for key in "ab"),
        *(("terminate", key) for key in "ab"),
    ]


@pytest.mark.parametrize("asking", ["ask", "proxy"])
def test_a_stop_ends_a_start_that_was_asked_for(events: Events, asking: str) -> None:
    gate = Gate()
    supervisor = Supervisor.start([worker(events, "a")])

    def start() -> Any:
        child = worker(events, "b", begin=Failures(gate), shutdown=0.05)
        if asking == "ask":
            return Supervisor.start_child(supervisor, child)
        return supervisor.proxy().start_child(child).get()

    starting = InThread(start)
    assert gate.entered.wait(PATIENCE)
    assert supervisor.stop(timeout=PATIENCE)  # "b" is left behind, in its `init`.
    assert isinstance(starting.outcome(), ActorDeadError)
    events.take(("init", "a"), ("init", "b"), ("terminate", "a", "shutdown"))
    gate.open.set()


def test_the_registry_stops_them_all(events: Events) -> None:
    """Pykka stops the youngest first: the children are restarted until their supervisor stops."""
    children = [worker(events, "a"), nested(events), worker(events, "d")]
    supervisor = Supervisor.start(children, max_restarts=10)
    stopping = InThread(pykka.ActorRegistry.stop_all)
    stopping.outcome()
    assert wait(supervisor, PATIENCE) in ("normal", "shutdown")
    assert [whereis(name) for name in ("a", "b", "c", "d", "inner")] == [None] * 5
    assert pykka.ActorRegistry.get_all() == []


@pytest.mark.parametrize("strategy", [strategy for strategy, *_ in STRATEGIES])
def test_all_at_once(events: Events, strategy: Any) -> None:
    """Crashes, stops and requests from several threads: at the end everybody runs, or nobody."""
    children = [worker(events, key) for key in "abc"]
    supervisor = Supervisor.start(children, strategy, max_restarts=10**6)

    def disturb(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            id = chance.choice("abc")
            request = chance.choice(["terminate_child", "restart_child", "which_children", None])
            try:
                if request is None:
                    ref_of(id).tell(chance.choice([Boom(), Stop("normal"), Stop("abnormal")]))
                elif request == "which_children":
                    Supervisor.which_children(supervisor)
                else:
                    getattr(Supervisor, request)(supervisor, id)
            except (ActorDeadError, AlreadyStartedError, ConfigurationError, AssertionError):
                pass  # Another was faster.

    for trouble in [InThread(disturb, seed) for seed in range(4)]:
        assert trouble.outcome() is None
    for child in Supervisor.which_children(supervisor):
        if child.ref is None:
            with contextlib.suppress(AlreadyStartedError, ConfigurationError):
                Supervisor.restart_child(supervisor, child.id)
    eventually(lambda: running(supervisor) == ["a", "b", "c"])
    assert supervisor.stop(timeout=PATIENCE)
    assert wait(supervisor) == "normal"
    assert [whereis(key) for key in "abc"] == [None] * 3
