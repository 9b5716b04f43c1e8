import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.source.helm.registry_charts import CHART_CONTENT
from shared.credentials import Basic
from tests.support.charts import a_chart
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.registry import (
    PASSWORD,
    USER,
    Layer,
    RegistryServer,
    htpasswd,
    running_registry,
)
from tests.support.signed_artifacts import simple_payload
from tests.support.source_service import SourceService, a_source, condition, runs_of_charts

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
CONFIG = "application/vnd.cncf.helm.config.v1+json"
SHOP = {"chart": "shop", "sourceRef": a_source("HelmRepository", "oci")}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryServer]:
    async with running_registry(tmp_path / "registry") as server:
        yield server


async def push(registry: RegistryServer, version: str, content: bytes | None = None) -> str:
    layer = Layer(content or a_chart("shop", version), CHART_CONTENT)
    provenance = Layer(b"signed", "application/vnd.cncf.helm.chart.provenance.v1.prov")
    tag = version.replace("+", "_")
    return await registry.push("team/shop", tag, [provenance, layer], config_type=CONFIG)


async def a_repository(service: SourceService, registry: RegistryServer, **spec: Any) -> None:
    given = {"type": "oci", "insecure": True, **spec}
    await service.apply("HelmRepository", "oci", url=registry.url("team"), **given)


async def test_the_best_version_of_a_registrys_tags_is_pulled(
    service: SourceService, registry: RegistryServer
) -> None:
    for version in ("1.0.0", "1.2.0+build.7", "1.3.0-rc1", "2.0.0"):
        await push(registry, version)
    await push(registry, "latest")
    await a_repository(service, registry)

    await service.apply("HelmChart", "c", version="1.x", **SHOP)

    stored = await service.ready("HelmChart", "c", "1.2.0+build.7")
    assert yaml.safe_load((await service.files(stored))["shop/Chart.yaml"])["version"] == (
        "1.2.0+build.7"
    )
    assert condition(stored, "Ready")["reason"] == "ChartPullSucceeded"
    assert stored["status"]["observedChartName"] == "shop"
    assert "observedSourceArtifactRevision" not in stored["status"]
    assert condition(stored, "SourceVerified") == {}


async def test_a_registry_gets_no_status_and_no_finalizer(
    service: SourceService, registry: RegistryServer
) -> None:
    await push(registry, "1.0.0")
    await a_repository(service, registry)
    await service.apply("HelmChart", "c", version="1.0.0", **SHOP)
    await service.ready("HelmChart", "c")

    stored = await service.read("HelmRepository", "oci")

    assert stored["status"] == {"observedGeneration": -1}
    assert "finalizers" not in stored["metadata"]


async def test_an_idle_chart_of_one_version_asks_nobody_anything(
    service: SourceService, registry: RegistryServer
) -> None:
    await push(registry, "1.0.0")
    await a_repository(service, registry)
    await service.apply("HelmChart", "c", version="1.0.0", **SHOP, interval="100ms")
    await service.ready("HelmChart", "c")
    await a_repository(service, registry, interval="2h")
    (registry.folder / "data").rename(registry.folder / "gone")
    before = runs_of_charts()
    service.gate.seen.clear()

    await eventually(runs_of_charts, lambda runs: runs >= before + 5)

    await service.ready("HelmChart", "c")
    assert service.requests() == []


async def test_a_version_that_is_pushed_later_is_found_without_a_word(
    service: SourceService, registry: RegistryServer
) -> None:
    await push(registry, "1.0.0")
    await a_repository(service, registry)
    await service.apply("HelmChart", "c", version="2.x", **SHOP, interval="200ms")
    stored = await service.not_ready("HelmChart", "c", "InvalidChartReference")
    assert condition(stored, "Stalled")["status"] == "True"

    await push(registry, "2.1.0")

    await service.ready("HelmChart", "c", "2.1.0")


@pytest.mark.parametrize(
    ("spec", "reason", "problem"),
    [
        ({"chart": "gone"}, "InvalidChartReference", "404"),
        ({"version": "9.9.9"}, "InvalidChartReference", "404"),
        ({"version": "9.x"}, "InvalidChartReference", "matches '9.x'"),
        ({"version": "no range"}, "InvalidChartReference", "not a version range"),
        ({"version": "3.0.0"}, "ChartPullError", "more than the 10485760 allowed"),
        ({"version": "4.0.0"}, "ChartPullError", "is not a chart: no layer"),
        ({"version": "5.0.0"}, "ChartPullError", "it calls itself 'other'"),
        ({"chart": "-shop"}, "InvalidChartReference", "lower case"),
    ],
)
async def test_a_chart_that_cannot_be_had_says_why(
    service: SourceService,
    registry: RegistryServer,
    spec: Mapping[str, str],
    reason: str,
    problem: str,
) -> None:
    await push(registry, "1.0.0")
    await push(registry, "3.0.0", bytes(11 * 2**20))
    await registry.push("team/shop", "4.0.0", [Layer(b"x")], config_type=CONFIG)
    await push(registry, "5.0.0", a_chart("other", "5.0.0"))
    await a_repository(service, registry)

    await service.apply("HelmChart", "c", **{**SHOP, **spec})

    stored = await service.not_ready("HelmChart", "c", reason)
    assert problem in condition(stored, "FetchFailed")["message"]


