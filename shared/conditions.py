"""Kubernetes conditions: set, remove, order. Pure functions on tuples of `Condition`.

A condition's `lastTransitionTime` moves when its status, reason or message changes.
"""

from collections.abc import Iterable

import msgspec

from shared.clock import Now, rfc3339
from shared.outcomes import ConditionMark, Marks
from shared.redaction import redact
from shared.resources.meta import Condition

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"

PROGRESSING = "Progressing"
PROGRESSING_WITH_RETRY = "ProgressingWithRetry"

MESSAGE_LIMIT = 32768  # bytes, the schema's maxLength for conditions

_FIRST = {STALLED: 0, RECONCILING: 1, READY: 2}


def find(conditions: Iterable[Condition], condition_type: str) -> Condition | None:
    return next((c for c in conditions if c.type == condition_type), None)


def is_true(conditions: Iterable[Condition], condition_type: str) -> bool:
    condition = find(conditions, condition_type)
    return condition is not None and condition.status == "True"


def with_marks(
    conditions: tuple[Condition, ...], marks: Marks, generation: int, now: Now
) -> tuple[Condition, ...]:
    """The conditions after setting (or, where a mark is None, removing) each marked type."""
    by_type = {condition.type: condition for condition in conditions}
    for condition_type, mark in marks.items():
        if mark is None:
            by_type.pop(condition_type, None)
        else:
            before = by_type.get(condition_type)
            by_type[condition_type] = _stamped(condition_type, mark, before, generation, now)
    return tuple(sorted(by_type.values(), key=_rank))


def _stamped(
    condition_type: str, mark: ConditionMark, before: Condition | None, generation: int, now: Now
) -> Condition:
    message = clip(redact(mark.message))
    if before is not None and (before.status, before.reason, before.message) == (
        mark.status,
        mark.reason,
        message,
    ):
        return msgspec.structs.replace(before, observed_generation=generation)
    return Condition(
        type=condition_type,
        status=mark.status,
        reason=mark.reason,
        message=message,
        observed_generation=generation,
        last_transition_time=rfc3339(now()),
    )


def clip(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= MESSAGE_LIMIT:
        return message
    return encoded[: MESSAGE_LIMIT - 3].decode(errors="ignore") + "..."


def _rank(condition: Condition) -> tuple[int, int, str]:
    first = _FIRST.get(condition.type, len(_FIRST))
    return (first, -condition.observed_generation if first == len(_FIRST) else 0, condition.type)
