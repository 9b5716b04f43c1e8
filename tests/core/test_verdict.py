"""What an ending costs."""

from datetime import timedelta

import pytest

from shared.cluster.errors import Forbidden
from shared.conditions import READY, RECONCILING, STALLED
from shared.outcomes import Done, Failed, Outcome, Stalled, Unfinished, Waiting
from shared.pace import STEADY, Pace
from shared.resources.meta import Condition
from shared.settings import SettingError, load
from shared.verdict import closing_marks, verdict

INTERVAL = timedelta(minutes=10)


def test_no_fourth_price_appears_unseen() -> None:
    assert set(Unfinished.__subclasses__()) == {Waiting, Failed, Stalled}


@pytest.mark.parametrize(
    ("outcome", "ready", "settled", "stalled", "alarming"),
    [
        (Done(message="ok"), "True", True, False, False),
        (Waiting("dependency"), "False", False, False, False),
        (Failed("no route"), "False", False, False, True),
        (Stalled("bad spec"), "False", True, True, True),
    ],
)
def test_every_ending_has_its_price(
    outcome: Outcome, ready: str, settled: bool, stalled: bool, alarming: bool
) -> None:
    price = verdict(outcome, INTERVAL, failures=1)

    assert (price.ready.status, price.settled, price.stalled, price.alarming) == (
        ready,
        settled,
        stalled,
        alarming,
    )


def test_success_is_looked_at_again_after_the_interval() -> None:
    pause = verdict(Done(message="ok"), INTERVAL, failures=0).next_look

    assert pause is not None
    assert INTERVAL * 0.95 <= pause <= INTERVAL * 1.05


def test_a_stalled_object_waits_for_an_event() -> None:
    assert verdict(Stalled("bad spec"), INTERVAL, failures=9).next_look is None


def test_waiting_is_half_a_minute_unless_the_run_knows_better() -> None:
    assert verdict(Waiting("dep"), INTERVAL, 0).next_look == timedelta(seconds=30)
    soon = Waiting("dep", retry_after=timedelta(seconds=5))
    assert verdict(soon, INTERVAL, 0).next_look == timedelta(seconds=5)


def test_failures_back_off_to_a_quarter_of_an_hour_and_no_further() -> None:
    pauses = [STEADY.backoff(failures).total_seconds() for failures in (1, 2, 3, 11, 12, 1000)]

    assert pauses == [0.75, 1.5, 3.0, 768.0, 900.0, 900.0]


def test_what_may_pass_is_not_put_off_to_the_retry_interval() -> None:
    restarting = Forbidden("no roles known yet", retry_after=timedelta(minutes=10))

    assert verdict(restarting, INTERVAL, failures=1).next_look == STEADY.backoff(1)
    assert verdict(restarting, INTERVAL, failures=30).next_look == timedelta(minutes=10)


def test_intervals_of_objects_made_together_drift_apart() -> None:
    assert len({STEADY.jittered(INTERVAL) for _ in range(20)}) > 10


def test_operators_set_the_pace() -> None:
    pace = Pace.of(
        load(
            {
                "INTERVAL_JITTER_PERCENTAGE": "0",
                "REQUEUE_DEPENDENCY": "3s",
                "MIN_RETRY_DELAY": "2s",
                "MAX_RETRY_DELAY": "5s",
            }
        )
    )

    assert verdict(Done(message="ok"), INTERVAL, 0, pace).next_look == INTERVAL
    assert verdict(Waiting("dep"), INTERVAL, 0, pace).next_look == timedelta(seconds=3)
    failed = [verdict(Failed("no"), INTERVAL, failures, pace).next_look for failures in (1, 2, 3)]
    assert failed == [timedelta(seconds=each) for each in (2, 4, 5)]


@pytest.mark.parametrize(
    "environment",
    [
        {"INTERVAL_JITTER_PERCENTAGE": "100"},
        {"INTERVAL_JITTER_PERCENTAGE": "-1"},
        {"REQUEUE_DEPENDENCY": "soon"},
        {"REQUEUE_DEPENDENCY": "0s"},
        {"MIN_RETRY_DELAY": "1h"},
        {"MIN_RETRY_DELAY": "0"},
    ],
)
def test_a_pace_that_nobody_can_keep_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=next(iter(environment))):
        Pace.of(load(environment))


def reconciling() -> tuple[Condition, ...]:
    return (
        Condition(
            type=RECONCILING,
            status="True",
            reason="Progressing",
            message="building",
            last_transition_time="2026-01-01T00:00:00Z",
        ),
    )


def test_a_failed_run_goes_on_reconciling_with_retry() -> None:
    marks = closing_marks(verdict(Failed("no route"), INTERVAL, 1), reconciling())

    reconciling_mark = marks[RECONCILING]
    assert reconciling_mark is not None
    assert reconciling_mark.reason == "ProgressingWithRetry"
    assert marks[STALLED] is None


def test_a_stalled_run_is_not_reconciling() -> None:
    marks = closing_marks(verdict(Stalled("bad spec"), INTERVAL, 1), reconciling())

    assert marks[RECONCILING] is None
    stalled = marks[STALLED]
    assert stalled is not None
    assert stalled.message == "bad spec"


def test_success_clears_what_was_wrong() -> None:
    marks = closing_marks(verdict(Done(message="ok"), INTERVAL, 0), reconciling())

    ready = marks[READY]
    assert ready is not None
    assert ready.status == "True"
    assert (marks[RECONCILING], marks[STALLED]) == (None, None)
