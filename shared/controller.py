"""The loop, once: watch -> queue -> run -> status, for every kind.

The queue holds names. A watch event, a bus message, a timer and a webhook all do the same thing:
`look_at(name)`; the run reads the world. Status is written here and only here, once at the end of
a run (and where a run asks for it with `Run.progress`), and only when it says something new, so
an object that is as it should be costs no request. A run that dies at any point leaves its
object to the next one: after a restart every object is looked at.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from shared.clock import Now, now
from shared.cluster.client import Cluster
from shared.cluster.errors import Conflict, NotFound
from shared.cluster.objects import ObjectRef
from shared.cluster.watch_cache import WatchCache
from shared.conditions import READY, STALLED, clip, find, with_marks
from shared.durations import InvalidDurationError, parse_duration
from shared.metrics import (
    ACTIVE_WORKERS,
    QUEUE_DEPTH,
    RECONCILE_BUGS,
    RECONCILE_DURATION,
    RECONCILE_TOTAL,
)
from shared.outcomes import ConditionMark, Done, Failed, Marks, Outcome, Stalled, Waiting
from shared.pace import STEADY, Pace
from shared.redaction import redact
from shared.resources.meta import NamespacedName, Resource, UndecodableError
from shared.run import Recorder, Run
from shared.status import conditions_of, is_requested, no_status, requested_at, status_patch
from shared.verdict import Verdict, closing_marks, result_of, verdict
from shared.workqueue import WorkQueue

R = TypeVar("R", bound=Resource[Any, Any])
R_contra = TypeVar("R_contra", bound=Resource[Any, Any], contravariant=True)
T = TypeVar("T")

log = logging.getLogger(__name__)

FINALIZER = "finalizers.fluxcd.io"
DRAIN = timedelta(seconds=5)
LAST_WORDS = timedelta(seconds=3)  # for notes of a run that is cancelled by a shutdown


class Reconciler(Protocol[R_contra]):
    """One per kind. Ends as `shared.outcomes` says; any other exception is a bug."""

    async def reconcile(self, resource: R_contra, run: Run) -> Done: ...

    async def finalize(self, resource: R_contra, run: Run) -> None:
        """Raising Failed keeps the object (and its finalizer) for another try."""


@dataclass(frozen=True)
class Options:
    """`name` reports events, `manager` owns the status fields, `concurrent` runs at a time."""

    name: str
    manager: str
    concurrent: int = 16
    finalizer: str = FINALIZER
    advance_when_suspended: bool = True
    is_static: Callable[[Any], bool] = lambda _: False  # such an object is nobody's to reconcile
    now: Now = now
    pace: Pace = STEADY


class Controller(Generic[R]):
    def __init__(
        self,
        cluster: Cluster,
        cache: WatchCache[R],
        model: type[R],
        reconciler: Reconciler[R],
        recorder: Recorder,
        options: Options,
    ) -> None:
        self.cache = cache
        self._cluster = cluster
        self._model = model
        self._reconciler = reconciler
        self._recorder = recorder
        self._options = options
        self._queue: WorkQueue[NamespacedName] = WorkQueue()
        self._slots = asyncio.Semaphore(options.concurrent)
        self._running: set[asyncio.Task[None]] = set()
        self._failures: dict[NamespacedName, int] = {}
        self._broken: dict[NamespacedName, str] = {}
        self._prerequisites: list[WatchCache[Any]] = [cache]
        self._name = model.kind.lower()
        cache.on_change(self._changed)
        cache.on_undecodable(self._undecodable)
        QUEUE_DEPTH.labels(self._name).set_function(lambda: len(self._queue))

    def look_at(self, key: NamespacedName, *, urgent: bool = True) -> None:
        """Whatever happened: have a run of this object soon."""
        self._queue.add(key, urgent=urgent)

    def also_when(
        self,
        cache: WatchCache[T],
        affected: Callable[[T | None, T | None], Iterable[NamespacedName]],
    ) -> None:
        """Look at the affected objects on each change of another cache; the start waits for it."""

        def listen(before: T | None, after: T | None) -> None:
            for key in affected(before, after):
                self.look_at(key)

        cache.on_change(listen)
        self._prerequisites.append(cache)

    async def run(self) -> None:
        """For ever; cancel to stop.

        Runs in progress have a moment to end; then they are cancelled too, and leave their notes.
        """
        for cache in self._prerequisites:
            await cache.synced()
        for resource in self.cache.values():  # also what was listed before we listened
            self._queue.add(resource.key, urgent=False)
        async with asyncio.TaskGroup() as runs:
            try:
                while True:
                    await self._slots.acquire()
                    key = await self._queue.get()
                    run = runs.create_task(self._run(key))
                    self._running.add(run)
                    run.add_done_callback(self._running.discard)
            except asyncio.CancelledError:
                if self._running:
                    await asyncio.wait(self._running, timeout=DRAIN.total_seconds())
                raise

    def _changed(self, before: R | None, after: R | None) -> None:
        if after is None:
            assert before is not None  # noqa: S101  (a change has at least one side)
            self._queue.forget(before.key)
            self._failures.pop(before.key, None)
        elif before is None:
            self._broken.pop(after.key, None)
            self._queue.add(after.key, urgent=False)
        elif _calls_for_a_run(before, after):
            self._queue.add(after.key)

    def _undecodable(self, error: UndecodableError) -> None:
        metadata = error.metadata
        if metadata is None:
            return
        key = NamespacedName(metadata.namespace, metadata.name)
        if self._broken.get(key) != str(error):  # our own report comes back as a change
            self._broken[key] = str(error)
            self._queue.add(key)

    async def _run(self, key: NamespacedName) -> None:
        try:
            with (
                ACTIVE_WORKERS.labels(self._name).track_inprogress(),
                RECONCILE_DURATION.labels(self._model.kind, key.name, key.namespace).time(),
            ):
                await self._dispatch(key)
        except NotFound:
            pass  # it was deleted meanwhile: the watch will say so
        except Conflict:
            self._queue.add(key)  # our copy was old
        except Failed as error:  # the API server would not take what we have to say
            self._try_again(key, error)
        except Exception as error:
            RECONCILE_BUGS.labels(self._name).inc()
            log.exception("a run could not be closed", extra=_who(self._model, key))
            self._try_again(key, Failed(type(error).__name__))
        finally:
            self._slots.release()
            self._queue.done(key)

    async def _dispatch(self, key: NamespacedName) -> None:
        resource = self.cache.get(key)
        if resource is None:
            if key in self._broken:
                await self._report_broken(key)
            return
        if resource.metadata.deletion_timestamp is not None:
            await self._finalize(resource)
            return
        if self._options.is_static(resource):
            await self._leave(resource)
            return
        if self._options.finalizer not in resource.metadata.finalizers:
            finalizers = [*resource.metadata.finalizers, self._options.finalizer]
            resource = await self._patch_finalizers(resource, finalizers)
        if resource.is_suspended:
            await self._close_suspended(resource)
        else:
            await self._reconcile(resource)

    async def _reconcile(self, resource: R) -> None:
        async def write(fields: Mapping[str, Any], marks: Marks) -> None:
            await self._write(resource.key, fields, marks)

        run = Run(resource, self._recorder, self._slots, write)
        try:
            outcome = await self._outcome(resource, run)
        except asyncio.CancelledError:
            await self._last_words(resource.key, run)
            raise
        self._count(resource.key, outcome)
        price = self._price(resource.key, outcome, self._interval(resource))
        await self._close(resource, run, outcome, price)

    async def _outcome(self, resource: R, run: Run) -> Outcome:
        try:
            parse_duration(resource.spec.interval or "0")
            return await self._reconciler.reconcile(resource, run)
        except (Waiting, Failed, Stalled) as ending:
            return ending
        except InvalidDurationError as error:
            return Stalled(f"spec.interval: {error}", reason="InvalidSpec")
        except Exception as error:
            RECONCILE_BUGS.labels(self._name).inc()
            log.exception(
                "a run ended in an unexpected error", extra=_who(self._model, resource.key)
            )
            return Failed(f"internal error: {type(error).__name__}; see the controller's log")

    async def _close(self, resource: R, run: Run, outcome: Outcome, price: Verdict) -> None:
        key, generation = resource.key, resource.metadata.generation
        current = self.cache.get(key) or resource
        fields: dict[str, Any] = {**run.noted_status}
        if isinstance(outcome, Done):
            fields |= outcome.status
        if price.settled:
            fields["observedGeneration"] = generation
        if requested_at(resource) is not None:
            fields["lastHandledReconcileAt"] = requested_at(resource)
        marks = {
            **run.noted_conditions,
            **closing_marks(price, conditions_of(current)),
            **outcome.conditions,
        }
        if price.alarming and _is_news(current, price.ready):
            self._recorder.record(
                resource, "error", price.ready.reason, price.ready.message, run.event_metadata
            )
        await self._write(key, fields, marks)
        _log_ending(resource, price)
        if price.next_look is not None:
            self._queue.add_after(key, price.next_look)

    async def _close_suspended(self, resource: R) -> None:
        """No work, but what was asked is marked as handled (see the API's rules on suspension)."""
        fields: dict[str, Any] = {}
        ready = find(conditions_of(resource), READY)
        if self._options.advance_when_suspended or (ready and ready.status == "True"):
            fields["observedGeneration"] = resource.metadata.generation
        if requested_at(resource) is not None:
            fields["lastHandledReconcileAt"] = requested_at(resource)
        await self._write(resource.key, fields, {STALLED: None})

    async def _finalize(self, resource: R) -> None:
        mine = self._options.finalizer
        if mine not in resource.metadata.finalizers:
            return

        async def write(fields: Mapping[str, Any], marks: Marks) -> None:
            await self._write(resource.key, fields, marks)

        run = Run(resource, self._recorder, self._slots, write)
        try:
            await self._reconciler.finalize(resource, run)
        except (Waiting, Failed, Stalled) as ending:
            self._count(resource.key, ending)
            price = self._price(resource.key, ending)
            await self._close(resource, run, ending, price)
            return
        await self._patch_finalizers(
            resource, [name for name in resource.metadata.finalizers if name != mine]
        )

    async def _leave(self, resource: R) -> None:
        """Take back what was written when the object was another one."""
        await self._finalize(resource)
        current = self.cache.get(resource.key) or resource
        if self._options.finalizer not in current.metadata.finalizers:
            await self._write(resource.key, *no_status(current))

    async def _patch_finalizers(self, resource: R, finalizers: list[str]) -> R:
        # The version makes this a compare-and-set: the list is replaced as a whole.
        metadata = {
            "finalizers": finalizers,
            "resourceVersion": resource.metadata.resource_version,
        }
        patched = await self._cluster.patch_object(
            self._model, resource.key, {"metadata": metadata}, manager=self._options.manager
        )
        self.cache.observe(patched)
        return patched

    async def _write(self, key: NamespacedName, fields: Mapping[str, Any], marks: Marks) -> None:
        current = self.cache.get(key)
        if current is None:
            return
        patch = status_patch(current, fields, marks, self._options.now)
        if patch is not None:
            self.cache.observe(
                await self._cluster.patch_status(
                    self._model, key, patch, manager=self._options.manager
                )
            )

    async def _report_broken(self, key: NamespacedName) -> None:
        """Say on the object itself why it stands still; its siblings are not held up by it."""
        mark = ConditionMark("False", "InvalidSpec", self._broken[key])
        marks = {READY: mark, STALLED: mark._replace(status="True")}
        conditions = with_marks((), marks, 0, self._options.now)
        await self._cluster.merge_patch(
            ObjectRef(self._model.api_version, self._model.kind, *key),
            {"status": {"conditions": msgspec.to_builtins(conditions)}},
            subresource="status",
            manager=self._options.manager,
        )

    async def _last_words(self, key: NamespacedName, run: Run) -> None:
        """What a cancelled run has learnt must not be lost; the next one starts from it."""
        if run.noted_status or run.noted_conditions:
            async with asyncio.timeout(LAST_WORDS.total_seconds()):
                await asyncio.shield(self._write(key, run.noted_status, run.noted_conditions))

    def _count(self, key: NamespacedName, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self._failures[key] = self._failures.get(key, 0) + 1
        else:
            self._failures.pop(key, None)
        RECONCILE_TOTAL.labels(self._name, result_of(outcome)).inc()

    def _try_again(self, key: NamespacedName, error: Failed) -> None:
        self._failures[key] = self._failures.get(key, 0) + 1
        price = self._price(key, error)
        extra = _who(self._model, key) | {"error": str(error)}
        log.warning("status could not be written", extra=extra)
        if price.next_look is not None:
            self._queue.add_after(key, price.next_look)

    def _price(
        self, key: NamespacedName, outcome: Outcome, interval: timedelta | None = None
    ) -> Verdict:
        return verdict(outcome, interval, self._failures.get(key, 0), self._options.pace)

    def _interval(self, resource: R) -> timedelta | None:
        try:
            return parse_duration(resource.spec.interval or "0") or None
        except InvalidDurationError:
            return None  # already the run's ending


def _calls_for_a_run(before: Resource[Any, Any], after: Resource[Any, Any]) -> bool:
    """Status is our own doing, and labels are nobody's wish."""
    deleted = after.metadata.deletion_timestamp is not None
    return (
        before.metadata.generation != after.metadata.generation
        or (deleted and before.metadata.deletion_timestamp is None)
        or (requested_at(before) != requested_at(after) and is_requested(after))
    )


def _is_news(resource: Resource[Any, Any], ready: ConditionMark) -> bool:
    """Whether somebody should hear of this: a failure that repeats itself is told once."""
    known = find(conditions_of(resource), READY)
    told = known is not None and (known.status, known.reason, known.message) == (
        ready.status,
        ready.reason,
        clip(redact(ready.message)),
    )
    return not told or is_requested(resource)


def _who(model: type[Resource[Any, Any]], key: NamespacedName) -> dict[str, Any]:
    return {"controllerKind": model.kind, "object": key}


def _log_ending(resource: Resource[Any, Any], price: Verdict) -> None:
    level = logging.ERROR if price.alarming else logging.INFO
    extra = _who(type(resource), resource.key) | {"reason": price.ready.reason}
    log.log(level, price.ready.message, extra=extra)
