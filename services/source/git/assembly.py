"""From a commit on the server to a file in the storage: everything that an artifact is made of.

Read `build` first. Nothing that an unverified commit names (submodules, say) is fetched. The
mirror, and those of the submodules, are ours alone until the file is written.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from services.source.endings import SOURCE_VERIFIED, FetchFailed
from services.source.git.archive import Archived, Beside, GitArchive, Tree
from services.source.git.content import Wanted
from services.source.git.gitmodules import SubmoduleError
from services.source.git.includes import GitIncludes
from services.source.git.mirror import Mirror, Mirrors, Place
from services.source.git.reference import revision_of
from services.source.git.refusals import Refusals
from services.source.git.runner import GitError, GitRefused, GitTooLarge
from services.source.git.sparse import SparseCheckout
from services.source.git.submodules import Gathering, Submodules
from services.source.git.ties import Ties
from services.source.git.upstream import GitUpstreams, Upstream
from services.source.git.verification import GitVerifier, Verified
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.storage import Owner, Storage, StoredFile
from services.source.timeouts import timeout_of
from shared.archive import ArchiveError
from shared.outcomes import ConditionMark
from shared.resources.source import GitRepository
from shared.run import Run


@dataclass(frozen=True)
class GitTools:
    """What fetching needs; all of it is shared by all repositories."""

    upstreams: GitUpstreams
    mirrors: Mirrors
    archive: GitArchive
    includes: GitIncludes
    verifier: GitVerifier
    refusals: Refusals


class Built(NamedTuple):
    """Without a file when the artifact that is there is the right one."""

    revision: str
    file: StoredFile | None = None
    subject: str = ""  # of the commit's message


class GitAssembly:
    def __init__(self, storage: Storage, git: GitTools) -> None:
        self._storage = storage
        self._git = git
        self._submodules = Submodules(git.mirrors, git.upstreams, git.archive)
        self._ties = Ties(git.mirrors, git.upstreams)

    async def look(self, repository: GitRepository, *, fresh: bool) -> Upstream:
        """What the reference means on the server now; `fresh` reads the Secret again."""
        upstream = await self._git.upstreams.look(repository, fresh=fresh)
        return await self._ties.decided(repository, upstream)

    async def build(self, wanted: Wanted, run: Run) -> Built:
        url = wanted.upstream.remote.url
        try:
            async with AsyncExitStack() as stack:
                return await self._build(wanted, run, stack)
        except (GitError, SubmoduleError) as error:
            if isinstance(error, GitTooLarge):
                raise self._git.refusals.too_much_to_fetch(wanted, error) from error
            problem = f"failed to fetch {url}: {error}"
            refused = isinstance(error, GitRefused)
            reason = AUTHENTICATION_FAILED if refused else "GitOperationFailed"
            raise FetchFailed(problem, reason=reason) from error

    async def _build(self, wanted: Wanted, run: Run, stack: AsyncExitStack) -> Built:
        repository, target = wanted.repository, wanted.upstream.target
        place, deadline = Place.of(repository, target), timeout_of(repository)
        opening = self._git.mirrors.opened(place, deadline)
        mirror = await stack.enter_async_context(opening)
        commit = await self._fetch(mirror, wanted)
        stack.push(mirror.discard_after)
        _note(await self._git.verifier.verify(repository, mirror, target, commit), run)
        revision = revision_of(target.label, commit)
        if wanted.is_there and commit == target.commit:
            return Built(revision)
        sparse = SparseCheckout.of(repository.spec.sparse_checkout)
        gathering = Gathering(stack, mirror, sparse, timeout_of(repository))
        try:
            beside = await self._beside(wanted, commit, gathering)
            file, archived = await self._pack(mirror, wanted, commit, beside)
        except ArchiveError as error:
            if self._git.refusals.is_alone(repository):
                await asyncio.to_thread(gathering.discard)
            raise self._git.refusals.too_much_to_pack(wanted, commit, error) from error
        return Built(revision, file, archived.subject)

    async def _fetch(self, mirror: Mirror, wanted: Wanted) -> str:
        """The commit to pack: the reference may have moved on since it was looked at."""
        target = wanted.upstream.target
        remote = self._git.upstreams.place_of(wanted.upstream.remote)
        fetched = await mirror.fetch(remote, target)
        if target.branch is None:
            return fetched
        if not await mirror.holds(target.commit, target.fetched):
            problem = f"commit {target.commit} is not in the history of branch {target.branch!r}"
            raise FetchFailed(problem, reason="GitOperationFailed")
        return target.commit

    async def _beside(self, wanted: Wanted, commit: str, gathering: Gathering) -> Beside:
        """What goes in or stays out, but for the includes."""
        sparse = gathering.sparse
        trees = await self._trees(wanted, commit, gathering)
        await self._require_directories(gathering.top, (Tree(commit), *trees), sparse)
        return Beside(trees, sparse.wants if sparse.directories else None)

    async def _trees(self, wanted: Wanted, commit: str, gathering: Gathering) -> list[Tree]:
        if not wanted.repository.spec.recurse_submodules:
            return []
        seconds = gathering.deadline.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._submodules.gather(commit, wanted.upstream.remote, gathering)
        except TimeoutError as error:
            problem = f"its submodules could not be fetched within {seconds:g}s"
            raise SubmoduleError(problem) from error

    async def _require_directories(
        self, mirror: Mirror, trees: Sequence[Tree], sparse: SparseCheckout
    ) -> None:
        missing = set(sparse.directories)
        for tree in trees:
            asked = sparse.inside(tree.prefix)
            found = await mirror.directories(tree.commit, list(asked)) if asked else []
            missing -= {asked[directory] for directory in found}
        if missing:
            shown = next(each for each in sparse.directories if each in missing)
            raise FetchFailed(
                f"spec.sparseCheckout: there is no directory {shown!r} in this revision",
                reason="GitOperationFailed",
            )

    async def _pack(
        self, mirror: Mirror, wanted: Wanted, commit: str, beside: Beside
    ) -> tuple[StoredFile, Archived]:
        repository = wanted.repository
        owner, name = Owner.of(repository), f"{commit}.tar.gz"

        async def fill(file: BinaryIO) -> Archived:
            with self._git.includes.spooled() as spool:
                form = mirror.place.object_format
                extras = await self._git.includes.files(wanted.includes, form, spool)
                content = replace(beside, extras=extras)
                ignore = repository.spec.ignore
                return await self._git.archive.write(mirror, commit, ignore, file, content)

        archived = await self._storage.write(owner, name, fill)
        size, digest = archived.packed
        return StoredFile("/".join((*owner, name)), digest, size), archived


def _note(verified: Verified | None, run: Run) -> None:
    """On record, because it stays true even if packing fails."""
    if verified is None:
        return
    run.event("trace", "Succeeded", verified.message)
    run.note(
        status={"sourceVerificationMode": verified.mode},
        conditions={SOURCE_VERIFIED: ConditionMark("True", "Succeeded", verified.message)},
    )
