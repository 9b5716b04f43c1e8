"""What state a release is in: facts in, one `State` out, nothing else.

The order of the questions is part of the API: it decides what a user sees when several are true.
"""

import enum
from dataclasses import dataclass

from shared.resources.helm.release import ReleaseSnapshot


class State(enum.Enum):
    ABSENT = "absent"  # no release, or its last version was uninstalled
    LOCKED = "locked"  # an action began and did not end
    UNMANAGED = "unmanaged"  # not as we left it: somebody else's, or changed behind our back
    FAILED = "failed"
    OUT_OF_SYNC = "out-of-sync"
    IN_SYNC = "in-sync"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a release is compared with: the chart and values that the spec asks for now."""

    chart_name: str
    chart_version: str
    config_digest: str
    metadata_changed: bool = False  # commonMetadata, in a generation that nobody observed yet


def state_of(
    stored_status: str | None, snapshot: ReleaseSnapshot | None, verified: bool, wanted: Wanted
) -> State:
    """`stored_status`: of the newest stored version. `snapshot`: the newest of status.history;
    `verified` says whether it is of that very version, unchanged since."""
    if stored_status in {None, "uninstalled"}:
        return State.ABSENT
    if _is_under_way(stored_status):
        return State.LOCKED
    if snapshot is None or not verified:
        return State.UNMANAGED
    if stored_status == "failed":
        return State.FAILED
    if not is_as_wanted(snapshot, wanted):
        return State.OUT_OF_SYNC
    return State.IN_SYNC


def _is_under_way(stored_status: str | None) -> bool:
    """Also an uninstall, unlike with Flux: we hear of a person's while it is still at work."""
    return stored_status == "uninstalling" or (stored_status or "").startswith("pending-")


def is_as_wanted(snapshot: ReleaseSnapshot, wanted: Wanted) -> bool:
    return not wanted.metadata_changed and (
        snapshot.chart_name,
        snapshot.chart_version,
        snapshot.config_digest,
    ) == (wanted.chart_name, wanted.chart_version, wanted.config_digest)
