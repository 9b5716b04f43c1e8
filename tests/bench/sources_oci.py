"""A thousand OCIRepositories of one registry: how long until all are ready, and how much memory.

`python -m tests.bench.sources_oci` runs this alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

from penstock.demo.stage import Stage
from shared.cluster.objects import Gvk, Manifest
from tests.bench.observing import is_ready, until, watching
from tests.bench.report import Figure, Report
from tests.bench.standing import alone
from tests.bench.workloads import NAMESPACE, SOURCE, an_object
from tests.support.footprint import footprint_of
from tests.support.processes import processor_ticks
from tests.support.registry import RegistryServer, a_layer, running_registry

COUNT = 1000
REPOSITORIES = 50
AT_A_TIME = 16
MIB = 2**20
OCI_REPOSITORY = Gvk(SOURCE, "OCIRepository")


async def measure(stage: Stage, report: Report) -> None:
    folder = stage.git.folder.parent / "registry"
    pid = stage.environment.process("source").pid
    assert pid is not None
    async with (
        running_registry(folder) as registry,
        watching(stage.cluster, OCI_REPOSITORY, NAMESPACE) as seen,
    ):
        await _for_each(partial(_push, registry, folder))
        async with footprint_of(pid) as memory:
            ticks, started = processor_ticks(pid), time.perf_counter()
            await _for_each(partial(_create, stage, registry))
            await until(seen, _all_ready)
            took = time.perf_counter() - started
        busy = (processor_ticks(pid) - ticks) / 100
    note = f"{busy:.1f} s of the service's processor time"
    report.add(Figure(f"{COUNT} OCIRepositories of one registry: ready", took, 60.0, note=note))
    what = "memory of the source service meanwhile, children included"
    report.add(Figure(what, memory.peak / MIB, 150.0, "MiB"))
    await stage.clear(NAMESPACE)


async def _for_each(act: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(COUNT))

    async def work() -> None:
        for number in numbers:
            await act(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(work())


async def _push(registry: RegistryServer, folder: Path, number: int) -> None:
    files = {f"app/{kind}.yaml": f"{kind}: {number}\n" * 100 for kind in ("one", "two", "three")}
    layer = await asyncio.to_thread(a_layer, folder, files)
    await registry.push(_repository(number), _tag(number), [layer])


async def _create(stage: Stage, registry: RegistryServer, number: int) -> None:
    spec = {
        "interval": "10m",
        "insecure": True,
        "url": registry.url(_repository(number)),
        "ref": {"tag": _tag(number)},
    }
    manifest = an_object(SOURCE, "OCIRepository", f"app-{number:04}", spec=spec)
    await stage.cluster.apply(manifest, manager="bench")


def _repository(number: int) -> str:
    return f"team/app-{number % REPOSITORIES}"


def _tag(number: int) -> str:
    return f"1.0.{number // REPOSITORIES}"


def _all_ready(objects: Iterable[Manifest]) -> bool:
    states = [is_ready(each) for each in objects]
    return len(states) == COUNT and all(states)


if __name__ == "__main__":
    alone(measure)
