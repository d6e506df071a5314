"""The options of `connect`: one declaration each, with its rule, and the schedules of retries.

Open `configuration.py` first: the table of options. May use `protocol`.
"""
