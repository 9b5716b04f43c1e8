"""Waits, by watch, for single objects: a hook to end, what was deleted to be gone.

Release objects are waited for together, by shared.cluster.health; these here are few, short-lived,
and need other answers than "ready".
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from shared.clock import Now
from shared.cluster.client import Cluster
from shared.cluster.kstatus import status_of
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.watch_cache import Selection, watch_manifests
from shared.durations import format_duration
from shared.outcomes import Failed

_POD, _JOB = Gvk("v1", "Pod"), Gvk("batch/v1", "Job")


class NotDone(Failed):
    """It ended badly, or took too long."""


async def until_ended(cluster: Cluster, ref: ObjectRef, within: timedelta, now: Now) -> None:
    """Jobs and Pods until they succeeded, anything else until it is ready; raises NotDone."""

    def has_ended(manifest: Manifest | None) -> bool:
        if manifest is None:
            raise NotDone(f"{ref} was deleted before it ended")
        return _has_ended(manifest, ref, now)

    await _until(cluster, ref, has_ended, within, "did not end")


async def until_gone(cluster: Cluster, ref: ObjectRef, uid: str, within: timedelta) -> None:
    """Until this very object is gone; one of the same name that came after it may be there."""

    def is_gone(manifest: Manifest | None) -> bool:
        return manifest is None or manifest["metadata"]["uid"] != uid

    await _until(cluster, ref, is_gone, within, "was not gone")


async def _until(
    cluster: Cluster,
    ref: ObjectRef,
    accept: Callable[[Manifest | None], bool],
    within: timedelta,
    problem: str,
) -> None:
    kind = await cluster.resource_of(ref.gvk)
    chosen = Selection(namespace=ref.namespace, fields=f"metadata.name={ref.name}")
    cache = watch_manifests(cluster, kind, chosen)
    changed = asyncio.Event()
    cache.on_change(lambda _before, _after: changed.set())
    try:
        async with asyncio.timeout(within.total_seconds()), cache.running():
            await cache.synced()
            while not accept(cache.get(ref.key)):
                await changed.wait()
                changed.clear()
    except TimeoutError as error:
        raise NotDone(f"{ref} {problem} within {format_duration(within)}") from error


def _has_ended(manifest: Manifest, ref: ObjectRef, now: Now) -> bool:
    if ref.gvk == _POD:
        return _pod_has_ended(manifest, ref)
    status = status_of(manifest, now())
    if status.state == "Failed" and ref.gvk == _JOB:
        raise NotDone(f"{ref} failed: {status.message}")
    return status.state == "Current"


def _pod_has_ended(manifest: Manifest, ref: ObjectRef) -> bool:
    status = manifest.get("status") or {}
    phase = status.get("phase")
    if phase == "Failed":
        raise NotDone(f"{ref} failed: {status.get('message') or status.get('reason') or phase}")
    return bool(phase == "Succeeded")
