"""From a push to the cluster, from a change by hand back to what Git says, and down a chain."""

import time
from collections.abc import Iterable

from penstock.demo.stage import Stage
from penstock.local.git_repository import Repository
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.watch_cache import WatchCache
from tests.bench.observing import is_ready, named, until, watching
from tests.bench.report import Figure, Report, median, spread
from tests.bench.workloads import (
    KUSTOMIZE,
    NAMESPACE,
    application,
    git_repository,
    kustomization,
    receiver,
)
from tests.support.webhooks import call_webhook, receiver_path

ROUNDS = 20
LINKS = 8
DEPLOYMENT = Gvk("apps/v1", "Deployment")
KUSTOMIZATION = Gvk(KUSTOMIZE, "Kustomization")


async def measure(stage: Stage, report: Report) -> None:
    shop = await stage.git.repository("shop", application("shop", "shop:0"))
    objects = [
        git_repository("shop", shop.url),
        kustomization("shop", "shop", "./shop"),
        *receiver("shop", "shop"),
    ]
    for manifest in objects:
        await stage.cluster.apply(manifest, manager="bench")
    hook = stage.webhooks + await receiver_path(stage.cluster, NAMESPACE, "shop")
    async with watching(stage.cluster, DEPLOYMENT, NAMESPACE) as deployments:
        await until(deployments, lambda seen: named(seen, "shop") is not None)
        pushes = [await _push(shop, hook, deployments, f"shop:{n}") for n in range(1, ROUNDS + 1)]
        drifts = [await _drift(stage.cluster, deployments) for _ in range(ROUNDS)]
    what = "commit pushed and webhook received → new Deployment spec"
    report.add(Figure(what, median(pushes), 1.0, note=spread(pushes)))
    report.add(Figure("drifted Deployment put back", median(drifts), 1.0, note=spread(drifts)))


async def _push(
    shop: Repository, hook: str, deployments: WatchCache[Manifest], image: str
) -> float:
    await shop.commit(image, application("shop", image))
    started = time.perf_counter()
    await call_webhook(hook)
    await until(deployments, lambda seen: _image(named(seen, "shop")) == image)
    return time.perf_counter() - started


async def _drift(cluster: Cluster, deployments: WatchCache[Manifest]) -> float:
    ref = ObjectRef("apps/v1", "Deployment", NAMESPACE, "shop")
    started = time.perf_counter()
    patch = {"spec": {"replicas": 3}}
    deployments.observe(await cluster.merge_patch(ref, patch, manager="by-hand"))
    await until(deployments, lambda seen: _replicas(named(seen, "shop")) == 1)
    return time.perf_counter() - started


async def measure_chain(stage: Stage, report: Report) -> None:
    """Each link waits for the one before it to be ready."""
    files = {
        path: text
        for number in range(LINKS)
        for path, text in application(f"link-{number}", "link:0").items()
    }
    repository = await stage.git.repository("chain", files)
    await stage.cluster.apply(git_repository("chain", repository.url), manager="bench")
    links = [
        kustomization(
            f"link-{number}",
            "chain",
            f"./link-{number}",
            wait=True,
            dependsOn=[{"name": f"link-{number - 1}"}] if number else [],
        )
        for number in range(LINKS)
    ]
    async with watching(stage.cluster, KUSTOMIZATION, NAMESPACE) as seen:
        started = time.perf_counter()
        for link in reversed(links):  # the worst order: every link finds its dependency missing
            await stage.cluster.apply(link, manager="bench")
        await until(seen, lambda all_: _all_ready(all_, "link-", LINKS))
        took = time.perf_counter() - started
    report.add(Figure(f"chain of {LINKS} dependent Kustomizations, each waiting", took, 4.0))


def _all_ready(seen: Iterable[Manifest], prefix: str, count: int) -> bool:
    ready = [obj for obj in seen if obj["metadata"]["name"].startswith(prefix) and is_ready(obj)]
    return len(ready) == count


def _image(deployment: Manifest | None) -> str:
    if deployment is None:
        return ""
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _replicas(deployment: Manifest | None) -> int:
    return 0 if deployment is None else int(deployment["spec"]["replicas"])
