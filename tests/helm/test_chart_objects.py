"""The HelmChart that a release keeps, and what the release makes of its state."""

from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually

CHART = a_chart(templates={"greeting.yaml": a_config_map("greeting", text="hello")})
SOURCE = {"kind": "GitRepository", "name": "fleet"}


async def test_it_says_what_the_release_says(helm_service: Helm) -> None:
    helm = helm_service
    spec = {
        "chart": "./charts/shop",
        "sourceRef": SOURCE,
        "reconcileStrategy": "Revision",
        "valuesFiles": ["prod.yaml"],
        "interval": "5m",
    }
    metadata = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    await helm.release(chart={"metadata": metadata, "spec": spec})

    chart = await eventually(helm.chart_object)

    assert chart is not None
    assert chart["spec"] == {**spec, "version": "*"}
    assert chart["metadata"]["labels"] == {
        "team": "a",
        "helm.toolkit.fluxcd.io/name": "shop",
        "helm.toolkit.fluxcd.io/namespace": helm.namespace,
    }
    assert chart["metadata"]["annotations"] == {"note": "b"}
    assert [each["manager"] for each in chart["metadata"]["managedFields"]] == ["helm-controller"]


async def test_it_follows_the_release_also_in_what_is_taken_away(helm_service: Helm) -> None:
    helm = helm_service
    spec = {"chart": "shop", "sourceRef": SOURCE, "valuesFiles": ["prod.yaml"]}
    await helm.release(chart={"metadata": {"labels": {"team": "a"}}, "spec": spec})
    await helm.publish(CHART)
    await helm.ready()

    await helm.release(chart={"spec": {"chart": "shop", "sourceRef": SOURCE}})

    chart = await eventually(
        helm.chart_object, lambda found: found and "valuesFiles" not in found["spec"]
    )
    assert chart is not None
    assert "team" not in chart["metadata"]["labels"]


async def test_somebody_elses_change_is_put_right(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    await helm.patch_chart({"spec": {"version": "9.9.9"}})
    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})

    await eventually(
        helm.chart_object, lambda found: found is not None and found["spec"]["version"] == "*"
    )


async def test_an_older_artifact_is_not_released_for_a_newer_chart(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    await helm.release(chart={"spec": {"chart": "shop", "version": "2.x", "sourceRef": SOURCE}})

    release = await helm.failing("SourceNotReady")
    assert "latest generation" in condition(release, "Ready")["message"]
    assert await helm.records() == {1: "deployed"}


async def test_one_beside_another_source_takes_its_place(helm_service: Helm) -> None:
    helm, other = helm_service, f"{helm_service.namespace}-sources"
    metadata = {"name": other}
    await helm.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    source = {**SOURCE, "namespace": other}
    await helm.release(chart={"spec": {"chart": "shop", "sourceRef": source}})

    release = await helm.failing("SourceNotReady")
    assert release["status"]["helmChart"] == f"{other}/{helm.namespace}-shop"
    assert await helm.chart_object() is None
    assert await helm.cluster.delete(helm.chart_ref("shop")._replace(namespace=other))


async def test_two_releases_with_one_chart_name_do_not_fight(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await eventually(helm.chart_object)
    taken = {"helm.toolkit.fluxcd.io/name": "other"}
    await helm.patch_chart({"metadata": {"labels": taken}})

    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})

    release = await helm.failing("HelmChartSyncErr")
    assert (
        f"belongs to HelmRelease {helm.namespace}/other" in (condition(release, "Ready")["message"])
    )


async def test_a_release_waits_for_those_that_it_depends_on(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release("shop", dependsOn=[{"name": "db"}])
    await helm.publish(CHART)
    await helm.failing("DependencyNotReady")

    await helm.release("db", interval="1h")
    await helm.publish(a_chart("db", templates={"x.yaml": a_config_map("x", a="b")}), name="db")

    await helm.ready("shop", within=10)
