"""One object at a time: tried without consequence, and made what it shall be.

`rehearse` asks the server what it would say (a dry run) and keeps what the answer shows of the
live object's control keys. `apply` writes, unless somebody forbade it on the object.
"""

import logging
import re
from collections.abc import Collection
from contextlib import suppress
from secrets import token_hex
from typing import NamedTuple

import orjson

from shared.cluster.adopting import adopted
from shared.cluster.applied import Applied
from shared.cluster.changes import Action, Change
from shared.cluster.client import Cluster
from shared.cluster.drift import DriftWatch
from shared.cluster.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from shared.cluster.ignoring import WHOLE
from shared.cluster.live import Live, Reader
from shared.cluster.mandate import Mandate
from shared.cluster.objects import Manifest
from shared.cluster.ownership import Controls
from shared.cluster.prune import remove_for_recreation
from shared.cluster.takeover import take_over
from shared.cluster.wanted import Wanted

log = logging.getLogger(__name__)

CONFLICT_TRIES = 4
# What goes with these when they are recreated is more than themselves: only the object's own
# annotation allows it, never spec.force for all.
PRECIOUS = frozenset(
    {"CustomResourceDefinition", "Namespace", "PersistentVolume", "PersistentVolumeClaim"}
)
_IMMUTABLE = re.compile(
    r"immutable|updates to \S+ spec for fields|may not (be )?change|cannot (be )?change"
)
_NO_DRY_RUN = re.compile(r"not support dry.?run|dry.?run .*(not supported|disabled)", re.IGNORECASE)
_NOT_FOUND = re.compile(r"(?<!namespaces )\"([^\"]+)\" not found")


class Known(NamedTuple):
    """What is known of an object before it is written: as it lives, and what its keys say."""

    live: Live | None
    controls: Controls


