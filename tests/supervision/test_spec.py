"""Specifications of children: their defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor import (
    ChildSpec,
    ClientActor,
    ConfigurationError,
    Connection,
    SlipstreamError,
    Supervisor,
)
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.supervision.spec import spec_of, specs


class Transient(ClientActor, restart="transient"):
    """Says itself when it is to be restarted."""


class Odd(ClientActor):
    """Its `start` returns what it is given."""

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> Any:
        return args[0]


def test_the_defaults() -> None:
    spec = ChildSpec(Transient)
    assert (spec.id, spec.name, spec.restart, spec.shutdown) == (Transient, None, "transient", 5.0)
    assert (spec.args, spec.kwargs) == ((), {})
    assert ChildSpec(ClientActor).restart == "permanent"


def test_a_supervisor_has_all_the_time_that_its_children_have() -> None:
    assert ChildSpec(Supervisor).shutdown is None
    assert ChildSpec(Supervisor, shutdown=1).shutdown == 1
    assert ChildSpec(Supervisor).restart == "permanent"


def test_what_is_not_for_the_supervisor_is_for_init() -> None:
    spec = ChildSpec(Transient, 1, 2, id="a", name="n", restart="temporary", shutdown=0, x=3)
    assert (spec.id, spec.name, spec.restart, spec.shutdown) == ("a", "n", "temporary", 0)
    assert (spec.args, spec.kwargs) == ((1, 2), {"x": 3})


def test_its_repr_tells_no_argument() -> None:
    text = repr(ChildSpec(Transient, "secret", id="a", token="secret"))
    assert text == "<ChildSpec 'a' of Transient>"


@pytest.mark.parametrize("client_class", [None, "Chat", object, Connection, Transient.start])
def test_a_child_is_a_client_or_a_supervisor(client_class: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_class: must be") as raised:
        ChildSpec(client_class)
    assert raised.value.option == "client_class"
    assert isinstance(raised.value, SlipstreamError | ValueError)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("restart", "always"), ("restart", True), ("restart", 1)],
        *[("shutdown", -1), ("shutdown", "5"), ("shutdown", True), ("shutdown", float("nan"))],
        *[("id", []), ("id", {}), ("name", []), ("name", set())],
    ],
)
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{option}: must be"):
        ChildSpec(Transient, **{option: value})


def test_a_class_stands_for_its_default_specification() -> None:
    one, other = specs([Transient, spec := ChildSpec(Transient, id="other")])
    assert (one.client_class, one.id) == (Transient, Transient)
    assert other is spec
    assert spec_of(Supervisor).id is Supervisor


@pytest.mark.parametrize("children", [[Transient, Transient], [Transient, ChildSpec(Transient)]])
def test_ids_are_told_apart(children: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^children: two have the id .*Transient"):
        specs(children)


@pytest.mark.parametrize("children", [Transient, 1, None, [Transient, "x"], "ab"])
def test_children_are_a_list_of_these(children: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^children: must be"):
        specs(children)


@pytest.mark.parametrize("returned", ["started", 0, None, ThreadRef()])
def test_a_start_must_return_the_ref_of_an_actor(returned: Any) -> None:
    with pytest.raises(TypeError, match=rf"Odd\.start returned {type(returned).__name__}"):
        ChildSpec(Odd, returned).start()
