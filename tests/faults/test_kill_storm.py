"""Random kills at random moments, round after round: whatever is under way, it ends right."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from penstock.demo.cluster_facts import becomes, deployment, image_of, rolled_out
from penstock.demo.stage import Stage
from shared.cluster.objects import ObjectRef
from tests.bench.workloads import NAMESPACE, application, git_repository, kustomization
from tests.faults.test_kills import VICTIMS

# Kubernetes' own controllers wait for up to a minute after the API server was away some times.
STOCK = timedelta(seconds=150)
KUSTOMIZATION = ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", NAMESPACE)


async def storm(stage: Stage, rounds: int, seed: int) -> list[float]:
    """Seconds from each kill until the commit that it hit is applied and pruned."""
    chance = random.Random(seed)
    shop = await stage.git.repository("shop", application("shop", "shop:0"))
    source = git_repository("shop", shop.url)
    source["spec"]["interval"] = "1s"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for manifest in (namespace, source, kustomization("shop", "shop", "./shop", wait=True)):
        await stage.cluster.apply(manifest, manager="tests")
    healed = []
    for number in range(1, rounds + 1):
        page = f"page-{number}"
        image = f"shop:{number}"
        await shop.commit(image, {**application("shop", image), **_page(page)}, remove=_old(number))
        await asyncio.sleep(chance.uniform(0, 2))
        await stage.environment.kill(chance.choice(VICTIMS))
        killed = time.monotonic()
        ref = deployment(NAMESPACE, "shop")
        await becomes(image, partial(_applied, stage, ref, image))
        await becomes(f"only {page}", partial(_only, stage, page))
        healed.append(time.monotonic() - killed)
        await becomes(f"{image} runs", partial(rolled_out, stage.cluster, ref, image), STOCK)
    return healed


@pytest.mark.timeout(240)
async def test_a_few_rounds_of_the_storm_leave_what_git_says(stage: Stage) -> None:
    assert len(await storm(stage, rounds=5, seed=1)) == 5


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_long_storm_leaves_what_git_says(stage: Stage, say: Callable[[str], None]) -> None:
    seed = int(time.monotonic())
    healed = sorted(await storm(stage, rounds=100, seed=seed))

    worst, middle = healed[-1], healed[len(healed) // 2]
    say(f"100 kills, seed {seed}: healed after {middle:.1f} s (median), {worst:.1f} s (worst)")
    assert worst < 60


def _page(name: str) -> dict[str, str]:
    manifest = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n"
    )
    return {f"shop/{name}.yaml": manifest}


def _old(number: int) -> list[str]:
    return [f"shop/page-{number - 1}.yaml"] if number > 1 else []


async def _applied(stage: Stage, ref: ObjectRef, image: str) -> bool | None:
    found = await stage.cluster.read(ref)
    return (found is not None and image_of(found).endswith(image)) or None


async def _only(stage: Stage, page: str) -> bool | None:
    """Of all pages there is this one, and the inventory knows no other."""
    pages = [
        name
        for obj in await stage.cluster.list(ObjectRef("v1", "ConfigMap", "", "").gvk, NAMESPACE)
        if (name := obj["metadata"]["name"]).startswith("page-")
    ]
    found = await stage.cluster.read(ObjectRef(*KUSTOMIZATION, "shop")) or {}
    entries = found.get("status", {}).get("inventory", {}).get("entries", ())
    known = [entry["id"] for entry in entries if "_page-" in entry["id"]]
    return (pages == [page] and known == [f"{NAMESPACE}_{page}__ConfigMap"]) or None
