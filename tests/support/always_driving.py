"""A plugin (`-p tests.support.always_driving`) with which whoever waits drives its connection, also
where that is not worth it, and the connection's thread ends whenever it is not needed: each test
then tests that, too."""

from __future__ import annotations

import math

from slipstream_actor.actors import inbox, inbox_state
from slipstream_actor.actors.turn import Turn

inbox.FEW = 0
inbox.SHORT = math.inf
inbox.CROWDED = inbox_state.AT_FIRST = 0
inbox.COOL = 2  # It would ask again and again while a request of others is open.
inbox.CLOSE = math.inf
inbox.QUIET = 0.01
if Turn.linger is not None:
    Turn.linger = 0.0
