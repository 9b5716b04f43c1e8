"""The first phase of every source's run: is what `status.artifact` names still there and whole?"""

import logging
from typing import Any

import msgspec

from services.source.endings import ARTIFACT_IN_STORAGE
from services.source.storage import Integrity, Owner, Storage
from shared.conditions import READY, find, is_true
from shared.resources.meta import Artifact, Resource
from shared.run import Run
from shared.status import conditions_of

log = logging.getLogger(__name__)


async def current_artifact(
    storage: Storage, resource: Resource[Any, Any], run: Run
) -> Artifact | None:
    """Collects garbage first. None when an artifact has to be made, whatever upstream says."""
    owner = Owner.of(resource)
    artifact: Artifact | None = resource.status.artifact
    removed = await storage.collect(owner, keep=artifact.path if artifact else "")
    if removed:
        log.debug("garbage collected", extra={"object": resource.key, "files": removed})
    if artifact is None:
        return None
    integrity = await storage.check(owner, artifact)
    if integrity is Integrity.GOOD:
        return msgspec.structs.replace(artifact, url=storage.url(artifact.path))
    if integrity is Integrity.CORRUPT:
        problem = f"artifact {artifact.path} no longer matches digest {artifact.digest}; removed"
        run.event("error", "ArtifactVerificationFailed", problem)
    # Nobody can download it any more, so nobody may be told to.
    run.note(status={"artifact": None}, conditions={ARTIFACT_IN_STORAGE: None})
    return None


def is_settled(resource: Resource[Any, Any]) -> bool:
    """The last run ended well, for this very spec."""
    same_spec: bool = resource.status.observed_generation == resource.metadata.generation
    return same_spec and is_true(conditions_of(resource), READY)


def has_recovered(resource: Resource[Any, Any]) -> bool:
    """For a run that ends well: whether the last one did not, and somebody was told so."""
    ready = find(conditions_of(resource), READY)
    return ready is not None and ready.status == "False"


def as_status(artifact: Artifact) -> dict[str, Any]:
    """An artifact as `status.artifact` holds it."""
    stored: dict[str, Any] = msgspec.to_builtins(artifact)
    return stored


def event_metadata(artifact: dict[str, Any]) -> dict[str, str]:
    return {"revision": artifact["revision"], "digest": artifact["digest"]}
