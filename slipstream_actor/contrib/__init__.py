"""The library beside others: one module or package per framework, each with an extra of its own.

Open `opentelemetry.py` first, the smallest. May use `debug` and below; imported by nobody.
"""
