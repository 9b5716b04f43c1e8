"""Waits, by watch, for single objects: a hook to end, what was deleted to be gone.

Release objects are waited for together, by shared.cluster.health; these here are few, short-lived,
and need other answers than "ready".
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, TypeAlias

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


class _Ended(NamedTuple):
    """`problem` is empty when it ended well."""

    problem: str = ""


_Judge: TypeAlias = Callable[[Manifest | None], _Ended | None]  # None: wait on


async def until_ended(cluster: Cluster, ref: ObjectRef, within: timedelta, now: Now) -> None:
    """Jobs and Pods until they succeeded, anything else until it is ready; raises NotDone."""

    def judge(manifest: Manifest | None) -> _Ended | None:
        if manifest is None:
            return _Ended(f"{ref} was deleted before it ended")
        return _judged(manifest, ref, now)

    await _until(cluster, ref, judge, within, "did not end")


async def until_gone(cluster: Cluster, ref: ObjectRef, uid: str, within: timedelta) -> None:
    """Until this very object is gone; one of the same name that came after it may be there."""

    def judge(manifest: Manifest | None) -> _Ended | None:
        gone = manifest is None or manifest["metadata"]["uid"] != uid
        return _Ended() if gone else None

    await _until(cluster, ref, judge, within, "was not gone")


async def _until(
    cluster: Cluster, ref: ObjectRef, judge: _Judge, within: timedelta, problem: str
) -> None:
    kind = await cluster.resource_of(ref.gvk)
    chosen = Selection(namespace=ref.namespace, fields=f"metadata.name={ref.name}")
    cache = watch_manifests(cluster, kind, chosen)
    changed = asyncio.Event()
    cache.on_change(lambda _before, _after: changed.set())
    try:
        async with asyncio.timeout(within.total_seconds()), cache.running():
            await cache.synced()
            while (ended := judge(cache.get(ref.key))) is None:
                await changed.wait()
                changed.clear()
    except TimeoutError as error:
        raise NotDone(f"{ref} {problem} within {format_duration(within)}") from error
    if ended.problem:
        raise NotDone(ended.problem)


def _judged(manifest: Manifest, ref: ObjectRef, now: Now) -> _Ended | None:
    if ref.gvk == _POD:
        return _judged_pod(manifest, ref)
    status = status_of(manifest, now())
    if status.state == "Failed" and ref.gvk == _JOB:
        return _Ended(f"{ref} failed: {status.message}")
    return _Ended() if status.state == "Current" else None


def _judged_pod(manifest: Manifest, ref: ObjectRef) -> _Ended | None:
    status = manifest.get("status") or {}
    match status.get("phase"):
        case "Succeeded":
            return _Ended()
        case "Failed":
            return _Ended(f"{ref} failed: {status.get('message') or status.get('reason') or ''}")
    return None
