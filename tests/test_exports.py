"""The public surface: a committed list, importable and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
import types
from typing import Any

import pytest

import slipstream_actor
from tests import surface

EXPORTS = [
    "ANY",
    "ActorDeadError",
    "AlreadyStartedError",
    "Answer",
    "AwaitTimeoutError",
    "BufferExpired",
    "BufferOverflow",
    "CallResult",
    "CallbackResult",
    "CallbackReturnError",
    "CancelledError",
    "ChannelClosed",
    "ChannelConnectFailed",
    "ChannelConnected",
    "ChannelCrashed",
    "ChannelEnded",
    "Child",
    "ChildSpec",
    "ClientActor",
    "ClientEndedError",
    "ClientHandle",
    "ClientState",
    "ClosedByClient",
    "ClosedByPeer",
    "ClosedByServer",
    "Configuration",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectFailedError",
    "Connection",
    "ConnectionCrashed",
    "ConnectionState",
    "Disconnected",
    "Down",
    "ForkedError",
    "From",
    "Future",
    "HandleStatus",
    "HeartbeatTimeout",
    "Ignore",
    "InitResult",
    "Join",
    "JoinFailedError",
    "JoinRefused",
    "JoinTimeout",
    "LeftByClient",
    "Message",
    "MessageReceived",
    "NeverJoinedError",
    "Next",
    "NotConfiguredError",
    "NotConnectedError",
    "NotJoinedError",
    "NotOwnerError",
    "Options",
    "ParamsFailed",
    "Presence",
    "PushFailed",
    "PushTimeout",
    "Ref",
    "Reply",
    "ReplyError",
    "ReplyReceived",
    "SendBufferFullError",
    "SerializerError",
    "SlipstreamError",
    "Socket",
    "StartError",
    "StartIgnored",
    "Stop",
    "Subscription",
    "Supervisor",
    "SupervisorState",
    "Timer",
    "TopicJoinClosed",
    "TopicJoinFailed",
    "TopicJoinSucceeded",
    "TopicLeft",
    "TransportFailed",
    "V1Serializer",
    "V2Serializer",
    "call",
    "cast",
    "commands",
    "connect",
    "events",
    "get_state",
    "invoke",
    "monitor",
    "new_socket",
    "on",
    "reply",
    "request",
    "run",
    "subscribe",
    "telemetry",
    "wait",
    "wait_until_joined",
    "whereis",
]
MODULES = [
    f"slipstream_actor.{module.name}"
    for module in pkgutil.iter_modules(slipstream_actor.__path__)
    if not module.ispkg and module.name != "__main__"
]


def test_the_public_names_are_these() -> None:
    assert sorted(slipstream_actor.__all__) == sorted(EXPORTS)
    assert len(set(EXPORTS)) == len(EXPORTS)


def test_the_public_surface_is_the_committed_one() -> None:
    committed = surface.of_what_is_there(surface.FILE.read_text(encoding="utf-8").splitlines())
    found = surface.surface()
    difference = [f"- {line}" for line in committed if line not in found]
    difference += [f"+ {line}" for line in found if line not in committed]
    assert not difference, "\n".join(("if this is wanted: python -m tests.surface", *difference))
    assert committed == sorted(found)


def test_there_are_no_others() -> None:
    public = {
        name
        for name in dir(slipstream_actor)
        if not name.startswith("_")
        and not isinstance(getattr(slipstream_actor, name), types.ModuleType)
    }
    assert public == set(EXPORTS) - {"commands", "events", "telemetry"}


@pytest.mark.parametrize(
    "code",
    [
        "from slipstream_actor import *",
        "import slipstream_actor as s; from slipstream_actor import Supervisor, debug, get_state;"
        "assert s.Supervisor is Supervisor is vars(s)['Supervisor']; debug.report()",
        "import slipstream_actor as s; s.debug.report(); assert s.debug.get_state is s.get_state",
        "import slipstream_actor as s; assert 'run' not in vars(s) and 'run' in dir(s)",
        "import pickle, slipstream_actor as s; status = s.HandleStatus;"
        "assert pickle.loads(pickle.dumps(status)) is status",
    ],
)
def test_what_is_imported_when_it_is_asked_for(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_many_threads_may_ask_for_it_at_once() -> None:
    code = """
import threading
import slipstream_actor
names = [*slipstream_actor._MODULES] * 4
ready = threading.Barrier(len(names))
found = {}
def ask(at, name):
    ready.wait()
    found[at] = getattr(slipstream_actor, name)
threads = [threading.Thread(target=ask, args=item) for item in enumerate(names)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
assert {at: getattr(slipstream_actor, name) for at, name in enumerate(names)} == found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def documented(value: Any) -> bool:
    # Its own, not its base class's.
    return bool((vars(value) if isinstance(value, type) else {"__doc__": value.__doc__})["__doc__"])


@pytest.mark.parametrize("name", EXPORTS)
def test_each_is_importable_and_documented(name: str) -> None:
    value = getattr(slipstream_actor, name)
    if isinstance(value, type | types.FunctionType | types.ModuleType):
        assert documented(value)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_each_class_offers_is_documented(name: str) -> None:
    value = getattr(slipstream_actor, name)
    if not isinstance(value, type) or not value.__module__.startswith("slipstream_actor"):
        return
    for attribute, member in vars(value).items():
        if attribute.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else inspect.unwrap(member)
        if inspect.isfunction(function):
            assert function.__doc__, f"{name}.{attribute}"


@pytest.mark.parametrize("name", [n for n in EXPORTS if n.endswith("Error")])
def test_errors_have_one_root(name: str) -> None:
    error = getattr(slipstream_actor, name)
    if name != "ActorDeadError":  # Pykka's.
        assert issubclass(error, slipstream_actor.SlipstreamError)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_keeps_its_own_list(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in module.__all__:
        assert hasattr(module, public)


@pytest.mark.parametrize("module", ["commands", "events"])
def test_commands_and_events_are_all_there(module: str) -> None:
    there = getattr(slipstream_actor, module)
    structs = {
        name
        for name, value in vars(there).items()
        if isinstance(value, type) and value.__module__ == there.__name__
    }
    assert structs <= set(there.__all__)
    for name in structs:
        assert documented(getattr(there, name))
    if module == "events":
        assert structs <= set(EXPORTS)
