"""From what a run has to say to the smallest patch of an object's status."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.clock import Now
from shared.conditions import with_marks
from shared.outcomes import Marks
from shared.resources.meta import Condition, Resource

REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
# Configuration with this label is watched: a change of it need not wait for the interval.
WATCHED = "reconcile.fluxcd.io/watch=Enabled"

Json = Any


def conditions_of(resource: Resource[Any, Any]) -> tuple[Condition, ...]:
    conditions: tuple[Condition, ...] = resource.status.conditions
    return conditions


def requested_at(resource: Resource[Any, Any]) -> str | None:
    return resource.metadata.annotations.get(REQUESTED_AT)


def is_requested(resource: Resource[Any, Any]) -> bool:
    """Whether somebody asked for a run that has not been handled yet."""
    asked = requested_at(resource)
    return asked is not None and asked != resource.status.last_handled_reconcile_at


def status_patch(
    resource: Resource[Any, Any], fields: Mapping[str, Json], marks: Marks, now: Now
) -> dict[str, Json] | None:
    """The merge patch `{"status": …}` that sets these fields and conditions, or None.

    `fields` are JSON values under their API names; None removes a field. Where a kind has no
    `observedGeneration`, only its conditions tell of the generation that they saw.
    """
    if not hasattr(resource.status, "observed_generation"):
        fields = {name: value for name, value in fields.items() if name != "observedGeneration"}
    before = _as_json(resource.status)
    conditions = with_marks(conditions_of(resource), marks, resource.metadata.generation, now)
    wanted = {**before, **_as_json(fields), "conditions": _as_json(conditions) or None}
    after = {name: value for name, value in wanted.items() if value is not None}
    difference = merge_difference(before, after)
    return {"status": difference} if difference else None


def no_status(resource: Resource[Any, Any]) -> tuple[Mapping[str, Json], Marks]:
    """The fields and marks that leave what the schema gives to an object that nobody has seen."""
    fields = dict.fromkeys(_as_json(resource.status))
    fresh = {**fields, "observedGeneration": -1}
    return fresh, {condition.type: None for condition in conditions_of(resource)}


def _as_json(value: Any) -> Any:
    """With lists for tuples, or equal values would look different."""
    return msgspec.json.decode(msgspec.json.encode(value))


def merge_difference(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, Json]:
    """The JSON merge patch (RFC 7386) that turns `before` into `after`."""
    patch: dict[str, Json] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_difference(old, value)
            if inner:
                patch[name] = inner
        elif value != old or name not in before:
            patch[name] = value
    return patch
