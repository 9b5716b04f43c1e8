"""HelmChart: one chart of a repository, packaged with its values files, becomes an artifact."""

from shared.resources.meta import Model, Resource
from shared.resources.source.fetched import API_VERSION, FetchedStatus
from shared.resources.source.verification import ChartVerification


class ChartSourceReference(Model, frozen=True, kw_only=True):
    """Always in the chart's own namespace."""

    kind: str
    name: str
    api_version: str | None = None


class HelmChartSpec(Model, frozen=True, kw_only=True):
    chart: str
    version: str = "*"
    source_ref: ChartSourceReference
    interval: str
    reconcile_strategy: str = "ChartVersion"
    values_files: tuple[str, ...] = ()
    ignore_missing_values_files: bool = False
    verify: ChartVerification | None = None
    suspend: bool = False


class HelmChartStatus(FetchedStatus, frozen=True, kw_only=True):
    url: str | None = None
    observed_chart_name: str | None = None
    observed_source_artifact_revision: str | None = None
    observed_values_files: tuple[str, ...] = ()


class HelmChart(Resource[HelmChartSpec, HelmChartStatus], frozen=True, kw_only=True):
    api_version = API_VERSION
    kind = "HelmChart"
    plural = "helmcharts"

    status: HelmChartStatus = HelmChartStatus(observed_generation=-1)
