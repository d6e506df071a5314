"""`python -m slipstream_actor.telemetry` prints the documentation's tables of events and keys."""

from slipstream_actor.telemetry.events import tables

print(tables())  # noqa: T201 - that is what it is for
