"""What a class of clients may not define, and how it is told."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from slipstream_actor import (
    ChildSpec,
    ClientActor,
    ConfigurationError,
    Next,
    Supervisor,
    call,
    wait,
)
from slipstream_actor.client.client import OWN_NAMES
from slipstream_actor.client.declaration import PUBLIC, STATE
from slipstream_actor.client.defaults import CALLBACK_NAMES
from tests.support.clients import PATIENCE

METHODS = sorted(OWN_NAMES._methods)
# Natural names, which the library had for its attributes once, and what has another meaning.
FREE = ["_beginning", "_callers", "_carried", "_ended", "_handlers", "_idle", "_routes", "_set"]
FREE += ["_socket", "_state", "_watchers", "_data", "_lock", "_queue", "__private"]


def make(body: dict[str, Any], *bases: type) -> Any:
    return type("Chat", (*bases, ClientActor), body)


# names


@pytest.mark.parametrize("value", [lambda self: None, 1, None, property(lambda self: 1)])
@pytest.mark.parametrize("name", [*METHODS, *STATE, *PUBLIC])
def test_a_class_with_a_name_of_ours_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^Chat: {name} is a name of slipstream_actor's own"):
        make({name: value})


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("first", [True, False])
def test_a_mixin_with_a_name_of_ours_is_refused(name: str, first: bool) -> None:
    mixin = type("Mixin", (), {name: 1})
    bases = (mixin, ClientActor) if first else (ClientActor, mixin)
    with pytest.raises(TypeError, match=rf"^Chat, by way of Mixin: {name} is a name of"):
        type("Chat", bases, {})


def test_a_subclass_of_a_subclass_is_looked_at_too() -> None:
    base = make({"_mine": 1})
    assert vars(type("Sub", (base,), {"_mine": 2}))["_mine"] == 2
    with pytest.raises(TypeError, match=r"^Sub: _run is a name of"):
        type("Sub", (base,), {"_run": 1})


@pytest.mark.parametrize("name", PUBLIC)
def test_a_mixin_with_a_public_name_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^Chat, by way of Mixin: {name} is a name of"):
        make({}, type("Mixin", (), {name: staticmethod(lambda: None)}))


def test_a_start_that_calls_ours_may_be_written() -> None:
    class Chat(ClientActor):
        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> Any:
            started.append(args)
            return super().start(**kwargs)

        def init(self) -> None:
            self.stop: Any = "mine"

    started: list[Any] = []
    ref = Chat.start(1, name="chat")
    assert started == [(1,)]
    assert ref.proxy().stop.get(timeout=PATIENCE) == "mine"
    ref.stop(timeout=PATIENCE)
    assert wait(ref, PATIENCE) == "normal"


def test_all_private_methods_are_among_the_names() -> None:
    for name in ("_run", "_deliver", "_accept", "_dispatch", "_handle_receive", "_actor_loop"):
        assert name in METHODS


@pytest.mark.parametrize("name", FREE)
def test_other_names_are_the_users(name: str) -> None:
    class Chat(ClientActor):
        def init(self) -> None:
            setattr(self, name, {})

        def handle_call(self, message: Any, from_: Any, socket: Any) -> Any:
            return Next(socket, then=from_)

        def handle_continue(self, from_: Any, socket: Any) -> None:
            from_.future.set(getattr(self, name))

    ref = Chat.start()
    assert call(ref, "what is it?") == {}
    ref.stop(timeout=PATIENCE)
    assert wait(ref, PATIENCE) == "normal"


@pytest.mark.parametrize("name", [*METHODS, *STATE])
@pytest.mark.parametrize("fails", [False, True])
def test_an_attribute_with_a_name_of_ours_is_refused(name: str, fails: bool) -> None:
    class Chat(ClientActor):
        def init(self) -> None:
            setattr(self, name, {})
            if fails:
                raise LookupError

    with pytest.raises(TypeError, match=rf"^Chat: {name} is a name of slipstream_actor's own"):
        Chat.start()


@pytest.mark.parametrize("name", ["_run", "_finish", "_follow", "_fail_pushes"])
def test_an_attribute_with_a_name_of_ours_is_named_when_it_has_done_harm(name: str) -> None:
    class Chat(ClientActor):
        def handle_cast(self, message: Any, socket: Any) -> None:
            setattr(self, name, {})

        def handle_info(self, message: Any, socket: Any) -> None:
            raise LookupError

    ref = Chat.start()
    ref.proxy().handle_cast(None, None).get(timeout=PATIENCE)
    ref.tell("now")
    reason = wait(ref, PATIENCE)
    assert isinstance(reason, TypeError)
    assert name in str(reason)
    assert isinstance(reason.__cause__, TypeError | LookupError)


def test_an_attribute_with_a_name_of_ours_does_not_keep_from_a_normal_end() -> None:
    ref = ClientActor.start()
    ref.proxy()._actor.__setattr__("_fail_pushes", 1)  # As a late assignment would.
    ref.stop(timeout=PATIENCE)
    assert wait(ref, PATIENCE) == "normal"


# callbacks' arguments

CALLBACKS = [name for name in CALLBACK_NAMES if name != "init"]


def of_arguments(count: int, *, keyword: str = "") -> Any:
    """Return a function that takes so many arguments, by position."""
    names = [f"a{n}" for n in range(count)]
    return eval(f"lambda {', '.join([*names, keyword])}: None")


@pytest.mark.parametrize("name", CALLBACKS)
@pytest.mark.parametrize("kind", [lambda f: f, staticmethod, classmethod])
def test_a_callback_takes_what_it_is_called_with(name: str, kind: Any) -> None:
    taken = [*inspect.signature(getattr(ClientActor, name)).parameters][kind is staticmethod :]
    wrong = rf"^Chat\.{name} must take \({', '.join(taken)}\): "
    for function in (
        of_arguments(len(taken) - 1),
        of_arguments(len(taken) + 1),
        of_arguments(len(taken), keyword="*, k"),
    ):
        with pytest.raises(TypeError, match=wrong):
            make({name: kind(function)})
        with pytest.raises(TypeError, match=wrong):
            make({}, type("Mixin", (), {name: kind(function)}))
    for function in (
        of_arguments(len(taken)),
        of_arguments(1, keyword="*rest"),
        of_arguments(len(taken), keyword="a=1, *, k=2"),
    ):
        assert make({name: kind(function)}).__name__ == "Chat"


def test_what_a_callback_overrides_may_take_other_arguments() -> None:
    mixin = type("Mixin", (), {"handle_info": of_arguments(1), "init": of_arguments(3)})
    assert make({"handle_info": of_arguments(3)}, mixin).__name__ == "Chat"


def test_so_may_what_the_class_of_clients_overrides() -> None:
    """As a base behind it has a `terminate` of its own."""
    base = type("Base", (), {"terminate": of_arguments(1)})
    assert type("Chat", (ClientActor, base), {}).__name__ == "Chat"


# an __init__ that somebody else writes


def test_a_dataclass_is_told_what_is_wrong_when_it_is_started() -> None:
    @dataclasses.dataclass
    class Chat(ClientActor):
        uri: str

    with pytest.raises(TypeError, match=r"^Chat: @dataclass gives Chat an __init__ of its own"):
        Chat.start("ws://localhost")


def test_a_base_that_is_a_dataclass_is_told_of_when_it_is_started() -> None:
    @dataclasses.dataclass
    class Base(ClientActor):
        uri: str

    with pytest.raises(TypeError, match=r"^Chat: @dataclass gives Base an __init__"):
        type("Chat", (Base,), {})


def test_a_dataclass_with_slots_is_told_what_is_wrong_at_once() -> None:
    with pytest.raises(TypeError, match=r"^Chat: @dataclass gives Chat an __init__"):

        @dataclasses.dataclass(slots=True)
        class Chat(ClientActor):
            uri: str


def test_a_frozen_dataclass_is_told_what_is_wrong() -> None:
    @dataclasses.dataclass(init=False, frozen=True)
    class Chat(ClientActor):
        uri: str = ""

    with pytest.raises(TypeError, match=r"^Chat: @dataclass"):
        Chat.start()


def test_a_dataclass_that_writes_no_init_is_none_of_our_business() -> None:
    @dataclasses.dataclass(init=False, eq=False)
    class Chat(ClientActor):
        uri: str = "ws://localhost"

    ref = Chat.start()
    assert ref.proxy().uri.get(timeout=PATIENCE) == "ws://localhost"
    ref.stop(timeout=PATIENCE)


@pytest.mark.parametrize("hook", ["__init__", "on_receive"])
def test_a_hook_that_is_set_after_the_class_was_made_is_told_at_the_start(hook: str) -> None:
    chat = make({})
    setattr(chat, hook, lambda self, *arguments: None)
    with pytest.raises(TypeError, match=f"Chat.{hook} is final"):
        chat.start()


def test_attrs_is_named() -> None:
    # As `attrs.define(slots=False)` leaves a class.
    chat = make({})
    chat.__attrs_attrs__, chat.__init__ = (), lambda self, uri: None
    with pytest.raises(TypeError, match=r"^Chat: attrs gives Chat an __init__"):
        chat.start()


# restart

WRONG: list[Any] = ["permanant", "", "Permanent", None, True, 1, ["permanent"], lambda self: None]
WRONG += [property(lambda self: "permanent"), classmethod(lambda cls: "permanent")]


@pytest.mark.parametrize("value", WRONG)
def test_restart_is_checked_as_an_attribute(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Chat.restart must be 'permanent', 'transient' or"):
        make({"restart": value})
    with pytest.raises(TypeError, match=r"^Chat.restart must be"):
        make({}, type("Mixin", (), {"restart": value}))
    with pytest.raises(TypeError, match=r"^Sup.restart must be"):
        type("Sup", (Supervisor,), {"restart": value})


@pytest.mark.parametrize("value", [v for v in WRONG if v is not None])
def test_restart_is_checked_as_a_keyword(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^Chat.restart must be"):
        type("Chat", (ClientActor,), {}, restart=value)


@pytest.mark.parametrize("value", WRONG)
def test_restart_is_checked_when_it_has_been_set_since(value: Any) -> None:
    chat = make({})
    chat.restart = value
    with pytest.raises(ConfigurationError, match="restart: of Chat must be"):
        ChildSpec(chat)


@pytest.mark.parametrize("value", ["permanent", "transient", "temporary"])
def test_restart_is_an_attribute_as_well(value: str) -> None:
    chat = make({"restart": value})
    assert chat.restart == value
    assert ChildSpec(chat).restart == value


@pytest.mark.parametrize("given", [{"restar": "transient"}, {"a": 1, "name": "x"}])
def test_an_argument_of_the_class_that_nobody_takes_is_named(given: dict[str, Any]) -> None:
    names = ", ".join(given)
    with pytest.raises(TypeError) as raised:
        type("Chat", (ClientActor,), {}, **given)
    assert str(raised.value) == (
        f"class Chat(…, {names}=…): the one argument that a client's class takes is restart"
    )
    with pytest.raises(TypeError, match=rf"class Sup\(…, {names}=…\): .* restart is an attribute"):
        type("Sup", (Supervisor,), {}, **given)


def test_an_argument_of_the_class_may_be_a_mixins() -> None:
    class Flavoured:
        flavour: str

        def __init_subclass__(cls, flavour: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.flavour = flavour

    for bases in ((ClientActor, Flavoured), (Flavoured, ClientActor)):
        chat: Any = type("Chat", bases, {}, flavour="mint", restart="transient")
        assert (chat.flavour, chat.restart) == ("mint", "transient")
