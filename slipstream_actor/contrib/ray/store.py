"""What all processes agree on, in the key-value store of Ray's head: names of keys, and values.

Ray Serve keeps its own there too. It knows no transactions: what two may write at once is written
only where nothing is yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec

from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.layout import LAYOUTS, RELEASES, decode_layout, version_of
from slipstream_actor.protocol.serializer import encode_json

__all__ = ["Spec", "Store", "decode", "encode", "encode_spec"]

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that the head has for an answer, if nobody says otherwise."""

encode: Callable[[Any], bytes] = encode_json
decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


class Spec(msgspec.Struct, frozen=True):
    """What the shards of a name are made of."""

    class_name: str
    pickled_class: bytes
    pickled_arguments: bytes
    lease: float | None

    def load_class(self) -> Any:
        """Return the client's class. Raises what its import raises."""
        return engine.loads(self.pickled_class)

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments by place."""
        return engine.loads(self.pickled_arguments)[0]  # type: ignore[no-any-return]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name."""
        return engine.loads(self.pickled_arguments)[1]  # type: ignore[no-any-return]


encode_spec: Callable[[Spec], bytes] = msgspec.msgpack.Encoder().encode
decode_spec: Callable[[bytes], Spec] = msgspec.msgpack.Decoder(Spec).decode


class Store:
    """The keys of one name. Every method raises `StoreUnavailableError` when the head is away."""

    def __init__(
        self, name: str, patience: float = PATIENCE, kind: str = "slipstream_actor"
    ) -> None:
        # A ":" in a namespace silently loses keys.
        self._namespace: bytes = f"{kind}.{quote(name, safe='')}".encode()
        self.name: str = name
        self.patience: float = patience

    # values that anybody may overwrite

    def get(self, key: str) -> bytes | None:
        """Return the value, `None` without one."""
        space = self._namespace
        return self._ask(lambda kv: kv.internal_kv_get(key.encode(), space))  # type: ignore[no-any-return]

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those keys that have one."""
        wanted = [key.encode() for key in keys]
        if not wanted:
            return {}
        space = self._namespace
        found = self._ask(lambda kv: kv.internal_kv_multi_get(wanted, space))
        return {key.decode(): value for key, value in found.items()}

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so."""
        space = self._namespace
        found = self._ask(lambda kv: kv.internal_kv_keys(prefix.encode(), space))
        return [key.decode() for key in found]

    def put(self, key: str, value: bytes) -> None:
        """Write a value, whatever was there."""
        space = self._namespace
        self._ask(lambda kv: kv.internal_kv_put(key.encode(), value, True, space))

    def put_first(self, key: str, value: bytes) -> bool:
        """Write a value where there is none; return whether it was written. The first one wins."""
        space = self._namespace
        added = self._ask(lambda kv: kv.internal_kv_put(key.encode(), value, False, space))
        # A write whose answer was lost is asked for again by Ray, and finds itself.
        return bool(added) or self.get(key) == value

    def delete(self, key: str) -> None:
        """Delete a key; nothing when it is not there."""
        space = self._namespace
        self._ask(lambda kv: kv.internal_kv_del(key.encode(), False, space))

    @classmethod
    def of_claims(cls, name: str, patience: float = PATIENCE) -> Self:
        """Return the store of who is which shard, which outlasts all else of the name: a shard that
        is to end holds its lease till then."""
        return cls(name, patience, "slipstream_actor_claims")

    def clear(self) -> None:
        """Delete all keys of the name."""
        space = self._namespace
        self._ask(lambda kv: kv.internal_kv_del(b"", True, space))

    def _ask(self, function: Callable[[Any], Any]) -> Any:
        what = f"the store of the shards {self.name!r}"

        def ask() -> Any:
            try:
                return function(engine.kv_client())
            except engine.rpc_errors() as error:
                raise StoreUnavailableError(f"{what}: {engine.described(error)}") from error

        return engine.within(self.patience, ask, what)

    # what the keys are called

    def spec(self) -> Spec | None:
        """Return what the shards are made of, `None` when there are none of that name."""
        data = self.get("spec")
        return None if data is None else decode_spec(data)

    def layouts(self) -> dict[int, int]:
        """Return how many shards there are, by version."""
        found = self.get_many(self.keys(LAYOUTS))
        return {version_of(key): decode_layout(value) for key, value in found.items()}

    def release_keys(self) -> list[str]:
        """Return the marks of shards that have left what is not their own any more."""
        return self.keys(RELEASES)

    def want(self, topic: str, params: Any) -> None:
        """Have a topic wanted."""
        self.put(f"want/{topic}", encode(params))

    def want_no_more(self, topic: str) -> None:
        """Have a topic wanted no more."""
        self.delete(f"want/{topic}")

    def wanted_topics(self) -> list[str]:
        """Return the wanted topics."""
        return [key.removeprefix("want/") for key in self.keys("want/")]

    def params_of(self, topics: Iterable[str]) -> dict[str, Any]:
        """Return the stored params of those topics that are wanted."""
        found = self.get_many(f"want/{topic}" for topic in topics)
        return {key.removeprefix("want/"): decode(value) for key, value in found.items()}
