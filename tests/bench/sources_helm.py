"""A Helm repository with an index of 40 MB, and three hundred charts of it: time and memory.

`python -m tests.bench.sources_helm` runs this alone.
"""

import asyncio
import time
from collections.abc import Iterable

from penstock.demo.stage import Stage
from shared.cluster.objects import Gvk, Manifest
from tests.bench.observing import is_ready, until, watching
from tests.bench.report import Figure, Report
from tests.bench.standing import alone
from tests.bench.workloads import NAMESPACE, SOURCE, an_object
from tests.support.chart_server import ChartServer, chart_server
from tests.support.charts import a_chart
from tests.support.footprint import footprint_of
from tests.support.processes import processor_ticks

CHARTS, VERSIONS = 300, 280
MIB = 2**20
ENTRY = """\
  - apiVersion: v2
    appVersion: "1.10"
    created: "2024-01-01T10:11:12.123456789Z"
    description: A chart that does what charts do, for everybody who has a use for it.
    digest: 1f0d1e5d0b3c4e6f7a8b9c0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d9e0f
    home: https://example.com
    keywords:
    - one
    - two
    maintainers:
    - name: Somebody
      url: https://example.com/somebody
    name: {name}
    urls:
    - {name}-1.{minor}.0.tgz
    version: 1.{minor}.0
"""


async def measure(stage: Stage, report: Report) -> None:
    pid = stage.environment.process("source").pid
    assert pid is not None
    repository, chart = Gvk(SOURCE, "HelmRepository"), Gvk(SOURCE, "HelmChart")
    async with (
        chart_server() as server,
        watching(stage.cluster, repository, NAMESPACE) as repositories,
        watching(stage.cluster, chart, NAMESPACE) as charts,
        footprint_of(pid) as memory,
    ):
        await asyncio.to_thread(_fill, server)
        started, ticks = time.perf_counter(), processor_ticks(pid)
        spec = {"interval": "1h", "url": server.url}
        await stage.cluster.apply(
            an_object(SOURCE, "HelmRepository", "large", spec=spec), manager="bench"
        )
        await until(repositories, lambda found: _ready(found, 1))
        size = f"{len(server.index) // 10**6} MB of YAML"
        took, started = time.perf_counter() - started, time.perf_counter()
        report.add(Figure("a large index: ready", took, 30.0, note=size))
        for number in range(CHARTS):
            await stage.cluster.apply(_chart(number), manager="bench")
        await until(charts, lambda found: _ready(found, CHARTS))
        took = time.perf_counter() - started
        busy = (processor_ticks(pid) - ticks) / 100
    note = f"{busy:.1f} s of the service's processor time, its children's not counted"
    report.add(Figure(f"{CHARTS} HelmCharts of it: ready", took, 60.0, note=note))
    what = "memory of the source service meanwhile, children included"
    report.add(Figure(what, memory.peak / MIB, 300.0, "MiB"))
    await stage.clear(NAMESPACE)


def _fill(server: ChartServer) -> None:
    pieces = ["apiVersion: v1\nentries:\n"]
    for number in range(CHARTS):
        name = f"chart-{number}"
        pieces.append(f"  {name}:\n")
        pieces += [ENTRY.format(name=name, minor=minor) for minor in range(VERSIONS)]
        version = f"1.{VERSIONS - 1}.0"
        server.charts[f"{name}-{version}.tgz"] = a_chart(name, version)
    server.index = "".join(pieces)


def _chart(number: int) -> Manifest:
    source = {"kind": "HelmRepository", "name": "large"}
    spec = {"interval": "1h", "chart": f"chart-{number}", "version": "1.x", "sourceRef": source}
    return an_object(SOURCE, "HelmChart", f"chart-{number}", spec=spec)


def _ready(objects: Iterable[Manifest], count: int) -> bool:
    states = [is_ready(each) for each in objects]
    return len(states) == count and all(states)


if __name__ == "__main__":
    alone(measure)
