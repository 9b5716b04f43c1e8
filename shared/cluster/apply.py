"""Makes objects in the cluster what they shall be. With `one_object`, the only code that writes
foreign objects.

Only what differs is sent: an object whose wanted form is what was last applied, and which no event
has shown to have changed since, costs nothing, not even a read. The rest is applied server-side in
stages (`order`), side by side within a band of a stage, with force: the source is right. The
answer tells what an apply did, and one that changes nothing changes no resourceVersion.

An atomic mandate has every stage of several objects rehearsed first, and written only when the
server would take all of it. What an earlier stage wrote stays: this one could not have been judged
without it.

Safe to be killed anywhere: an apply sent twice is an apply, and what was sent but not recorded is
sent again by the next run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from shared.cluster.changes import ChangeSet
from shared.cluster.drift import DriftWatch
from shared.cluster.errors import ApiError, NotFound, UnknownKind, Unreachable
from shared.cluster.health import Check, HealthWatch, Unhealthy
from shared.cluster.inventory import ObjectId
from shared.cluster.live import Reader
from shared.cluster.mandate import Mandate
from shared.cluster.one_object import ObjectApplier
from shared.cluster.order import Stage, bands, stages
from shared.cluster.ownership import Controls
from shared.cluster.refusal import GateFailed, Refusal, Refused, refusal
from shared.cluster.wanted import Wanted
from shared.resources.meta import NamespacedName

T = TypeVar("T")
# About what an API server on two cores can take at a time; more only lengthens its queue.
IN_FLIGHT = 24
GATE_TIMEOUT = timedelta(seconds=60)
# Between a CRD being established and its kind being served everywhere lies a moment.
NEW_KIND_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Applier:
    """`early_kinds` have a stage of their own before the rest, as `group/Kind`."""

    def __init__(
        self,
        reader: Reader,
        drift: DriftWatch,
        health: HealthWatch,
        early_kinds: frozenset[str] = frozenset(),
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._objects = ObjectApplier(reader, drift)
        self._drift = drift
        self._index = drift.index
        self._health = health
        self._early_kinds = early_kinds
        self._workers = in_flight
        self._in_flight = asyncio.Semaphore(in_flight)

    def pending(self, owner: NamespacedName, wanted: Iterable[Wanted]) -> list[Wanted]:
        """What is not known to be in the cluster as it shall be."""
        return [each for each in wanted if not self._holds(owner, each)]

    def forget(self, owner: NamespacedName, ids: Iterable[ObjectId]) -> None:
        """They are not the owner's any more: what happens to them is no drift of his."""
        for id_ in ids:
            self._index.forget(self._drift.key_of(id_), owner)

    async def apply(
        self, mandate: Mandate, wanted: Iterable[Wanted], changes: ChangeSet | None = None
    ) -> ChangeSet:
        """What was done is in `changes`, however this ends.

        Raises Refused, after trying everything that could be tried, with all refusals in it.
        """
        changes = ChangeSet() if changes is None else changes
        marked = map(mandate.ignoring.marked, wanted)
        for stage in stages(self.pending(mandate.owner, marked), self._early_kinds):
            await self._apply_stage(mandate, stage, changes)
            if stage.gate:
                mandate = await self._pass_gate(mandate, stage, changes)
        return changes

    def _holds(self, owner: NamespacedName, wanted: Wanted) -> bool:
        key = self._drift.key_of(wanted.id)
        return self._index.holds(key, owner, wanted.digest) and self._drift.is_watching(key)

    async def _apply_stage(
        self, mandate: Mandate, stage: Stage[Wanted], changes: ChangeSet
    ) -> None:
        rehearsed = await self._rehearsed(mandate, stage, changes)

        async def apply(wanted: Wanted) -> None:
            said = rehearsed.get(wanted.id)
            change = await _served(mandate, lambda: self._objects.apply(mandate, wanted, said))
            changes.extend([change])

        refused: list[Refusal] = []
        for band in bands(stage.objects):
            # Webhooks are not let loose before what answers them is there.
            if refused and (mandate.atomic or band.judges):
                break
            refused += await self._side_by_side(band.objects, apply)
        if refused:
            raise Refused(refused, changes)

    async def _rehearsed(
        self, mandate: Mandate, stage: Stage[Wanted], changes: ChangeSet
    ) -> dict[ObjectId, Controls]:
        """What the objects' control keys say; raises Refused unless all would be taken."""
        said: dict[ObjectId, Controls] = {}
        if not mandate.atomic or len(stage.objects) < 2:
            return said  # an object is atomic by itself
        names = frozenset(each.ref.name for each in stage.objects)

        async def rehearse(wanted: Wanted) -> None:
            said[wanted.id] = await _served(
                mandate, lambda: self._objects.rehearse(mandate, wanted, names - {wanted.ref.name})
            )

        refused = await self._side_by_side(stage.objects, rehearse)
        if refused:
            raise Refused(refused, changes)
        return said

    async def _side_by_side(
        self, objects: list[Wanted], act: Callable[[Wanted], Awaitable[None]]
    ) -> list[Refusal]:
        todo, refused = iter(objects), list[Refusal]()

        async def work() -> None:
            for wanted in todo:
                try:
                    async with self._in_flight:
                        await act(wanted)
                except Unreachable as error:
                    refused.append(refusal(wanted.ref, error))
                    return  # the rest would only wait for the same silence
                except ApiError as error:
                    refused.append(refusal(wanted.ref, error))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(objects), self._workers)):
                group.create_task(work())
        return refused

    async def _pass_gate(
        self, mandate: Mandate, stage: Stage[Wanted], changes: ChangeSet
    ) -> Mandate:
        """What comes next depends on these: definitions have to be served before their objects."""
        done = [change for each in stage.objects if (change := changes.get(each.id))]
        checks = [Check(change.ref, change.answer) for change in done if change.answer]
        passed = False
        try:
            await self._health.wait(mandate.cluster, checks, GATE_TIMEOUT)
            passed = True
        except Unhealthy as error:
            raise GateFailed(str(error)) from error
        finally:
            if not passed:  # the next run must come to this gate again
                self.forget(mandate.owner, [each.id for each in stage.objects])
        if any(check.ref.kind == "CustomResourceDefinition" for check in checks):
            mandate.cluster.discovery.forget()
            return replace(mandate, has_new_kinds=True)
        return mandate


async def _served(mandate: Mandate, act: Callable[[], Awaitable[T]]) -> T:
    """With patience for kinds that were defined a moment ago."""
    for delay in NEW_KIND_DELAYS if mandate.has_new_kinds else ():
        try:
            return await act()
        except (UnknownKind, NotFound):
            await asyncio.sleep(delay)
    return await act()
