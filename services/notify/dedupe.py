"""The same thing said twice within five minutes is told once.

What counts as the same is Flux's rule: object, message and revision; a `token` in the metadata
makes a repetition a wanted one. Memory is bounded: beyond it the oldest are forgotten, which can
cost a repetition and never a message.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from services.notify.event import own_metadata
from shared.messages import EventPayload

WINDOW = timedelta(minutes=5)
REMEMBERED = 50_000
_DISTINGUISHING = ("originRevision", "revision", "token")


def sameness(event: EventPayload) -> str:
    involved = event.involved_object
    parts = [
        "event",
        f"name={involved.name}",
        f"namespace={involved.namespace}",
        f"kind={involved.kind}",
        f"message={event.message}",
    ]
    for name in _DISTINGUISHING:
        value = own_metadata(event, name)
        if value is not None:
            parts.append(f"{name}={value}")
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


class Recent:
    """Events of the last minutes; `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def has(self, event: EventPayload, event_id: str) -> bool:
        """Whether another event said this already; the same one, handed out again, did not."""
        self._forget_old()
        taken = self._taken.get(sameness(event))
        return taken is not None and taken[1] != event_id

    def add(self, event: EventPayload, event_id: str) -> None:
        """The window begins with the first of them, so that a repetition does not prolong it."""
        self._taken.setdefault(sameness(event), (self._clock(), event_id))
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)

    def _forget_old(self) -> None:
        oldest = self._clock() - WINDOW.total_seconds()
        while self._taken and next(iter(self._taken.values()))[0] <= oldest:
            self._taken.popitem(last=False)
