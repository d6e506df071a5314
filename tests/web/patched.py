"""Configures a gunicorn that has greenlets for workers, and imports before it forks."""

from gevent import monkey

monkey.patch_all()
