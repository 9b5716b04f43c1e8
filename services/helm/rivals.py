"""Two HelmReleases that name one Helm release: one keeps it, the other waits.

Each would take the other's versions for somebody's meddling and put its own in place, at once and
for ever, since both hear of every write.
"""

from services.helm.dependencies import Releases
from services.helm.names import ReleaseIdentity, identity_of
from shared.outcomes import Waiting
from shared.resources.helm import HelmRelease


class ReleaseTaken(Waiting):
    reason = "ReleaseTaken"


def require_no_rival(release: HelmRelease, releases: Releases) -> None:
    """Raises ReleaseTaken for the one with the lesser claim."""
    records = _records(identity_of(release))
    for other in releases.values():
        if other.key == release.key or other.spec.suspend:
            continue
        if _records(identity_of(other)) == records and _claim(other) < _claim(release):
            raise ReleaseTaken(
                f"release {identity_of(release)} belongs to HelmRelease {other.key}; give one of "
                "the two another spec.releaseName"
            )


def _records(identity: ReleaseIdentity) -> tuple[str, str]:
    return identity.name, identity.storage_namespace


def _claim(release: HelmRelease) -> tuple[bool, str, str]:
    """The lesser, the better: who has released it before, then who is older."""
    is_new = not release.status.history
    return is_new, release.metadata.creation_timestamp or "", str(release.key)
