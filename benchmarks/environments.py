"""The peers, and the environments that they run in: made when they are first needed, under
`benchmarks/build/`, of the versions that `peers/requirements/` pins.

The bare loop and the library run in the environment of whoever starts the bench where it is not for
the table: the loop is made of what the library stands on, and of the same versions. For the table
they have environments of their own too: in that of a developer extras are imported as well.
"""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import BUILD, HERE, ROOT

REQUIREMENTS = HERE / "peers" / "requirements"
MINUTES = 60.0
PROJECT = "slipstream_actor"
BUILT = re.compile(re.escape(str(BUILD)))


class CannotBeMade(Exception):
    """An environment that is not to be had; the message is the reason."""


@dataclass(frozen=True)
class Peer:
    """`module` of `benchmarks.peers`, or a program for Node; `package` is what it compares."""

    name: str
    module: str
    package: str
    title: str
    imports: str
    own: bool = True
    """Whether it has an environment of its own, also where it is not for the table."""

    @property
    def is_javascript(self) -> bool:
        return self.module.endswith(".mjs")


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "bare",
            "bare",
            "websocket-client",
            "bare websocket-client, msgspec",
            "websocket, msgspec",
            own=False,
        ),
        Peer("ours", "ours", PROJECT, PROJECT, PROJECT, own=False),
        Peer(
            "websockets",
            "websockets_sync",
            "websockets",
            "websockets (sync), msgspec",
            "websockets.sync.client, msgspec",
        ),
        Peer(
            "picows",
            "picows_uvloop",
            "picows",
            "picows on uvloop, msgspec",
            "picows, uvloop, msgspec",
        ),
        Peer("phoenix", "phoenix.mjs", "phoenix", "phoenix on Node", "phoenix"),
        Peer("realtime", "supabase_realtime", "realtime", "realtime", "realtime"),
        Peer(
            "phoenix-channels",
            "phoenix_channels",
            "phoenix-channels-python-client",
            "phoenix-channels-python-client",
            "phoenix_channels_python_client",
        ),
        Peer("phxsocket", "phxsocket_client", "phxsocket", "phxsocket", "phxsocket"),
        Peer(
            "gql",
            "gql_phoenix",
            "gql",
            "gql, Phoenix transport",
            "gql, gql.transport.phoenix_channel_websockets",
        ),
    )
}


@dataclass(frozen=True)
class Environment:
    """How a peer's program is started, and which version of it that is."""

    command: tuple[str, ...]
    directory: Path
    interpreter: str
    version: str


def _run(*command: str | Path) -> str:
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=10 * MINUTES
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBeMade(f"{command[0]}: {error}") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines() or ["it failed"]
        raise CannotBeMade(lines[-1]) from error
    return done.stdout.strip()


_known: dict[Peer, Environment | CannotBeMade] = {}


def environment_of(peer: Peer) -> Environment:
    """The environment of a peer, made if it is not there. Raises `CannotBeMade`, also when it could
    not be made before: what is not to be had takes its time."""
    if peer not in _known:
        try:
            _known[peer] = _of_node(peer) if peer.is_javascript else _of_python(peer)
        except CannotBeMade as error:
            _known[peer] = error
    found = _known[peer]
    if isinstance(found, CannotBeMade):
        raise found
    return found


def _of_python(peer: Peer) -> Environment:
    python = str(_venv(peer) if peer.own else sys.executable)
    # As pip does with what it installs: this runs from its sources.
    for compiled in ("slipstream_actor", "benchmarks"):
        compileall.compile_dir(ROOT / compiled, quiet=2, rx=BUILT)
    asked = f"from importlib.metadata import version; print(version({peer.package!r}))"
    installed = sys.executable if peer.package == PROJECT else python
    command = (python, "-m", f"benchmarks.peers.{peer.module}")
    return Environment(command, ROOT, python, _run(installed, "-c", asked))


def _is_of(stamp: Path, pinned: Path) -> bool:
    return stamp.exists() and stamp.read_bytes() == pinned.read_bytes()


def _venv(peer: Peer) -> Path:
    pinned = REQUIREMENTS / f"{peer.name}.txt"
    place = BUILD / peer.name
    python, stamp = place / "venv" / "bin" / "python", place / "installed.txt"
    if not _is_of(stamp, pinned):
        print(f"installing {peer.title}", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        _run(sys.executable, "-m", "venv", place / "venv")
        quietly = ("--quiet", "--disable-pip-version-check")
        _run(python, "-m", "pip", "install", *quietly, "--requirement", pinned)
        shutil.copy(pinned, stamp)
    return python


def _of_node(peer: Peer) -> Environment:
    pinned = REQUIREMENTS / peer.name / "package.json"
    place = BUILD / peer.name
    stamp = place / "installed.json"
    if not _is_of(stamp, pinned):
        print(f"installing {peer.title}", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(pinned.parent, place)
        _run("npm", "ci", "--prefix", place, "--no-audit", "--no-fund")
        shutil.copy(pinned, stamp)
    node = shutil.which("node")
    if node is None:
        raise CannotBeMade("there is no node")
    described = place / "node_modules" / peer.package / "package.json"
    version = _run(node, "-p", f"require({str(described)!r}).version")
    command = (node, "--expose-gc", str(HERE / "peers" / peer.module))
    return Environment(command, place, node, f"{version}, Node {_run(node, '--version')}")
