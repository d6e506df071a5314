"""The pytest plugin and the texts of failures, in a pytest of their own; and unittest, without."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = """
from slipstream_actor import *
from slipstream_actor.testing import *

class Chat(ClientActor):
    def init(self):
        return connect("ws://test.invalid/socket/websocket", test_mode=True)

    def handle_connect(self, socket):
        return socket.join("rooms:lobby", {"token": "t"})

    def handle_message(self, topic, event, payload, socket):
        if event == "raise":
            raise RuntimeError("oh")
        if event == "leave":
            return socket.leave(topic)
        if event == "disconnect":
            return socket.disconnect()
        socket.push(topic, event, payload)
"""
PASSING = """
import pytest
from client import *

@pytest.fixture
def chat(socket_test):
    chat = socket_test.start(Chat)
    connect_and_assert_join(chat, "rooms:lobby", {"token": "t"})
    return chat

@pytest.mark.parametrize("number", range(6))
def test_echo(chat, number):
    push(chat, "rooms:lobby", "echo", {"n": number})
    reply(chat, assert_push("rooms:lobby", "echo", {"n": number}))
    refute_push(timeout=0)

def test_methods(socket_test, chat):
    socket_test.push(chat, "rooms:lobby", "leave")
    socket_test.assert_leave("rooms:lobby")
"""
FAILING = (
    PASSING.partition("@pytest.mark")[0]
    + """
BODY = {"text": "a long text " * 4, "tags": ["one", "two"], "author": {"name": "alice"}}

def prepare(chat, event, payload={}):
    push(chat, "rooms:lobby", event, payload)
    wait_for = push(chat, "rooms:lobby", "end")
    assert_push(event="end")

def test_join(chat):
    assert_join("rooms:other", {"a": 1}, timeout=0)

def test_no_join(socket_test):
    chat = socket_test.start(Chat)
    accept_connect(chat)
    refute_join("rooms:lobby", timeout=60)

def test_leave(chat):
    assert_leave(lambda topic: topic.endswith("x"), timeout=0)

def test_no_leave(chat):
    push(chat, "rooms:lobby", "leave")
    refute_leave(timeout=60)

def test_push(chat):
    prepare(chat, "echo", BODY)
    expected = {"text": 1, "tags": ["one", "2"], "author": {"name": "bob", "id": ANY}}
    assert_push("rooms:lobby", "echo", expected, timeout=0)

def test_no_push(chat):
    refute_push_of(chat)

def refute_push_of(chat):
    __tracebackhide__ = True
    push(chat, "rooms:lobby", "echo", b"abc")
    refute_push("rooms:lobby", "echo", timeout=60)

def test_disconnect(chat):
    assert_disconnect(timeout=0)

def test_no_disconnect(chat):
    push(chat, "rooms:lobby", "disconnect")
    refute_disconnect(timeout=60)

def test_crash(chat):
    push(chat, "rooms:lobby", "raise")
    assert_push(timeout=60)
"""
)
JOINED = "  1. join 'rooms:lobby' {'token': 't'}  (taken)"
TEXTS = {
    "test_join": f"""\
AssertionError: expected a join within 0 s
    topic = 'rooms:other'
    params = {{'a': 1}}
what has come since the connect (1):
{JOINED}""",
    "test_no_join": """\
AssertionError: expected no join within 60 s
    topic = 'rooms:lobby'
    params = ANY
what has come since the connect (1):
  1. join 'rooms:lobby' {'token': 't'}  <- this""",
    "test_leave": f"""\
AssertionError: expected a leave within 0 s
    topic = <lambda> (a predicate)
what has come since the connect (1):
{JOINED}""",
    "test_no_leave": f"""\
AssertionError: expected no leave within 60 s
    topic = ANY
what has come since the connect (2):
{JOINED}
  2. leave 'rooms:lobby'  <- this""",
    "test_push": f"""\
AssertionError: expected a push within 0 s
    topic = 'rooms:lobby'
    event = 'echo'
    payload = {{'text': 1, 'tags': ['one', '2'], 'author': {{'name': 'bob', 'id': ANY}}}}
what has come since the connect (3):
{JOINED}
  2. push 'rooms:lobby' 'echo'
        {{'text': 'a long text a long text a long text a long text ',
         'tags': ['one', 'two'],
         'author': {{'name': 'alice'}}}}
        payload['text']: expected 1, got 'a long text a long text a long text a long text '
        payload['tags'][1]: expected '2', got 'two'
        payload['author']['name']: expected 'bob', got 'alice'
        payload['author']['id']: expected ANY, and it is missing
  3. push 'rooms:lobby' 'end' {{}}  (taken)""",
    "test_no_push": f"""\
