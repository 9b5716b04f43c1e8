"""A hundred Kustomizations of four objects from one repository: installed, upgraded, left alone."""

import asyncio
import time
from collections.abc import Iterable

from penstock.demo.stage import Stage
from shared.cluster.objects import Gvk, Manifest
from tests.bench.api_requests import requests_so_far
from tests.bench.observing import is_ready, until, watching
from tests.bench.report import Figure, Report
from tests.bench.workloads import (
    KUSTOMIZE,
    NAMESPACE,
    application,
    git_repository,
    kustomization,
    receiver,
)
from tests.support.webhooks import call_webhook, receiver_path

COUNT = 100
MINUTE = 60.0


def everything(image: str) -> dict[str, str]:
    return {
        path: text
        for number in range(COUNT)
        for path, text in application(_name(number), image).items()
    }


async def measure(stage: Stage, report: Report, idle_before: float, raw_rate: float) -> None:
    repository = await stage.git.repository("hundred", everything("app:1"))
    beside = f"raw rate alone: {COUNT * 4 / raw_rate:.1f} s for {COUNT * 4} applies"
    for manifest in (git_repository("hundred", repository.url), *receiver("hundred", "hundred")):
        await stage.cluster.apply(manifest, manager="bench")
    hook = stage.webhooks + await receiver_path(stage.cluster, NAMESPACE, "hundred")
    async with watching(stage.cluster, Gvk(KUSTOMIZE, "Kustomization"), NAMESPACE) as seen:
        started = time.perf_counter()
        await asyncio.gather(*(_create(stage, number) for number in range(COUNT)))
        await until(seen, lambda objects: _applied(objects, repository.head))
        installed = time.perf_counter() - started
        report.add(Figure(f"{COUNT} x 4 with wait: installed", installed, 8.0, note=beside))

        await repository.commit("version 2", everything("app:2"))
        started = time.perf_counter()
        await call_webhook(hook)
        await until(seen, lambda objects: _applied(objects, repository.head))
        upgraded = time.perf_counter() - started
        report.add(Figure(f"{COUNT} x 4 upgraded by one commit", upgraded, 6.0, note=beside))
    idle = await requests_in_a_minute(stage)
    note = f"{idle:.0f} with {COUNT} Kustomizations, {idle_before:.0f} in the empty environment"
    what = "API requests of an idle minute at interval 1m, beyond the empty environment's"
    report.add(Figure(what, idle - idle_before, 50.0, "requests", note))


async def requests_in_a_minute(stage: Stage) -> float:
    """Settles for a moment first: deployments and events of what went before die away."""
    await asyncio.sleep(10)
    before = await requests_so_far(stage.cluster)
    await asyncio.sleep(MINUTE)
    return await requests_so_far(stage.cluster) - before


def _name(number: int) -> str:
    return f"app-{number:03}"


async def _create(stage: Stage, number: int) -> None:
    name = _name(number)
    manifest = kustomization(name, "hundred", f"./{name}", wait=True)
    await stage.cluster.apply(manifest, manager="bench")


def _applied(objects: Iterable[Manifest], revision: str) -> bool:
    ours = [obj for obj in objects if obj["metadata"]["name"].startswith("app-")]
    return len(ours) == COUNT and all(is_ready(obj, revision) for obj in ours)
