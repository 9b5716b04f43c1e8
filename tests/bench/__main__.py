"""`make bench`: every measurement in an environment of its own; exit 1 if a bar is missed."""

import asyncio
import sys
import tempfile
from pathlib import Path

from penstock.demo.stage import Stage
from tests.bench import hundred, latency, sources_git
from tests.bench.raw_rate import raw_apply_rate
from tests.bench.report import Figure, Report
from tests.bench.workloads import NAMESPACE


async def bench(folder: Path) -> bool:
    report = Report()
    async with Stage.standing(folder) as stage:
        for name in (NAMESPACE, "raw"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await stage.cluster.apply(namespace, manager="bench")
        rate = await raw_apply_rate(stage.cluster, "raw")
        report.add(Figure("raw server-side applies, 32 in flight", rate, None, "a second"))
        empty = await hundred.requests_in_a_minute(stage)
        await latency.measure(stage, report)
        await latency.measure_chain(stage, report)
        await stage.clear(NAMESPACE)
        await hundred.measure(stage, report, empty, rate)
        await stage.clear(NAMESPACE)
        await sources_git.measure_change(stage, report)
        await sources_git.measure_idle(stage, report)
    report.show()
    return report.all_met


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        sys.exit(0 if asyncio.run(bench(Path(name))) else 1)
