"""`python -m slipstream_actor.configuration` prints the documentation's table of options."""

from slipstream_actor.configuration.configuration import table

print(table())  # noqa: T201 - that is what it is for
