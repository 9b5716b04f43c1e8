import hashlib
from typing import Any

import pytest
import yaml

from services.source.helm.limits import HelmLimits
from tests.support.chart_server import ChartServer
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition


async def test_an_index_becomes_an_artifact(service: SourceService, charts: ChartServer) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)

    stored = await service.ready("HelmRepository", "charts")

    raw = yaml.safe_dump(charts.index).encode()
    revision = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    artifact = stored["status"]["artifact"]
    file_name = f"index-{revision[7:]}.yaml"
    assert artifact["revision"] == revision
    assert artifact["path"] == f"helmrepository/{service.namespace}/charts/{file_name}"
    assert artifact["digest"] != revision
    assert stored["status"]["url"] == artifact["url"].replace(file_name, "index.yaml")
    message = f"stored artifact: revision '{revision}'"
    assert condition(stored, "ArtifactInStorage")["message"] == message
    assert [t.message for t in service.told if t.reason == "NewArtifact"] == [
        f"stored fetched index of size {len(raw)}B from '{charts.url}'"
    ]


async def test_an_index_that_did_not_change_is_not_sent_again(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url, interval="200ms")
    await service.ready("HelmRepository", "charts")
    service.gate.seen.clear()
    charts.seen.clear()

    await eventually(lambda: len(charts.seen), lambda count: count >= 4)

    assert charts.unmodified >= 3
    assert service.requests() == []
    assert len([t for t in service.told if t.reason == "NewArtifact"]) == 1


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("entries: [", "line 1: not a mapping"),
        ("entries: {a: [", "line 2"),
        ("<html></html>", "not a mapping"),
        ("a: &a [*a]", "contains itself"),
        ("entries: {}", "no apiVersion"),
        ("", "it is empty"),
    ],
)
async def test_a_broken_index_is_told(
    service: SourceService, charts: ChartServer, index: Any, problem: str
) -> None:
    charts.index = index
    await service.apply("HelmRepository", "charts", url=charts.url)

    stored = await service.not_ready("HelmRepository", "charts", "IndexationFailed")

    assert problem in condition(stored, "FetchFailed")["message"]


async def test_a_registry_without_its_type_is_refused_clearly(service: SourceService) -> None:
    await service.apply("HelmRepository", "mixed", url="oci://ghcr.io/x")

    stored = await service.not_ready("HelmRepository", "mixed", "URLInvalid")

    assert "an oci:// URL needs spec.type oci" in condition(stored, "Ready")["message"]
    assert condition(stored, "Stalled")["status"] == "True"


async def test_what_becomes_a_registry_gives_back_what_it_had(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    stored = await service.ready("HelmRepository", "charts")
    folder = (service.storage / stored["status"]["artifact"]["path"]).parent
    assert stored["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]

    await service.apply("HelmRepository", "charts", url="oci://registry.example/x", type="oci")

    stored = await service.until(
        *("HelmRepository", "charts"), lambda o: o["status"] == {"observedGeneration": -1}
    )
    assert "finalizers" not in stored["metadata"]
    assert not folder.exists()
    service.gate.seen.clear()
    await service.apply("HelmRepository", "charts", url="oci://registry.example/y", type="oci")
    await service.apply("HelmRepository", "other", url=charts.url)
    await service.ready("HelmRepository", "other")
    assert [line for line in service.requests() if "/charts" in line] == []


@pytest.mark.parametrize(
    ("limit", "problem"),
    [(100, "larger than the limit of 100 bytes"), (10**6, "")],
)
async def test_an_index_has_a_limit(
    idle_service: SourceService, charts: ChartServer, limit: int, problem: str
) -> None:
    charts.publish("shop", "1.0.0", description="d" * 100)
    async with idle_service.running(helm=HelmLimits(index=limit)):
        await idle_service.apply("HelmRepository", "charts", url=charts.url)

        if not problem:
            await idle_service.ready("HelmRepository", "charts")
            return
        stored = await idle_service.not_ready("HelmRepository", "charts", "Failed")

    assert problem in condition(stored, "FetchFailed")["message"]


async def test_a_disk_without_a_place_for_downloads_is_told(
    idle_service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    gone = idle_service.folder / "gone"
    async with idle_service.running(state=gone):
        await idle_service.apply("HelmRepository", "charts", url=charts.url)

        stored = await idle_service.not_ready("HelmRepository", "charts", "CacheOperationFailed")
        gone.mkdir()
        await idle_service.ready("HelmRepository", "charts")

    assert "No such file or directory" in condition(stored, "StorageOperationFailed")["message"]


async def test_a_server_that_knows_only_times_is_asked_by_time(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    charts.modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    await service.apply("HelmRepository", "charts", url=charts.url, interval="200ms")
    await service.ready("HelmRepository", "charts")

    await eventually(lambda: charts.unmodified, lambda count: count >= 3)

    assert len([t for t in service.told if t.reason == "NewArtifact"]) == 1


async def test_without_an_interval_it_is_a_minute(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url, interval="0s")

    await service.ready("HelmRepository", "charts")
    await service.apply("HelmRepository", "failing", url=f"{charts.url}/elsewhere")
    await eventually(lambda: charts.asked("/elsewhere/index.yaml"), lambda count: count >= 2)
    assert charts.asked("/index.yaml") == 1


@pytest.mark.parametrize(
    ("secret", "field", "problem"),
    [
        ({"username": "me"}, "secretRef", "has no password"),
        ({"username": "me", "password": "wrong"}, "secretRef", "401"),
        ({"tls.crt": "x"}, "certSecretRef", "both tls.crt and tls.key"),
        ({"username": "me"}, "certSecretRef", "neither ca.crt nor tls.crt"),
        (None, "secretRef", "not found"),
    ],
)
async def test_a_login_that_is_none_is_told(
    service: SourceService,
    charts: ChartServer,
    secret: dict[str, str] | None,
    field: str,
    problem: str,
) -> None:
    charts.publish("shop", "1.0.0")
    charts.authorization = "Basic bWU6c2VjcmV0LW9uZQ=="
    if secret:
        await service.secret("login", **secret)

    await service.apply("HelmRepository", "charts", url=charts.url, **{field: {"name": "login"}})

    stored = await service.not_ready("HelmRepository", "charts", "AuthenticationFailed")
    assert problem in condition(stored, "FetchFailed")["message"]
