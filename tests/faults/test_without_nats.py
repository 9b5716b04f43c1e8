"""With NATS stopped for good: a commit rolls out by interval, and nothing crashes."""

import pytest

from penstock.demo.cluster_facts import becomes, deployment, rolled_out
from penstock.demo.stage import Stage
from tests.bench.workloads import NAMESPACE, application, git_repository, kustomization

pytestmark = pytest.mark.timeout(120)

SERVICES = ("source", "kustomize", "helm", "notify")


async def test_a_commit_rolls_out_without_nats(stage: Stage) -> None:
    await stage.environment.stop("nats")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await stage.cluster.apply(namespace, manager="tests")
    shop = await stage.git.repository("shop", application("shop", "shop:1"))
    source = git_repository("shop", shop.url)
    source["spec"]["interval"] = "2s"
    for manifest in (source, kustomization("shop", "shop", "./shop", wait=True)):
        await stage.cluster.apply(manifest, manager="tests")
    ref = deployment(NAMESPACE, "shop")
    await becomes("version 1", lambda: rolled_out(stage.cluster, ref, "shop:1"))

    await shop.commit("version 2", application("shop", "shop:2"))

    await becomes("version 2", lambda: rolled_out(stage.cluster, ref, "shop:2"))
    assert [stage.environment.process(name).restarts for name in SERVICES] == [0, 0, 0, 0]
