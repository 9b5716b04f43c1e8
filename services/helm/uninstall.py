"""Takes a release out of the cluster.

    hooks, record uninstalling, delete, wait, hooks, records deleted or kept as uninstalled

Killed anywhere, it is begun anew by whoever asks next: what is gone is gone, hooks run again, and
the newest record is deleted last, so that a release whose end is unfinished is found again.
"""

import asyncio
from collections.abc import Mapping

from services.helm.hooks import Hooks
from services.helm.letting_go import let_go
from services.helm.options import UninstallOptions
from services.helm.release_secret import StoredRelease, go_time
from services.helm.stored_objects import let_go_of, since_last_good
from services.helm.subject import Subject
from services.helm.waiting import NotDone, until_gone
from shared.cluster.objects import ObjectRef
from shared.durations import format_duration

BEFORE, AFTER = frozenset({"pre-delete"}), frozenset({"post-delete"})


async def uninstall(subject: Subject, options: UninstallOptions) -> StoredRelease | None:
    """The version that was uninstalled, None when there was none; raises Failed."""
    await subject.read()
    if not subject.versions:
        return None
    latest = subject.versions[0]
    if latest.status != "uninstalled":
        latest = await _take_out(subject, latest, options)
    if options.keep_history:
        await _keep_records(subject, latest)
    else:
        for stored in reversed(subject.versions):
            await subject.storage.delete(stored)
    return latest


async def _take_out(
    subject: Subject, latest: StoredRelease, options: UninstallOptions
) -> StoredRelease:
    now = subject.tools.now
    leaving = latest.having_info(
        status="uninstalling",
        deleted=go_time(now()),
        description="Deletion in progress (or silently failed)",
    )
    hooks = Hooks(leaving, subject.storage, subject.placed, options.timeout, now)
    await _run_hooks(subject, hooks, BEFORE, options)
    hooks.stored = await subject.storage.update(hooks.stored)
    objects = await let_go_of(subject.placed, since_last_good(subject.versions))
    deleted = await let_go(subject, objects, options.propagation)
    if options.wait and options.propagation != "Orphan":
        await _wait(subject, deleted, options)
    await _run_hooks(subject, hooks, AFTER, options)
    return hooks.stored.having_info(status="uninstalled", description="Uninstallation complete")


async def _run_hooks(
    subject: Subject, hooks: Hooks, events: frozenset[str], options: UninstallOptions
) -> None:
    if options.hooks:
        async with subject.run.idle():
            await hooks.run(events)


async def _wait(
    subject: Subject, deleted: Mapping[ObjectRef, str], options: UninstallOptions
) -> None:
    try:
        async with subject.run.idle(), asyncio.timeout(options.timeout.total_seconds()):
            for ref, uid in deleted.items():
                live = await subject.cluster.read(ref)
                if live is not None and live["metadata"]["uid"] == uid:
                    await until_gone(subject.cluster, ref, uid, options.timeout)
    except TimeoutError as error:
        raise NotDone(
            f"objects of the release were not gone within {format_duration(options.timeout)}"
        ) from error


async def _keep_records(subject: Subject, latest: StoredRelease) -> None:
    if subject.versions[0].status != "uninstalled":
        await subject.storage.update(latest)
    for older in subject.versions[1:]:
        if older.status == "deployed":
            await subject.storage.update(older.having_info(status="superseded"))
