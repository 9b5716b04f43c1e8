"""Alerts and Providers have no status and no loop; what must be said or done about them is here.

What can never work is told by an event when the object appears or changes. Finalizers that another
installation left are taken off: nobody here has anything to clean up, and with them the object
could never be deleted.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Protocol

from services.notify.courier import unserved
from services.notify.matching import broken_patterns
from services.notify.providers import TYPES
from services.notify.triggers import MANAGER
from shared.cluster.errors import ApiError, Conflict, NotFound
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from shared.controller import FINALIZER
from shared.resources.meta import Resource
from shared.resources.notification import Alert, Provider

log = logging.getLogger(__name__)

INVALID_CONFIG: Final = "InvalidConfig"
UNSUPPORTED_TYPE: Final = "UnsupportedType"
AGAIN_AFTER = timedelta(seconds=5)

AnyResource = Resource[Any, Any]
Warn = Callable[[AnyResource, str, str], None]  # an object, a reason, a message


class Objects(Protocol):
    """The part of `Cluster` that is needed here."""

    async def merge_patch(
        self, ref: ObjectRef, patch: Manifest, *, manager: str = ""
    ) -> Manifest: ...


class StaticKinds:
    def __init__(self, objects: Objects, warn: Warn) -> None:
        self._objects = objects
        self._warn = warn
        self._to_release: asyncio.Queue[AnyResource] = asyncio.Queue()

    def follow(self, alerts: WatchCache[Alert], providers: WatchCache[Provider]) -> None:
        for alert in alerts.values():
            self.changed(None, alert)
        for provider in providers.values():
            self.changed(None, provider)
        alerts.on_change(self.changed)
        providers.on_change(self.changed)

    def changed(self, before: AnyResource | None, after: AnyResource | None) -> None:
        if after is None:
            return
        if FINALIZER in after.metadata.finalizers:
            self._to_release.put_nowait(after)
        if before is None or before.metadata.generation != after.metadata.generation:
            for reason, problem in _problems(after):
                self._warn(after, reason, problem)

    async def run(self) -> None:
        while True:
            resource = await self._to_release.get()
            try:
                await self._release(resource)
            except (NotFound, Conflict):
                pass  # it is gone, or its newest version is on its way to us
            except ApiError as error:
                extra = {"object": resource.key, "error": str(error)}
                log.warning("a finalizer could not be removed", extra=extra)
                await asyncio.sleep(AGAIN_AFTER.total_seconds())
                self._to_release.put_nowait(resource)

    async def _release(self, resource: AnyResource) -> None:
        metadata = resource.metadata
        left = [name for name in metadata.finalizers if name != FINALIZER]
        # The version makes this a compare-and-set: the list is replaced as a whole.
        patch = {"metadata": {"finalizers": left, "resourceVersion": metadata.resource_version}}
        ref = ObjectRef(resource.api_version, resource.kind, *resource.key)
        await self._objects.merge_patch(ref, patch, manager=MANAGER)


def _problems(resource: AnyResource) -> list[tuple[str, str]]:
    if isinstance(resource, Alert):
        return [(INVALID_CONFIG, str(problem)) for problem in broken_patterns(resource)]
    if isinstance(resource, Provider) and resource.spec.type not in TYPES:
        return [(UNSUPPORTED_TYPE, unserved(resource))]
    return []
