"""What a plain thread's inbox does with the outcomes of pushes that nobody can ask for any more."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from slipstream_actor import MessageReceived, PushFailed, PushTimeout, Ref, Reply, ReplyReceived
from slipstream_actor.actors.envelopes import TAKE, Burst
from slipstream_actor.actors.ledger import Asked
from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.actors.search import Expired
from slipstream_actor.actors.thread_inbox import FEW, ThreadInbox

TOPIC = "rooms:lobby"
CONNECTION = object()


def flow_of() -> Inflow:
    return Inflow(10_000, 5_000, 1 << 20, lambda: None)


def replied(number: str) -> ReplyReceived:
    return ReplyReceived(TOPIC, Ref(number, TOPIC, "1"), Reply("ok", {}))


def say(inbox: ThreadInbox, flow: Inflow, *events: Any) -> None:
    flow.deliver(len(events), 10)
    inbox.tell(Burst(CONNECTION, events, flow, 10))


def pass_over(inbox: ThreadInbox) -> None:
    with pytest.raises(Expired):
        inbox.receive(lambda m, _: TAKE if m == "never" else 0, 0.0)


def held_by(inbox: ThreadInbox) -> list[Any]:
    return [event for envelope in inbox._stash for event in envelope.message.events]


def test_outcomes_that_nobody_can_await_are_dropped_when_they_are_many() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    kept = Ref("7", TOPIC, "1", awaited=True)
    inbox.refs["7"] = kept
    for number in range(20 * FEW):
        say(inbox, flow, replied(str(number)))
        pass_over(inbox)
    assert len(held_by(inbox)) <= 2 * FEW
    assert [event for event in held_by(inbox) if event.ref == "7"]
    assert flow.undelivered == len(held_by(inbox))
    assert flow.undelivered_bytes == 10 * len(inbox._stash)


def test_what_was_dropped_has_had_its_outcome() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    ref = Ref("7", TOPIC, "1", awaited=True)
    inbox.ledger.ask(Asked(ref, "say", CONNECTION))
    say(inbox, flow, PushFailed(TOPIC, "say", ref, PushTimeout()))
    for number in range(2 * FEW):
        say(inbox, flow, replied(str(number)))
        pass_over(inbox)
    assert inbox.ledger.settle("7") is None


def test_messages_are_never_dropped_nor_what_was_sent_by_hand() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    inbox.tell(Burst(None, [replied("1")]))
    for _ in range(4 * FEW):
        say(inbox, flow, MessageReceived(TOPIC, "news", {}))
        pass_over(inbox)
    assert len(held_by(inbox)) == 4 * FEW + 1


def test_a_burst_keeps_what_can_be_awaited_in_its_order() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    first, last = MessageReceived(TOPIC, "first", {}), MessageReceived(TOPIC, "last", {})
    say(inbox, flow, first, replied("1"), replied("2"), last)
    for number in range(2 * FEW):
        say(inbox, flow, replied(str(number)))
        pass_over(inbox)
    assert list(inbox._stash[0].message.events) == [first, last]


def test_a_ref_holds_its_reply_as_long_as_it_is_held() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    ref = Ref("7", TOPIC, "1")
    inbox.refs["7"] = ref
    say(inbox, flow, replied("7"))
    for number in range(100, 100 + 4 * FEW):
        say(inbox, flow, replied(str(number)))
        pass_over(inbox)
    assert "7" in [event.ref for event in held_by(inbox)]
    del ref
    gc.collect()
    for number in range(1000, 1000 + 4 * FEW):
        say(inbox, flow, replied(str(number)))
        pass_over(inbox)
    assert "7" not in [event.ref for event in held_by(inbox)]


def test_who_only_pushes_keeps_no_outcomes() -> None:
    inbox, flow = ThreadInbox(), flow_of()
    for number in range(20 * FEW):
        say(inbox, flow, replied(str(number)))
        inbox.tidy()
    assert inbox.depth <= FEW + 1
    assert flow.undelivered == inbox.depth
