"""The decisions: in which state a release is, and what follows."""

import pytest

from services.helm.observe import State, Wanted, state_of
from services.helm.plan import Attempts, Step, next_step
from services.helm.record import Record
from services.helm.snapshot import Digests, snapshot_of
from shared.resources.helm.release import ReleaseSnapshot
from tests.support.helm_releases import a_stored_release

WANTED = Wanted(chart_name="shop", chart_version="1.0.0", config_digest="sha256:values")
OTHER_CHART = Wanted(chart_name="shop", chart_version="1.1.0", config_digest="sha256:values")
OTHER_NAME = Wanted(chart_name="store", chart_version="1.0.0", config_digest="sha256:values")
OTHER_VALUES = Wanted(chart_name="shop", chart_version="1.0.0", config_digest="sha256:other")
OTHER_LABELS = Wanted(
    chart_name="shop", chart_version="1.0.0", config_digest="sha256:values", metadata_changed=True
)

VERIFIED, TAMPERED = True, False


def a_snapshot(status: str = "deployed") -> ReleaseSnapshot:
    return snapshot_of(
        a_stored_release(status=status), Digests("sha256:release", "sha256:values"), "install"
    )


KNOWN = a_snapshot()
UNKNOWN = None


@pytest.mark.parametrize(
    ("stored", "snapshot", "verified", "wanted", "state"),
    [
        (None, UNKNOWN, TAMPERED, WANTED, State.ABSENT),
        (None, KNOWN, TAMPERED, WANTED, State.ABSENT),
        ("uninstalled", KNOWN, VERIFIED, WANTED, State.ABSENT),
        ("pending-install", UNKNOWN, TAMPERED, WANTED, State.LOCKED),
        ("pending-upgrade", KNOWN, TAMPERED, WANTED, State.LOCKED),
        ("pending-rollback", KNOWN, VERIFIED, WANTED, State.LOCKED),
        ("uninstalling", KNOWN, VERIFIED, WANTED, State.LOCKED),
        ("deployed", UNKNOWN, TAMPERED, WANTED, State.UNMANAGED),
        ("deployed", KNOWN, TAMPERED, WANTED, State.UNMANAGED),
        ("failed", KNOWN, TAMPERED, WANTED, State.UNMANAGED),
        ("failed", KNOWN, VERIFIED, WANTED, State.FAILED),
        ("failed", KNOWN, VERIFIED, OTHER_CHART, State.FAILED),
        ("deployed", KNOWN, VERIFIED, OTHER_CHART, State.OUT_OF_SYNC),
        ("deployed", KNOWN, VERIFIED, OTHER_NAME, State.OUT_OF_SYNC),
        ("deployed", KNOWN, VERIFIED, OTHER_VALUES, State.OUT_OF_SYNC),
        ("deployed", KNOWN, VERIFIED, OTHER_LABELS, State.OUT_OF_SYNC),
        ("deployed", KNOWN, VERIFIED, WANTED, State.IN_SYNC),
    ],
)
def test_the_first_fact_that_holds_names_the_state(
    stored: str | None,
    snapshot: ReleaseSnapshot | None,
    verified: bool,
    wanted: Wanted,
    state: State,
) -> None:
    assert state_of(stored, snapshot, verified, wanted) is state


FRESH = Attempts()
INSTALLED_ONCE_IN_VAIN = Attempts(last_action="install", installs=1)
UPGRADED_ONCE_IN_VAIN = Attempts(last_action="upgrade", upgrades=1)
NOTHING_COUNTED = Attempts(last_action="upgrade", installs=1)
FORCED = Attempts(last_action="upgrade", installs=1, upgrades=1, forced=True)


@pytest.mark.parametrize(
    ("state", "attempts", "step"),
    [
        (State.ABSENT, FRESH, Step.INSTALL),
        (State.ABSENT, UPGRADED_ONCE_IN_VAIN, Step.INSTALL),
        (State.ABSENT, INSTALLED_ONCE_IN_VAIN, Step.GIVE_UP),
        (State.ABSENT, FORCED, Step.INSTALL),
        (State.LOCKED, FRESH, Step.UNLOCK),
        (State.LOCKED, UPGRADED_ONCE_IN_VAIN, Step.UNLOCK),
        (State.UNMANAGED, FRESH, Step.TAKE_OVER),
        (State.UNMANAGED, UPGRADED_ONCE_IN_VAIN, Step.TAKE_OVER),
        (State.FAILED, FRESH, Step.UPGRADE),
        (State.FAILED, NOTHING_COUNTED, Step.UPGRADE),
        (State.FAILED, INSTALLED_ONCE_IN_VAIN, Step.GIVE_UP),
        (State.FAILED, UPGRADED_ONCE_IN_VAIN, Step.GIVE_UP),
        (State.FAILED, FORCED, Step.UPGRADE),
        (State.OUT_OF_SYNC, FRESH, Step.UPGRADE),
        (State.OUT_OF_SYNC, INSTALLED_ONCE_IN_VAIN, Step.UPGRADE),
        (State.OUT_OF_SYNC, UPGRADED_ONCE_IN_VAIN, Step.GIVE_UP),
        (State.OUT_OF_SYNC, FORCED, Step.UPGRADE),
        (State.IN_SYNC, FRESH, Step.NOTHING),
        (State.IN_SYNC, UPGRADED_ONCE_IN_VAIN, Step.NOTHING),
        (State.IN_SYNC, FORCED, Step.UPGRADE),
    ],
)
def test_a_failure_is_not_repeated_until_something_changes_or_somebody_insists(
    state: State, attempts: Attempts, step: Step
) -> None:
    assert next_step(state, attempts) is step


def test_a_failure_that_stored_nothing_uses_up_no_attempt() -> None:
    record = Record().trying("install").failing("install", stored=False)

    assert record.failures == 1
    assert next_step(State.ABSENT, record.attempts(forced=False)) is Step.INSTALL


def test_a_failure_that_is_stored_counts_for_its_own_action() -> None:
    record = Record().trying("upgrade").failing("upgrade", stored=True)

    assert (record.failures, record.install_failures, record.upgrade_failures) == (1, 0, 1)
    assert next_step(State.FAILED, record.attempts(forced=False)) is Step.GIVE_UP


def test_a_release_without_news_has_an_empty_status() -> None:
    assert not any(Record().to_status().values())
