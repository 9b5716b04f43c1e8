"""What install and upgrade have in common: from a pending record to a deployed or failed one.

    record pending, hooks, apply, prune, wait, hooks, record deployed, older versions superseded

Why a kill at any line heals: the pending record is written before anything of the version touches
the cluster and names all that will. A run that finds one takes its owner for dead, marks it failed
and upgrades; the upgrade prunes what any version since the last good one may have left. The new
version is recorded as deployed before the older is superseded, so that there is never a moment
without a good one; two deployed ones are put right by the next action.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from services.helm import messages
from services.helm.attempt import Attempt
from services.helm.faults import is_passing
from services.helm.hooks import Hooks
from services.helm.letting_go import let_go
from services.helm.manifests import marked
from services.helm.options import DeployOptions, max_history
from services.helm.ownership import require_ownership
from services.helm.record import Action
from services.helm.release_secret import StoredRelease
from services.helm.rendering import Rendered
from services.helm.snapshot import snapshot_of
from services.helm.stored_objects import let_go_of, since_last_good
from shared.cluster.changes import ChangeSet
from shared.cluster.health import Check
from shared.cluster.inventory import Inventory
from shared.cluster.mandate import Mandate
from shared.cluster.objects import ref_of
from shared.cluster.wanted import Wanted, all_wanted
from shared.durations import format_duration
from shared.outcomes import ConditionMark, Failed, Stalled

Events: TypeAlias = tuple[frozenset[str], frozenset[str]]  # of hooks: before, and after

_FAILURE = {"install": 'Release "{}" failed: {}', "upgrade": 'Upgrade "{}" failed: {}'}


@dataclass(kw_only=True)
class Deployment:
    """One version on its way into the cluster; `hooks` holds its record.

    `previous` are the versions that were stored before it, newest first.
    """

    attempt: Attempt
    action: Action
    options: DeployOptions
    wanted: list[Wanted]
    definitions: Inventory
    hooks: Hooks
    events: Events
    previous: list[StoredRelease]
    started: datetime = field(init=False)

    async def run(self) -> None:
        """A failure is recorded, in the release and in `attempt.record`, not raised.

        But for one that passes (the API server was away): that is raised, the version stays
        pending, and the next run begins as after our death. It uses up no retry.
        """
        self.started = self.attempt.tools.now()
        try:
            await self._deploy()
        except (Failed, Stalled) as error:
            if is_passing(error):
                raise
            await self._fail(error)
        else:
            await self._succeed()
        self.attempt.note()

    async def _deploy(self) -> None:
        attempt = self.attempt
        await self._run_hooks(self.events[0])
        if not self.options.take_ownership:
            await require_ownership(attempt.cluster, attempt.identity, self.wanted)
        changes = await attempt.tools.objects.applier.apply(
            Mandate(attempt.release.key, attempt.cluster), self.wanted
        )
        await self._prune()
        if self.options.wait:
            await self._wait(changes)
        await self._run_hooks(self.events[1])

    async def _run_hooks(self, events: frozenset[str]) -> None:
        if self.options.hooks:
            async with self.attempt.run.idle():
                await self.hooks.run(events)

    async def _prune(self) -> None:
        attempt = self.attempt
        old = await let_go_of(attempt.placed, since_last_good(self.previous))
        await let_go(attempt, old - Inventory.of(each.ref for each in self.wanted))

    async def _wait(self, changes: ChangeSet) -> None:
        checks = [
            Check(each.ref, change.answer if (change := changes.get(each.id)) else None)
            for each in self.wanted
            if self._is_waited_for(each) and each.id not in changes.skipped
        ]
        attempt = self.attempt
        async with attempt.run.idle():
            await attempt.tools.objects.health.wait(attempt.cluster, checks, self.options.timeout)

    def _is_waited_for(self, wanted: Wanted) -> bool:
        match wanted.ref.group, wanted.ref.kind:
            case "batch", "Job":
                return self.options.wait_for_jobs
            case "apps", "Deployment":
                return not (wanted.manifest.get("spec") or {}).get("paused")
            case _:
                return True

    async def _fail(self, error: Failed | Stalled) -> None:
        attempt = self.attempt
        description = _FAILURE[self.action].format(attempt.identity.name, error)
        failed = self.hooks.stored.having_info(status="failed", description=description)
        attempt.record = attempt.record.failing(self.action, stored=True)
        snapshot = await attempt.written(await attempt.storage.update(failed), self.action)
        attempt.record = attempt.record.observing(snapshot)
        message = messages.failed(self.action, attempt.identity, attempt.chart, error)
        self._note_ending(messages.not_released(self.action, message))

    async def _succeed(self) -> None:
        attempt = self.attempt
        deployed = self.hooks.stored.having_info(
            status="deployed", description=f"{self.action.capitalize()} complete"
        )
        snapshot = await attempt.written(await attempt.storage.update(deployed), self.action)
        attempt.record = attempt.record.observing(snapshot)
        await self._supersede_older()
        attempt.record = attempt.record.without_failures().truncated()
        self._note_ending(messages.released(self.action, snapshot))
        owned = self.definitions | Inventory.of(each.ref for each in self.wanted)
        attempt.run.note(status={"inventory": owned.to_status()})
        attempt.run.event(
            "info",
            f"{self.action.capitalize()}Succeeded",
            messages.succeeded(self.action, snapshot),
            messages.event_metadata(snapshot),
        )

    async def _supersede_older(self) -> None:
        attempt = self.attempt
        for older in self.previous:
            if older.status == "deployed":
                superseded = older.having_info(status="superseded")
                snapshot = await attempt.written(await attempt.storage.update(superseded))
                if attempt.record.knows(snapshot):
                    attempt.record = attempt.record.observing(snapshot)

    def _note_ending(self, released: ConditionMark) -> None:
        took = format_duration(self.attempt.tools.now() - self.started)
        self.attempt.run.note(
            status={"lastAttemptedReleaseActionDuration": took},
            conditions={messages.RELEASED: released},
        )


async def prepared(
    attempt: Attempt, action: Action, options: DeployOptions, result: Rendered, events: Events
) -> Deployment:
    """Stores the pending version; from here on it is known what there will be in the cluster."""
    identity, tools = attempt.identity, attempt.tools
    objects = [marked(each, identity) for each in await attempt.placed.all(result.objects)]
    wanted = all_wanted(objects, tools.objects.ownership, attempt.release.key)
    await _make_room(attempt)
    await _announce(attempt, action, options, result)
    previous = attempt.versions
    labels = previous[0].labels if previous else {}
    stored = await attempt.storage.create(result.body, labels)
    definitions = () if options.crds == "Skip" else result.definitions
    return Deployment(
        attempt=attempt,
        action=action,
        options=options,
        wanted=wanted,
        definitions=Inventory.of(ref_of(each) for each in definitions),
        hooks=Hooks(stored, attempt.storage, attempt.placed, options.timeout, tools.now),
        events=events,
        previous=previous,
    )


async def _announce(
    attempt: Attempt, action: Action, options: DeployOptions, result: Rendered
) -> None:
    """Put the version in the history before it exists: should we die, it is known as ours."""
    digests = await attempt.tools.digests.of_release(result.body)
    planned = snapshot_of(result.body, digests, action)
    attempt.record = attempt.record.trying(action).observing(planned)
    attempt.note()
    await attempt.run.progress(messages.running(action, options.timeout))


async def _make_room(attempt: Attempt) -> None:
    """For one more version."""
    most = max_history(attempt.release)
    if most:
        attempt.versions = await attempt.storage.make_room(attempt.versions, most - 1)
