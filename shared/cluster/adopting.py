"""What to send of an object some of whose fields are ignored: what lives there is left as it is.

An ignored field that somebody else owns is dropped from what we send, so that it is theirs alone
and their next change is no news to us. One that only we own, perhaps since it was taken over, is
sent with its live value: dropped, the server would remove it. Inside of what has but one owner as
a whole (an atomic list), it is the live value too.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from shared.cluster.fields import entry_of
from shared.cluster.ignoring import steps_of
from shared.cluster.live import Reader, metadata_of
from shared.cluster.objects import Manifest
from shared.cluster.wanted import Wanted

Tree: TypeAlias = dict[str, Any]  # of a fieldsV1


class _Absent:
    """Not there; None is a value."""


ABSENT: Final = _Absent()


class Owned(NamedTuple):
    """The trees below one field: of ours, and of others."""

    mine: tuple[Tree, ...]
    others: tuple[Tree, ...]

    def below(self, key: str) -> "Owned":
        # A leaf owns what is below it, but not piece by piece: that cannot be left to others.
        mine = tuple({} if _is_leaf(each) else each[key] for each in self.mine if _has(each, key))
        return Owned(mine, tuple(each[key] for each in self.others if key in each))


def adopted(wanted: Wanted, live: Manifest, reader: Reader) -> bytes:
    """The body to send, which holds for this version of `live` only."""
    owned = _owned(live, reader)
    body: Any = wanted.manifest
    # Deeper ones and later elements first: what is dropped moves those behind it.
    for steps in sorted(map(steps_of, filter(None, wanted.ignored)), key=_place, reverse=True):
        body = _settled(body, live, steps, owned)
    kept = reader.ownership.labels_in(wanted.manifest["metadata"]["labels"])
    metadata = body["metadata"]
    metadata = {**metadata, "labels": {**(metadata.get("labels") or {}), **kept}}
    metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return orjson.dumps({**body, "metadata": metadata})


def _owned(live: Manifest, reader: Reader) -> Owned:
    entries = metadata_of(live).managed_fields
    ours = entry_of(entries, reader.manager)
    return Owned(
        (ours.fields_v1,) if ours else (),
        tuple(each.fields_v1 for each in entries if each is not ours),
    )


def _place(steps: list[str]) -> list[tuple[int, str]]:
    return [(int(step) if step.isdecimal() else -1, step) for step in steps]


def _settled(value: Any, live: Any, steps: list[str], owned: Owned) -> Any:
    """`value`, what is at `steps` being as it is in `live`, or left out for those who own it."""
    if not steps:
        is_ours = value is not ABSENT or bool(owned.mine)
        return _kept(live, owned.others) if is_ours else ABSENT
    if isinstance(value, list):
        return _settled_in_list(value, live, steps, owned)
    if isinstance(value, dict) or (value is ABSENT and isinstance(live, dict)):
        return _settled_in_map(value, live, steps, owned)
    return value


def _settled_in_map(value: Any, live: Any, steps: list[str], owned: Owned) -> Any:
    name, result = steps[0], {} if value is ABSENT else dict(value)
    there = live.get(name, ABSENT) if isinstance(live, dict) else ABSENT
    child = _settled(result.get(name, ABSENT), there, steps[1:], owned.below(f"f:{name}"))
    if child is not ABSENT:
        return {**result, name: child}
    was_there = result.pop(name, ABSENT) is not ABSENT
    # A map that only held what is dropped goes with it: empty, it would be owned as such.
    return ABSENT if not result and (was_there or value is ABSENT) else result


def _settled_in_list(value: list[Any], live: Any, steps: list[str], owned: Owned) -> Any:
    index = int(steps[0]) if steps[0].isdecimal() else len(value)
    if index >= len(value):
        return value
    item, there = value[index], live if isinstance(live, list) else []
    key = _key_of(item, (*owned.mine, *owned.others))
    if key is None:  # no element has an owner of its own
        alive = there[index] if index < len(there) else ABSENT
        child = _settled(item, alive, steps[1:], Owned(({},), ()))
    else:
        alive = next((each for each in there if _is_named(each, key)), ABSENT)
        child = _settled(item, alive, steps[1:], owned.below(key))
    return [*value[:index], *([] if child is ABSENT else [child]), *value[index + 1 :]]


def _kept(live: Any, others: Iterable[Tree]) -> Any:
    """What of the live value nobody else owns."""
    others = list(others)
    if live is ABSENT or any(_is_leaf(each) for each in others):
        return ABSENT
    if not others:
        return live
    if isinstance(live, dict):
        below = {
            name: _kept(value, [each[f"f:{name}"] for each in others if f"f:{name}" in each])
            for name, value in live.items()
        }
        return {name: value for name, value in below.items() if value is not ABSENT} or ABSENT
    if isinstance(live, list):
        items = [_kept_item(item, others) for item in live]
        return [item for item in items if item is not ABSENT] or ABSENT
    return live


def _kept_item(item: Any, others: list[Tree]) -> Any:
    key = _key_of(item, others)
    if key is None:
        return item
    kept = _kept(item, [each[key] for each in others if key in each])
    if kept is ABSENT or not key.startswith("k:"):
        return ABSENT
    selectors = orjson.loads(key[2:])
    return ABSENT if kept.keys() <= selectors.keys() else {**kept, **selectors}


def _key_of(item: Any, trees: Iterable[Tree]) -> str | None:
    """How trees name this element of a list."""
    return next((key for tree in trees for key in tree if _is_named(item, key)), None)


def _is_named(item: Any, key: str) -> bool:
    kind, _, name = key.partition(":")
    if kind == "v":
        return bool(orjson.loads(name) == item)
    if kind != "k" or not isinstance(item, dict):
        return False
    return all(item.get(field) == value for field, value in orjson.loads(name).items())


def _is_leaf(tree: Tree) -> bool:
    return not any(key != "." for key in tree)


def _has(tree: Tree, key: str) -> bool:
    return _is_leaf(tree) or key in tree