AssertionError: expected no push within 60 s
    topic = 'rooms:lobby'
    event = 'echo'
    payload = ANY
what has come since the connect (2):
{JOINED}
  2. push 'rooms:lobby' 'echo' b'abc'  <- this""",
    "test_disconnect": f"""\
AssertionError: expected a disconnect within 0 s
what has come since the connect (1):
{JOINED}""",
    "test_no_disconnect": f"""\
AssertionError: expected no disconnect within 60 s
what has come since the connect (2):
{JOINED}
  2. disconnect  <- this""",
    "test_crash": f"""\
AssertionError: Chat crashed: RuntimeError('oh')
expected a push within 60 s
    topic = ANY
    event = ANY
    payload = ANY
what has come since the connect (2):
{JOINED}
  2. Chat crashed: RuntimeError('oh')""",
}


@pytest.fixture
def clients(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory with a client to test."""
    pytester.makepyfile(client=CLIENT)
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n')
    return pytester


def test_the_fixture_is_the_server_of_the_functions(clients: pytest.Pytester) -> None:
    clients.makepyfile(test_chat=PASSING)
    clients.runpytest_subprocess().assert_outcomes(passed=7)


def test_under_xdist(clients: pytest.Pytester) -> None:
    clients.makepyfile(test_chat=PASSING)
    result = clients.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*2 workers*"])


def test_what_each_failure_says(clients: pytest.Pytester) -> None:
    clients.makepyfile(test_chat=FAILING)
    result = clients.runpytest_subprocess("--show-capture=no", "-o", "console_output_style=classic")
    result.assert_outcomes(failed=len(TEXTS))
    output = result.stdout.str()
    failures = output.partition("short test summary")[0]
    sections = re.split(r"^_+ (\w+) _+$", failures, flags=re.MULTILINE)[1:]
    texts = {
        name: "\n".join(line[8:] for line in section.splitlines() if line.startswith("E   "))
        for name, section in zip(sections[::2], sections[1::2], strict=True)
    }
    assert texts.pop("test_crash").endswith(TEXTS["test_crash"])
    assert texts == {name: text for name, text in TEXTS.items() if name != "test_crash"}
    # They are reported where the test asserts.
    assert not re.search(r"^\S*slipstream_actor/testing\S*:\d+:", output, re.MULTILINE)


def test_the_functions_are_cleaned_up_behind_a_test(clients: pytest.Pytester) -> None:
    clients.makepyfile(
        test_chat="""
        from client import *

        chats = []

        def test_one():
            chats.append(Chat.start())
            connect_and_assert_join(chats[0])
            push(chats[0], "rooms:lobby", "left over")

        def test_two():
            refute_push(timeout=0)
            assert not call(chats[0], "connected?", timeout=5)
            chats[0].stop()
        """
    )
    clients.makepyfile(
        client=CLIENT
        + """
    def handle_call(self, message, from_, socket):
        return Answer(socket.connected)
"""
    )
    clients.runpytest_subprocess().assert_outcomes(passed=2)


def test_timeouts_from_the_configuration(clients: pytest.Pytester) -> None:
    clients.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        slipstream_assert_timeout = "0.5"
        slipstream_refute_timeout = "0.25"
        """
    )
    clients.makepyfile(
        test_chat="""
        from slipstream_actor.testing import SocketTest

        def test_fixture(socket_test):
            assert (socket_test.assert_timeout, socket_test.refute_timeout) == (0.5, 0.25)

        def test_others():
            assert (SocketTest().assert_timeout, SocketTest().refute_timeout) == (0.5, 0.25)
        """
    )
    clients.runpytest_subprocess().assert_outcomes(passed=2)


CRASHING = """
import pytest
from client import *

def crash(chat):
    push(chat, "rooms:lobby", "raise")
    assert isinstance(wait(chat, timeout=10), RuntimeError)

def test_crash(socket_test):
    crash(socket_test.start(Chat))

def test_it_is_expected(socket_test):
    socket_test.fail_on_crash = False
    crash(socket_test.start(Chat))

def test_the_manager():
    with pytest.raises(AssertionError), SocketTest() as server:
        crash(server.start(Chat))
