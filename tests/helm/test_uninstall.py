"""What becomes of a release when its HelmRelease goes, or points somewhere else."""

from typing import Any

from tests.helm.conftest import Helm
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually

KEPT = """apiVersion: v1
kind: ConfigMap
metadata:
  name: kept
  annotations: {helm.sh/resource-policy: keep}
"""
TEMPLATES = {"greeting.yaml": a_config_map("greeting", text="hello"), "kept.yaml": KEPT}
CHART = a_chart(templates=TEMPLATES)


async def installed(helm: Helm, **spec: Any) -> None:
    await helm.release(**spec)
    await helm.publish(CHART)
    await helm.ready()


async def test_a_release_goes_with_its_helm_release(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)

    await helm.delete()

    await eventually(helm.found, lambda found: found is None)
    assert await helm.object("greeting") is None
    assert await helm.records() == {}
    assert await helm.chart_object() is None
    assert "UninstallSucceeded" in [each.reason for each in helm.told]


async def test_what_is_to_be_kept_stays(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)

    await helm.delete()

    await eventually(helm.found, lambda found: found is None)
    assert await helm.object("kept") is not None


async def test_history_is_kept_on_request(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, uninstall={"keepHistory": True})

    await helm.delete()

    await eventually(helm.found, lambda found: found is None)
    assert await helm.records() == {1: "uninstalled"}
    listed = await helm.cli_json("list", "--uninstalled")
    assert [each["status"] for each in listed] == ["uninstalled"]


async def test_a_kept_name_is_used_again_only_on_request(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, uninstall={"keepHistory": True})
    await helm.delete()
    await eventually(helm.found, lambda found: found is None)

    await helm.release()
    await helm.publish(CHART)
    await helm.failing("InstallFailed")
    await helm.release(install={"replace": True})

    await helm.ready(version=2)
    assert await helm.records() == {1: "superseded", 2: "deployed"}


async def test_a_suspended_release_stays_when_its_helm_release_goes(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)
    await helm.release(suspend=True)

    await helm.delete()

    await eventually(helm.found, lambda found: found is None)
    assert await helm.object("greeting") is not None
    assert await helm.records() == {1: "deployed"}


async def test_an_object_that_became_another_releases_is_not_deleted(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)
    await helm.release("store", values={})
    await helm.publish(a_chart("store", templates=TEMPLATES), name="store")
    await helm.ready("store")

    await helm.delete()

    await eventually(helm.found, lambda found: found is None)
    greeting = await helm.object("greeting")
    assert greeting is not None
    assert greeting["metadata"]["labels"]["helm.toolkit.fluxcd.io/name"] == "store"


async def test_a_new_name_moves_the_release(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)

    await helm.release(releaseName="store")

    await eventually(lambda: helm.records("store"), lambda records: records == {1: "deployed"})
    assert await helm.records("shop") == {}
    assert await helm.object("greeting") is not None


async def test_another_chart_is_installed_anew(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)

    other = a_chart("store", version="2.0.0", templates={"x.yaml": a_config_map("other", a="b")})
    await helm.publish(other, version="2.0.0", chart_name="store")

    await eventually(
        helm.stored,
        lambda release: release["status"]["history"][0]["chartName"] == "store",
    )
    release = await helm.ready()
    assert release["status"]["history"][0]["action"] == "install"
    assert await helm.object("greeting") is None
    assert await helm.object("other") is not None


async def test_another_chart_can_be_an_upgrade(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, upgrade={"chartNameChangeStrategy": "InPlaceUpdate"})

    other = a_chart("store", version="2.0.0", templates=TEMPLATES)
    await helm.publish(other, version="2.0.0", chart_name="store")

    await helm.ready(version=2)
    assert await helm.records() == {1: "superseded", 2: "deployed"}


async def test_a_release_lives_in_other_namespaces(helm_service: Helm) -> None:
    helm, target = helm_service, f"{helm_service.namespace}-target"
    await helm.release(
        targetNamespace=target, storageNamespace=helm.namespace, install={"createNamespace": True}
    )
    await helm.publish(CHART)

    release = await helm.ready()

    name = f"{target}-shop"
    assert release["status"]["history"][0]["namespace"] == target
    assert await helm.records(name) == {1: "deployed"}
    moved = await helm.object_in(target, "greeting")
    assert moved is not None
    assert moved["metadata"]["annotations"]["meta.helm.sh/release-namespace"] == target
