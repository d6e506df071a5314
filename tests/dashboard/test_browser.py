"""The page in a browser: what is seen on it while things happen, and what it never does."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor import ClientActor, Socket, cast, connect, dashboard
from slipstream_actor.dashboard import LocalServer
from slipstream_actor.testing import Channel, FaultProxy, PhoenixServer
from tests.dashboard.test_processes import silent, worker
from tests.support.chromium import Chromium, Page, needs_chromium
from tests.support.clients import PATIENCE, Recorder, recording

pytestmark = [
    needs_chromium,
    pytest.mark.xdist_group("chromium"),
    # Another process' browser may have to end first.
    pytest.mark.timeout(240),
]

MARKUP = '<img src="x" onerror="window.hacked = 1"><script>window.hacked = 1</script>'
LIVE = "document.body.dataset.state === 'live'"
STATUS = "document.querySelector('#rows .status b')?.textContent"


class Anything(Channel):
    def join(self, params: Any) -> Any:
        return {}

    def handle_in(self, event: str, payload: Any) -> Any:
        self.push(event, payload)
        return "ok", payload


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture
def local() -> Iterator[LocalServer]:
    with dashboard.serve(here=True, allow_control=True) as server:
        yield server


@contextmanager
def seen(chromium: Chromium, local: LocalServer, **options: Any) -> Iterator[Page]:
    """Yield the page, live; at the end nothing was refused, and no other origin was asked."""
    with chromium.page(local.url, **options) as page:
        page.until(LIVE, "the page's life")
        yield page
        assert page.complaints() == []
        assert page.run("window.hacked") is None
        elsewhere = [url for url in page.requested() if not url.startswith(local.url)]
        assert [url for url in elsewhere if url != "about:blank"] == []


def status(page: Page, wanted: str) -> None:
    page.until(f"{STATUS} === {wanted!r}", f"the status {wanted}")


def events(page: Page, *words: str) -> None:
    page.until(
        f"{list(words)}.every((word) => "
        "[...document.querySelectorAll('#event-list b')].some((b) => b.textContent === word))",
        f"the events {words}",
    )


def test_a_cut_line_is_seen_and_its_return(
    chromium: Chromium, local: LocalServer, proxy: FaultProxy
) -> None:
    with (
        recording(proxy.uri, reconnect_after_msec=[300]) as (ref, _),
        seen(chromium, local) as page,
    ):
        ref.proxy().do(lambda s: s.join("bench:a")).get()
        status(page, "connected")
        page.until("document.querySelector('#rows td.number').textContent === '1/1'", "the topic")
        page.click("#rows button.open")
        page.until("document.querySelectorAll('#topics li').length === 1", "the client's page")
        with proxy.refuse():
            proxy.cut()
            status(page, "waiting")
            page.until(
                "document.querySelector('#detail-status b').textContent !== 'connected'",
                "the status of the one that is open",
            )
            page.until("document.querySelector('#history .down, .line-of-time .down')", "its past")
            assert "Trouble 1" in page.text(".filters")
            events(page, "disconnected", "not connected")
        status(page, "connected")
        events(page, "connected", "joined")


def test_markup_is_text_and_what_is_long_is_cut(chromium: Chromium, local: LocalServer) -> None:
    """Of topics, events and payloads; and bytes that are no text."""
    topic, event = f"any:{MARKUP}", f"said {MARKUP}"
    long = f"any:{'<b>long</b>' * 100_000}"
    with PhoenixServer({"any:*": Anything}) as server, recording(server.uri) as (ref, log):
        ref.proxy().do(lambda s: s.join(topic).join(long).join(f"no:{MARKUP}")).get()
        for _ in range(2):
            log.take("join")
        log.take("topic_close")
        with seen(chromium, local) as page:
            page.until("document.querySelector('#rows button.open')", "the client")
            page.click("#rows button.open")
            page.until("document.querySelectorAll('#topics li').length === 3", "the topics")
            assert topic in page.text("#topics")
            page.click('[data-action="trace"]')
            page.until("document.querySelector('[aria-pressed=true][data-action=trace]')", "trace")

            def push() -> None:
                for payload in ({"body": MARKUP}, b"\xff\xfe\x00", {"b": "<i>x</i>" * 400_000}):
                    ref.proxy().do(lambda s, p=payload: s.push(topic, event, p)).get()
                    log.take("reply")

            # From the first answer on it is kept.
            page.until(
                "document.querySelector('#messages-note').textContent.startsWith('with')", "it"
            )
            page.run("new Promise((done) => requestAnimationFrame(done))")
            push()
            page.until("document.querySelectorAll('#messages li').length >= 6", "the messages")
            shown = page.text("#messages")
            assert event in shown
            assert len(shown) < 50_000
            made = "main img, main script, code *, .log :is(b, span, small) *"
            assert page.run(f"document.querySelectorAll('{made}').length") == 0


def test_buttons_do_what_they_say_and_nobody_elses_do(
    chromium: Chromium, local: LocalServer, server: PhoenixServer
) -> None:
    with recording(server.uri) as (ref, log), seen(chromium, local) as page:
        log.take("connect")
        status(page, "connected")
        page.click("#rows button.open")
        page.until("!document.querySelector('#actions').hidden", "the buttons")
        page.click('[data-action="disconnect"]')
        log.take("disconnect")
        status(page, "disconnected")
        assert page.text("#action-said") == "disconnect: done"
        page.click('[data-action="reconnect"]')
        log.take("connect")
        status(page, "connected")
        # Without the token, as another page would have to.
        order = f"{{process: '{os.getpid()}', client: '{ref.actor_urn}', action: 'disconnect'}}"
        refused = page.run(
            "fetch('control.json', {method: 'POST', headers: {'Content-Type': 'application/json'},"
            f" body: JSON.stringify({order})}}).then((response) => response.status)"
        )
        assert refused == 403
        assert ref.proxy().do(lambda s: s.connected).get()
        # The cookie is none of a script's.
        assert page.run("document.cookie") == ""


def test_who_hangs_is_said_to(chromium: Chromium, tmp_path: Path, server: PhoenixServer) -> None:
    """A callback, a process, and at last the page's own server."""

    class Stuck(Recorder):
        def handle_cast(self, message: Any, socket: Socket) -> None:
            self.log.put(("stuck",))
            message.wait(PATIENCE * 3)

    go_on = threading.Event()
    with ExitStack() as stack:
        _, pid, _ = stack.enter_context(worker(tmp_path, "hangs"))
        ref, log = stack.enter_context(recording(server.uri, Stuck))
        stack.callback(go_on.set)
        local = stack.enter_context(dashboard.serve(directory=str(tmp_path), here=True))
        page = stack.enter_context(chromium.page(local.url))
        page.until("document.querySelectorAll('#rows tr').length === 2", "both clients")
        log.take("connect")
        cast(ref, go_on)
        log.take("stuck")
        page.until("document.body.innerText.includes('in handle_cast for ')", "the callback")
        os.kill(pid, signal.SIGSTOP)
        page.until("/does not answer since [0-9:]+, /.test(document.body.innerText)", "the process")
        page.until("document.querySelector('#rows tr[data-live=false]')", "its client, as it was")
        assert "unknown" in page.text("#rows tr[data-live=false]")
        os.kill(pid, signal.SIGCONT)
        page.until("!document.querySelector('#rows tr[data-live=false]')", "its answer")
        assert page.run("document.querySelector('#alarm').hidden")
        local.close()
        page.until("document.body.dataset.state === 'stale'", "that nobody answers")
        alarm = page.text("#alarm")
        assert "does not answer since" in alarm
        assert "not live" in alarm
        assert "not live" in page.text("#pulse")


