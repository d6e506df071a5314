"""Which proxy is used, by the environment."""

from __future__ import annotations

import pytest

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.wire.proxies import proxy_for


@pytest.mark.parametrize(
    ("uri", "exempt"),
    [
        ("ws://phoenix.test:4000/", "phoenix.test:4000"),
        ("ws://phoenix.test:4000/", "other.test, Phoenix.test:4000"),
        ("ws://phoenix.test:4000/", "test"),
        ("ws://phoenix.test/", "phoenix.test:80"),
        ("wss://phoenix.test/", "phoenix.test:443"),
        ("ws://[2001:db8::1]:4000/", "[2001:db8::1]:4000"),
        ("ws://[2001:db8::1]:4000/", "[2001:db8::1]"),
        ("ws://[2001:db8::1]:4000/", "2001:db8::1"),
        ("ws://bücher.test:4000/", "bücher.test"),
        ("ws://bücher.test:4000/", "xn--bcher-kva.test:4000"),
    ],
)
def test_what_exempts_a_host(monkeypatch: pytest.MonkeyPatch, uri: str, exempt: str) -> None:
    config = Configuration.validate(uri, {})
    url = "http://127.0.0.1:9"
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("all_proxy", url)
    assert proxy_for(config) == url
    monkeypatch.setenv("no_proxy", exempt)
    assert proxy_for(config) is None
    monkeypatch.setenv("no_proxy", "phoenix.test:4001,[2001:db8::1]:4001,bücher.test:4001")
    assert proxy_for(config) == url


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "[::1]", "[::1%251]"])
def test_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    assert proxy_for(Configuration.validate(f"ws://{host}:4000/", {})) is None