async def test_a_private_registry_wants_the_login_and_trusts_its_authority(
    service: SourceService, tmp_path: Path
) -> None:
    folder = tmp_path / "private"
    auth = htpasswd(folder)
    async with running_registry(folder, auth=auth, tls=True) as registry:
        registry.headers = {"Authorization": Basic(USER, PASSWORD).authorization}
        await push(registry, "1.0.0")
        assert registry.authority
        await service.secret("authority", **{"ca.crt": registry.authority.read_text()})
        login = {"auths": {registry.host: {"username": USER, "password": PASSWORD}}}
        await service.secret("login", **{".dockerconfigjson": json.dumps(login)})
        tls: dict[str, Any] = {"insecure": False, "certSecretRef": {"name": "authority"}}
        await a_repository(service, registry, **tls)
        await service.apply("HelmChart", "c", **SHOP)
        refused = await service.not_ready("HelmChart", "c", "AuthenticationFailed")
        assert condition(refused, "BuildFailed") == {}

        await a_repository(service, registry, **tls, secretRef={"name": "login"})

        await service.ready("HelmChart", "c", "1.0.0")


async def test_an_address_that_is_none_is_told_by_the_chart(service: SourceService) -> None:
    await service.apply("HelmRepository", "oci", url="oci://Registry/a:tag", type="oci")
    await service.apply("HelmChart", "c", **SHOP)

    stored = await service.not_ready("HelmChart", "c", "URLInvalid")

    assert "has a tag or a digest in it" in condition(stored, "Ready")["message"]


async def sign(registry: RegistryServer, digest: str) -> None:
    payload = simple_payload(digest)
    signature = base64.b64encode(KEY.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    layer = Layer(payload, SIMPLE, {"dev.cosignproject.cosign/signature": signature})
    await registry.push("team/shop", f"{digest.replace(':', '-')}.sig", [layer])


async def test_only_a_chart_with_the_signature_is_stored(
    service: SourceService, registry: RegistryServer
) -> None:
    digest = await push(registry, "1.0.0")
    await a_repository(service, registry)
    await service.secret("keys", **{"cosign.pub": PUBLIC})
    verify = {"verify": {"provider": "cosign", "secretRef": {"name": "keys"}}}
    await service.apply("HelmChart", "c", version="1.0.0", **SHOP, **verify)

    refused = await service.not_ready("HelmChart", "c", "ChartVerificationError")

    unverified = condition(refused, "SourceVerified")
    assert (unverified["status"], unverified["reason"]) == ("False", "VerificationError")
    assert "provider 'cosign'" in unverified["message"]
    assert condition(refused, "BuildFailed")["reason"] == "ChartVerificationError"
    assert condition(refused, "FetchFailed") == {}
    assert "artifact" not in refused["status"]
    assert not (service.storage / "helmchart").exists()

    await sign(registry, digest)
    await service.request("HelmChart", "c", "now")
    stored = await service.ready("HelmChart", "c", "1.0.0")

    verified = condition(stored, "SourceVerified")
    assert (verified["status"], verified["reason"]) == ("True", "Succeeded")
    assert verified["message"] == "verified signature of version 1.0.0"
    assert condition(stored, "BuildFailed") == {}

    await service.apply("HelmChart", "c", version="1.0.0", **SHOP)
    await service.until("HelmChart", "c", lambda o: condition(o, "SourceVerified") == {})


async def test_what_was_stored_before_is_verified_once_that_is_asked_for(
    service: SourceService, registry: RegistryServer
) -> None:
    await push(registry, "1.0.0")
    await a_repository(service, registry)
    await service.secret("keys", **{"cosign.pub": PUBLIC})
    await service.apply("HelmChart", "c", version="1.0.0", **SHOP)
    await service.ready("HelmChart", "c", "1.0.0")
    verify = {"verify": {"provider": "cosign", "secretRef": {"name": "keys"}}}

    await service.apply("HelmChart", "c", version="1.0.0", **SHOP, **verify)
    await service.not_ready("HelmChart", "c", "ChartVerificationError")
    again = await service.request("HelmChart", "c", "again")

    assert condition(again, "Ready")["reason"] == "ChartVerificationError"


async def test_an_idle_chart_of_a_range_asks_for_the_tags_alone(
    service: SourceService, registry: RegistryServer
) -> None:
    await push(registry, "1.0.0")
    async with Gate.before(f"http://{registry.host}") as between:
        place = f"oci://{between.url.removeprefix('http://')}/team"
        await service.apply("HelmRepository", "oci", url=place, type="oci", insecure=True)
        await service.apply("HelmChart", "c", version="1.x", **SHOP, interval="100ms")
        await service.ready("HelmChart", "c", "1.0.0")
        between.seen.clear()
        service.gate.seen.clear()

        await eventually(lambda: between.count("GET"), lambda count: count >= 3)

        assert set(between.seen) == {"GET /v2/team/shop/tags/list?n=1000"}
        assert service.requests() == []
