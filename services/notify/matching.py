"""Does an Alert want this event? Pure, but for labels, which only the API server knows.

Regular expressions are Go's, so they run on RE2: the same syntax, and time linear in the message
whatever a tenant writes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

import re2

from services.notify.event import ERROR
from shared.messages import EventPayload
from shared.resources.notification import Alert, FluxObjectSelector

LabelsOf: TypeAlias = Callable[[EventPayload], Awaitable[Mapping[str, str]]]
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


class InvalidPattern(ValueError):
    """Names the field, the pattern and RE2's complaint."""


def wants_severity(alert: Alert, event: EventPayload) -> bool:
    return alert.spec.event_severity != ERROR or event.severity == ERROR


def wants_message(alert: Alert, event: EventPayload) -> bool:
    """At least one inclusion, if there are any, and no exclusion; broken patterns count for none.

    An inclusion list of broken patterns alone includes nothing.
    """
    included = alert.spec.inclusion_list
    if included and not _any_found(included, event.message):
        return False
    return not _any_found(alert.spec.exclusion_list, event.message)


def broken_patterns(alert: Alert) -> list[InvalidPattern]:
    problems = []
    for field in ("inclusion_list", "exclusion_list"):
        for pattern in getattr(alert.spec, field):
            try:
                _compiled(pattern)
            except re2.error as error:
                name = field.replace("_list", "List")
                problems.append(InvalidPattern(f"spec.{name}: {pattern!r}: {_reason(error)}"))
    return problems


async def is_about_a_source(alert: Alert, event: EventPayload, labels_of: LabelsOf) -> bool:
    """Raises what `labels_of` raises, when labels decide."""
    for source in alert.spec.event_sources:
        if not _names(source, alert, event):
            continue
        if not source.match_labels:
            return True
        labels = await labels_of(event)
        if source.match_labels.items() <= labels.items():
            return True
    return False


def _names(source: FluxObjectSelector, alert: Alert, event: EventPayload) -> bool:
    involved = event.involved_object
    return (
        source.kind == involved.kind
        and (source.namespace or alert.metadata.namespace) == involved.namespace
        and source.name in {"*", involved.name}
    )


def _any_found(patterns: Iterable[str], message: str) -> bool:
    for pattern in patterns:
        try:
            if _compiled(pattern).search(message) is not None:
                return True
        except re2.error:
            continue
    return False


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re2._Regexp:
    return re2.compile(pattern, _OPTIONS)


def _reason(error: Exception) -> str:
    (reason,) = error.args or (b"",)
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
