"""What an ending costs: the only code that turns an outcome into a status and the next look."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from shared.conditions import PROGRESSING_WITH_RETRY, READY, RECONCILING, STALLED, is_true
from shared.outcomes import ConditionMark, Done, Failed, Marks, Outcome, Stalled, Truth, Waiting
from shared.pace import STEADY, Pace
from shared.resources.meta import Condition


@dataclass(frozen=True)
class Verdict:
    """`settled`: the generation was dealt with. `next_look` None: only an event wakes it again."""

    ready: ConditionMark
    next_look: timedelta | None
    settled: bool = False
    stalled: bool = False
    alarming: bool = False


def verdict(
    outcome: Outcome, interval: timedelta | None, failures: int, pace: Pace = STEADY
) -> Verdict:
    """`interval` None: nothing to do until something happens; `failures` counts those in a row."""
    match outcome:
        case Done():
            pause = outcome.retry_after or (interval and pace.jittered(interval))
            return Verdict(_ready("True", outcome), pause, settled=True)
        case Waiting():
            return Verdict(_ready("False", outcome), outcome.retry_after or pace.waiting)
        case Failed():
            pause = outcome.retry_after or pace.backoff(failures)
            if outcome.may_pass:
                pause = min(pause, pace.backoff(failures))
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


def result_of(outcome: Outcome) -> str:
    """As metrics call it."""
    match outcome:
        case Done():
            return "success"
        case Waiting():
            return "requeue_after"
        case Failed():
            return "error"
        case Stalled():
            return "terminal_error"
        case _:
            assert_never(outcome)


def _ready(status: Truth, outcome: Outcome) -> ConditionMark:
    message = outcome.message if isinstance(outcome, Done) else str(outcome)
    return ConditionMark(status, outcome.reason, message)
