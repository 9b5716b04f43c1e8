"""`make bench`: every measurement in an environment of its own; exit 1 if a bar is missed."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.demo.stage import Stage
from penstock.local.wishes import Wishes
from tests.bench import hundred, latency, sources_git, sources_helm, sources_oci
from tests.bench.raw_rate import raw_apply_rate
from tests.bench.report import Figure, Report
from tests.bench.workloads import NAMESPACE


async def bench(folder: Path) -> bool:
    report = Report()
    async with _standing(folder / "applications") as stage:
        rate = await raw_apply_rate(stage.cluster, "raw")
        report.add(Figure("raw server-side applies, 32 in flight", rate, None, "a second"))
        empty = await hundred.requests_in_a_minute(stage)
        await latency.measure(stage, report)
        await latency.measure_chain(stage, report)
        await stage.clear(NAMESPACE)
        await hundred.measure(stage, report, empty, rate)
    async with _standing(folder / "git", "source") as stage:
        await sources_git.measure_change(stage, report)
        await sources_git.measure_idle(stage, report)
    async with _standing(folder / "oci", "source") as stage:
        await sources_oci.measure(stage, report, folder / "registry")
    async with _standing(folder / "helm", "source") as stage:
        await sources_helm.measure(stage, report)
    report.show()
    return report.all_met


@asynccontextmanager
async def _standing(folder: Path, *services: str) -> AsyncIterator[Stage]:
    """With these services; with none named, all of them."""
    async with Stage.standing(folder, Wishes(services=services) if services else None) as stage:
        for name in (NAMESPACE, "raw"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await stage.cluster.apply(namespace, manager="bench")
        yield stage


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        sys.exit(0 if asyncio.run(bench(Path(name))) else 1)
