"""Waits until objects are what their specs say, by watch: no polling, an event is enough.

What the answer to an apply already shows to be current is not waited for, and kinds that are ready
by existing need no watch at all. The first object that has failed for good ends the wait.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from shared.clock import Now
from shared.cluster.client import Cluster
from shared.cluster.failing_pods import failure_of_pods
from shared.cluster.kstatus import (
    CURRENT,
    NOT_FOUND,
    ObjectStatus,
    is_ready_by_existing,
    status_of,
)
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.status_watch import Place, Seen, StatusWatches
from shared.cluster.watch_cache import Selection, WatchCache
from shared.durations import format_duration
from shared.outcomes import Failed

# Some states are a matter of time, without an event that says so (a pod that no node takes).
LOOK_AGAIN = 5.0
REASONS_SHOWN = 3
_UNSEEN = ObjectStatus("InProgress", "its state is not known yet")
_UNREAD = ObjectStatus("InProgress", "its health expressions have not been evaluated yet")
_UNLISTED = ObjectStatus("Unknown", "its kind cannot be listed")


class Unhealthy(Failed):
    reason = "HealthCheckFailed"


class Check(NamedTuple):
    """An object to wait for. `answer` is what our apply was answered with; nothing older counts.

    Objects of ours are found by label, those of others by name.
    """

    ref: ObjectRef
    answer: Manifest | None = None
    is_foreign: bool = False

    def selection(self, labels: str) -> Selection:
        if not self.is_foreign:
            return Selection(labels=labels)
        return Selection(namespace=self.ref.namespace, fields=f"metadata.name={self.ref.name}")

    @property
    def version(self) -> int:
        return int(self.answer["metadata"]["resourceVersion"]) if self.answer else 0


class Nudge:
    """Ends a wait from outside, for whoever has better things to do."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.asked = False

    def __call__(self) -> None:
        self.asked = True
        self.changed.set()


class Reader(Protocol):
    """How users read the health of some kinds, in place of the rules that hold for all."""

    def reads(self, gvk: Gvk) -> bool: ...

    async def statuses(self, manifests: Sequence[Manifest]) -> list[ObjectStatus]: ...


class Manner(NamedTuple):
    """How to wait. Without `fail_fast` one that has failed may still recover while others are in
    progress."""

    reader: Reader | None = None
    fail_fast: bool = True

    def reader_of(self, gvk: Gvk) -> Reader | None:
        return self.reader if self.reader is not None and self.reader.reads(gvk) else None


DEFAULT_MANNER = Manner()


class HealthWatch:
    """`labels` selects what is ours, of whatever owner."""

    def __init__(self, watches: StatusWatches, labels: str, now: Now) -> None:
        self._watches = watches
        self._labels = labels
        self._now = now

    async def wait(
        self,
        cluster: Cluster,
        checks: Iterable[Check],
        within: timedelta,
        nudge: Nudge | None = None,
        manner: Manner = DEFAULT_MANNER,
    ) -> bool:
        """True when all are current, False as soon as somebody nudges; raises Unhealthy."""
        vigil = _Vigil(cluster, self._now, nudge or Nudge(), manner.fail_fast)
        places: dict[Place, list[Check]] = {}
        for check in checks:
            reader = manner.reader_of(check.ref.gvk)
            if reader or not self._is_settled(check):
                selection = check.selection(self._labels)
                place = Place(cluster, check.ref.gvk, selection, whole=reader is not None)
                places.setdefault(place, []).append(check)
        async with AsyncExitStack() as stack:
            for place, unsettled in places.items():
                keys = [check.ref.key for check in unsettled]
                following = self._watches.following(place, keys, vigil.nudge.changed)
                cache = await stack.enter_async_context(following)
                reader = manner.reader_of(place.gvk)
                vigil.pending += (_Pending(check, cache, reader) for check in unsettled)
            return await vigil.keep(within)

    def _is_settled(self, check: Check) -> bool:
        """Without looking at the cluster: it exists, or was current when it was applied."""
        if check.is_foreign:
            return False
        if is_ready_by_existing(check.ref.group, check.ref.kind):
            return True
        if check.answer is None:
            return False
        return status_of(check.answer, self._now()).state == "Current"


