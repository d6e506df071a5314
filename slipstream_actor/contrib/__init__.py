"""The library beside others: one module or package per framework, each with an extra of its own.

Open `settings.py` first, then `flask.py`, or `django/registry.py`. May use `debug` and
below; imported by nobody.
"""
