"""What a person would look at with kubectl, as questions to the API server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError
from shared.cluster.objects import Manifest, ObjectRef

T = TypeVar("T")

LOOK_EVERY = 0.05
HELM_RELEASE = "helm.toolkit.fluxcd.io/v2"
KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"


class NotInTime(Exception):
    """What was expected, and what was there instead."""


async def becomes(
    what: str, look: Callable[[], Awaitable[T | None]], within: timedelta = timedelta(seconds=60)
) -> T:
    """The first answer that is not None; raises NotInTime."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                try:
                    seen = await look()
                except ApiError:
                    seen = None  # the API server is away for a moment: look again
                if seen is not None:
                    return seen
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError as error:
        raise NotInTime(f"not within {within.total_seconds():.0f} s: {what}") from error


def deployment(namespace: str, name: str) -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", namespace, name)


async def rolled_out(cluster: Cluster, ref: ObjectRef, image: str = "") -> Manifest | None:
    """The Deployment, once it is complete (and runs an image that ends so)."""
    found = await cluster.read(ref)
    if found is None or not image_of(found).endswith(image):
        return None
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    complete = (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas") == wanted
        and status.get("availableReplicas") == wanted
        and status.get("replicas") == wanted
    )
    return found if complete else None


def image_of(found: Manifest) -> str:
    image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


async def ready_condition(cluster: Cluster, ref: ObjectRef) -> dict[str, Any]:
    """Empty while there is none that speaks of the current generation."""
    found = await cluster.read(ref) or {}
    generation = found.get("metadata", {}).get("generation")
    conditions = found.get("status", {}).get("conditions", ())
    return next(
        (c for c in conditions if c["type"] == "Ready" and c["observedGeneration"] == generation),
        {},
    )


async def is_ready(cluster: Cluster, ref: ObjectRef) -> bool | None:
    return (await ready_condition(cluster, ref)).get("status") == "True" or None
