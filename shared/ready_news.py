"""Tells the bus which objects have become ready, or unready, once the API server knows."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from shared.conditions import READY as READY_CONDITION
from shared.conditions import is_true
from shared.messages import About, ReadyChange
from shared.resources.meta import Resource
from shared.subjects import READY, Stream

R = TypeVar("R", bound=Resource[Any, Any])


class Publisher(Protocol):
    """The part of `shared.bus.Bus` that is needed here."""

    def publish(self, stream: Stream[ReadyChange], about: About, body: ReadyChange) -> None: ...


class ReadyNews(Generic[R]):
    """`revision_of` says what of its source an object has got to."""

    def __init__(self, bus: Publisher, revision_of: Callable[[R], str | None]) -> None:
        self._bus = bus
        self._revision_of = revision_of

    def changed(self, before: R | None, after: R | None) -> None:
        if after is None:
            return
        news = self._news(after)
        if before is None or self._news(before) != news:
            self._bus.publish(READY, About(after.kind, *after.key), news)

    def _news(self, resource: R) -> ReadyChange:
        return ReadyChange(
            generation=resource.metadata.generation,
            ready=is_ready(resource),
            revision=self._revision_of(resource) or "",
        )


def is_ready(resource: Resource[Any, Any]) -> bool:
    """For its newest spec."""
    is_observed = resource.status.observed_generation == resource.metadata.generation
    return bool(is_observed and is_true(resource.status.conditions, READY_CONDITION))
