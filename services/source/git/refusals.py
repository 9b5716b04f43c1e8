"""What cannot become an artifact, however often it is tried: remembered, and not kept on the disk.

A refusal holds for one commit with one spec and the same includes; anything else is tried. It is
remembered by this process alone. What was fetched for it goes, unless another object lives well
from the same mirror: to that one it would cost a fetch of everything with each new commit.
"""

from typing import NamedTuple, TypeAlias

from services.source.endings import FetchFailed, StorageFailed
from services.source.git.archive import TreeTooLarge
from services.source.git.content import Wanted
from services.source.git.remotes import scope_of
from services.source.git.runner import GitTooLarge
from shared.archive import ArchiveError
from shared.cluster.watch_cache import WatchCache
from shared.conditions import READY, find
from shared.resources.meta import NamespacedName
from shared.resources.source import GitRepository
from shared.status import conditions_of

_SMALLER = "split the repository, or keep large files elsewhere"
_LESS = "leave files out with spec.ignore, or name the directories to take in spec.sparseCheckout"
_Question: TypeAlias = tuple[str, int, str, tuple[tuple[str, str], ...]]


class _Refusal(NamedTuple):
    question: _Question
    kind: type[FetchFailed] | type[StorageFailed]
    message: str
    reason: str


class Refusals:
    def __init__(self, repositories: WatchCache[GitRepository]) -> None:
        self._repositories = repositories
        self._known: dict[NamespacedName, _Refusal] = {}

    def require_none(self, wanted: Wanted) -> None:
        """Raises what an earlier run found of just this."""
        known = self._known.get(wanted.repository.key)
        if known and known.question == _question(wanted, wanted.upstream.target.commit):
            raise known.kind(known.message, reason=known.reason)

    def too_much_to_pack(self, wanted: Wanted, commit: str, error: ArchiveError) -> StorageFailed:
        help_ = _SMALLER if isinstance(error, TreeTooLarge) else _LESS
        message = f"failed to pack commit {commit}: {error}; {help_}"
        reason = "ArchiveOperationFailed"
        self._remember(wanted, _Refusal(_question(wanted, commit), StorageFailed, message, reason))
        return StorageFailed(message, reason=reason)

    def too_much_to_fetch(self, wanted: Wanted, error: GitTooLarge) -> FetchFailed:
        target, url = wanted.upstream.target, wanted.upstream.remote.url
        help_ = "leave out spec.ref.branch, whose history is fetched" if target.branch else _SMALLER
        message, reason = f"failed to fetch {url}: {error}; {help_}", "GitOperationFailed"
        question = _question(wanted, target.commit)
        self._remember(wanted, _Refusal(question, FetchFailed, message, reason))
        return FetchFailed(message, reason=reason)

    def forget(self, repository: GitRepository) -> None:
        self._known.pop(repository.key, None)

    def is_alone(self, repository: GitRepository) -> bool:
        """Nobody else has an artifact from the same mirror, and no complaint."""
        return not any(
            _mirror(other) == _mirror(repository) and _lives_well(other)
            for other in self._repositories.values()
            if other.key != repository.key
        )

    def _remember(self, wanted: Wanted, refusal: _Refusal) -> None:
        self._known[wanted.repository.key] = refusal


def _question(wanted: Wanted, commit: str) -> _Question:
    metadata = wanted.repository.metadata
    included = tuple(include.content for include in wanted.includes)
    return (metadata.uid, metadata.generation, commit, included)


def _mirror(repository: GitRepository) -> tuple[str, str, bool]:
    ref = repository.spec.ref
    return (repository.spec.url, scope_of(repository), bool(ref and ref.commit and ref.branch))


def _lives_well(repository: GitRepository) -> bool:
    """A run that is going on has not failed yet."""
    ready = find(conditions_of(repository), READY)
    return repository.status.artifact is not None and not (ready and ready.status == "False")