def test_one_that_says_something_else_hides_nobody(
    chromium: Chromium, tmp_path: Path, server: PhoenixServer
) -> None:
    """A process of another version, say."""
    answer = b'{"ok": true, "result": {"pid": 1}}\n{"ok": true, "result": [{}]}\n'
    with silent(tmp_path) as sock, recording(server.uri), ExitStack() as stack:

        def serve() -> None:
            while True:
                try:
                    peer, _ = sock.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(sock.shutdown, socket.SHUT_RDWR)
        local = stack.enter_context(dashboard.serve(directory=str(tmp_path), here=True))
        with seen(chromium, local) as page:
            page.until("document.body.innerText.includes('does not understand')", "the other one")
            status(page, "connected")


class Idle(ClientActor):
    def init(self) -> Socket:
        return connect("ws://test.invalid/socket/websocket", test_mode=True).join("rooms:lobby")


def test_five_hundred_clients_change_in_place(chromium: Chromium, local: LocalServer) -> None:
    """What has the focus keeps it, what is selected stays so, and no row is drawn anew."""
    refs = [Idle.start(name=f"idle {number:03}") for number in range(499)]
    refs.append(Idle.start(name="needle"))
    try:
        with seen(chromium, local) as page:
            page.until("document.querySelectorAll('#rows tr').length === 500", "all clients")
            page.run(
                """(() => {
                    window.added = 0;
                    new MutationObserver((changes) => {
                        for (const change of changes) window.added += change.addedNodes.length;
                    }).observe(document.querySelector("#rows"), { childList: true });
                    const row = document.querySelector("#rows tr:nth-child(3)");
                    row.querySelector("button").focus();
                    getSelection().selectAllChildren(row.querySelector("b"));
                    window.row = row;
                    window.asked = performance.getEntriesByType("resource").length;
                })()"""
            )
            refs.pop(1).stop()
            page.until("document.querySelectorAll('#rows tr').length === 499", "one less")
            page.until(
                "performance.getEntriesByType('resource').filter((entry) =>"
                " entry.name.includes('report')).length >= 3",
                "more answers",
            )
            assert page.run("window.added") == 0
            assert page.run("document.activeElement === row.querySelector('button')")
            assert page.run("String(getSelection())") == "Idle 'idle 002'"
            # By the keyboard alone.
            page.press("ArrowDown")
            page.press("Enter")
            page.until(
                "document.querySelector('#detail-title').textContent === \"Idle 'idle 003'\"", "it"
            )
            page.press("Escape")
            page.until("document.querySelector('#detail').hidden", "the end of it")
            page.press("/")
            assert page.run("document.activeElement.id") == "search"
            for key in "needle":
                page.press(key)
            page.until("document.querySelectorAll('#rows tr:not([hidden])').length === 1", "one")
    finally:
        for ref in refs:
            ref.stop()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_on_the_screen(
    chromium: Chromium, local: LocalServer, server: PhoenixServer, width: int, dark: bool
) -> None:
    with seen(chromium, local, width=width, dark=dark) as page:
        page.until("!document.querySelector('#no-clients').hidden", "that there is none")
        with recording(server.uri) as (ref, log):
            ref.proxy().do(lambda s: s.join(f"nowhere:{'long' * 40}")).get()
            log.take("topic_close")
            page.until("document.querySelector('#rows button.open')", "the client")
            page.click("#rows button.open")
            page.until("document.querySelectorAll('#topics li').length === 1", "its topic")
            assert page.run("document.documentElement.scrollWidth") <= width
            paper = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
            assert (sum(page.run(paper)) < 200) is dark
