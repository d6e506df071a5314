"""The documentation's code runs, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from slipstream_actor.testing import Channel, PhoenixServer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Room(Channel):
    def join(self, params: Any) -> Any:
        return {"params": params}

    def handle_in(self, event: str, payload: Any) -> Any:
        return "ok", payload


def test_the_page_on_reliability_runs_from_top_to_bottom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 4
    with PhoenixServer({"rooms:*": Room}) as server:
        names: dict[str, Any] = {"uri": server.uri, "__name__": "reliability"}
        for block in blocks:
            exec(compile(block, "docs/reliability.md", "exec"), names)
    assert "ticker Ticker" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
