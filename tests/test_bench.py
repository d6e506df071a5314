"""The bench: its pure parts, and a short run of it with the bare loop and the library."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import requires
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import websocket

from benchmarks import __main__ as command
from benchmarks import figures, history, plot, smoke, table
from benchmarks.environments import PEERS, REQUIREMENTS
from benchmarks.figures import Round, Spread
from benchmarks.peers.program import Load, Window
from benchmarks.results import IN_README, Results
from benchmarks.runner import Run, cores, measure
from benchmarks.server import running_server
from benchmarks.workloads import PINNED, QUICK, UNPINNED, WORKLOADS

ROOT = Path(__file__).parent.parent
DEADLINE = 120.0
SVG = "{http://www.w3.org/2000/svg}"

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which(os.environ.get("CC", "cc").split()[0]),
    reason="the server in C is for Linux, and has to be compiled",
)


def rates(*pairs: tuple[float, float]) -> list[Round]:
    """Rounds of the bare loop and the library."""
    return [{"bare": {"rate": bare}, "ours": {"rate": ours}} for bare, ours in pairs]


def results(**found: Any) -> Results:
    versions = {"bare": "1.9.2", "ours": "0.1.0", "gql": "not installed: there is no network"}
    made = Results({"processor": "Some 3000", "Python": "3.11"}, "abc", "2026-01-02", versions, 3)
    return replace(made, **found)


# Statistics.


def test_a_ratio_is_taken_in_each_round_and_the_median_is_that_of_the_ratios() -> None:
    # The second round had bad weather for both. The ratio of the medians would be 5.
    rounds = rates((100, 600), (10, 40), (100, 500))
    assert figures.ratios(rounds, "ours", "rate") == Spread(5.0, 4.0, 6.0)
    assert figures.values(rounds, "ours", "rate") == Spread(500, 40, 600)


def test_what_a_peer_cannot_do_has_no_figure_but_a_reason() -> None:
    rounds: list[Round] = [{"bare": {"rate": 1.0}, "gql": {"unable": "it is JSON"}}]
    assert figures.values(rounds, "gql", "rate") is None
    assert figures.ratios(rounds, "gql", "rate") is None
    assert figures.reason(rounds, "gql") == "it is JSON"
    assert figures.reason(rounds, "bare") is None


def test_a_round_in_which_a_peer_has_failed_does_not_count() -> None:
    failed: Round = {"bare": {"rate": 10}, "ours": {"unable": "it failed"}}
    rounds = [failed, *rates((10, 20))]
    assert figures.ratios(rounds, "ours", "rate") == Spread(2.0, 2.0, 2.0)
    assert figures.reason(rounds, "ours") is None


def test_the_servers_share_is_the_most_that_it_needed_beside_any_peer() -> None:
    rounds: list[Round] = [
        {"bare": {"server_share": 0.1}, "ours": {"server_share": share}}
        for share in (0.2, 0.9, 0.3)
    ]
    assert figures.shares(rounds) == 0.3
    assert figures.shares(rates((1, 2))) is None


def test_round_trips_are_a_rate_and_percentiles_in_microseconds() -> None:
    with Window(Load("ws://nowhere")) as window:
        pass
    window.seconds = 2.0
    found = window.round_trips([number / 1e6 for number in range(100, 0, -1)])
    assert found["rate"] == 50
    assert (found["p50"], found["p99"]) == pytest.approx((51, 100))


# The table.


def test_a_cell_has_the_median_and_the_ratio_with_its_spread() -> None:
    figure = WORKLOADS["inbound"].figures[0]
    rounds = rates((100_000, 500_000), (100_000, 610_000), (100_000, 550_000))
    assert table.cell(rounds, "ours", figure, table.Notes()) == (
        "550,000<br>**5.50** (5.00 to 6.10)"
    )
    assert table.cell(rounds, "bare", figure, table.Notes()) == "100,000"


def test_a_page_names_the_machine_the_versions_and_why_there_are_dashes() -> None:
    rounds: list[Round] = [
        {"bare": {"rate": 10.0, "server_share": 0.75}, "gql": {"unable": "it is JSON"}}
    ]
    page = table.page(results(found={PINNED: {"binary": rounds, "binary-1k": rounds}}))
    assert "2026-01-02, commit abc. processor Some 3000, Python 3.11." in page
    row = "| 10.0 **!** | - | -<sup>1</sup> | 75% |"
    assert [line.endswith(row) for line in page.splitlines() if line.startswith("| inbound")] == [
        True,
        True,
    ]
    assert page.count("it is JSON") == 1
    assert "| gql, Phoenix transport | not installed: there is no network |" in page


def test_a_page_has_the_growth_by_size() -> None:
    page = table.page(results(growth={"mailbox": {"10": 50.0, "1000": 51.0}, "refs": {"10": 7.0}}))
    assert "| µs | 10 | 1,000 |" in page
    assert "| mailbox | 50.0 | 51.0 |" in page
    assert "| refs | 7.00 | - |" in page


def test_the_readmes_figures_are_those_of_the_last_whole_run() -> None:
    [shown] = IN_README.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == table.for_readme(Results.read())


def test_the_files_of_the_results_are_those_of_the_last_whole_run() -> None:
    folder = ROOT / "benchmarks" / "results"
    kept = {name: (folder / name).read_text(encoding="utf-8") for name in Results.read().files()}
    assert kept == Results.read().files()


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- figures of the bench -->\nold\n<!-- end of them -->\nrest\n", encoding="utf-8"
    )
    made = results(found={PINNED: {"inbound": rates((2, 10))}}, growth={"refs": {"10": 7.0}})
    made.write(tmp_path / "results", readme)
    assert Results.read(tmp_path / "results") == made
    assert "| inbound messages of 100 bytes, per second | 2.00 | 10.0 | 5.0 |" in readme.read_text(
        encoding="utf-8"
    )
    assert "old" not in readme.read_text(encoding="utf-8")
    assert readme.read_text(encoding="utf-8").endswith("<!-- end of them -->\nrest\n")


# The plots.


def test_a_bar_begins_at_the_bare_loop_and_is_as_long_as_its_ratio() -> None:
    found = {PINNED: {"inbound": rates((1, 10)), "pipelined": rates((10, 1))}}
    drawn = ElementTree.fromstring(plot.ratios(results(found=found)))
    better, worse = (bar.attrib for bar in drawn.iter(f"{SVG}rect") if bar.get("class") == "ours")
    [one] = [line.attrib for line in drawn.iter(f"{SVG}line") if line.get("class") == "one"]
    assert better["x"] == one["x1"]
    assert float(worse["x"]) + float(worse["width"]) == pytest.approx(float(one["x1"]))
    assert better["width"] == worse["width"]
    assert float(better["y"]) < float(worse["y"])


def test_the_same_cost_at_every_size_is_a_level_line() -> None:
    drawn = ElementTree.fromstring(plot.growth({"flat": {"10": 50.0, "1000": 50.0}}))
    [points] = [found.attrib["points"].split() for found in drawn.iter(f"{SVG}polyline")]
    (left, first), (right, second) = (point.split(",") for point in points)
    assert first == second
    assert 0 < float(left) < float(right) < plot.WIDTH


def test_plots_are_readable_in_the_dark_and_have_paper_of_their_own() -> None:
    for drawn in (plot.ratios(results()), plot.growth({"flat": {"10": 50.0}})):
        assert "prefers-color-scheme: dark" in drawn
        assert '<rect width="100%" height="100%" class="paper"/>' in drawn


# The history, and the smoke test.


def entry(ratio: float, count: float, **changed: Any) -> history.Entry:
    spread = {"middle": ratio, "least": ratio - 0.1, "most": ratio + 0.1}
    made: history.Entry = {"kind": "smoke", "machine": {"processor": "Some 3000"}, "commit": "abc"}
    return {**made, "ratios": {"inbound": spread}, "instructions": {"inbound": count}, **changed}


def test_a_run_is_compared_with_the_last_good_one_of_its_kind_and_machine(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    machine = {"processor": "Some 3000"}
    assert history.last("smoke", machine, path) is None
    other: dict[str, Any] = {"machine": {"processor": "Other"}}
    every: list[dict[str, Any]] = [{}, {"good": True}, {"good": False}, {"kind": "whole"}, other]
    for number, changed in enumerate(every):
        history.append(entry(5.0, 100.0, number=number, **changed), path)
    found = history.last("smoke", machine, path)
    assert found is not None
    assert found["number"] == 1
    assert len(path.read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("ratio", "count", "worse"),
    [
        (5.0, 100.0, []),
        (4.0, 104.0, []),
        (3.8, 100.0, ["inbound: the ratio was 5.00"]),
        (5.0, 106.0, ["inbound: 100 instructions were enough"]),
    ],
)
def test_a_smoke_test_fails_when_something_is_clearly_worse(
    ratio: float, count: float, worse: list[str]
) -> None:
    assert smoke.verdicts(entry(ratio, count), entry(5.0, 100.0)) == worse


def test_without_a_run_before_nothing_is_worse() -> None:
    assert smoke.verdicts(entry(0.1, 1e9), None) == []


# The peers.


def core_requirements() -> set[str]:
    lines = requires("slipstream_actor") or []
    return {re.split(r"[<>=]", line)[0] for line in lines if "extra ==" not in line}


def test_every_peer_has_a_program_and_pinned_requirements() -> None:
    for peer in PEERS.values():
        name = peer.module if peer.is_javascript else f"{peer.module}.py"
        assert (ROOT / "benchmarks" / "peers" / name).exists()
        if peer.is_javascript:
            pinned = json.loads(
                (REQUIREMENTS / peer.name / "package.json").read_text(encoding="utf-8")
            )
            assert all(version[0].isdigit() for version in pinned["dependencies"].values())
        else:
            lines = (REQUIREMENTS / f"{peer.name}.txt").read_text(encoding="utf-8").split()
            assert all("==" in line for line in lines)
            named = {line.partition("==")[0] for line in lines}
            assert named == core_requirements() if peer.name == "ours" else peer.package in named


TINY = {
    "count": 200,
    "clients": 3,
    "seconds": 0.1,
    "in_flight": 10,
    "threads": 2,
}


@needs_compiler
@pytest.mark.parametrize("name", WORKLOADS)
def test_the_bare_loop_and_the_library_do_every_workload(name: str) -> None:
    workload = WORKLOADS[name]
    tiny = {**TINY, "count": 2} if name == "fan" else TINY
    extra = {key: tiny[key] for key in workload.load.keys() & tiny.keys()}
    found = measure([PEERS["bare"], PEERS["ours"]], workload, UNPINNED, extra)
    assert "unable" not in found["ours"], found
    for figure in workload.figures:
        assert found["ours"][figure.name] >= 0
        if name != "asyncio":
            assert found["bare"][figure.name] >= 0
    if "rate" in found["ours"]:
        assert 0 <= found["ours"]["server_share"] <= 1.5


def asked(uri: str, *message: object) -> list[Any]:
    """The first answer to a message, and three that follow it."""
    socket = websocket.create_connection(uri, timeout=DEADLINE, suppress_origin=True)
    try:
        socket.send(json.dumps(message[0] if len(message) == 1 else message))
        return [socket.recv() for _ in range(4)]
    finally:
        socket.close()


@needs_compiler
def test_the_server_floods_in_the_form_of_each_client() -> None:
    with running_server(cores(UNPINNED)[0]) as server:
        v1, v2 = (f"{server.uri}/websocket?vsn={version}.0.0" for version in (1, 2))
        join: dict[str, Any] = {"event": "phx_join", "ref": 7, "payload": {"a": [{"b": "c]"}]}}
        topic = "flood:json:3:200"
        reply, *ticks = asked(v2, "1", "1", topic, "phx_join", {})
        assert json.loads(reply)[:4] == ["1", "1", topic, "phx_reply"]
        assert [json.loads(tick)[:4] for tick in ticks] == [[None, None, topic, "tick"]] * 3
        assert [json.loads(tick)[4]["i"] for tick in ticks] == [1000, 1001, 1002]
        assert {len(tick) for tick in ticks} == {200}

        reply, *ticks = asked(v2, "1", "1", "flood:binary:3:200", "phx_join", {})
        assert json.loads(reply)[4] == {"response": {}, "status": "ok"}
        assert all(tick.startswith(b"\x02\x12\x04flood:binary:3:200tick") for tick in ticks)
        assert {len(tick) for tick in ticks} == {200}

        reply, *ticks = asked(v1, {"topic": topic, **join})
        assert json.loads(reply)["ref"] == 7
        assert {json.loads(tick)["topic"] for tick in ticks} == {topic}

        _, *ticks = asked(v1, {**join, "topic": f"realtime:{topic}"})
        for tick in map(json.loads, ticks):
            assert (tick["event"], tick["payload"]["event"]) == ("broadcast", "tick")
            assert tick["payload"]["payload"]["i"] in (1000, 1001, 1002)

        document = {"query": f'subscription {{ messages(of: "{topic}") }}'}
        reply, *ticks = asked(v1, {**join, "topic": "t", "event": "doc", "payload": document})
        listening = json.loads(reply)["payload"]["response"]["subscriptionId"]
        for tick in map(json.loads, ticks):
            assert tick["payload"]["subscriptionId"] == listening
            assert tick["payload"]["result"]["data"]["i"] in (1000, 1001, 1002)


@needs_compiler
def test_a_peer_that_fails_says_why_and_breaks_nothing() -> None:
    broken = replace(PEERS["bare"], module="nowhere")
    found = Run(broken, WORKLOADS["inbound"]).do()
    assert found["unable"].startswith("it failed: ")
    assert "benchmarks.peers.nowhere" in found["unable"]


@needs_compiler
def test_an_environment_that_cannot_be_made_is_a_reason() -> None:
    unheard = replace(PEERS["bare"], package="unheard-of")
    found = Run(unheard, WORKLOADS["inbound"]).do()
    assert "unheard-of" in found["unable"]


@pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen on Linux")
def test_pinned_the_client_and_the_server_have_a_core_each() -> None:
    ours = os.sched_getaffinity(0)
    server, client = cores(PINNED)
    assert len(server) == len(client) == 1
    assert (server != client) == (len(ours) > 1)
    assert cores(UNPINNED) == (ours, ours)


def test_in_each_round_another_peer_begins() -> None:
    peers = [PEERS[name] for name in ("bare", "ours", "gql")]
    turns = [[peer.name for peer in command.turned(peers, number)] for number in range(4)]
    assert turns == [
        ["bare", "ours", "gql"],
        ["ours", "gql", "bare"],
        ["gql", "bare", "ours"],
        ["bare", "ours", "gql"],
    ]


def test_a_name_that_there_is_not_lists_those_there_are() -> None:
    known = ["inbound", "pipelined", "idle"]
    assert command.names("idle,inbound", known, "workload") == ["inbound", "idle"]
    with pytest.raises(SystemExit, match=r"^No such workload: outbound\. There are inbound, pip"):
        command.names("inbound,outbound", known, "workload")


def test_the_history_has_the_ratios_of_every_placement() -> None:
    found = {PINNED: {"inbound": rates((10, 55))}, UNPINNED: {"inbound": rates((10, 20))}}
    summary = results(found=found).summary()
    assert summary["kind"] == "whole"
    assert summary["ratios"] == {
        PINNED: {"inbound": {"bare": 1.0, "ours": 5.5}},
        UNPINNED: {"inbound": {"bare": 1.0, "ours": 2.0}},
    }


@needs_compiler
def test_without_options_it_prints_three_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rounds=1", "--scale=0.01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    titles = [WORKLOADS[name].figures[0].title for name in QUICK]
    assert sorted(line[: command.WIDE].strip() for line in lines[2:]) == sorted(titles)
    for line in lines[2:]:
        bare, ours, ratio, aim = (
            float(word.replace(",", "")) for word in line[command.WIDE :].split()
        )
        assert ratio == pytest.approx(ours / bare, abs=0.02)
        assert aim > 0
