"""`make bench`: every measurement in an environment of its own; exit 1 if a bar is missed."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench import (
    hundred,
    latency,
    sources_bystanders,
    sources_git,
    sources_helm,
    sources_large,
    sources_oci,
)
from tests.bench.raw_rate import raw_apply_rate
from tests.bench.report import Figure, Report
from tests.bench.standing import standing
from tests.bench.workloads import NAMESPACE

SOURCES = (
    sources_git.measure,
    sources_oci.measure,
    sources_helm.measure,
    sources_large.measure,
    sources_bystanders.measure,
)


async def bench(folder: Path) -> bool:
    report = Report()
    async with standing(folder / "applications") as stage:
        rate = await raw_apply_rate(stage.cluster, "raw")
        report.add(Figure("raw server-side applies, 32 in flight", rate, None, "a second"))
        empty = await hundred.requests_in_a_minute(stage)
        await latency.measure(stage, report)
        await latency.measure_chain(stage, report)
        await stage.clear(NAMESPACE)
        await hundred.measure(stage, report, empty, rate)
    for number, measure in enumerate(SOURCES):
        async with standing(folder / f"sources-{number}", "source") as stage:
            await measure(stage, report)
    report.show()
    return report.all_met


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        sys.exit(0 if asyncio.run(bench(Path(name))) else 1)
