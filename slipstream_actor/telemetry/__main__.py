"""`python -m slipstream_actor.telemetry` prints the documentation's tables: of events and keys, of
the log's lines and fields."""

from slipstream_actor.telemetry.events import tables
from slipstream_actor.telemetry.lines import log_table

print(tables(), log_table(), sep="\n\n")  # noqa: T201 - that is what it is for
