"""Nothing comes out where the library logs, whatever the program's logging raises."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor.actors.logger import get_logger, guarded

NAME = "slipstream_actor.of_a_test"


def deny(_: Any) -> bool:
    raise LookupError("no request")


class Denying(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        deny(record)


@pytest.fixture
def target() -> Iterator[logging.Logger]:
    """The logger itself, without what a test has given to it."""
    target = logging.getLogger(NAME)
    yield target
    target.filters.clear()
    target.handlers.clear()


def add_filter(target: logging.Logger) -> None:
    target.addFilter(deny)


def add_handler(target: logging.Logger) -> None:
    target.addHandler(Denying())


def add_filter_of_handler(target: logging.Logger) -> None:
    handler = logging.StreamHandler()
    handler.addFilter(deny)
    target.addHandler(handler)


@pytest.mark.parametrize("add", [add_filter, add_handler, add_filter_of_handler])
def test_what_a_filter_or_a_handler_raises_is_said_on_standard_error(
    add: Any, target: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    add(target)
    get_logger(NAME).warning("%s has lost %d", "it", 1)
    said = capsys.readouterr().err
    assert "--- Logging error ---" in said
    assert f"not logged by {NAME}: it has lost 1\n" in said
    assert "LookupError: no request" in said


def test_so_is_what_a_factory_of_records_raises(
    target: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> logging.LogRecord:
        raise LookupError("no request")

    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(fail)
    try:
        get_logger(NAME).warning("lost")
    finally:
        logging.setLogRecordFactory(factory)
    assert "LookupError: no request" in capsys.readouterr().err


def test_nothing_is_said_where_logging_shall_raise_nothing(
    target: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    target.addFilter(deny)
    get_logger(NAME).warning("lost")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("message", ["%d", "%s %s", "%z"])
def test_what_cannot_be_formatted_disturbs_nobody(message: str, target: logging.Logger) -> None:
    target.addFilter(deny)
    get_logger(NAME).warning(message, "text")


def test_without_a_standard_error_nothing_is_said(
    target: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    target.addFilter(deny)
    get_logger(NAME).warning("lost")


def test_what_ends_a_program_is_let_through() -> None:
    with pytest.raises(SystemExit), guarded(NAME):
        raise SystemExit


def test_a_record_has_its_fields_and_its_caller(caplog: pytest.LogCaptureFixture) -> None:
    get_logger(NAME).warning("lost", extra={"line": "lost"})
    try:
        raise ValueError
    except ValueError:
        get_logger(NAME).exception("crashed")
    lost, crashed = caplog.records
    assert vars(lost)["line"] == "lost"
    assert crashed.exc_info is not None
    assert {r.funcName for r in caplog.records} == {"test_a_record_has_its_fields_and_its_caller"}
    assert {r.filename for r in caplog.records} == {"test_logger.py"}