@dataclass(slots=True)
class _Pending:
    check: Check
    cache: WatchCache[Seen]
    reader: Reader | None = None
    seen: Seen | None = None
    judged: tuple[int, ObjectStatus] = (-1, _UNREAD)  # by the reader: of which version
    failing_pod: ObjectStatus | None = None

    def status(self) -> ObjectStatus:
        if not self.cache.is_synced:
            return _UNLISTED
        now_seen = self.cache.get(self.check.ref.key)
        if now_seen is None:
            return self._absent()
        if now_seen.version < self.check.version:
            return _UNSEEN
        self.seen = now_seen
        if self.reader is not None:
            version, status = self.judged
            return status if version == now_seen.version else _UNREAD
        if self.failing_pod is not None and now_seen.status.state == "InProgress":
            return self.failing_pod
        return now_seen.status

    def unjudged(self) -> Seen | None:
        """What the reader has to look at."""
        seen = self.cache.get(self.check.ref.key) if self.reader else None
        if seen is None or seen.version == self.judged[0] or seen.version < self.check.version:
            return None
        return seen

    def _absent(self) -> ObjectStatus:
        before = self.seen.manifest if self.seen else self.check.answer
        if self.seen is not None and _removes_itself(before):
            return CURRENT
        return NOT_FOUND if self.seen or self.check.answer is None else _UNSEEN


class _Vigil:
    def __init__(self, cluster: Cluster, now: Now, nudge: Nudge, fail_fast: bool) -> None:
        self.pending: list[_Pending] = []
        self.nudge = nudge
        self._cluster = cluster
        self._now = now
        self._fail_fast = fail_fast

    async def keep(self, within: timedelta) -> bool:
        loop = asyncio.get_running_loop()
        started, pause = loop.time(), LOOK_AGAIN
        deadline, look_again = started + within.total_seconds(), started + pause
        while not self.nudge.asked:
            self.nudge.changed.clear()
            await self._judge()
            self._settle(started)
            if not self.pending:
                return True
            if loop.time() >= deadline:
                raise self._unhealthy(started, "timeout waiting for")
            if loop.time() >= look_again:
                pause *= 2
                look_again = loop.time() + pause
                await self._look_again()
                continue
            await _set_or_time(self.nudge.changed, min(deadline, look_again))
        self.nudge.asked = False
        return False

    async def _judge(self) -> None:
        """Have expressions evaluated over what has changed."""
        changed = [(each, seen) for each in self.pending if (seen := each.unjudged())]
        if not changed:
            return
        reader = next(each.reader for each, _ in changed if each.reader)
        statuses = await reader.statuses([seen.manifest or {} for _, seen in changed])
        for (each, seen), status in zip(changed, statuses, strict=True):
            each.judged = seen.version, status

    def _settle(self, started: float) -> None:
        """Drop what is current; raise for what has failed, or, without haste, when all has."""
        statuses = [(each, each.status()) for each in self.pending]
        states = [status.state for _, status in statuses if status.state != "Current"]
        hopeless = any if self._fail_fast else all
        if states and hopeless(state == "Failed" for state in states):
            raise self._unhealthy(started, "failed early due to stalled resources")
        self.pending = [each for each, status in statuses if status.state != "Current"]

    async def _look_again(self) -> None:
        """What no event tells: time that has passed, and pods that will never run."""
        for each in self.pending:
            manifest = each.seen.manifest if each.seen else None
            if manifest is None or each.seen is None or each.reader is not None:
                continue
            status = status_of(manifest, self._now())
            each.seen = each.seen._replace(status=status)
            each.failing_pod = (
                status
                if status.state == "Failed"
                else await failure_of_pods(self._cluster, manifest, self._now())
            )

    def _unhealthy(self, started: float, why: str) -> Unhealthy:
        elapsed = timedelta(seconds=round(asyncio.get_running_loop().time() - started, 3))
        statuses = [(each.check.ref, each.status()) for each in self.pending]
        shown = [(ref, status) for ref, status in statuses if status.state != "Current"]
        listed = ", ".join(f"{ref} status: '{status.state}'" for ref, status in shown)
        worst = sorted(shown, key=lambda item: item[1].state != "Failed")[:REASONS_SHOWN]
        reasons = "; ".join(f"{ref}: {status.message}" for ref, status in worst)
        return Unhealthy(
            f"health check failed after {format_duration(elapsed)}: {why}: [{listed}]: {reasons}"
        )


def _removes_itself(manifest: Manifest | None) -> bool:
    """A Job that was told to vanish when it is done, and did."""
    return manifest is not None and (
        manifest["kind"] == "Job" and "ttlSecondsAfterFinished" in manifest.get("spec", {})
    )


async def _set_or_time(event: asyncio.Event, deadline: float) -> None:
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        pass
