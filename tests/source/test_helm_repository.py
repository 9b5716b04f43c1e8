import hashlib
from typing import Any

import pytest
import yaml

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
