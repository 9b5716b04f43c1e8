"""What an ending costs: the only code that turns an outcome into a status and the next look."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from shared.conditions import PROGRESSING_WITH_RETRY, READY, RECONCILING, STALLED, is_true
from shared.outcomes import ConditionMark, Done, Failed, Marks, Outcome, Stalled, Truth, Waiting
from shared.resources.meta import Condition

JITTER = 0.05
WAITING_DELAY = timedelta(seconds=30)
BACKOFF_FIRST = timedelta(milliseconds=750)
BACKOFF_LAST = timedelta(minutes=15)


@dataclass(frozen=True)
class Verdict:
    """`settled`: the generation was dealt with. `next_look` None: only an event wakes it again."""

    ready: ConditionMark
    next_look: timedelta | None
    settled: bool = False
    stalled: bool = False
    alarming: bool = False


def verdict(outcome: Outcome, interval: timedelta | None, failures: int) -> Verdict:
    """`interval` None: nothing to do until something happens; `failures` counts those in a row."""
    match outcome:
        case Done():
            pause = outcome.retry_after or (interval and jittered(interval))
            return Verdict(_ready("True", outcome), pause, settled=True)
        case Waiting():
            return Verdict(_ready("False", outcome), outcome.retry_after or WAITING_DELAY)
        case Failed():
            pause = outcome.retry_after or backoff(failures)
            if outcome.may_pass:
                pause = min(pause, backoff(failures))
            return Verdict(_ready("False", outcome), pause, alarming=True)
        case Stalled():
            return Verdict(
                _ready("False", outcome),
                outcome.retry_after,  # None, unless nobody else could tell of a change
                settled=True,
                stalled=True,
                alarming=True,
            )
        case _:
            assert_never(outcome)


def closing_marks(verdict: Verdict, before: tuple[Condition, ...]) -> Marks:
    """Ready, Reconciling and Stalled at the end of a run."""
    marks: dict[str, ConditionMark | None] = {READY: verdict.ready, STALLED: None}
    if verdict.stalled:
        marks[STALLED] = ConditionMark("True", verdict.ready.reason, verdict.ready.message)
    if verdict.settled:
        marks[RECONCILING] = None
    elif is_true(before, RECONCILING) or verdict.alarming:
        marks[RECONCILING] = ConditionMark("True", PROGRESSING_WITH_RETRY, verdict.ready.message)
    return marks


def backoff(failures: int) -> timedelta:
    """0.75 s after the first failure, doubled with each further one, up to a quarter of an hour."""
    doublings = min(max(failures - 1, 0), 20)
    return min(BACKOFF_FIRST * (1 << doublings), BACKOFF_LAST)


def jittered(interval: timedelta) -> timedelta:
    """Spread by 5 % either way, so that objects made together do not stay together."""
    factor = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (spreads load, guards nothing)
    return timedelta(seconds=interval.total_seconds() * factor)


def _ready(status: Truth, outcome: Outcome) -> ConditionMark:
    message = outcome.message if isinstance(outcome, Done) else str(outcome)
    return ConditionMark(status, outcome.reason, message)
