"""An accepted webhook asks for runs: an annotation on each object, then a word on the bus.

The annotation is the request, and survives everything; the bus only makes it quick.
"""

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, Protocol

from shared.clock import Now, now, rfc3339_micro
from shared.cluster.errors import ApiError
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.messages import About, ReconcileRequest
from shared.resources.notification import ReceivedResource, Receiver
from shared.status import REQUESTED_AT

MANAGER: Final = "notification-controller"
# References to these kinds may leave apiVersion out.
_DEFAULTS: Final = MappingProxyType(
    {
        "Bucket": "source.toolkit.fluxcd.io/v1",
        "GitRepository": "source.toolkit.fluxcd.io/v1",
        "HelmChart": "source.toolkit.fluxcd.io/v1",
        "HelmRepository": "source.toolkit.fluxcd.io/v1",
        "OCIRepository": "source.toolkit.fluxcd.io/v1",
        "ArtifactGenerator": "source.extensions.fluxcd.io/v1beta1",
        "ImageRepository": "image.toolkit.fluxcd.io/v1",
    }
)


class CannotTrigger(Exception):
    """Names the resource of the Receiver, and what is wrong with it."""


class Objects(Protocol):
    """The part of `Cluster` that is needed here."""

    async def list(self, gvk: Gvk, namespace: str = "", labels: str = "") -> list[Manifest]: ...

    async def merge_patch(
        self, ref: ObjectRef, patch: Manifest, *, manager: str = ""
    ) -> Manifest: ...


class Triggers:
    """`tell` passes a request on to the service that owns the kind."""

    def __init__(
        self,
        objects: Objects,
        tell: Callable[[About, ReconcileRequest], None],
        *,
        across_namespaces: bool = True,
        now: Now = now,
    ) -> None:
        self._objects = objects
        self._tell = tell
        self._across_namespaces = across_namespaces
        self._now = now

    async def request_all(self, receiver: Receiver) -> list[str]:
        """Ask for a run of everything that the Receiver names; what went wrong, if anything."""
        requested_at = rfc3339_micro(self._now())
        asked = (
            self._request(receiver, resource, requested_at) for resource in receiver.spec.resources
        )
        return [problem for problems in await asyncio.gather(*asked) for problem in problems]

    async def _request(
        self, receiver: Receiver, resource: ReceivedResource, requested_at: str
    ) -> list[str]:
        try:
            refs = await self._selected(receiver, resource)
        except (CannotTrigger, ApiError) as error:
            return [f"{resource.kind}/{resource.name}: {error}"]
        request = ReconcileRequest(requested_at=requested_at, requester=f"Receiver/{receiver.key}")
        problems = await asyncio.gather(*(self._annotate(ref, request) for ref in refs))
        return [problem for problem in problems if problem]

    async def _selected(self, receiver: Receiver, resource: ReceivedResource) -> list[ObjectRef]:
        own = receiver.metadata.namespace
        namespace = resource.namespace or own
        if namespace != own and not self._across_namespaces:
            where = f"{resource.kind}/{namespace}/{resource.name}"
            raise CannotTrigger(
                f"can't access '{where}', cross-namespace references have been blocked"
            )
        api_version = resource.api_version or _DEFAULTS.get(resource.kind)
        if api_version is None:
            raise CannotTrigger(f"apiVersion: required for kind {resource.kind}")
        if resource.name != "*":
            return [ObjectRef(api_version, resource.kind, namespace, resource.name)]
        if not resource.match_labels:
            raise CannotTrigger("matchLabels: required with name '*'")
        selector = ",".join(f"{key}={value}" for key, value in resource.match_labels.items())
        found = await self._objects.list(Gvk(api_version, resource.kind), namespace, selector)
        return [
            ObjectRef(api_version, resource.kind, namespace, item["metadata"]["name"])
            for item in found
        ]

    async def _annotate(self, ref: ObjectRef, request: ReconcileRequest) -> str:
        """What went wrong, or nothing."""
        patch = {"metadata": {"annotations": {REQUESTED_AT: request.requested_at}}}
        try:
            await self._objects.merge_patch(ref, patch, manager=MANAGER)
        except ApiError as error:
            return f"{ref}: {error}"
        self._tell(About(ref.kind, ref.namespace, ref.name), request)
        return ""
