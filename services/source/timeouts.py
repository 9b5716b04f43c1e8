"""`spec.timeout`: how long a source's server may take for one answer."""

from datetime import timedelta
from typing import TypeAlias

from services.source.endings import FetchStalled
from shared.durations import InvalidDurationError, parse_duration
from shared.resources.source import Bucket, GitRepository, HelmRepository, OCIRepository

DEFAULT = "60s"
Fetched: TypeAlias = GitRepository | OCIRepository | HelmRepository | Bucket


def timeout_of(source: Fetched) -> timedelta:
    """Raises FetchStalled."""
    given = source.spec.timeout
    return duration_of("timeout", DEFAULT if given is None else given)


def duration_of(field: str, text: str) -> timedelta:
    """Of a field of the spec. Raises FetchStalled."""
    try:
        return parse_duration(text)
    except InvalidDurationError as error:
        raise FetchStalled(f"spec.{field}: {error}", reason="InvalidSpec") from error
