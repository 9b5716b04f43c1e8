"""Who owns which fields of an object, as `metadata.managedFields` tells it.

Our entry's `fieldsV1`, its keys sorted, stays equal byte for byte through status updates, other
managers' additions and our own repeated applies; it changes when anybody changes or removes a field
that we own. That makes its digest a fact about drift that costs no comparison of objects.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson


class ManagedFields(msgspec.Struct, frozen=True, rename="camel"):
    """One manager's entry."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    api_version: str = ""
    fields_v1: Any = msgspec.field(name="fieldsV1", default_factory=dict)

    @property
    def is_of_spec(self) -> bool:
        """It speaks of the object itself, not of its status or another subresource."""
        return not self.subresource


def entry_of(entries: Iterable[ManagedFields], manager: str) -> ManagedFields | None:
    for entry in entries:
        if entry.manager == manager and entry.operation == "Apply" and entry.is_of_spec:
            return entry
    return None


def digest_of(entry: ManagedFields | None) -> bytes:
    """Empty when the manager owns nothing."""
    return b"" if entry is None else digest(entry.fields_v1)


def digest(value: Any) -> bytes:
    """Of JSON, whatever the order of its keys."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=16).digest()


def merged(left: Any, right: Any) -> Any:
    """The union of two `fieldsV1` trees."""
    return {
        **left,
        **{key: merged(left.get(key, {}), value) for key, value in right.items()},
    }


def paths(entry: ManagedFields, limit: int = 5) -> list[str]:
    """What it owns as a person reads it: `spec.replicas`, `spec.containers[name=web].image`."""
    found = _leaves(entry.fields_v1, "")
    return [path for _, path in zip(range(limit), found, strict=False)]


def _leaves(tree: Any, prefix: str) -> Iterator[str]:
    for key, below in tree.items():
        if key == ".":
            continue
        path = prefix + _step(key)
        if any(part != "." for part in below):
            yield from _leaves(below, path)
        else:
            yield path.removeprefix(".")


def _step(key: str) -> str:
    kind, _, name = key.partition(":")
    match kind:
        case "f":
            return f".{name}"
        case "k":
            selectors = orjson.loads(name).items()
            return "[" + ",".join(f"{field}={value}" for field, value in selectors) + "]"
        case _:
            return f"[{name}]"
