"""What one run may tell the world while it goes: notes, progress, events.

A note is written with the closing status, however the run ends. Progress is written at once; what
must be on record before a risky step (a write-ahead inventory) goes there.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, TypeAlias

from shared.conditions import PROGRESSING, READY, RECONCILING, STALLED, find
from shared.outcomes import ConditionMark, Marks
from shared.resources.meta import Resource
from shared.status import conditions_of, is_requested

Severity: TypeAlias = Literal["info", "error", "trace"]


class Recorder(Protocol):
    """Where events go; it never blocks and never fails."""

    def record(
        self,
        resource: Resource[Any, Any],
        severity: Severity,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        in_cluster: bool = True,
    ) -> None:
        """Without `in_cluster` only Alerts hear of it, and it costs no request."""


class Slots(Protocol):
    """The bound on how many runs are at work."""

    async def acquire(self) -> Any: ...

    def release(self) -> None: ...


WriteStatus: TypeAlias = Callable[[Mapping[str, Any], Marks], Awaitable[None]]


class Run:
    def __init__(
        self,
        resource: Resource[Any, Any],
        recorder: Recorder,
        slots: Slots,
        write_status: WriteStatus,
    ) -> None:
        self.requested = is_requested(resource)
        self.noted_status: dict[str, Any] = {}
        self.noted_conditions: dict[str, ConditionMark | None] = {}
        self.event_metadata: dict[str, str] = {}  # goes with every event, also with the failure's
        self._resource = resource
        self._recorder = recorder
        self._slots = slots
        self._write_status = write_status

    def note(
        self, *, status: Mapping[str, Any] | None = None, conditions: Marks | None = None
    ) -> None:
        """Remember status fields (API names; None removes) and conditions for the closing write."""
        self.noted_status.update(status or {})
        self.noted_conditions.update(conditions or {})

    async def progress(
        self,
        message: str,
        *,
        reason: str = PROGRESSING,
        ready_message: str | None = None,
        ready_unknown: bool = True,
        status: Mapping[str, Any] | None = None,
        conditions: Marks | None = None,
    ) -> None:
        """Write Reconciling=True now, with all notes so far and what is given here.

        `ready_unknown` False leaves a known Ready as it is (no drift is known of).
        """
        self.note(status=status, conditions=conditions)
        marks: dict[str, ConditionMark | None] = {
            **self.noted_conditions,
            RECONCILING: ConditionMark("True", reason, message),
            STALLED: None,
        }
        ready = find(conditions_of(self._resource), READY)
        if ready_unknown or ready is None or ready.status == "Unknown":
            marks[READY] = ConditionMark("Unknown", reason, ready_message or message)
        await self._write_status(self.noted_status, marks)

    def event(
        self,
        severity: Severity,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        *,
        in_cluster: bool = True,
    ) -> None:
        """Tell of a happening; metadata keys without the API group, which is put before them."""
        told = {**self.event_metadata, **(metadata or {})}
        self._recorder.record(
            self._resource, severity, reason, message, told, in_cluster=in_cluster
        )

    @asynccontextmanager
    async def idle(self) -> AsyncIterator[None]:
        """While only waiting for others, leave the place to another run."""
        self._slots.release()
        try:
            yield
        finally:
            await self._slots.acquire()
