"""The documentation's pictures: how a terminal becomes one, and that they speak to nobody."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pictures.terminal import Recording

PICTURES = Path(__file__).parent.parent / "docs" / "assets" / "pictures"


def made(path: Path, *came: bytes) -> str:
    recording = Recording("command <uri>", columns=20, lines=4)
    for chunk in came:
        recording.feed(chunk)
    recording.write(path / "made.svg")
    return (path / "made.svg").read_text()


def test_a_screen(tmp_path: Path) -> None:
    drawn = made(tmp_path, b"plain \x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m \x1b[7mback\x1b[0m\r\n<&>")
    assert "command &lt;uri&gt;</text>" in drawn
    assert ">plain </text>" in drawn
    assert re.search(r'style="fill: #f47067">red</text>', drawn)
    assert 'class="b">bold</text>' in drawn
    assert re.search(r'<rect [^>]*fill="#e6e1dc"/><text [^>]*style="fill: #1d1b22">back', drawn)
    assert "&lt;&amp;&gt;" in drawn
    assert "@keyframes" not in drawn


def test_what_has_moved_is_a_recording(tmp_path: Path) -> None:
    recording = Recording("command", columns=20, lines=4)
    recording.feed(b"first")
    recording._frames[-1] = (-1.0, recording._frames[-1][1])  # A second earlier.
    recording.feed(b"\x1b[2J\x1b[Hlast")
    recording.write(tmp_path / "made.svg")
    drawn = (tmp_path / "made.svg").read_text()
    assert drawn.count("@keyframes") == 2
    assert ".f { visibility: hidden; }\n.f1 { visibility: visible; }" in drawn


def test_the_pictures_name_no_other_place_and_no_secret() -> None:
    drawn = [path.read_text() for path in PICTURES.glob("*.svg")]
    assert len(drawn) == 3
    for text in drawn:
        assert set(re.findall(r"https?://[^\"' <]+", text)) == {"http://www.w3.org/2000/svg"}
        assert "script" not in text
        assert "secret" not in text
