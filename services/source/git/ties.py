"""Tags of one version, as semver counts: the one whose commit is the youngest is taken.

Only then have commits to be looked at before it is known which revision is wanted; what was once
decided about the very same tags is remembered, so a tick costs no process.
"""

import re

from services.source.endings import FetchFailed
from services.source.git.mirror import Mirrors, Place
from services.source.git.reference import Target
from services.source.git.runner import GitError
from services.source.git.upstream import GitUpstreams, Upstream
from services.source.timeouts import timeout_of
from shared.resources.source import GitRepository

MOST_REMEMBERED = 1000
_COMMITTED = re.compile(rb"^committer .*> (-?[0-9]{1,18}) [+-][0-9]{4}$", re.MULTILINE)


class Ties:
    def __init__(self, mirrors: Mirrors, upstreams: GitUpstreams) -> None:
        self._mirrors = mirrors
        self._upstreams = upstreams
        self._decided: dict[tuple[str, tuple[Target, ...]], Target] = {}

    async def decided(self, repository: GitRepository, upstream: Upstream) -> Upstream:
        """The same upstream, with one target; raises FetchFailed."""
        tied = upstream.target.tied
        if not tied:
            return upstream
        known = self._decided.get((upstream.remote.url, tied))
        if known is None:
            known = await self._youngest(repository, upstream)
            if len(self._decided) >= MOST_REMEMBERED:
                self._decided.clear()
            self._decided[upstream.remote.url, tied] = known
        return upstream._replace(target=known)

    async def _youngest(self, repository: GitRepository, upstream: Upstream) -> Target:
        remote = self._upstreams.place_of(upstream.remote)
        ages = []
        try:
            place, deadline = Place.of(repository, upstream.target), timeout_of(repository)
            async with self._mirrors.opened(place, deadline) as mirror:
                for target in upstream.target.tied:
                    commit = await mirror.fetch(remote, target)
                    content = (await mirror.object_at(commit)).content
                    ages.append((_committed(content), target.label, target))
        except GitError as error:
            problem = f"failed to fetch {remote.url}: {error}"
            raise FetchFailed(problem, reason="GitOperationFailed") from error
        return max(ages, key=lambda age: age[:2])[2]


def _committed(commit: bytes) -> int:
    found = _COMMITTED.search(commit.partition(b"\n\n")[0])
    return int(found[1]) if found else 0
