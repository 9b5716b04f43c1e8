"""Where a GitRepository's repository is, who we are there, and what its reference means now."""

from datetime import timedelta
from typing import NamedTuple

from services.source.endings import FetchFailed
from services.source.git.reference import Target, resolve
from services.source.git.refs import GitRefs, RefsError
from services.source.git.remote import InvalidUrl, Remote
from services.source.git.remotes import GitRemotes
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.timeouts import timeout_of
from shared.resources.source import GitRepository


class Upstream(NamedTuple):
    remote: Remote
    target: Target


class GitUpstreams:
    def __init__(self, remotes: GitRemotes, refs: GitRefs) -> None:
        self._remotes = remotes
        self._refs = refs

    async def look(self, repository: GitRepository, *, fresh: bool) -> Upstream:
        """`fresh` reads the Secret again; so does a server that refuses what we remembered."""
        deadline = timeout_of(repository)
        remote = await self._remotes.of(repository, fresh=fresh)
        try:
            target = await resolve(repository.spec.ref, remote, self._refs, deadline)
        except FetchFailed as error:
            if fresh or error.reason != AUTHENTICATION_FAILED:
                raise
            renewed = await self._remotes.of(repository, fresh=True)
            if renewed == remote:
                raise
            remote = renewed
            target = await resolve(repository.spec.ref, remote, self._refs, deadline)
        return Upstream(remote, target)

    def place_of(self, remote: Remote) -> Remote:
        """Where to fetch from: redirects are followed already."""
        return self._refs.place_of(remote)

    async def beside(self, parent: Remote, url: str, deadline: timedelta) -> Remote:
        """Where another repository is, that this one's content names: a submodule.

        Its server hears our login only if it is the parent's server. Raises RefsError.
        """
        try:
            remote = parent.at(url)
        except InvalidUrl as error:
            raise RefsError(str(error)) from error
        await self._refs.ask(remote, ["HEAD"], bool, deadline)
        return self._refs.place_of(remote)
