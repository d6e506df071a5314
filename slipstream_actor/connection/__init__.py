"""The `Connection` actor, what `channel_pid` names: protocol, wire and time in one thread.

Open `connection.py` first. May use `wire`, `telemetry` and below.
"""
