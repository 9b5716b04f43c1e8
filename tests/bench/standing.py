"""An environment of a measurement's own."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.demo.stage import Stage
from penstock.local.wishes import Wishes
from tests.bench.report import Report
from tests.bench.workloads import NAMESPACE


@asynccontextmanager
async def standing(folder: Path, *services: str) -> AsyncIterator[Stage]:
    """With these services; with none named, all of them."""
    async with Stage.standing(folder, Wishes(services=services) if services else None) as stage:
        for name in (NAMESPACE, "raw"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await stage.cluster.apply(namespace, manager="bench")
        yield stage


def alone(measure: Callable[[Stage, Report], Awaitable[None]]) -> None:
    """One measurement of the source service, as a program; ends with exit."""

    async def measured(folder: Path) -> bool:
        report = Report()
        async with standing(folder, "source") as stage:
            await measure(stage, report)
        report.show()
        return report.all_met

    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        sys.exit(0 if asyncio.run(measured(Path(name))) else 1)
