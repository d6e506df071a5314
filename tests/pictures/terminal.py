"""A command at a terminal, recorded as an animated SVG that needs no script and no other file."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pyte
from pyte.screens import Char

from tests.support.shell import Command

__all__ = ["Recording"]

WIDTH, HEIGHT, MARGIN = 8.4, 18.0, 14.0
# Two screens that follow one another faster are one.
AT_LEAST = 0.12
# Seconds for which the last screen is shown.
PAUSE = 4.0
PATIENCE = 30.0
INK, PAPER = "#e6e1dc", "#1d1b22"
COLOURS = {
    "black": "#3b3843",
    "red": "#f47067",
    "green": "#8ddb8c",
    "brown": "#e5c07b",
    "blue": "#6cb6ff",
    "magenta": "#dcbdfb",
    "cyan": "#76e3ea",
    "white": "#e6e1dc",
    "brightblack": "#8b8693",
}
STYLE = f"""
  text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: {INK};
    white-space: pre; }}
  .b {{ font-weight: bold; }}
"""


class Recording:
    """What a terminal of some size has shown, and when. The command line stands above it."""

    def __init__(self, line: str, columns: int = 100, lines: int = 24) -> None:
        self._line = line
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._frames: list[tuple[float, tuple[str, ...]]] = []
        self._began = time.monotonic()

    def watch(self, running: Command, seconds: float, until: str | None = None) -> None:
        """Take in what a command shows for so long, or until it has shown a text."""
        descriptor = running._streams["out"]
        end = time.monotonic() + (seconds if until is None else PATIENCE)
        while (left := end - time.monotonic()) > 0:
            if not select.select([descriptor], [], [], left)[0]:
                break
            try:
                came = os.read(descriptor, 1 << 16)
            except OSError:  # It has ended.
                break
            self.feed(came)
            if until is not None and any(until in row for row in self._screen.display):
                return
        assert until is None, f"{until!r} was not shown: {self._screen.display}"

    def feed(self, came: bytes) -> None:
        """Take in what was written to the terminal just now."""
        self._stream.feed(came)
        screen, lines = self._screen, range(self._screen.lines)
        rows = tuple(drawn(screen.buffer[y], screen.columns) for y in lines)
        now = time.monotonic() - self._began
        if self._frames and (now - self._frames[-1][0] < AT_LEAST or self._frames[-1][1] == rows):
            now = self._frames.pop()[0]
        self._frames.append((now, rows))

    def write(self, path: Path) -> None:
        """Write it as an SVG: a picture where it has one screen, else a recording."""
        path.write_text(self._drawn(), encoding="utf-8")

    def _drawn(self) -> str:
        used = max(self._height(rows) for _, rows in self._frames) + 2
        width = round(self._screen.columns * WIDTH + 2 * MARGIN)
        height = round(used * HEIGHT + 2 * MARGIN)
        distinct = dict.fromkeys(row for _, rows in self._frames for row in rows if row)
        names = {row: f"r{number}" for number, row in enumerate(distinct)}
        defined = "".join(f'<g id="{name}">{row}</g>\n' for row, name in names.items())
        title = escape(self._line)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' aria-label="{title}">\n<style>{STYLE}{self._timed()}</style>\n'
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>\n'
            f"<defs>\n{defined}</defs>\n"
            f'<g transform="translate({MARGIN} {MARGIN + 13})">\n'
            f'<text><tspan fill="{COLOURS["green"]}">$</tspan> {title}</text>\n'
            + "".join(self._frame(number, names) for number in range(len(self._frames)))
            + "</g>\n</svg>\n"
        )

    def _height(self, rows: tuple[str, ...]) -> int:
        return max((y + 1 for y, row in enumerate(rows) if row), default=0)

    def _frame(self, number: int, names: dict[str, str]) -> str:
        rows = self._frames[number][1]
        uses = "".join(
            f'<use href="#{names[row]}" y="{(y + 2) * HEIGHT:g}"/>'
            for y, row in enumerate(rows)
            if row
        )
        return f'<g class="f f{number}">{uses}</g>\n'

    def _timed(self) -> str:
        """Return when each screen is seen; all but the last are hidden where nothing moves."""
        last = len(self._frames) - 1
        if not last:
            return ""
        times = [at - self._frames[0][0] for at, _ in self._frames]
        whole = times[-1] + PAUSE
        rules = [".f { visibility: hidden; }", f".f{last} {{ visibility: visible; }}"]
        moving = [
            f"@keyframes k{number} {{ 0%, 100% {{ visibility: hidden; }}"
            f" {times[number] / whole:.3%} {{ visibility: visible; }}"
            f" {(times[number + 1] if number < last else whole) / whole:.3%}"
            f" {{ visibility: {'hidden' if number < last else 'visible'}; }} }}"
            f" .f{number} {{ animation: k{number} {whole:.2f}s step-end infinite; }}"
            for number in range(last + 1)
        ]
        media = "@media (prefers-reduced-motion: no-preference) {"
        return "\n".join(["", *rules, media, *moving, "}", ""])


def drawn(row: Any, columns: int) -> str:
    """Return a row of the screen as SVG, empty if it shows nothing."""
    found = []
    for at, text, style in runs([row[x] for x in range(columns)]):
        shown = attributes(style)
        x, length = f"{at * WIDTH:.1f}", f"{len(text) * WIDTH:.1f}"
        if style.reverse or style.bg != "default":
            colour = INK if style.reverse else colour_of(style.bg)
            found.append(f'<rect x="{x}" y="-13.5" width="{length}" height="18" fill="{colour}"/>')
        if text.strip():
            found.append(
                f'<text x="{x}" textLength="{length}" lengthAdjust="spacingAndGlyphs"{shown}>'
                f"{escape(text)}</text>"
            )
    return "".join(found)


def runs(row: Iterable[Char]) -> Iterable[tuple[int, str, Char]]:
    """Yield where each run of one style begins, what it says, and a character of it."""
    at, text, style = 0, "", None
    for x, char in enumerate(row):
        look = char._replace(data="")
        if look != style:
            if style is not None:
                yield at, text, style
            at, text, style = x, "", look
        text += char.data
    if style is not None:
        yield at, text, style


def attributes(style: Char) -> str:
    """Return the attributes of a run's text."""
    colour = PAPER if style.reverse else colour_of(style.fg)
    # The rules of the whole picture outrank attributes.
    fill = f' style="fill: {colour}"' if colour != INK else ""
    return fill + (' class="b"' if style.bold else "")


def colour_of(name: str) -> str:
    """Return a colour of the terminal's as one of SVG's."""
    if name == "default":
        return INK
    return COLOURS.get(name, f"#{name}" if len(name) == 6 else INK)
