"""The first phase of every source's run: is what `status.artifact` names still there and whole?"""

import logging
from typing import Any

import msgspec

from services.source.endings import ARTIFACT_IN_STORAGE, DiskFailed
from services.source.storage import Integrity, Owner, Storage
from shared.conditions import READY, find, is_true
from shared.resources.meta import Artifact, Resource
from shared.run import Run
from shared.status import conditions_of

COLLECTED = "GarbageCollectionSucceeded"
log = logging.getLogger(__name__)


async def current_artifact(
    storage: Storage, resource: Resource[Any, Any], run: Run
) -> Artifact | None:
    """Collects garbage first. None when an artifact has to be made, whatever upstream says."""
    owner = Owner.of(resource)
    artifact: Artifact | None = resource.status.artifact
    await _collect(storage, owner, artifact, run)
    if artifact is None:
        return None
    if await _is_there(storage, owner, artifact, run):
        reachable = msgspec.structs.replace(artifact, url=storage.url(artifact.path))
        if reachable != artifact:
            run.note(status={"artifact": as_status(reachable)})
        return reachable
    # Nobody can download it any more, so nobody may be told to.
    await run.progress(
        "building artifact: disappeared from storage",
        status={"artifact": None},
        conditions={ARTIFACT_IN_STORAGE: None},
    )
    return None


async def forget(storage: Storage, resource: Resource[Any, Any], run: Run) -> None:
    """The end of a source: its folder goes."""
    if await storage.remove(Owner.of(resource)):
        run.event("trace", COLLECTED, "garbage collected artifacts for deleted resource")


async def _collect(storage: Storage, owner: Owner, artifact: Artifact | None, run: Run) -> None:
    """Rubbish that stays is a reason to complain, not one to serve nothing new."""
    try:
        removed = await storage.collect(owner, keep=artifact.path if artifact else "")
    except DiskFailed as error:
        run.event("error", "GarbageCollectionFailed", f"garbage collection failed: {error}")
        return
    if removed:
        run.event("trace", COLLECTED, f"garbage collected {len(removed)} artifacts")


async def _is_there(storage: Storage, owner: Owner, artifact: Artifact, run: Run) -> bool:
    """What is lost may be had back from the object store, the same bytes as before."""
    integrity = await storage.check(owner, artifact)
    if integrity is Integrity.GOOD:
        return True
    if integrity is Integrity.CORRUPT:
        problem = f"artifact {artifact.path} no longer matches digest {artifact.digest}; removed"
        run.event("error", "ArtifactVerificationFailed", problem)
    async with run.idle():
        try:
            restored = await storage.restore(owner, artifact)
        except DiskFailed as error:
            log.warning("not restored", extra={"object": owner, "error": str(error)})
            return False
    if restored:
        log.info("restored from the object store", extra={"object": owner, "path": artifact.path})
    return restored


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
