"""`status.history`: what is remembered, and for how long."""

import msgspec
import pytest

from services.helm.seen import Newest
from services.helm.snapshot import Digests, is_of, observed, snapshot_of, truncated
from shared.resources.helm.release import ReleaseSnapshot
from tests.support.helm_releases import a_stored_release

DIGESTS = Digests("sha256:release", "sha256:values")


def a_snapshot(version: int, status: str = "deployed") -> ReleaseSnapshot:
    return snapshot_of(a_stored_release(version, status), DIGESTS, "upgrade")


def test_a_snapshot_says_what_was_released_when() -> None:
    body = a_stored_release(3, "deployed")
    body["chart"]["metadata"]["appVersion"] = "7"

    snapshot = snapshot_of(body, DIGESTS, "install")

    assert (snapshot.name, snapshot.namespace, snapshot.version) == ("shop", "team-a", 3)
    assert (snapshot.chart_name, snapshot.chart_version, snapshot.app_version) == (
        "shop",
        "1.0.0",
        "7",
    )
    assert snapshot.first_deployed == "2026-01-02T03:04:05Z"
    assert snapshot.last_deployed == "2026-01-02T03:04:06Z"
    assert snapshot.deleted is None
    assert (snapshot.api_version, snapshot.action) == ("v2", "install")


def test_a_version_that_is_seen_again_replaces_what_was_known_of_it() -> None:
    history = observed((), a_snapshot(1))
    history = observed(history, a_snapshot(2, "pending-upgrade"))
    history = observed(history, a_snapshot(1, "superseded"))
    history = observed(history, a_snapshot(2))

    assert [(known.version, known.status) for known in history] == [
        (2, "deployed"),
        (1, "superseded"),
    ]


@pytest.mark.parametrize(
    ("statuses", "kept"),
    [
        (["deployed"], 1),
        (["deployed", "superseded", "superseded"], 2),
        (["deployed", "failed", "superseded", "superseded"], 3),
        (["failed", "deployed"], 2),
        (["failed"] * 7, 5),
        ([], 0),
    ],
)
def test_history_goes_back_to_the_last_good_version(statuses: list[str], kept: int) -> None:
    history = tuple(a_snapshot(9 - age, status) for age, status in enumerate(statuses))

    assert truncated(history) == history[:kept]


def stored(version: int = 1, digest: str = "sha256:release", namespace: str = "team-a") -> Newest:
    return Newest("deployed", "shop", namespace, version, digest)


def test_a_release_that_somebody_changed_is_noticed() -> None:
    snapshot = a_snapshot(1)

    assert is_of(snapshot, stored())
    assert not is_of(snapshot, stored(digest="sha256:other"))
    assert not is_of(snapshot, stored(version=2))
    assert not is_of(snapshot, stored(namespace="team-b"))


def test_a_snapshot_of_other_rules_is_believed() -> None:
    snapshot = msgspec.structs.replace(a_snapshot(1), api_version="v1")

    assert is_of(snapshot, stored(digest="sha256:other"))
    assert not is_of(snapshot, stored(version=2))
