"""The shell tool, as it is called."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import slipstream_actor
from slipstream_actor.cli.main import main
from slipstream_actor.cli.output import say
from slipstream_actor.testing import PhoenixServer
from tests.support.shell import COMMAND, environment

ROOT = Path(__file__).parents[2]
DEADLINE = 60
COMMANDS = ["listen", "push", "doctor", "serve", "proxy", "bench", "repl", "top"]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"slipstream_actor {slipstream_actor.__version__}\n", "")


def test_without_a_command_it_shows_its_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("Usage: slipstream-actor ")
    assert "--version" in errors


def test_help_that_is_asked_for_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output, errors = capsys.readouterr()
    assert output.startswith("Usage: slipstream-actor ")
    assert errors == ""
    assert all(command in output for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    output, errors = capsys.readouterr()
    assert f"For example:\n    slipstream-actor {command}" in output
    assert errors == ""


def test_what_it_does_not_know_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), ([], 2)])
def test_from_the_shell(arguments: list[str], status: int) -> None:
    command = [sys.executable, "-W", "error", "-m", "slipstream_actor", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == status
    assert bool(done.stdout) == (status == 0)
    assert bool(done.stderr) == (status != 0)


WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from slipstream_actor.cli.main import main
status = main({arguments!r})
print(*sys.modules)
sys.exit(status)
"""


def without(missing: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the tool where these modules are not installed."""
    program = WITHOUT.format(missing=missing, arguments=arguments)
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


def test_a_command_without_its_extra_names_it() -> None:
    done = without(["typer"], ["listen", "ws://localhost/socket/websocket", "t"])
    assert done.returncode == 2
    assert "needs the extra slipstream_actor[cli]" in done.stderr


def test_the_server_needs_an_extra_of_its_own() -> None:
    done = without(["wsproto"], ["serve", "--port", "0"])
    assert done.returncode == 2
    assert "install the extra slipstream_actor[testing]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_needs_no_extra_and_loads_none() -> None:
    done = without([], ["--version"])
    assert done.returncode == 0
    assert not {"typer", "rich", "prompt_toolkit"} & set(done.stdout.split())


def in_shell(redirection: str, *arguments: str) -> tuple[int, str]:
    """Run the tool as a shell redirects its streams; return its status, and standard error."""
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments]
    done = subprocess.run(
        shell,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return done.returncode, done.stderr


WRITING = [
    ["--version"],
    ["--help"],
    ["listen", "--help"],
    ["push", "URI", "bench:a", "echo", "--await-reply"],
    ["listen", "URI", "bench:a", "--params", '{"push": {}}', "-q"],
    ["bench", "URI", "bench:a", "echo", "--count", "2", "-q"],
    ["doctor", "URI"],
    ["doctor", "URI", "--json"],
    ["serve", "--port", "0", "--no-reload"],
    ["proxy", "URI"],
    ["top", "HERE", "--once"],
]


def given(arguments: list[str], server: PhoenixServer, here: Path) -> list[str]:
    return [{"URI": server.uri, "HERE": str(here)}.get(each, each) for each in arguments]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_full_disk_is_told_in_a_line(
    server: PhoenixServer, tmp_path: Path, arguments: list[str]
) -> None:
    status, errors = in_shell(">/dev/full", *given(arguments, server, tmp_path))
    assert (status, errors) == (1, "slipstream-actor: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
def test_a_full_disk_ends_a_script(server: PhoenixServer, tmp_path: Path) -> None:
    # The first line is written by the client, when the topic is joined.
    script = tmp_path / "script"
    script.write_text("join bench:a\ntopics\n")
    status, errors = in_shell(f">/dev/full <{script}", "repl", server.uri, "-q")
    assert (status, errors) == (1, "slipstream-actor: No space left on device\n")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["push", "--help"]])
def test_a_reader_that_has_gone_ends_it_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as nobody:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=environment(),
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


READING = [
    (["push", "URI", "bench:a", "echo", "-"], 1),
    (["push", "URI", "bench:a", "echo", "-", "--binary"], 2),
    (["repl", "URI", "-q"], 1),
    (["proxy", "URI"], 1),
]


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_closed_standard_output_is_told_in_a_line(
    server: PhoenixServer, tmp_path: Path, arguments: list[str]
) -> None:
    status, errors = in_shell(">&-", *given(arguments, server, tmp_path))
    assert (status, errors) == (1, "slipstream-actor: standard output is closed\n")


@pytest.mark.parametrize(("arguments", "expected"), READING)
def test_a_closed_standard_input_is_told_in_a_line(
    server: PhoenixServer, tmp_path: Path, arguments: list[str], expected: int
) -> None:
    status, errors = in_shell("<&-", *given(arguments, server, tmp_path))
    assert status == expected
    assert errors.startswith("slipstream-actor: ")
    assert errors.endswith("standard input is closed\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_who_needs_no_stream_does_not_miss_it(server: PhoenixServer, redirection: str) -> None:
    assert in_shell(redirection, "push", server.uri, "bench:a", "echo") == (0, "")


def test_what_is_for_a_closed_standard_error_is_not_on_standard_output() -> None:
    # What is standard error here is the tool's standard output.
    assert in_shell(">&2 2>&-", "push", "ws://127.0.0.1:1/websocket", "t", "e") == (4, "")


def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Unbuffered(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Unbuffered())
    say("one line")
    assert written == ["one line\n"]
