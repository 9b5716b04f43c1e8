"""What whoever runs the service decided for all Kustomizations: settings and feature gates."""

from dataclasses import dataclass
from typing import Any, Self

from shared.cluster.mandate import USUAL, ApplyPolicy
from shared.pace import STEADY, Pace
from shared.resources.meta import Resource
from shared.resources.source import Bucket, ExternalArtifact, GitRepository, OCIRepository
from shared.settings import Settings
from shared.status import WATCHED
from shared.threshold import UNLIMITED, Threshold

CONCURRENT = 16
FETCHED = (GitRepository, OCIRepository, Bucket)
SOURCES = (*FETCHED, ExternalArtifact)  # the last behind Flux's gate, which is open here


@dataclass(frozen=True, kw_only=True)
class Policy:
    concurrent: int = CONCURRENT
    cross_namespace: bool = True
    prune_limit: Threshold = UNLIMITED
    strict_substitution: bool = True
    pace: Pace = STEADY
    namespace: str = ""  # the only one that is looked at, or all of them
    labels: str = ""  # of Kustomizations that are ours to reconcile
    watched_configuration: str = WATCHED  # ConfigMaps and Secrets with these labels; empty: none
    apply: ApplyPolicy = USUAL
    additive_ready_expr: bool = False  # beside the built-in check of a dependency, not for it
    fail_fast: bool = True
    sources: tuple[type[Resource[Any, Any]], ...] = SOURCES

    @classmethod
    def of(cls, settings: Settings) -> Self:
        gates = settings.feature_gates
        return cls(
            concurrent=settings.concurrent or CONCURRENT,
            cross_namespace=not settings.no_cross_namespace_refs,
            prune_limit=settings.prune_limit,
            pace=Pace.of(settings),
            namespace=settings.watched_namespace,
            labels=settings.watch_label_selector,
            watched_configuration=""
            if "DisableConfigWatchers" in settings.open_gates
            else settings.watch_configs_label_selector,
            strict_substitution=gates.get("StrictPostBuildSubstitutions", True),
            apply=ApplyPolicy(
                early_kinds=frozenset(settings.custom_apply_stage_kinds),
                overridden=frozenset(settings.override_manager),
            ),
            additive_ready_expr=gates.get("AdditiveCELDependencyCheck", False),
            fail_fast=not gates.get("DisableFailFastBehavior", False),
            sources=SOURCES if gates.get("ExternalArtifact", True) else FETCHED,
        )
