"""A lane for each Provider, as long as it exists.

A lane reads the Provider's own part of the work queue DELIVERIES. What is in there stays until it
is settled: a crash repeats at most what was on its way at that moment, and loses nothing.
"""

import asyncio
import hashlib
from datetime import timedelta

from services.notify.lane import Attempts, Lane, Report
from services.notify.providers import TYPES
from shared.bus import Bus, Subscription
from shared.clock import Now, now
from shared.cluster.watch_cache import WatchCache
from shared.durable import DurablePlan
from shared.resources.meta import NamespacedName
from shared.resources.notification import Provider
from shared.subjects import DELIVERIES

SIDE_BY_SIDE = 16  # deliveries of one provider, about different objects
FORGOTTEN_AFTER = timedelta(hours=1)


class Lanes:
    def __init__(self, bus: Bus, courier: Attempts, report: Report, now: Now = now) -> None:
        self._bus = bus
        self._courier = courier
        self._report = report
        self._now = now
        self._open: dict[NamespacedName, Subscription] = {}

    def follow(self, providers: WatchCache[Provider]) -> None:
        for provider in providers.values():
            self._changed(None, provider)
        providers.on_change(self._changed)

    async def end(self) -> None:
        """Deliveries on their way have a moment to arrive; the others stay in the queue."""
        await asyncio.gather(*(lane.ended() for lane in self._open.values()))

    def _changed(self, before: Provider | None, after: Provider | None) -> None:
        if after is None:
            if before is not None and before.key in self._open:
                self._open.pop(before.key).stop()
        elif after.key not in self._open and after.spec.type in TYPES:
            self._open[after.key] = self._lane(after.key)

    def _lane(self, key: NamespacedName) -> Subscription:
        lane = Lane(key, self._courier, self._report, self._now)
        plan = DurablePlan(
            name=consumer_name(key),
            subject=DELIVERIES.subject(key.namespace, key.name),
            max_in_flight=SIDE_BY_SIDE,
            # What another process had in hand comes again at once, before what is newer.
            fresh=True,
            forgotten_after=FORGOTTEN_AFTER,
        )
        return self._bus.durable(DELIVERIES, plan, lane.deliver)


def consumer_name(key: NamespacedName) -> str:
    """Two names together can be longer than a consumer's may be."""
    return f"lane-{hashlib.sha256(str(key).encode()).hexdigest()[:32]}"
