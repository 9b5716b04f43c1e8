"""Makes objects in the cluster what they shall be. The only code that writes foreign objects.

Only what differs is sent: an object whose wanted form is what was last applied, and which no event
has shown to have changed since, costs nothing, not even a read. The rest is applied server-side in
stages (`order`), side by side within a stage, with force: the source is right. There is no dry
run; the answer tells what an apply did, and one that changes nothing changes no resourceVersion.

Safe to be killed anywhere: an apply sent twice is an apply, and what was sent but not recorded is
sent again by the next run.
"""

import asyncio
import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.cluster.applied import Applied
from shared.cluster.changes import Action, Change, ChangeSet
from shared.cluster.client import Cluster
from shared.cluster.drift import DriftWatch
from shared.cluster.errors import ApiError, Conflict, Invalid, NotFound, UnknownKind, Unreachable
from shared.cluster.health import Check, HealthWatch
from shared.cluster.inventory import ObjectId
from shared.cluster.live import Live, Reader
from shared.cluster.objects import Manifest
from shared.cluster.order import Stage, stages
from shared.cluster.ownership import Controls
from shared.cluster.prune import remove_for_recreation
from shared.cluster.refusal import Refusal, Refused, refusal
from shared.cluster.takeover import take_over
from shared.cluster.wanted import Wanted
from shared.resources.meta import NamespacedName

log = logging.getLogger(__name__)

# About what an API server on two cores can take at a time; more only lengthens its queue.
IN_FLIGHT = 24
GATE_TIMEOUT = timedelta(seconds=60)
# Between a CRD being established and its kind being served everywhere lies a moment.
NEW_KIND_DELAYS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
CONFLICT_TRIES = 4
# What goes with these when they are recreated is more than themselves: only the object's own
# annotation allows it, never spec.force for all.
PRECIOUS = frozenset(
    {"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"}
)
_IMMUTABLE = re.compile(
    r"immutable|updates to \S+ spec for fields|may not (be )?change|cannot (be )?change"
)


@dataclass(frozen=True)
class Mandate:
    """For whom objects are applied, as whom, and how far this may go."""

    owner: NamespacedName
    cluster: Cluster
    force: bool = False
    has_new_kinds: bool = False


