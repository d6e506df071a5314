"""Configures a gunicorn that has greenlets for workers, and imports before it forks."""

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()
