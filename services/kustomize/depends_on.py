"""`spec.dependsOn` and our annotation: what must be ready first, known the moment it is.

A dependency that is about to become ready (it works on the same commit) is waited for a moment
before the run gives up, so that a chain does not turn unready, link by link, with every commit.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from services.kustomize.dependency_order import Lookup, dependencies_of
from services.kustomize.identity import identity_of
from services.kustomize.policy import Policy
from services.kustomize.referrers import Referrers
from services.kustomize.source_ref import source_of
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import WatchCache
from shared.conditions import READY, find, is_true
from shared.dependencies import (
    CIRCLE_AGAIN,
    DependencyRef,
    annotated,
    circle_of,
    circle_problem,
    is_reannotated,
    require_reachable,
)
from shared.durations import format_duration
from shared.outcomes import Stalled, Waiting
from shared.ready_expressions import ReadyExpressions
from shared.ready_watch import ReadyWatch
from shared.resources.helm import HelmRelease
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact, NamespacedName, Resource
from shared.run import Run

GRACE = 2.0
TOLD = "Dependencies do not meet ready condition, retrying in {}"


class DependencyNotReady(Waiting):
    reason = "DependencyNotReady"


class DependencyCycle(Stalled):
    reason = "DependencyNotReady"


@dataclass(frozen=True)
class Judges:
    """Who knows of what our own watch does not show."""

    cluster: Cluster
    expressions: ReadyExpressions
    others: ReadyWatch


class Dependencies:
    def __init__(
        self,
        cache: WatchCache[Kustomization],
        judges: Judges,
        policy: Policy,
        grace: float = GRACE,
    ) -> None:
        self._told = TOLD.format(format_duration(policy.pace.waiting))
        self._cache = cache
        self._judges = judges
        self._policy = policy
        self._grace = grace
        self._dependents = Referrers(cache, dependencies_of)
        self._waiting: dict[NamespacedName, asyncio.Event] = {}
        cache.on_change(self._changed)

    async def require(self, kustomization: Kustomization, artifact: Artifact, run: Run) -> None:
        """Raises DependencyNotReady, or Stalled for what can never be: a circle, a bad expression,
        what must not be referred to."""
        require_reachable(kustomization, cross_namespace=self._policy.cross_namespace)
        await self._judges.expressions.require_valid(kustomization)
        problem = await self._first_look(kustomization, artifact, run)
        if problem is None:
            return
        await self._require_no_circle(kustomization)
        async with run.idle():
            problem = await self._until_met(kustomization, artifact)
        if problem is not None:
            ready = find(kustomization.status.conditions, READY)
            if ready is None or ready.reason != DependencyNotReady.reason:
                run.event("info", DependencyNotReady.reason, self._told)
            raise DependencyNotReady(problem)

    def affected(
        self, before: Kustomization | None, after: Kustomization | None
    ) -> Iterable[NamespacedName]:
        """Whom to look at because of this change; who is being waited with knows already."""
        changed = after or before
        if changed is None:
            return ()
        moved = _readiness(before) != _readiness(after)
        itself = [changed.key] if is_reannotated(before, after) else []
        return itself + [
            key
            for key in self._dependents.of(changed.key)
            if key not in self._waiting and (moved or self._is_held_by_expression(key))
        ]

    def woken(self, key: NamespacedName, look_at: Callable[[NamespacedName], None]) -> None:
        """An object of another kind that this one waits for has changed."""
        waiting = self._waiting.get(key)
        if waiting is None:
            look_at(key)
        else:
            waiting.set()

    async def _first_look(
        self, kustomization: Kustomization, artifact: Artifact, run: Run
    ) -> str | None:
        """A kind that cannot be listed holds up nobody else."""
        if not annotated(kustomization):
            return await self._unmet(kustomization, artifact)
        async with run.idle():
            return await self._unmet(kustomization, artifact)

    async def _unmet(self, kustomization: Kustomization, artifact: Artifact) -> str | None:
        additive = self._policy.additive_ready_expr
        return (
            unmet(kustomization, artifact, self._cache, additive=additive)
            or await self._unmet_expression(kustomization)
            or await self._judges.others.problem(
                kustomization.key,
                identity_of(kustomization, self._judges.cluster),
                annotated(kustomization),
            )
        )

    async def _unmet_expression(self, kustomization: Kustomization) -> str | None:
        references = kustomization.spec.depends_on
        for key, reference in zip(dependencies_of(kustomization), references, strict=True):
            dependency = self._cache.get(key)
            if dependency is None or not reference.ready_expr:
                continue
            problem = await self._judges.expressions.problem(kustomization, dependency, reference)
            if problem is not None:
                return problem
        return None

    async def _until_met(self, kustomization: Kustomization, artifact: Artifact) -> str | None:
        changed = self._waiting[kustomization.key] = asyncio.Event()
        deadline = asyncio.get_running_loop().time() + self._grace
        try:
            async with asyncio.timeout_at(deadline):
                while await self._unmet(kustomization, artifact):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            pass
        finally:
            del self._waiting[kustomization.key]
        return await self._unmet(kustomization, artifact)

    async def _require_no_circle(self, kustomization: Kustomization) -> None:
        circle = await circle_of(kustomization, self._looked_up)
        if circle:
            one_kind = {ref.kind for ref in circle} == {Kustomization.kind}
            raise DependencyCycle(
                circle_problem(circle),
                retry_after=None if one_kind else CIRCLE_AGAIN,
            )

    async def _looked_up(self, ref: DependencyRef) -> Resource[Any, Any] | None:
        if (ref.group, ref.kind) == Kustomization.group_kind():
            return self._cache.get(ref.key)
        if (ref.group, ref.kind) == HelmRelease.group_kind():
            return await self._judges.cluster.get(HelmRelease, ref.key)
        return None

    def _is_held_by_expression(self, key: NamespacedName) -> bool:
        held = self._cache.get(key)
        if held is None or not any(each.ready_expr for each in held.spec.depends_on):
            return False
        ready = find(held.status.conditions, READY)
        return ready is not None and ready.reason == DependencyNotReady.reason

    def _changed(self, before: Kustomization | None, after: Kustomization | None) -> None:
        changed = after or before
        if changed is None:
            return
        if after is None:
            self._judges.others.forget(changed.key)
        if self._waiting:
            for key in self._dependents.of(changed.key) & self._waiting.keys():
                self._waiting[key].set()


def unmet(
    kustomization: Kustomization, artifact: Artifact, cache: Lookup, *, additive: bool = False
) -> str | None:
    """The first dependency that is not ready, in words; None when all are.

    An expression stands in for the checks of what is there, unless it is `additive` to them.
    """
    references = kustomization.spec.depends_on
    for key, reference in zip(dependencies_of(kustomization), references, strict=True):
        dependency = cache.get(key)
        if dependency is None:
            return f"dependency '{key}' not found"
        if reference.ready_expr and not additive:
            continue
        if not is_ready(dependency):
            return f"dependency '{key}' is not ready"
        same_source = source_of(dependency) == source_of(kustomization)
        if same_source and dependency.status.last_applied_revision != artifact.revision:
            return f"dependency '{key}' revision is not up to date"
    return None


def is_ready(kustomization: Kustomization) -> bool:
    status = kustomization.status
    is_observed = status.observed_generation == kustomization.metadata.generation
    return is_observed and is_true(status.conditions, READY)


def _readiness(kustomization: Kustomization | None) -> tuple[object, ...]:
    if kustomization is None:
        return ()
    return (
        is_ready(kustomization),
        kustomization.status.last_applied_revision,
        tuple(dependencies_of(kustomization)),
    )