class Applier:
    def __init__(
        self, reader: Reader, drift: DriftWatch, health: HealthWatch, in_flight: int = IN_FLIGHT
    ) -> None:
        self._reader = reader
        self._drift = drift
        self._index = drift.index
        self._health = health
        self._workers = in_flight
        self._in_flight = asyncio.Semaphore(in_flight)

    def pending(self, owner: NamespacedName, wanted: Iterable[Wanted]) -> list[Wanted]:
        """What is not known to be in the cluster as it shall be."""
        return [each for each in wanted if not self._holds(owner, each)]

    def forget(self, owner: NamespacedName, ids: Iterable[ObjectId]) -> None:
        """They are not the owner's any more: what happens to them is no drift of his."""
        for id_ in ids:
            self._index.forget(self._drift.key_of(id_), owner)

    async def apply(self, mandate: Mandate, wanted: Iterable[Wanted]) -> ChangeSet:
        """Raises Refused, after trying everything that could be tried, with all refusals in it."""
        changes = ChangeSet()
        for stage in stages(self.pending(mandate.owner, wanted)):
            refused = await self._apply_stage(mandate, stage, changes)
            if refused:
                raise Refused(refused, changes)
            if stage.gate:
                mandate = await self._pass_gate(mandate, stage, changes)
        return changes

    def _holds(self, owner: NamespacedName, wanted: Wanted) -> bool:
        key = self._drift.key_of(wanted.id)
        return self._index.holds(key, owner, wanted.digest) and self._drift.is_watching(key)

    async def _apply_stage(
        self, mandate: Mandate, stage: Stage[Wanted], changes: ChangeSet
    ) -> list[Refusal]:
        todo, refused = iter(stage.objects), list[Refusal]()

        async def work() -> None:
            for wanted in todo:
                try:
                    async with self._in_flight:
                        changes.extend([await self._apply_one(mandate, wanted)])
                except Unreachable as error:
                    refused.append(refusal(wanted.ref, error))
                    return  # the rest would only wait for the same silence
                except ApiError as error:
                    refused.append(refusal(wanted.ref, error))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(stage.objects), self._workers)):
                group.create_task(work())
        return refused

    async def _pass_gate(
        self, mandate: Mandate, stage: Stage[Wanted], changes: ChangeSet
    ) -> Mandate:
        """What comes next depends on these: definitions have to be served before their objects."""
        done = [change for each in stage.objects if (change := changes.get(each.id))]
        checks = [Check(change.ref, change.answer) for change in done if change.answer]
        await self._health.wait(mandate.cluster, checks, GATE_TIMEOUT)
        if any(check.ref.kind == "CustomResourceDefinition" for check in checks):
            mandate.cluster.discovery.forget()
            return replace(mandate, has_new_kinds=True)
        return mandate

    async def _apply_one(self, mandate: Mandate, wanted: Wanted) -> Change:
        for delay in NEW_KIND_DELAYS if mandate.has_new_kinds else ():
            try:
                return await self._try_one(mandate, wanted)
            except (UnknownKind, NotFound):
                await asyncio.sleep(delay)
        return await self._try_one(mandate, wanted)

    async def _try_one(self, mandate: Mandate, wanted: Wanted) -> Change:
        kind = await mandate.cluster.resource_of(wanted.ref.gvk)
        if kind.namespaced and not wanted.ref.namespace:
            raise Invalid("metadata.namespace is missing; set it, or spec.targetNamespace")
        await self._drift.watch(kind)
        key, live = self._drift.key_of(wanted.id), self._drift.live(wanted.id)
        controls = wanted.controls | (live.controls if live else Controls())
        if await self._must_leave_alone(mandate.cluster, wanted, controls, live):
            if live is not None:  # so that a control key that is taken off again is noticed
                self._index.record(key, mandate.owner, b"", live)
            return Change(wanted.ref, "skipped")
        record = self._index.record_of(key)
        with self._index.applying(key):
            answer, after = await self._write(mandate, wanted, controls)
            self._index.record(key, mandate.owner, wanted.digest, after)
        action = _action(live, record, after, wanted)
        return Change(wanted.ref, action, answer, record.drift if record else None)

    async def _must_leave_alone(
        self, cluster: Cluster, wanted: Wanted, controls: Controls, live: Live | None
    ) -> bool:
        if controls.is_untouchable:
            return True
        if controls.ssa != "ifnotpresent":
            return False
        return live is not None or await cluster.read(wanted.ref) is not None

    async def _write(
        self, mandate: Mandate, wanted: Wanted, controls: Controls
    ) -> tuple[Manifest, Live]:
        """The object as it is after the apply, and after taking over what others had of it."""
        answer = await self._send(mandate, wanted, controls)
        after = self._reader.of(answer)
        for _ in range(CONFLICT_TRIES):
            if controls.ssa == "merge" or not (after.predecessors or after.has_legacy):
                break
            with suppress(Conflict):  # it changed in between: look again
                await take_over(mandate.cluster, answer, self._reader)
            answer = await self._send(mandate, wanted, controls)
            after = self._reader.of(answer)
        return answer, after

    async def _send(self, mandate: Mandate, wanted: Wanted, controls: Controls) -> Manifest:
        cluster, manager = mandate.cluster, self._reader.manager
        for _ in range(CONFLICT_TRIES):
            try:
                return await cluster.apply_encoded(wanted.ref, wanted.body, manager=manager)
            except Conflict:
                continue  # with force, only ever two writes at the same moment
            except Invalid as error:
                if not _may_recreate(mandate, wanted, controls, error):
                    raise
                log.info("recreating an object", extra={"subject": str(wanted.ref)})
                await remove_for_recreation(cluster, wanted.ref)
        return await cluster.apply_encoded(wanted.ref, wanted.body, manager=manager)


def _action(live: Live | None, record: Applied | None, after: Live, wanted: Wanted) -> Action:
    """What the apply did, from what was known of the object and what the answer shows."""
    known = [each for each in (live, record and record.live) if each]
    if not known:
        return "created" if after.is_new else "configured"
    before = max(known, key=lambda each: each.version)
    if before.uid != after.uid:
        return "created"
    if before.version == after.version:
        return "unchanged"
    if record is not None and record.sent not in (b"", wanted.digest):
        return "configured"
    # Somebody's status update may lie between; our own fields tell whether we changed any.
    same = (before.fields, before.fields_time) == (after.fields, after.fields_time)
    return "unchanged" if same else "configured"


def _may_recreate(mandate: Mandate, wanted: Wanted, controls: Controls, refused: Invalid) -> bool:
    if not _IMMUTABLE.search(refused.answer):
        return False  # made anew, it would be refused again
    return controls.force or (mandate.force and wanted.ref.kind not in PRECIOUS)
