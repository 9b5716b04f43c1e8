"""A release that is as it should be costs nothing."""

from prometheus_client import REGISTRY

from shared.cluster.client import Cluster
from tests.helm.conftest import Helm
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually
from tests.support.gate import Gate

CHART = a_chart(templates={"greeting.yaml": a_config_map("greeting", text="hello")})


def runs() -> float:
    """How many runs of HelmReleases have ended well."""
    labels = {"controller": "helmrelease", "result": "success"}
    return REGISTRY.get_sample_value("controller_runtime_reconcile_total", labels) or 0


def asked(gate: Gate) -> list[str]:
    """Every request but the opening of watches."""
    return [line for line in gate.seen if "watch=1" not in line]


async def test_an_interval_without_news_makes_no_request(
    helm: Helm, gate: Gate, gated: Cluster
) -> None:
    async with helm.service(gated):
        await helm.release(interval="100ms")
        await helm.publish(CHART)
        await helm.ready()
        settled = runs() + 2
        await eventually(runs, lambda count: count >= settled)
        gate.seen.clear()

        await eventually(runs, lambda count: count >= settled + 10)

        assert asked(gate) == []


async def test_a_restart_reads_the_records_and_writes_nothing(
    helm: Helm, gate: Gate, gated: Cluster
) -> None:
    async with helm.service():
        await helm.release()
        await helm.publish(CHART)
        before = await helm.ready()
    ended = runs()
    downloads = len(helm.server.requests)

    async with helm.service(gated):
        await eventually(runs, lambda count: count > ended)

    assert gate.count("GET /api/v1/namespaces") == 1
    assert [line for line in asked(gate) if not line.startswith("GET")] == []
    assert len(helm.server.requests) == downloads
    after = await helm.stored()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_new_chart_with_the_same_objects_writes_only_its_record(
    helm: Helm, gate: Gate, gated: Cluster
) -> None:
    async with helm.service(gated):
        await helm.release()
        await helm.publish(CHART)
        await helm.ready()
        gate.seen.clear()

        templates = {"greeting.yaml": a_config_map("greeting", text="hello")}
        await helm.publish(a_chart(version="1.1.0", templates=templates), version="1.1.0")
        await helm.ready(version=2)

    assert not [line for line in asked(gate) if "configmaps" in line]
