"""What Penstock releases, the stock helm CLI lists, shows, rolls back and uninstalls."""

from pathlib import Path

from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually

GREETING = {"greeting.yaml": a_config_map("greeting", text="{{ .Values.text }}")}
CHART = a_chart(templates=GREETING, values={"text": "default"}, appVersion="7")


async def installed(helm: Helm, **values: str) -> None:
    await helm.release(values=values)
    await helm.publish(CHART)
    await helm.ready()


async def greeting(helm: Helm) -> str | None:
    found = await helm.object("greeting")
    return None if found is None else str(found["data"]["text"])


async def test_a_release_is_installed_and_helm_knows_it(helm_service: Helm) -> None:
    helm = helm_service

    await installed(helm, text="hello")

    assert await greeting(helm) == "hello"
    listed = await helm.cli_json("list")
    assert [(each["name"], each["status"], each["chart"]) for each in listed] == [
        ("shop", "deployed", "shop-1.0.0")
    ]
    manifest = await helm.cli("get", "manifest", "shop")
    assert "text: hello" in manifest
    assert f"helm.toolkit.fluxcd.io/namespace: '{helm.namespace}'" in manifest
    assert await helm.cli_json("get", "values", "shop") == {"text": "hello"}


async def test_objects_carry_the_marks_that_helm_looks_for(helm_service: Helm) -> None:
    await installed(helm_service)

    found = await helm_service.object("greeting")

    assert found is not None
    assert found["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "Helm",
        "helm.toolkit.fluxcd.io/name": "shop",
        "helm.toolkit.fluxcd.io/namespace": helm_service.namespace,
    }
    assert found["metadata"]["annotations"] == {
        "meta.helm.sh/release-name": "shop",
        "meta.helm.sh/release-namespace": helm_service.namespace,
    }
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["helm-controller"]


async def test_status_says_what_was_released(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm)

    release = await helm.ready()

    status, where = release["status"], f"{helm.namespace}/shop.v1"
    assert condition(release, "Ready")["reason"] == "InstallSucceeded"
    assert condition(release, "Ready")["message"] == (
        f"Helm install succeeded for release {where} with chart shop@1.0.0"
    )
    assert condition(release, "Released")["status"] == "True"
    snapshot = status["history"][0]
    assert (snapshot["status"], snapshot["action"], snapshot["appVersion"]) == (
        "deployed",
        "install",
        "7",
    )
    assert status["helmChart"] == f"{helm.namespace}/{helm.namespace}-shop"
    assert status["storageNamespace"] == helm.namespace
    assert status["inventory"]["entries"] == [
        {"id": f"{helm.namespace}_greeting__ConfigMap", "v": "v1"}
    ]
    assert status["lastAttemptedRevision"] == "1.0.0"
    assert status["lastAttemptedReleaseAction"] == "install"
    assert "failures" not in status
    told = [(each.severity, each.reason) for each in helm.told if each.severity != "trace"]
    assert told == [("info", "InstallSucceeded")]
    assert helm.told[-1].metadata["revision"] == "1.0.0"


async def test_an_upgrade_follows_values_and_chart(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, text="one")

    await helm.release(values={"text": "two"})
    await helm.ready(version=2)
    assert await greeting(helm) == "two"
    newer = a_chart(version="1.1.0", templates=GREETING, values={"text": "default"})
    await helm.publish(newer, version="1.1.0")
    release = await helm.ready(version=3)

    history = await helm.cli_json("history", "shop")
    assert [(each["revision"], each["status"], each["chart"]) for each in history] == [
        (1, "superseded", "shop-1.0.0"),
        (2, "superseded", "shop-1.0.0"),
        (3, "deployed", "shop-1.1.0"),
    ]
    assert [each["description"] for each in history] == [
        "Install complete",
        "Upgrade complete",
        "Upgrade complete",
    ]
    remembered = [(each["version"], each["status"]) for each in release["status"]["history"]]
    assert remembered == [(3, "deployed"), (2, "superseded")]


async def test_old_versions_make_room(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(maxHistory=2, values={"text": "one"})
    await helm.publish(CHART)
    await helm.ready()

    for version in (2, 3):
        await helm.release(maxHistory=2, values={"text": f"v{version}"})
        await helm.ready(version=version)

    assert await helm.records() == {2: "superseded", 3: "deployed"}


async def test_a_manual_rollback_is_noticed_and_undone(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, text="one")
    await helm.release(values={"text": "two"})
    await helm.ready(version=2)

    await helm.cli("rollback", "shop", "1", "--force-conflicts")

    await helm.ready(version=4)
    assert await greeting(helm) == "two"
    assert (await helm.records())[4] == "deployed"


async def test_a_manual_uninstall_is_noticed_and_undone(helm_service: Helm) -> None:
    helm = helm_service
    await installed(helm, text="one")

    await helm.cli("uninstall", "shop")

    assert await eventually(lambda: greeting(helm)) == "one"
    assert await eventually(helm.records, lambda records: records == {1: "deployed"})


async def test_a_release_of_the_stock_helm_is_taken_over(helm: Helm, tmp_path: Path) -> None:
    packed = tmp_path / "shop-1.0.0.tgz"
    packed.write_bytes(a_chart(templates={**GREETING, "old.yaml": a_config_map("old", a="b")}))
    await helm.cli("install", "shop", str(packed), "--set", "text=by-hand")
    assert await greeting(helm) == "by-hand"

    async with helm.service():
        await helm.release(values={"text": "by-penstock"})
        await helm.publish(a_chart(templates=GREETING))
        release = await helm.ready(version=2)

    assert await greeting(helm) == "by-penstock"
    assert await helm.object("old") is None
    assert condition(release, "Ready")["reason"] == "UpgradeSucceeded"
    assert await helm.records() == {1: "superseded", 2: "deployed"}


async def test_the_stock_helm_uninstalls_what_we_released(helm: Helm) -> None:
    async with helm.service():
        await installed(helm)

    await helm.cli("uninstall", "shop")

    assert await greeting(helm) is None
    assert await helm.records() == {}


async def test_the_stock_helm_upgrades_what_we_released(helm: Helm, tmp_path: Path) -> None:
    async with helm.service():
        await installed(helm, text="one")

    packed = tmp_path / "shop-1.0.0.tgz"
    packed.write_bytes(CHART)
    await helm.cli("upgrade", "shop", str(packed), "--set", "text=by-hand", "--force-conflicts")

    assert await greeting(helm) == "by-hand"
    assert await helm.records() == {1: "superseded", 2: "deployed"}
