"""What an artifact is to hold, and whether the one that is there holds just that.

Beside the revision it is made of configuration: rules of what to leave out, submodules,
directories, included artifacts. Status says of which; where all of it is as before, nothing is
made.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from services.source.current_artifact import as_status
from services.source.endings import SOURCE_VERIFIED
from services.source.git.includes import Include
from services.source.git.reference import is_same_revision
from services.source.git.upstream import Upstream
from services.source.git.verification import mode_of
from shared.conditions import is_true
from shared.resources.meta import Artifact
from shared.resources.source import GitRepository
from shared.status import conditions_of


@dataclass(frozen=True)
class Wanted:
    repository: GitRepository
    upstream: Upstream
    includes: tuple[Include, ...]
    artifact: Artifact | None  # the one that is there

    @property
    def is_there(self) -> bool:
        return self.has_revision and self.has_includes and self._has_configuration

    @property
    def has_revision(self) -> bool:
        target = self.upstream.target
        return self.artifact is not None and is_same_revision(
            self.artifact.revision, target.revision
        )

    @property
    def has_includes(self) -> bool:
        status = self.repository.status
        included = tuple((each.revision, each.digest) for each in status.included_artifacts)
        return (status.observed_include, included) == (
            self.repository.spec.include,
            tuple(include.content for include in self.includes),
        )

    @property
    def _has_configuration(self) -> bool:
        spec, status = self.repository.spec, self.repository.status
        return (
            status.observed_ignore,
            status.observed_recurse_submodules,
            status.observed_sparse_checkout,
        ) == (spec.ignore, spec.recurse_submodules, spec.sparse_checkout)

    def as_observed(self) -> dict[str, Any]:
        """For the status, once the artifact is made."""
        spec = self.repository.spec
        return {
            "observedIgnore": spec.ignore,
            "observedRecurseSubmodules": spec.recurse_submodules or None,
            "observedSparseCheckout": list(spec.sparse_checkout) or None,
            "observedInclude": msgspec.to_builtins(spec.include) or None,
            "includedArtifacts": [as_status(each.artifact) for each in self.includes] or None,
        }


def must_be_verified(repository: GitRepository, *, fresh: bool) -> bool:
    """Although there is nothing new: it never was, not so, or somebody asks (of other keys)."""
    verify = repository.spec.verify
    if verify is None:
        return False
    done = is_true(conditions_of(repository), SOURCE_VERIFIED)
    return fresh or not done or repository.status.source_verification_mode != mode_of(verify)
