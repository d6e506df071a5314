"""What of the rows is seen: which one is selected, in what order they stand, what they are filtered
by; and what a key does to that. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slipstream_actor.cli.top.rows import SORTS, Row, filtered, ordered

__all__ = ["View"]

NAMES = list(SORTS)


class View:
    """What is seen of the rows; `over` when somebody wants to see no more."""

    def __init__(self, sort: str = NAMES[0], filter: str = "") -> None:
        self.sort: str = sort
        self.reverse: bool = False
        self.filter: str = filter
        # What is being typed; `None` while nothing is.
        self.typed: str | None = None
        self.over: bool = False
        self.rows: list[Row] = []
        self.selected: int = 0
        self.top: int = 0
        self._all: Sequence[Row] = ()
        self._page = 1

    def show(self, rows: Sequence[Row]) -> None:
        """Take in new rows; the one that is selected stays so, wherever it stands now."""
        chosen = self.row
        self._all = rows
        wanted = self.filter if self.typed is None else self.typed
        self.rows = ordered(filtered(rows, wanted), self.sort, reverse=self.reverse)
        if chosen is not None:
            known = (chosen.process, chosen.id)
            places = (n for n, row in enumerate(self.rows) if (row.process, row.id) == known)
            self.selected = next(places, self.selected)
        self._move_to(self.selected)

    @property
    def row(self) -> Row | None:
        """The row that is selected."""
        return self.rows[self.selected] if self.selected < len(self.rows) else None

    def visible(self, height: int) -> list[Row]:
        """Return the rows that so many lines have room for; the selected one is among them."""
        self._page = max(1, height)
        self.top = min(self.top, self.selected, max(0, len(self.rows) - self._page))
        self.top = max(self.top, self.selected - self._page + 1)
        return self.rows[self.top : self.top + self._page]

    def press(self, key: str) -> None:
        """Do what a key means: a character, or the name of another key."""
        if self.typed is not None:
            self._type(key)
            return
        action = KEYS.get(key)
        if action is not None:
            action(self)

    def _type(self, key: str) -> None:
        typed = self.typed or ""
        if key == "enter":
            self.filter, self.typed = typed, None
        elif key == "escape":
            self.typed = None
        elif key == "backspace":
            self.typed = typed[:-1]
        elif len(key) == 1 and key.isprintable():
            self.typed = typed + key
        self.show(self._all)

    def _move_to(self, place: int) -> None:
        self.selected = max(0, min(place, len(self.rows) - 1))

    def move(self, by: int) -> None:
        """Select another row."""
        self._move_to(self.selected + by)

    def page(self, by: int) -> None:
        """Select another row, so many pages away."""
        self.move(by * self._page)

    def end(self, place: int) -> None:
        """Select the first or the last row."""
        self._move_to(0 if place == 0 else len(self.rows) - 1)

    def next_sort(self, by: int) -> None:
        """Order by another column."""
        self.sort = NAMES[(NAMES.index(self.sort) + by) % len(NAMES)]
        self.reverse = False
        self.show(self._all)

    def turn(self) -> None:
        """Turn the order round."""
        self.reverse = not self.reverse
        self.show(self._all)

    def begin_filter(self) -> None:
        """Have a filter typed."""
        self.typed = self.filter

    def forget_filter(self) -> None:
        """Show all rows."""
        self.filter = ""
        self.show(self._all)

    def quit(self) -> None:
        """See no more."""
        self.over = True


KEYS: dict[str, Callable[[View], None]] = {
    "up": lambda view: view.move(-1),
    "k": lambda view: view.move(-1),
    "down": lambda view: view.move(1),
    "j": lambda view: view.move(1),
    "page up": lambda view: view.page(-1),
    "page down": lambda view: view.page(1),
    "home": lambda view: view.end(0),
    "g": lambda view: view.end(0),
    "end": lambda view: view.end(-1),
    "G": lambda view: view.end(-1),
    "s": lambda view: view.next_sort(1),
    ">": lambda view: view.next_sort(1),
    "right": lambda view: view.next_sort(1),
    "S": lambda view: view.next_sort(-1),
    "<": lambda view: view.next_sort(-1),
    "left": lambda view: view.next_sort(-1),
    "r": View.turn,
    "/": View.begin_filter,
    "escape": View.forget_filter,
    "q": View.quit,
}