class ObjectApplier:
    def __init__(self, reader: Reader, drift: DriftWatch) -> None:
        self._reader = reader
        self._drift = drift
        self._index = drift.index

    async def rehearse(self, mandate: Mandate, wanted: Wanted, beside: Collection[str]) -> Controls:
        """What the object's keys say, live ones too; raises the ApiError that an apply would meet.

        But not the one that says only that something of `beside`, names of what is applied along
        with it, is not there yet.
        """
        await self._require_place(mandate.cluster, wanted)
        live = self._drift.live(wanted.id)
        controls = wanted.controls | (live.controls if live else Controls())
        if await self._must_leave_alone(mandate, wanted, Known(live, controls)):
            return controls
        if WHOLE in wanted.ignored and await mandate.cluster.read(wanted.ref):
            return controls
        try:
            answer = await self._send_once(mandate, wanted, dry_run=True)
        except ApiError as error:
            if not await self._may_still_pass(mandate, wanted, controls, error, beside):
                raise
            return controls | await self._controls_of_stranger(mandate, wanted)
        return controls | self._controls_in(answer)

    async def apply(
        self, mandate: Mandate, wanted: Wanted, rehearsed: Controls | None = None
    ) -> Change:
        """`rehearsed` is what a rehearsal said of its control keys."""
        await self._require_place(mandate.cluster, wanted)
        key, known = self._drift.key_of(wanted.id), await self._known(mandate, wanted, rehearsed)
        if await self._must_leave_alone(mandate, wanted, known):
            self._note_untouched(mandate, wanted, b"")
            return Change(wanted.ref, "skipped")
        if WHOLE in wanted.ignored and (there := await mandate.cluster.read(wanted.ref)):
            self._note_untouched(mandate, wanted, wanted.digest)
            return Change(wanted.ref, "unchanged", there)
        record = self._index.record_of(key)
        with self._index.applying(key):
            answer, after = await self._write(mandate, wanted, known.controls)
            self._index.record(key, mandate.owner, wanted.digest, after)
        action = _action(known.live, record, after, wanted)
        return Change(wanted.ref, action, answer, record.drift if record else None)

    async def _require_place(self, cluster: Cluster, wanted: Wanted) -> None:
        """Its kind is served, it has a namespace if it needs one, and its changes are watched."""
        kind = await cluster.resource_of(wanted.ref.gvk)
        if kind.namespaced and not wanted.ref.namespace:
            raise Invalid("metadata.namespace is missing; set it, or spec.targetNamespace")
        await self._drift.watch(kind)

    async def _known(self, mandate: Mandate, wanted: Wanted, rehearsed: Controls | None) -> Known:
        live = self._drift.live(wanted.id)
        said = wanted.controls | (live.controls if live else Controls())
        if rehearsed is None and live is None:
            said |= await self._controls_of_stranger(mandate, wanted)
        return Known(live, said | (rehearsed or Controls()))

    async def _controls_of_stranger(self, mandate: Mandate, wanted: Wanted) -> Controls:
        """The keys of an object that the watch does not show, as it carries no owner's labels."""
        is_known = self._drift.live(wanted.id) or self._index.record_of(
            self._drift.key_of(wanted.id)
        )
        if is_known or not mandate.heeds_live:
            return Controls()
        there = await mandate.cluster.read(wanted.ref)
        return self._controls_in(there) if there else Controls()

    def _controls_in(self, manifest: Manifest) -> Controls:
        metadata = manifest["metadata"]
        return self._reader.ownership.controls_in(
            metadata.get("labels"), metadata.get("annotations")
        )

    def _note_untouched(self, mandate: Mandate, wanted: Wanted, sent: bytes) -> None:
        """So that it is noticed when the object changes; a stranger's is looked at each time."""
        live = self._drift.live(wanted.id)
        if live is not None:
            self._index.record(self._drift.key_of(wanted.id), mandate.owner, sent, live)

    async def _must_leave_alone(self, mandate: Mandate, wanted: Wanted, known: Known) -> bool:
        if known.controls.is_untouchable:
            return True
        if known.controls.ssa != "ifnotpresent":
            return False
        return known.live is not None or await mandate.cluster.read(wanted.ref) is not None

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
        for _ in range(CONFLICT_TRIES):
            try:
                return await self._send_once(mandate, wanted)
            except Conflict:
                continue  # with force, only ever two writes at the same moment
            except Invalid as error:
                if not await self._may_recreate(mandate, wanted, controls, error):
                    raise
                log.info("recreating an object", extra={"subject": str(wanted.ref)})
                await remove_for_recreation(mandate.cluster, wanted.ref)
        return await self._send_once(mandate, wanted)

    async def _send_once(
        self, mandate: Mandate, wanted: Wanted, *, dry_run: bool = False
    ) -> Manifest:
        cluster, body = mandate.cluster, wanted.body
        if wanted.ignored and (there := await cluster.read(wanted.ref)):
            body = adopted(wanted, there, self._reader)
        return await cluster.apply_encoded(
            wanted.ref, body, manager=self._reader.manager, dry_run=dry_run
        )

    async def _may_still_pass(
        self,
        mandate: Mandate,
        wanted: Wanted,
        controls: Controls,
        refused: ApiError,
        beside: Collection[str],
    ) -> bool:
        """A rehearsal that was refused for what does not hold for an apply."""
        if isinstance(refused, Conflict) or _NO_DRY_RUN.search(refused.answer):
            return True
        if isinstance(refused, NotFound | Forbidden | Invalid) and any(
            name in beside for name in _NOT_FOUND.findall(refused.answer)
        ):
            return True
        return isinstance(refused, Invalid) and await self._may_recreate(
            mandate, wanted, controls, refused
        )

    async def _may_recreate(
        self, mandate: Mandate, wanted: Wanted, controls: Controls, refused: Invalid
    ) -> bool:
        if not (controls.force or (mandate.force and wanted.ref.kind not in PRECIOUS)):
            return False
        return bool(_IMMUTABLE.search(refused.answer)) or await self._is_accepted_anew(
            mandate.cluster, wanted
        )

    async def _is_accepted_anew(self, cluster: Cluster, wanted: Wanted) -> bool:
        """What is refused as new too would be deleted for nothing; another name tells."""
        name = f"{wanted.ref.name[:40].rstrip('.-')}-{token_hex(4)}"
        manifest = wanted.manifest
        body = orjson.dumps({**manifest, "metadata": {**manifest["metadata"], "name": name}})
        ref, manager = wanted.ref._replace(name=name), self._reader.manager
        try:
            await cluster.apply_encoded(ref, body, manager=manager, dry_run=True)
        except ApiError:
            return False
        return True


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
