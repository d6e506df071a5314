"""What the URL of a proxy says."""

from __future__ import annotations

import pytest

from slipstream_actor.configuration.proxy_urls import parse_proxy_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://proxy:3128", ("http", "proxy", 3128, "", "")),
        ("http://proxy:3128/", ("http", "proxy", 3128, "", "")),
        ("http://proxy", ("http", "proxy", 80, "", "")),
        ("HTTP://Proxy", ("http", "proxy", 80, "", "")),
        ("socks4://proxy", ("socks4", "proxy", 1080, "", "")),
        ("socks5://[::1]", ("socks5", "::1", 1080, "", "")),
        ("SOCKS5H://proxy:1", ("socks5h", "proxy", 1, "", "")),
        ("http://token@proxy:3128", ("http", "proxy", 3128, "token", "")),
        ("socks4://me@proxy", ("socks4", "proxy", 1080, "me", "")),
        ("http://us%40er:p%3Aw@proxy", ("http", "proxy", 80, "us@er", "p:w")),
        ("http://üser:%E2%82%AC@proxy", ("http", "proxy", 80, "üser", "€")),
        # As urllib reads them, which quotes nothing of this.
        ("http://me:a@b@proxy", ("http", "proxy", 80, "me", "a@b")),
        ("http://me:a/b?c#d@proxy:3128/path", ("http", "proxy", 3128, "me", "a/b?c#d")),
    ],
)
def test_the_parts(url: str, parts: tuple[str, str, int, str, str]) -> None:
    assert parse_proxy_url(url) == parts
