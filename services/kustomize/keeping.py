"""The controller of Kustomizations with the watches that it decides by."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from services.kustomize.annotations import asked_otherwise
from services.kustomize.brake import Brake
from services.kustomize.build import Planner
from services.kustomize.depends_on import Dependencies, Judges
from services.kustomize.finalization import Finalization
from services.kustomize.handover import Handover
from services.kustomize.health_checks import HealthChecks, mark_of
from services.kustomize.losses import Losses
from services.kustomize.means import Caches, Means
from services.kustomize.nudges import Nudges
from services.kustomize.plan import OWNERSHIP
from services.kustomize.reconciler import KustomizationReconciler
from services.kustomize.source import Sources
from services.kustomize.stored import kinds_kept
from services.kustomize.watched_configuration import WatchedConfiguration
from shared.cluster.applied import Drift
from shared.cluster.apply_engine import ApplyEngine
from shared.controller import Controller, Options
from shared.ready_expressions import ReadyExpressions
from shared.ready_watch import ReadyWatch
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName, Resource

NAME = "kustomize-controller"
STATUS_MANAGER = "gotk-kustomize-controller"
log = logging.getLogger(__name__)


class Keeping(NamedTuple):
    """A controller that works while somebody runs it, and the sources that it follows."""

    controller: Controller[Kustomization]
    caches: Caches


@asynccontextmanager
async def keeping_kustomizations(means: Means) -> AsyncIterator[Keeping]:
    policy = means.policy
    caches, nudges = await Caches.of(means.cluster, policy), Nudges()

    def drifted(drift: Drift) -> None:
        log.info("drift", extra={"drift": str(drift), "object": drift.owner})
        controller.look_at(drift.owner)
        nudges.nudge(drift.owner)

    def woken(waiting: NamespacedName) -> None:
        dependencies.woken(waiting, controller.look_at)

    running = ApplyEngine.running(means.cluster, OWNERSHIP, NAME, drifted, means.now, policy.apply)
    async with running as objects, ReadyWatch.running(objects.watches, woken) as others:
        sources = Sources(
            caches.sources,
            caches.kustomizations,
            no_cross_namespace=not policy.cross_namespace,
            requeue=policy.pace.waiting,
        )
        judges = Judges(means.cluster, ReadyExpressions(means.cluster, means.expressions), others)
        dependencies = Dependencies(caches.kustomizations, judges, policy)
        planner = Planner(
            means.engine,
            means.artifacts,
            means.cluster,
            means.quarantine,
            strict=policy.strict_substitution,
        )
        handover = Handover(caches.kustomizations, sources, planner)
        reconciler = KustomizationReconciler(
            cluster=means.cluster,
            sources=sources,
            dependencies=dependencies,
            planner=planner,
            objects=objects,
            health=_health_checks(means, caches, sources, objects, nudges),
            handover=handover,
            brake=Brake(Losses(caches.kustomizations), policy.prune_limit),
            finalization=Finalization(means.cluster, objects, handover),
            now=means.now,
        )
        controller = _controller(means, caches, reconciler)
        _listen(controller, caches, sources, dependencies, nudges)
        async with caches.running():
            # Before the first run, so that it can tell what it creates from what was there.
            await caches.kustomizations.synced()
            await objects.drift.watch_all(kinds_kept(caches.kustomizations.values()))
            yield Keeping(controller, caches)


def _health_checks(
    means: Means, caches: Caches, sources: Sources, objects: ApplyEngine, nudges: Nudges
) -> HealthChecks:
    return HealthChecks(
        health=objects.health,
        kustomizations=caches.kustomizations,
        sources=sources,
        nudges=nudges,
        expressions=means.expressions,
        fail_fast=means.policy.fail_fast,
    )


def _controller(
    means: Means, caches: Caches, reconciler: KustomizationReconciler
) -> Controller[Kustomization]:
    options = Options(
        NAME,
        STATUS_MANAGER,
        concurrent=means.policy.concurrent,
        advance_when_suspended=False,
        now=means.now,
        pace=means.policy.pace,
    )
    cache = caches.kustomizations
    return Controller(means.cluster, cache, Kustomization, reconciler, means.recorder, options)


def _listen(
    controller: Controller[Kustomization],
    caches: Caches,
    sources: Sources,
    dependencies: Dependencies,
    nudges: Nudges,
) -> None:
    """Who is looked at when something changes; runs that only wait are told too."""

    def moved_on(before: Resource[Any, Any] | None, after: Resource[Any, Any] | None) -> None:
        for key in sources.affected(before, after):
            nudges.nudge(key)

    def respecified(before: Kustomization | None, after: Kustomization | None) -> None:
        changed = after or before
        if changed is not None and (not (before and after) or mark_of(before) != mark_of(after)):
            nudges.nudge(changed.key)

    for cache in caches.sources.values():
        controller.also_when(cache, sources.affected)
        cache.on_change(moved_on)
    configuration = WatchedConfiguration(caches.kustomizations)
    for watched in caches.configuration:
        controller.also_when(watched, configuration.affected)
    controller.also_when(caches.kustomizations, dependencies.affected)
    controller.also_when(caches.kustomizations, asked_otherwise)
    caches.kustomizations.on_change(respecified)
