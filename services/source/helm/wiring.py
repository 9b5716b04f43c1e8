"""The controllers of HelmRepositories and HelmCharts."""

from typing import Any

from services.source.helm.chart_signatures import ChartSignatures
from services.source.helm.dependency_build import DependencyBuilder
from services.source.helm.downloads import HelmDownloads
from services.source.helm.helm_chart import ChartSources, HelmChartReconciler, charts_of
from services.source.helm.helm_repository import HelmRepositoryReconciler, is_static
from services.source.helm.indexed_charts import IndexedCharts
from services.source.helm.local_charts import LocalCharts
from services.source.helm.registry_charts import RegistryCharts
from services.source.helm.remote_charts import RemoteCharts
from services.source.helm.repositories import ChartRepositories
from services.source.means import Caches, Doors, Means, controller_of
from shared.cluster.watch_cache import WatchCache
from shared.controller import Controller
from shared.resources.source import HelmChart, HelmRepository


def helm_controllers(means: Means, caches: Caches, doors: Doors) -> dict[str, Controller[Any]]:
    downloads = HelmDownloads(doors.secrets, means.web)
    repositories = HelmRepositoryReconciler(means.storage, downloads, means.helm, means.state)
    charts = HelmChartReconciler(means.storage, _sources(means, caches, doors, downloads))
    chart_controller = controller_of(means, caches.charts, HelmChart, charts)
    sources: list[WatchCache[Any]] = [caches.helm, caches.git, caches.buckets]
    for cache in sources:
        chart_controller.also_when(cache, charts_of(caches.charts))
    return {
        HelmRepository.kind: controller_of(
            means, caches.helm, HelmRepository, repositories, is_static=is_static
        ),
        HelmChart.kind: chart_controller,
    }


def _sources(means: Means, caches: Caches, doors: Doors, downloads: HelmDownloads) -> ChartSources:
    repositories = ChartRepositories(
        IndexedCharts(means.storage, downloads, means.helm, means.state),
        RegistryCharts(doors.registry, doors.visits, means.helm),
        caches.helm.values,
    )
    return ChartSources(
        caches.helm,
        caches.git,
        caches.buckets,
        RemoteCharts(repositories, ChartSignatures(doors.registry, doors.signatures), means.helm),
        LocalCharts(means.storage, DependencyBuilder(repositories), means.helm),
    )
