"""Keep the artifact of one GitRepository at what its reference means on the server.

Read `reconcile` first. With nothing new it costs one request to the Git server, none to Kubernetes,
and no process. A new commit is fetched into the mirror and packed from there; the old artifact
stays announced until the new one is on the disk.
"""

from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    has_recovered,
    is_settled,
)
from services.source.endings import FetchFailed, StorageFailed, outdated, stored
from services.source.git.archive import Archived, GitArchive
from services.source.git.mirror import Mirror, Mirrors, Place
from services.source.git.reference import Target, revision_of
from services.source.git.remotes import scope_of, timeout_of
from services.source.git.runner import GitError, GitRefused
from services.source.git.upstream import GitUpstreams, Upstream
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.storage import Owner, Storage, StoredFile
from shared.archive import ArchiveError
from shared.outcomes import Done
from shared.resources.meta import Artifact
from shared.resources.source import GitRepository
from shared.run import Run
from shared.unserved import refuse_unserved

UNSERVED = {
    "verify": "signature verification",
    "include": "including other repositories",
    "recurseSubmodules": "fetching submodules",
    "sparseCheckout": "sparse checkout",
}
SUBJECT_LIMIT = 50


@dataclass(frozen=True)
class GitTools:
    """What fetching needs; all of it is shared by all repositories."""

    upstreams: GitUpstreams
    mirrors: Mirrors
    archive: GitArchive


class _Built(NamedTuple):
    revision: str
    subject: str
    file: StoredFile


class GitRepositoryReconciler:
    def __init__(self, storage: Storage, git: GitTools) -> None:
        self._storage = storage
        self._git = git

    async def reconcile(self, repository: GitRepository, run: Run) -> Done:
        refuse_unserved(repository, UNSERVED)
        artifact = await current_artifact(self._storage, repository, run)
        async with run.idle():
            fresh = run.requested or not is_settled(repository)
            upstream = await self._git.upstreams.look(repository, fresh=fresh)
        if artifact and _is_up_to_date(repository, artifact, upstream.target):
            return _unchanged(repository, artifact, run)
        await _announce(repository, artifact, upstream.target, run)
        # Idle also here: fetching and packing have bounds of their own, and a run that held its
        # slot while waiting for a shared mirror could keep the mirror's user from getting one.
        async with run.idle():
            built = await self._build(repository, upstream)
        return _done(repository, self._storage.artifact(built.file, built.revision), built, run)

    async def finalize(self, repository: GitRepository, run: Run) -> None:
        await self._storage.remove(Owner.of(repository))

    async def _build(self, repository: GitRepository, upstream: Upstream) -> _Built:
        place = _place(repository, upstream.target)
        try:
            async with self._git.mirrors.opened(place) as mirror:
                commit = await self._fetch(mirror, repository, upstream)
                return await self._pack(mirror, repository, upstream.target, commit)
        except GitError as error:
            problem = f"failed to fetch {upstream.remote.url}: {error}"
            refused = isinstance(error, GitRefused)
            reason = AUTHENTICATION_FAILED if refused else "GitOperationFailed"
            raise FetchFailed(problem, reason=reason) from error

    async def _fetch(self, mirror: Mirror, repository: GitRepository, upstream: Upstream) -> str:
        """The commit to pack: the reference may have moved on since it was looked at."""
        target = upstream.target
        remote = self._git.upstreams.place_of(upstream.remote)
        fetched = await mirror.fetch(remote, target, timeout_of(repository))
        if target.branch is None:
            return fetched
        if not await mirror.holds(target.commit, target.fetched):
            problem = f"commit {target.commit} is not in the history of branch {target.branch!r}"
            raise FetchFailed(problem, reason="GitOperationFailed")
        return target.commit

    async def _pack(
        self, mirror: Mirror, repository: GitRepository, target: Target, commit: str
    ) -> _Built:
        owner, name = Owner.of(repository), f"{commit}.tar.gz"

        async def fill(file: BinaryIO) -> Archived:
            return await self._git.archive.write(mirror, commit, repository.spec.ignore, file)

        try:
            archived = await self._storage.write(owner, name, fill)
        except ArchiveError as error:
            problem = f"failed to pack commit {commit}: {error}; leave files out with spec.ignore"
            raise StorageFailed(problem, reason="ArchiveOperationFailed") from error
        except GitError:
            mirror.discard()  # it cannot give what it has just fetched
            raise
        size, digest = archived.packed
        file = StoredFile("/".join((*owner, name)), digest, size)
        return _Built(revision_of(target.label, commit), archived.subject, file)


def _is_up_to_date(repository: GitRepository, artifact: Artifact, target: Target) -> bool:
    same_content = repository.status.observed_ignore == repository.spec.ignore
    return artifact.revision == target.revision and same_content


def _place(repository: GitRepository, target: Target) -> Place:
    return Place(
        repository.spec.url,
        scope_of(repository),
        "sha256" if len(target.commit) == 64 else "sha1",
        full_history=target.branch is not None,
    )


async def _announce(
    repository: GitRepository, artifact: Artifact | None, target: Target, run: Run
) -> None:
    if artifact is not None and artifact.revision == target.revision:
        return  # only the rules of what to leave out have changed
    news = f"new upstream revision '{target.revision}'"
    await run.progress(
        f"building artifact: {news}" if artifact else "building artifact",
        conditions=outdated("NewRevision", news, artifact_exists=artifact is not None),
    )


def _unchanged(repository: GitRepository, artifact: Artifact, run: Run) -> Done:
    message = f"stored artifact for revision '{artifact.revision}'"
    status = as_status(artifact)
    if has_recovered(repository):
        run.event("info", "Succeeded", message, event_metadata(status))
    return Done(
        message=message, status={"artifact": status}, conditions=stored("Succeeded", message)
    )


def _done(repository: GitRepository, artifact: dict[str, Any], built: _Built, run: Run) -> Done:
    subject = built.subject[:SUBJECT_LIMIT]
    what = f"commit '{subject}'" if subject else f"revision '{built.revision}'"
    run.event("info", "NewArtifact", f"stored artifact for {what}", event_metadata(artifact))
    message = f"stored artifact for revision '{built.revision}'"
    return Done(
        message=message,
        status={"artifact": artifact, "observedIgnore": repository.spec.ignore},
        conditions=stored("Succeeded", message),
    )
