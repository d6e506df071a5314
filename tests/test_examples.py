"""The examples, as a newcomer runs them: in a process of their own, with a deadline; and their
READMEs, which show the code as it is (their other blocks are run by `test_docs.py`). What they do
in detail is tested beside each of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.support.pages import FENCE

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(page.parent for page in (ROOT / "examples").glob("*/README.md"))
DEADLINE = 100.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with its development checks, so that what is left open is complained about."""
    return subprocess.run(
        [sys.executable, "-X", "dev", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def assert_in_order(lines: list[str], expected: Iterable[str]) -> None:
    """Each expected line comes after the one before it; others may come between."""
    rest = iter(lines)
    for wanted in expected:
        assert wanted in rest, f"{wanted!r} is missing, or too early, in {lines}"


# A program that configures no logging has the warnings on its standard error.
SAID = re.compile(r"\w+(-\d+| '\w+') (has lost its connection to|cannot connect to) ws://\S+: .*")


# What asyncio's development checks say of a busy machine.
SLOW = re.compile(r"Executing <.*> took \d+\.\d+ seconds")


def complaints(errors: str) -> list[str]:
    """Return what a program has written to its standard error, but for what its clients say of a
    server that has hung up, and for its pace."""
    said = (SAID, SLOW)
    return [line for line in errors.splitlines() if not any(one.fullmatch(line) for one in said)]


def test_the_quickstart() -> None:
    result = run("-m", "examples.quickstart")
    assert complaints(result.stderr) == []
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("connecting to ws://127.0.0.1:")
    assert_in_order(
        lines,
        [
            "connected",
            "joined bench:lobby: {'motd': 'welcome'}",
            "message on bench:lobby: shout {'text': 'hello, everybody'}",
            "message on bench:lobby: shout {'text': 'from another thread'}",
            "reply to a proxied push: ok {}",
            "-- the server disconnects the user --",
            "disconnected: ClosedByPeer(code=1001, reason='')",
            "connected",
            "joined bench:lobby: {'motd': 'welcome'}",
            "bye: normal",
        ],
    )
    assert_in_order(
        lines,
        [
            "joined bench:lobby: {'motd': 'welcome'}",
            "reply to the text: ok {'text': 'hello'}",
            "reply to the bytes: ok b'\\x00\\x01\\x02'",
            "reply to the broadcast: ok {}",
        ],
    )
    assert lines[-1] == "bye: normal"


def test_the_script(server: PhoenixServer) -> None:
    result = run("examples/scripting/client.py", server.uri)
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "refused: JoinRefused(response={'bad': 'join'})",
        "joined: {'hello': 'script'}",
        "reply: {'n': 1}",
        "message: shout {'n': 2}",
        "connected: False",
    ]
    server.wait_for_connections(0)


def test_the_script_without_a_server(server: PhoenixServer) -> None:
    server.stop()
    result = run("examples/scripting/client.py", server.uri)
    assert result.returncode == 1
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert "ConnectFailedError: awaited the connection: 127.0.0.1:" in last
    assert "Connection refused (hint: " in last


def test_a_program_that_ends_takes_its_leave(server: PhoenixServer) -> None:
    # Clients are daemon threads; they are stopped all the same, and not cut off.
    program = (
        "from examples.quickstart.client import ROOM, Chat\n"
        "from slipstream_actor import wait_until_joined\n"
        f"chat = Chat.start({server.uri!r})\n"
        "wait_until_joined(chat, ROOM)\n"
    )
    result = run("-c", program)
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "bye: normal"


def run_example(name: str) -> list[str]:
    """Run an example against its embedded server; return what it has printed."""
    result = run("-m", f"examples.{name}")
    assert complaints(result.stderr) == []
    assert result.returncode == 0
    return result.stdout.splitlines()


def test_the_script_with_a_server_of_its_own() -> None:
    assert run_example("scripting")[-1] == "connected: False"


def test_the_gen_server() -> None:
    assert run_example("gen_server") == [
        "notes: milk, bread",
        "the room has seen: 2",
        "notes: bread",
        "closed normal",
    ]


def test_the_graceful_startup() -> None:
    lines = run_example("graceful_startup")
    assert_in_order(
        lines,
        [
            "-- not configured --",
            "WARNING no PRICES_URI: going on without prices",
            "ready: False, coffee: None",
            "-- configured wrongly --",
            "ready: False, coffee: None",
            "-- the service is down --",
            "ready: False, coffee: None",
            "-- and comes up --",
            "ready: True, coffee: 2.5",
        ],
    )


def test_the_rejoin_on_reconnect() -> None:
    lines = run_example("rejoin_on_reconnect")
    for topic in ("logs:web", "logs:mail"):
        assert_in_order(
            lines,
            [
                f"joined {topic} after 0",
                f"{topic} 1: started",
                "disconnected: ClosedByPeer(code=1012, reason='')",
                f"joined {topic} after 1",
                f"{topic} 2: written during the gap",
            ],
        )
    assert sum("written during the gap" in line for line in lines) == 2


def test_the_repeater() -> None:
    assert sorted(run_example("repeater")) == [
        "rooms:attic new:msg {'body': 'dusty here'}",
        "rooms:lobby new:msg {'body': 'hello'}",
        "rooms:lobby new:picture b'\\x89PNG'",
    ]


def test_the_token_refresh() -> None:
    lines = run_example("token_refresh")
    refusal = next(line for line in lines if "status=403" in line)
    assert_in_order(
        lines,
        [
            "fetched token-1",
            "disconnected: ClosedByPeer(code=1001, reason='')",
            refusal,
            "fetched token-2",
            "joined again",
            "('shutdown', 'unauthorized')",
        ],
    )
    assert "fetched token-3" not in lines


def test_the_presence() -> None:
    lines = run_example("presence")
    assert_in_order(
        lines,
        [
            "bob is here",
            "bob is here with a laptop too",
            "online: alice (desktop), bob (phone and laptop)",
            "bob has put the phone away",
            "-- alice is disconnected --",
            "bob has gone",
            "online: alice (desktop)",
        ],
    )


def test_the_port() -> None:
    lines = run_example("porting")
    assert_in_order(
        lines,
        [
            "open: [1, 2]",
            "price of 2: 19.0",
            "shipped: ok",
            "open: [1]",
            "WARNING disconnected: ClosedByPeer(code=1001, reason='')",
            "open: [1, 2]",
            "INFO no more orders: normal",
        ],
    )


def test_the_django_app() -> None:
    assert run_example("django_app") == [
        "said: 201 {'length': 5}",
        "said: 201 {'length': 5}",
        "last: {'body': 'hello'}",
        "refused: 409 {'error': 'ReplyError'}",
        "health: 200 {'rooms:lobby': 'joined'}",
    ]


def test_the_celery_app() -> None:
    assert run_example("celery_app") == ["counted: 5", "counted: 12", "exit status: 0"]


def test_the_flask_app() -> None:
    result = run("-m", "examples.flask_app")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "POST /messages 'hello': 201 {'length': 5}",
        "POST /messages '': 409 {'error': 'ReplyError'}",
        "GET /messages/last: {'body': 'hello'}",
        "GET /health: 200",
        "-- Phoenix has gone --",
        "POST /messages: 503 {'error': 'AwaitTimeoutError'}",
        "GET /health: 503",
    ]
    # What a view has answered for is in the log, and no traceback.
    assert "answered with 503: awaited the reply of Rooms-1 to 'new:msg'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_fastapi_app() -> None:
    assert run_example("fastapi_app") == [
        "10 replies",
        "heard: number 0",
        "connected: True",
        "after the lifespan: stopped",
    ]


