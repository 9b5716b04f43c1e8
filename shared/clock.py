"""The one place that reads the time of day.

Delays belong to the event loop; timestamps come from a `Now` that callers inject, so that tests
choose the time.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Now: TypeAlias = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  (this is the door)


def rfc3339(moment: datetime) -> str:
    """Kubernetes' form of a time: UTC, whole seconds, `2026-01-02T03:04:05Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """A time with microseconds, for values that must differ between two calls (requestedAt)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """Raises ValueError for anything that is not a time with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return moment
