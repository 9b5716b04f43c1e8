"""`spec.valuesFiles`: merged in order, they become the chart's own values."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.source.endings import BuildStalled
from services.source.helm.chart_files import VALUES, Chart, ChartError, merged, read_mapping
from shared.archive import Entry
from shared.resources.source.helm_chart import HelmChartSpec


class WithValues(NamedTuple):
    chart: Chart
    used: tuple[str, ...]


def has_values_files(spec: HelmChartSpec) -> bool:
    """Whether they ask for anything but what the chart has anyway."""
    return bool(spec.values_files) and spec.values_files != (VALUES,)


def with_values_files(chart: Chart, spec: HelmChartSpec, files: Mapping[str, Entry]) -> WithValues:
    """`files` are those that the paths speak of; raises BuildStalled."""
    values: dict[str, Any] = {}
    used = []
    for path in spec.values_files:
        entry = files.get(path.removeprefix("./"))
        if entry is None and spec.ignore_missing_values_files:
            continue
        if entry is None:
            problem = f"failed to merge values files: {path!r} not found"
            raise BuildStalled(problem, reason="ValuesFilesError")
        try:
            values = merged(values, read_mapping(entry.content, path))
        except ChartError as error:
            problem = f"failed to merge values files: {error}"
            raise BuildStalled(problem, reason="ValuesFilesError") from error
        used.append(path)
    return WithValues(chart.with_values(values) if used else chart, tuple(used))


def version_with_generation(version: str, generation: int) -> str:
    """Other values files are another chart, and need another version."""
    return f"{version}{'.' if '+' in version else '+'}{generation}"