"""


def test_crashes_fail_their_test_where_that_is_asked_for(clients: pytest.Pytester) -> None:
    clients.makepyfile(test_chat=CRASHING)
    clients.runpytest_subprocess().assert_outcomes(passed=2, failed=1)
    clients.makepyprojecttoml("[tool.pytest.ini_options]\nslipstream_fail_on_crash = true\n")
    result = clients.runpytest_subprocess()
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_crash*",
            "E*AssertionError: crashed, and no assertion has said so:",
            "E*    Chat-*: RuntimeError('oh')",
        ]
    )
    assert not result.stdout.str().count("ERROR at teardown of test_it_is_expected")


def test_the_embedded_server_and_its_proxy(clients: pytest.Pytester) -> None:
    clients.makepyfile(
        test_chat="""
        import pytest
        from slipstream_actor import connect
        from slipstream_actor.testing import Channel

        class Room(Channel):
            def join(self, params):
                return {"params": params}

        def test_recorded(phoenix_server):
            talk(phoenix_server.uri, "bench:lobby")

        @pytest.mark.phoenix_channels({"rooms:*": Room})
        def test_marked(phoenix_server, phoenix_proxy):
            assert phoenix_proxy.uri != phoenix_server.uri
            assert talk(phoenix_proxy.uri, "rooms:lobby") == {"params": {"n": 1}}
            assert phoenix_proxy.bytes_up

        class TestOverridden:
            @pytest.fixture
            def phoenix_channels(self):
                return {"halls:*": Room}

            def test_it(self, phoenix_server):
                talk(phoenix_server.uri, "halls:lobby")

            @pytest.mark.phoenix_channels({"rooms:*": Room})
            def test_with_its_own(self, phoenix_proxy):
                talk(phoenix_proxy.uri, "rooms:lobby")

        def talk(uri, topic):
            socket = connect(uri).await_connect().join(topic, {"n": 1}).await_join(topic)
            socket.disconnect().await_disconnect()
            return socket.joins[topic].response
        """
    )
    clients.runpytest_subprocess("--strict-markers").assert_outcomes(passed=4)


@pytest.mark.parametrize("arguments", ["", "()", "(channels={})", "({}, {})"])
def test_a_marker_without_its_argument_says_so(clients: pytest.Pytester, arguments: str) -> None:
    clients.makepyfile(
        f"""
        import pytest

        @pytest.mark.phoenix_channels{arguments}
        def test_marked(phoenix_server):
            pass
        """
    )
    result = clients.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TypeError: @pytest.mark.phoenix_channels takes one argument, *"])


LEAKING = """
from client import *

def test_leak(request):
    Chat.start(name="leak")

def test_it_was_stopped():
    assert whereis("leak") is None
"""


@pytest.mark.parametrize("how", ["fixture", "option", "configuration"])
def test_leaked_clients_fail_their_test(clients: pytest.Pytester, how: str) -> None:
    arguments: list[str] = []
    code = LEAKING
    if how == "fixture":
        code = LEAKING.replace("test_leak(request)", "test_leak(no_leaked_clients)")
    elif how == "option":
        arguments = ["--slipstream-leaked-clients"]
    else:
        clients.makepyprojecttoml("[tool.pytest.ini_options]\nslipstream_leaked_clients = true\n")
    clients.makepyfile(test_chat=code)
    result = clients.runpytest_subprocess(*arguments)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leak*",
            "E*AssertionError: left alive, and stopped now:",
            "E*    Chat 'leak'",
        ]
    )


def test_without_being_asked_for_there_is_no_check(clients: pytest.Pytester) -> None:
    clients.makepyfile(test_chat=LEAKING.replace("is None", "is not None"))
    clients.runpytest_subprocess().assert_outcomes(passed=2)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_under_unittest(clients: pytest.Pytester) -> None:
    clients.makepyfile(
        test_chat="""
        import unittest
        from client import *

        class TestChat(unittest.TestCase):
            def setUp(self):
                self.server = self.enterContext(SocketTest())
                self.enterContext(no_leaked_clients())
                self.chat = self.server.start(Chat)
                self.addCleanup(self.chat.stop)
                self.server.connect_and_assert_join(self.chat)

            def test_echo(self):
                push(self.chat, "rooms:lobby", "echo", {"n": 1})
                self.server.assert_push("rooms:lobby", "echo", {"n": 1})

            def test_failure(self):
                assert_push("rooms:lobby", timeout=0)

        if __name__ == "__main__":
            unittest.main()
        """
    )
    done = run("-W", "error", "-m", "unittest", "-v", "test_chat", cwd=clients.path)
    assert "Ran 2 tests" in done.stderr
    assert "FAILED (failures=1)" in done.stderr
    assert """\
    assert_push("rooms:lobby", timeout=0)
AssertionError: expected a push within 0 s
    topic = 'rooms:lobby'
    event = ANY
    payload = ANY
what has come since the connect (1):
  1. join 'rooms:lobby' {'token': 't'}  (taken)
""" in re.sub(r"^ *[\^~]+\n", "", done.stderr, flags=re.MULTILINE)


def test_the_plugin_imports_nothing_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('slipstream_actor')\n"
        "    assert not {'slipstream_actor', 'pykka', 'websocket', 'wsproto'} & set(sys.modules)\n"
    )
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
