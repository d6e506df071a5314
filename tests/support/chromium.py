"""A headless Chromium of the system's, driven by its own protocol over its local debugging port."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import websocket

from tests.support.clients import eventually

__all__ = ["Chromium", "Page", "needs_chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)

needs_chromium = pytest.mark.skipif(
    BROWSER is None, reason="there is no chromium (Debian's package)"
)

# Seconds for whatever is waited for: the machine may be busy with the other tests.
PATIENCE = 30.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0"),
    # Nobody looks at the window, and still its pages are drawn.
    *("--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"),
)
LOCK = Path(tempfile.gettempdir()) / "slipstream_actor-chromium.lock"


class Chromium:
    """A browser with a new profile; one at a time on this machine. Ends with its context."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        # What the browser tells of each page, by its session.
        self.told: dict[str, deque[dict[str, Any]]] = {}

    def __enter__(self) -> Chromium:
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._profile = tempfile.mkdtemp(prefix="slipstream-chromium-")
        self._process = subprocess.Popen(
            [str(BROWSER), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        file = Path(self._profile) / "DevToolsActivePort"
        eventually(lambda: file.exists() and file.read_text().count("\n"), "the browser")
        port, path = file.read_text().splitlines()
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}{path}", timeout=PATIENCE, suppress_origin=True
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)
        self._lock.close()

    def page(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """Open a page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, target, attached["sessionId"])
        page.look(width=width, height=height, dark=dark)
        page.open(url)
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Have the browser do something; return its answer."""
        number = next(self._numbers)
        request: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            request["sessionId"] = session
        self._socket.send(json.dumps(request))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("id") == number:
                assert "error" not in told, (method, told["error"])
                return told["result"]
            self.told.setdefault(told.get("sessionId", ""), deque()).append(told)


class Page:
    """A page of the browser's; ends with its context."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **params: Any) -> Any:
        """Have the browser do something with this page."""
        return self._browser.call(method, self._session, **params)

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Give the window a size, and the system a scheme of colours."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """Return what an expression is worth in the page; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, what: str) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + PATIENCE
        # The page itself waits between two looks, and tells as soon as one has succeeded.
        waiting = f"""(async () => {{
            for (let tries = 0; tries < 20; tries += 1) {{
                // There may be no body yet.
                const found = document.body && (await (() => {script})());
                if (found) return true;
                await new Promise((go) => setTimeout(go, 50));
            }}
            return false;
        }})()"""
        while time.monotonic() < deadline:
            if self.run(waiting):
                return
        shown = self.run("document.body.innerText")
        raise AssertionError(f"{what} did not come about; the page is: {shown}")

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return found

    def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse does."""
        x, y = self.run(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{ block: "center" }});
                const {{ left, top, width, height }} = element.getBoundingClientRect();
                return [left + width / 2, top + height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def press(self, key: str) -> None:
        """Press a key, and let go of it."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        down = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=down, key=key, text=text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def requested(self) -> list[str]:
        """Return the addresses that the page has asked for."""
        return [
            told["params"]["request"]["url"] for told in self._told("Network.requestWillBeSent")
        ]

    def complaints(self) -> list[str]:
        """Return what scripts have failed with, and what the browser has refused."""
        failed = [
            told["params"]["exceptionDetails"]["text"]
            for told in self._told("Runtime.exceptionThrown")
        ]
        return failed + [
            told["params"]["entry"]["text"]
            for told in self._told("Log.entryAdded")
            if told["params"]["entry"]["source"] in ("security", "javascript", "violation")
        ]

    def _told(self, method: str) -> list[dict[str, Any]]:
        told = self._browser.told.get(self._session, ())
        return [message for message in told if message["method"] == method]

    def picture(self, path: str | Path) -> None:
        """Write a PNG of what is seen."""
        shot = self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(shot["data"]))
