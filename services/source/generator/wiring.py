"""The controller of ArtifactGenerators."""

from typing import Any

from services.source.generator.artifact_generator import (
    ArtifactGeneratorReconciler,
    GeneratorTools,
)
from services.source.generator.built_files import BuiltFiles
from services.source.generator.external_artifacts import MANAGER, ExternalArtifacts, owner_of
from services.source.generator.source_files import SourceFiles
from services.source.generator.sources import Sources, users_of
from services.source.generator.switch import enabled_again, telling_of_disabled
from services.source.means import Caches, Means
from shared.cluster.watch_cache import WatchCache
from shared.controller import Controller, Options
from shared.resources.source import (
    ArtifactGenerator,
    Bucket,
    ExternalArtifact,
    GitRepository,
    HelmChart,
    OCIRepository,
)

FINALIZER = "source.extensions.fluxcd.io/finalizer"


def generator_controller(means: Means, caches: Caches) -> Controller[ArtifactGenerator]:
    sources: dict[str, WatchCache[Any]] = {
        GitRepository.kind: caches.git,
        OCIRepository.kind: caches.oci,
        Bucket.kind: caches.buckets,
        HelmChart.kind: caches.charts,
        ExternalArtifact.kind: caches.external,
    }
    tools = GeneratorTools(
        Sources(sources, cross_namespace=means.cross_namespace),
        SourceFiles(means.storage, means.state / "downloads"),
        BuiltFiles(means.storage),
        ExternalArtifacts(means.cluster, caches.external, means.storage),
        means.state / "benches",
    )
    controller = Controller(
        means.cluster,
        caches.generators,
        ArtifactGenerator,
        ArtifactGeneratorReconciler(means.storage, tools),
        means.watcher_recorder,
        Options(MANAGER, MANAGER, means.concurrent, finalizer=FINALIZER),
    )
    for cache in sources.values():
        controller.also_when(cache, users_of(caches.generators))
    controller.also_when(caches.external, owner_of)
    controller.also_when(caches.generators, enabled_again)
    caches.generators.on_change(telling_of_disabled(means.watcher_recorder))
    return controller
