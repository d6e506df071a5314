"""What the project runs, and a look into it."""

from __future__ import annotations

from pykka import ActorRef

from slipstream_actor import (
    ChildSpec,
    StartError,
    StartIgnored,
    Supervisor,
    get_state,
    wait_until_joined,
    whereis,
)
from typing_tests.web_project import settings
from typing_tests.web_project.clients import Quiet, Shop


def start() -> ActorRef[Supervisor]:
    """Start all that there is."""
    children = [
        ChildSpec(Shop, settings.SHOP_URI, name="shop", **settings.SHOP_OPTIONS),
        ChildSpec(Quiet, None, id="quiet", restart="temporary", shutdown=1.0),
    ]
    return Supervisor.start(children, strategy="one_for_one", name="clients")


def start_one() -> ActorRef[Shop] | None:
    """Start a client without a supervisor; there may be none to start."""
    try:
        shop = Shop.start(settings.SHOP_URI, name="shop", **settings.SHOP_OPTIONS)
    except StartIgnored:
        return None
    except StartError as error:
        raise SystemExit(f"no shop: {error.reason}") from error
    wait_until_joined(shop, "shop:1", timeout=2)
    return shop


def health(shop: ActorRef[Shop], clients: ActorRef[Supervisor]) -> dict[str, object]:
    """What a health view says."""
    state = get_state(shop, timeout=1.0)
    found: dict[str, object] = {
        "status": state.socket.status,
        "joined": state.socket.joined("shop:1"),
        "mailbox": state.mailbox,
        "children": [child.id for child in get_state(clients).children],
    }
    if state.connection is not None:
        connection = get_state(state.connection)
        found["rtt"] = connection.heartbeat_rtt
        found["bytes in"] = connection.counters.bytes_in
    found["bytes out"] = get_state(state.socket.channel_pid).counters.bytes_out
    return found


def child() -> ActorRef[Shop] | None:
    """What has a name has no class for a type checker, unless its caller says one."""
    shop: ActorRef[Shop] | None = whereis("shop")
    return shop


def stop(clients: ActorRef[Supervisor]) -> bool:
    """Children are asked about by way of the class."""
    for each in Supervisor.which_children(clients):
        if each.ref is not None and not each.ref.is_alive():
            Supervisor.terminate_child(clients, each.id)
    return clients.stop(block=True, timeout=5.0)
