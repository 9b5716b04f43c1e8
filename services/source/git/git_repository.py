"""Keep the artifact of one GitRepository at what its reference means on the server.

Read `reconcile` first. With nothing new it costs one request to the Git server, none to Kubernetes,
and no process. What a new artifact is made of is `assembly`'s story; until it is on the disk the
old one stays announced.
"""

import logging

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import ARTIFACT_OUTDATED, SOURCE_VERIFIED, outdated, stored
from services.source.git.assembly import Built, GitAssembly, GitTools
from services.source.git.content import Wanted, must_be_verified
from services.source.git.verification import require_possible
from services.source.storage import Storage
from shared.conditions import PROGRESSING_WITH_RETRY, RECONCILING, find
from shared.outcomes import Done
from shared.resources.source import GitRepository
from shared.run import Run
from shared.status import conditions_of

log = logging.getLogger(__name__)

SUBJECT_LIMIT = 50


class GitRepositoryReconciler:
    def __init__(self, storage: Storage, git: GitTools) -> None:
        self._storage = storage
        self._git = git
        self._assembly = GitAssembly(storage, git)

    async def reconcile(self, repository: GitRepository, run: Run) -> Done:
        _forget_refusal(repository, run)
        artifact = await current_artifact(self._storage, repository, run)
        includes = self._git.includes.of(repository)
        fresh = run.requested or not is_settled(repository)
        async with run.idle():
            upstream = await self._assembly.look(repository, fresh=fresh)
        require_possible(repository, upstream.target)
        wanted = Wanted(repository, upstream, includes, artifact)
        if wanted.is_there and not must_be_verified(repository, fresh=fresh):
            return _unchanged(wanted, run)
        self._git.refusals.require_none(wanted)
        await _announce(wanted, run)
        # Idle also here: fetching and packing have bounds of their own, and a run that held its
        # slot while waiting for a shared mirror could keep the mirror's user from getting one.
        async with run.idle():
            built = await self._assembly.build(wanted, run)
        return self._done(wanted, built, run)

    async def finalize(self, repository: GitRepository, run: Run) -> None:
        self._git.refusals.forget(repository)
        await forget(self._storage, repository, run)

    def _done(self, wanted: Wanted, built: Built, run: Run) -> Done:
        if built.file is None:
            return _unchanged(wanted, run)
        artifact = self._storage.artifact(built.file, built.revision)
        message = f"stored artifact for revision '{built.revision}'"
        metadata = event_metadata(artifact)
        if wanted.artifact is None or metadata != event_metadata(as_status(wanted.artifact)):
            subject = built.subject[:SUBJECT_LIMIT]
            what = f"commit '{subject}'" if subject else f"revision '{built.revision}'"
            run.event("info", "NewArtifact", f"stored artifact for {what}", metadata)
        elif has_recovered(wanted.repository):
            run.event("info", "Succeeded", message, metadata)
        return Done(
            message=message,
            status={"artifact": artifact, **wanted.as_observed()},
            conditions=stored("Succeeded", message),
        )


def _forget_refusal(repository: GitRepository, run: Run) -> None:
    """What a former run found is not known to be so any more; and who asks no more, gets none."""
    verified = find(conditions_of(repository), SOURCE_VERIFIED)
    if verified and (verified.status == "False" or repository.spec.verify is None):
        run.note(conditions={SOURCE_VERIFIED: None})
    if repository.spec.verify is None and repository.status.source_verification_mode:
        run.note(status={"sourceVerificationMode": None})


async def _announce(wanted: Wanted, run: Run) -> None:
    if wanted.artifact is None:
        if not _is_another_try(wanted.repository):
            await run.progress("building artifact")
        return
    reason, news = "NewRevision", f"new upstream revision '{wanted.upstream.target.revision}'"
    if wanted.has_revision:
        reason, news = "IncludeChange", "the artifacts to include have changed"
    if wanted.has_revision and wanted.has_includes:
        return  # only the configuration of what to take, or to verify, has changed
    told = find(conditions_of(wanted.repository), ARTIFACT_OUTDATED)
    if told and told.message == news and _is_another_try(wanted.repository):
        return
    marks = outdated(reason, news, artifact_exists=True)
    await run.progress(f"building artifact: {news}", conditions=marks)


def _is_another_try(repository: GitRepository) -> bool:
    """Ready goes on saying why the last one failed, until this one has ended."""
    progress = find(conditions_of(repository), RECONCILING)
    return progress is not None and (progress.reason, progress.observed_generation) == (
        PROGRESSING_WITH_RETRY,
        repository.metadata.generation,
    )


def _unchanged(wanted: Wanted, run: Run) -> Done:
    assert wanted.artifact  # noqa: S101  (it is there)
    status = as_status(wanted.artifact)
    revision = wanted.artifact.revision
    message = f"stored artifact for revision '{revision}'"
    said = f"no changes since last reconciliation: observed revision '{revision}'"
    log.debug(said, extra={"object": wanted.repository.key, "reason": "GitOperationSucceeded"})
    if has_recovered(wanted.repository):
        run.event("info", "Succeeded", message, event_metadata(status))
    return Done(
        message=message, status={"artifact": status}, conditions=stored("Succeeded", message)
    )
