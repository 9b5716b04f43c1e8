"""How a run ends: `Done`, or one of three kinds of unfinished. Nothing else has a price.

Services subclass `Waiting`, `Failed` and `Stalled` to give a reason a name; `shared.verdict` alone
decides what an ending costs. An ending by exception drops local variables, so whatever must survive
it is written down (`Run.note`, `Run.progress`) before the risky line, never after.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

Truth: TypeAlias = Literal["True", "False", "Unknown"]


class ConditionMark(NamedTuple):
    """One condition as a reconciler states it; stamps are added when status is written."""

    status: Truth
    reason: str
    message: str


Marks: TypeAlias = Mapping[str, ConditionMark | None]  # by condition type; None removes it


@dataclass(frozen=True, kw_only=True)
class Done:
    """The world is as the spec wants it.

    `status` holds the kind's own status fields as JSON values (None removes a field),
    `conditions` the condition types beside Ready, Reconciling and Stalled. `retry_after` overrides
    the jittered `spec.interval`.
    """

    message: str
    reason: str = "Succeeded"
    status: Mapping[str, Any] = field(default_factory=dict)
    conditions: Marks = field(default_factory=dict)
    retry_after: timedelta | None = None


class Unfinished(Exception):
    """The run stopped before the world matched the spec; the message is for the user."""

    reason: str = "Failed"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after: timedelta | None = None,
        conditions: Marks | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason or type(self).reason
        self.retry_after = retry_after
        self.conditions: Marks = conditions or {}


class Waiting(Unfinished):
    """Something else must happen first: a fixed delay, nobody is alarmed."""

    reason: str = "DependencyNotReady"


class Failed(Unfinished):
    """The world misbehaved: try again with backoff (or after `retry_after`), tell the user.

    What `may_pass` by itself within moments is tried again with backoff even before `retry_after`.
    """

    reason: str = "ReconciliationFailed"
    may_pass: bool = False


class Stalled(Unfinished):
    """Only a new spec, revision or request can help: no retry, tell the user.

    `retry_after` is for what only asking again can find out.
    """

    reason: str = "ReconciliationFailed"


Outcome: TypeAlias = Done | Waiting | Failed | Stalled
