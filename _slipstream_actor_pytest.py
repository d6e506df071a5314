"""The pytest plugin: fixtures around the context managers of `slipstream_actor.testing`.

It stands beside the package, which it imports when a fixture is used: an environment that has the
package for another reason pays nothing for it at pytest's start.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from slipstream_actor.testing import FaultProxy, PhoenixServer, SocketTest

KIT = "slipstream_actor.testing.kit.kit"
TIMEOUTS = ("assert_timeout", "refute_timeout")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    parser.addini("slipstream_assert_timeout", "Seconds that assert_push and its like wait.")
    parser.addini("slipstream_refute_timeout", "Seconds that refute_push and its like wait.")
    parser.addini(
        "slipstream_fail_on_crash",
        "Whether the end of a SocketTest fails for a crash of a client that nothing has told of.",
        type="bool",
        default=False,
    )
    parser.addini(
        "slipstream_leaked_clients",
        "Whether a test fails that leaves a client alive (as with the fixture no_leaked_clients).",
        type="bool",
        default=False,
    )
    parser.getgroup("slipstream_actor").addoption(
        "--slipstream-leaked-clients",
        action="store_true",
        help="Fail every test that leaves a client alive.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and have every test checked for leaks where that is asked for."""
    config.addinivalue_line(
        "markers", "phoenix_channels(channels): the channels of the fixture phoenix_server"
    )
    asked = config.getoption("--slipstream-leaked-clients")
    if asked or config.getini("slipstream_leaked_clients"):
        config.pluginmanager.register(EveryTest(), "slipstream_actor_leaked_clients")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, None]:
    """Configure the functions of the kit, and clean up behind a test that has used them."""
    set_defaults(item.config)
    yield
    kit: Any = sys.modules.get(KIT)
    if kit is not None:
        kit.clean_up()


def set_defaults(config: pytest.Config) -> None:
    """Have the kit, if it is imported, do by default as the configuration says."""
    kit: Any = sys.modules.get(KIT)
    if kit is None:
        return
    for name in TIMEOUTS:
        if seconds := config.getini(f"slipstream_{name}"):
            setattr(kit.SocketTest, name, float(seconds))
    if config.getini("slipstream_fail_on_crash"):
        kit.SocketTest.fail_on_crash = True


@pytest.fixture
def socket_test(pytestconfig: pytest.Config) -> Iterator[SocketTest]:
    """A `SocketTest`: this test is the server, by its methods and by the functions alike."""
    from slipstream_actor.testing import socket_test

    set_defaults(pytestconfig)
    with socket_test() as server:
        yield server


@pytest.fixture
def phoenix_channels(request: pytest.FixtureRequest) -> Any:
    """The channels of `phoenix_server`: those of the marker, or the recorded conversations'.

    To be overridden; a test's own marker outranks that. Raises `TypeError` for a marker without
    them.
    """
    marker = request.node.get_closest_marker("phoenix_channels")
    return None if marker is None else channels_of(marker)


def channels_of(marker: pytest.Mark) -> Any:
    """Return the channels of a marker. Raises `TypeError` for one without them."""
    if len(marker.args) != 1 or marker.kwargs:
        raise TypeError(
            "@pytest.mark.phoenix_channels takes one argument, the channels: a mapping of topic"
            " patterns to Channel classes, such as {'rooms:*': Room}"
        )
    return marker.args[0]


@pytest.fixture
def phoenix_server(
    request: pytest.FixtureRequest, phoenix_channels: Any
) -> Iterator[PhoenixServer]:
    """An embedded `PhoenixServer` with `phoenix_channels`; clients connect to its `uri`."""
    from slipstream_actor.testing import phoenix_server

    # Nothing is nearer to a test than its own marker, whoever overrides the fixture.
    own = (mark for mark in request.node.own_markers if mark.name == "phoenix_channels")
    marker = next(own, None)
    with phoenix_server(phoenix_channels if marker is None else channels_of(marker)) as server:
        yield server


@pytest.fixture
def phoenix_proxy(phoenix_server: PhoenixServer) -> Iterator[FaultProxy]:
    """A `FaultProxy` before `phoenix_server`; clients connect to its `uri`."""
    from slipstream_actor.testing import phoenix_proxy

    with phoenix_proxy(phoenix_server) as proxy:
        yield proxy


@pytest.fixture
def no_leaked_clients() -> Iterator[None]:
    """Fail the test that leaves a client, a supervisor or a connection alive, and stop it."""
    from slipstream_actor.testing import no_leaked_clients

    with no_leaked_clients():
        yield


class EveryTest:
    """The check for leaked clients, of every test."""

    @pytest.fixture(autouse=True)
    def _no_leaked_clients(self, no_leaked_clients: None) -> None:
        """As `no_leaked_clients`."""
