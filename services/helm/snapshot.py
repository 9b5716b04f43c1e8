"""What `status.history` remembers of a stored release, and whether the release is still that.

The digests are made by the engine, of Go's own encoding: Flux and Penstock must agree on them to
the bit, or a release that moves between the two is upgraded for nothing.
"""

from typing import NamedTuple

from services.helm.release_secret import ReleaseJson
from services.helm.seen import Newest
from shared.clock import parse_rfc3339, rfc3339
from shared.resources.helm.release import ReleaseSnapshot

API_VERSION = "v2"  # of snapshots; others were digested by other rules, and are not compared
_AT_MOST = 5
_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time
_GOOD = frozenset({"deployed", "superseded"})


class Digests(NamedTuple):
    """Of a whole release, and of the values that it was given."""

    release: str
    config: str


def snapshot_of(body: ReleaseJson, digests: Digests, action: str) -> ReleaseSnapshot:
    info, chart = body["info"], body["chart"]["metadata"]
    return ReleaseSnapshot(
        api_version=API_VERSION,
        digest=digests.release,
        name=body["name"],
        namespace=body["namespace"],
        version=body["version"],
        status=info["status"],
        action=action,
        chart_name=chart["name"],
        chart_version=chart["version"],
        app_version=chart.get("appVersion") or None,
        config_digest=digests.config,
        first_deployed=_to_the_second(info.get("first_deployed")),
        last_deployed=_to_the_second(info.get("last_deployed")),
        deleted=_to_the_second(info["deleted"]) if info.get("deleted") else None,
    )


def is_of(snapshot: ReleaseSnapshot, stored: Newest) -> bool:
    """Whether the snapshot is of the version that is stored, unchanged since."""
    of_that_version = (snapshot.name, snapshot.namespace, snapshot.version) == (
        stored.name,
        stored.namespace,
        stored.version,
    )
    same_rules = snapshot.api_version == API_VERSION
    return of_that_version and (not same_rules or snapshot.digest == stored.digest)


def is_same_version(one: ReleaseSnapshot, other: ReleaseSnapshot) -> bool:
    return (one.name, one.namespace, one.version) == (other.name, other.namespace, other.version)


def observed(
    history: tuple[ReleaseSnapshot, ...], snapshot: ReleaseSnapshot
) -> tuple[ReleaseSnapshot, ...]:
    """The history with what we now know of one version; newest first."""
    others = (known for known in history if not is_same_version(known, snapshot))
    return tuple(sorted((snapshot, *others), key=lambda known: -known.version))


def truncated(history: tuple[ReleaseSnapshot, ...]) -> tuple[ReleaseSnapshot, ...]:
    """Down to the newest older version that was good: what a rollback would go back to."""
    for position, snapshot in enumerate(history[1:], start=1):
        if snapshot.status in _GOOD:
            return history[: position + 1]
    return history[:_AT_MOST]


def _to_the_second(moment: str | None) -> str:
    return rfc3339(parse_rfc3339(moment)) if moment else _NEVER
