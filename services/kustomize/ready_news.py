"""Tells the bus which Kustomizations have become ready, or unready, once the API server knows."""

from typing import Protocol

from services.kustomize.depends_on import is_ready
from shared.messages import About, ReadyChange
from shared.resources.kustomize import Kustomization
from shared.subjects import READY, Stream


class Publisher(Protocol):
    """The part of `shared.bus.Bus` that is needed here."""

    def publish(self, stream: Stream[ReadyChange], about: About, body: ReadyChange) -> None: ...


class ReadyNews:
    def __init__(self, bus: Publisher) -> None:
        self._bus = bus

    def changed(self, before: Kustomization | None, after: Kustomization | None) -> None:
        if after is None:
            return
        news = _news(after)
        if before is None or _news(before) != news:
            self._bus.publish(READY, About(after.kind, *after.key), news)


def _news(kustomization: Kustomization) -> ReadyChange:
    return ReadyChange(
        generation=kustomization.metadata.generation,
        ready=is_ready(kustomization),
        revision=kustomization.status.last_applied_revision or "",
    )