# their READMEs


def quotations(text: str) -> Iterable[tuple[str, str]]:
    """Yield the blocks of a README that have a file's name for a title, with that."""
    for fence in FENCE.finditer(text):
        if title := re.search(r'title="([^"]+)"', fence["rest"]):
            yield title[1], fence["code"]


def unshown(source: str, quoted: Iterable[str]) -> list[str]:
    """Return the lines of a file that no quotation shows; fails for what is no quotation."""
    lines = source.splitlines()
    shown: set[int] = set()
    for code in quoted:
        block = code.splitlines()
        starts = [at for at in range(len(lines)) if lines[at : at + len(block)] == block]
        assert starts, f"not in the file:\n{code}"
        shown.update(range(starts[0], starts[0] + len(block)))
    return [line for at, line in enumerate(lines) if line and at not in shown]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_readme_shows_the_code_as_it_is_and_all_of_the_client(example: Path) -> None:
    quoted: dict[str, list[str]] = {}
    for name, code in quotations((example / "README.md").read_text(encoding="utf-8")):
        quoted.setdefault(name, []).append(code)
    assert {"client.py", "test_client.py"} <= quoted.keys()
    for name, blocks in quoted.items():
        missing = unshown((example / name).read_text(encoding="utf-8"), blocks)
        if name.startswith("client."):
            assert missing == []


def test_what_a_readme_does_not_show_is_noticed() -> None:
    source = "a = 1\n\nb = 2\n"
    assert unshown(source, ["a = 1\n", "b = 2\n"]) == []
    assert unshown(source, ["a = 1\n"]) == ["b = 2"]
    with pytest.raises(AssertionError, match="not in the file"):
        unshown(source, ["b = 3\n"])


def test_there_is_an_entry_for_each_of_them() -> None:
    index = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\w+)\]\(\1/README\.md\)", index, re.MULTILINE)
    assert sorted(listed) == [example.name for example in EXAMPLES]
    assert {example.name for example in EXAMPLES} == {
        path.parent.name for path in (ROOT / "examples").glob("*/client.py")
    }
    for example in EXAMPLES:
        assert (example / "__main__.py").exists()
        assert (example / "test_client.py").exists()
