from typing import Any

import pytest
import yaml

from tests.support.chart_server import ChartServer, chart_server
from tests.support.charts import a_chart
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, a_source, condition, runs_of_charts


async def test_the_highest_version_in_the_range_is_pulled(
    service: SourceService, charts: ChartServer
) -> None:
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0", "2.1.0-rc1"):
        charts.publish("shop", version)
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.apply("HelmChart", "c", chart="shop", version="1.x", sourceRef=a_source())

    stored = await service.ready("HelmChart", "c", "1.10.0")

    artifact = stored["status"]["artifact"]
    assert artifact["path"] == f"helmchart/{service.namespace}/c/shop-1.10.0.tgz"
    assert (service.storage / artifact["path"]).read_bytes() == charts.charts["shop-1.10.0.tgz"]
    assert stored["status"]["observedChartName"] == "shop"
    assert stored["status"]["url"].endswith("/c/latest.tar.gz")
    for kind in ("Ready", "ArtifactInStorage"):
        assert condition(stored, kind)["reason"] == "ChartPullSucceeded"
        assert condition(stored, kind)["message"] == "pulled 'shop' chart with version '1.10.0'"


async def test_a_new_version_in_the_index_wakes_the_chart(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source())
    await service.ready("HelmChart", "c", "1.0.0")
    charts.publish("shop", "1.1.0")

    await service.request("HelmRepository", "charts", "now")

    await service.ready("HelmChart", "c", "1.1.0")


async def test_an_idle_chart_asks_nobody_anything(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source(), interval="100ms")
    await service.ready("HelmChart", "c")
    charts.seen.clear()
    service.gate.seen.clear()
    before = runs_of_charts()

    await eventually(runs_of_charts, lambda runs: runs >= before + 5)

    assert charts.seen == []
    assert service.requests() == []


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"chart": "gone"}, "InvalidChartReference"),
        ({"chart": "shop", "version": "9.x"}, "InvalidChartReference"),
        ({"chart": "shop", "version": "not a range"}, "InvalidChartReference"),
        ({"chart": "shop", "sourceRef": a_source("HelmRepository", "no")}, "SourceUnavailable"),
        ({"chart": "shop", "sourceRef": a_source("Bucket", "no")}, "SourceUnavailable"),
        ({"chart": "shop", "verify": {"provider": "cosign"}}, "ChartVerificationError"),
    ],
)
async def test_a_chart_that_cannot_be_says_why(
    service: SourceService, charts: ChartServer, spec: dict[str, Any], reason: str
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.ready("HelmRepository", "charts")

    await service.apply("HelmChart", "c", **{"sourceRef": a_source(), **spec})

    await service.not_ready("HelmChart", "c", reason)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not an archive", "gzip"),
        (a_chart("other", "1.0.0"), "it calls itself 'other'"),
        (a_chart("..", "1.0.0"), "not a path inside"),
        (a_chart("shop", "one"), "not a semantic version"),
        (bytes(11 * 2**20), "larger than the limit"),
        (a_chart("shop", "1.0.0", files={"big": "0" * (6 * 2**20)}), "larger than 5 MiB"),
    ],
    ids=["no archive", "other name", "leads out", "no version", "too large", "large inside"],
)
async def test_a_hostile_chart_is_refused(
    service: SourceService, charts: ChartServer, content: bytes, problem: str
) -> None:
    charts.publish("shop", "1.0.0", content)
    await service.apply("HelmRepository", "charts", url=charts.url)
    values = {"valuesFiles": ["values.yaml"]}
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source(), **values)

    stored = await service.not_ready("HelmChart", "c", "ChartPullError")

    assert problem in condition(stored, "Ready")["message"]


async def test_values_files_are_merged_into_the_chart(
    service: SourceService, charts: ChartServer
) -> None:
    files = {"prod.yaml": "a: {x: 9}\nb: [3]\n"}
    chart = a_chart("shop", "1.0.0", values={"a": {"x": 1, "z": 2}, "b": [1, 2]}, files=files)
    charts.publish("shop", "1.0.0", chart)
    await service.apply("HelmRepository", "charts", url=charts.url)
    spec = {"valuesFiles": ["values.yaml", "prod.yaml", "absent.yaml"]}
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source(), **spec)
    missing = await service.not_ready("HelmChart", "c", "ValuesFilesError")
    assert "'absent.yaml' not found" in condition(missing, "BuildFailed")["message"]

    more = {**spec, "ignoreMissingValuesFiles": True}
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source(), **more)

    stored = await service.ready("HelmChart", "c", "1.0.0+2")
    files_now = await service.files(stored)
    assert yaml.safe_load(files_now["shop/values.yaml"]) == {"a": {"x": 9, "z": 2}, "b": [3]}
    assert yaml.safe_load(files_now["shop/Chart.yaml"])["version"] == "1.0.0+2"
    assert stored["status"]["observedValuesFiles"] == ["values.yaml", "prod.yaml"]
    assert condition(stored, "Ready")["message"] == (
        "packaged 'shop' chart with version '1.0.0+2' "
        "and merged values files [values.yaml prod.yaml]"
    )


async def test_the_login_goes_to_the_repository_and_to_no_other_host(
    service: SourceService, charts: ChartServer
) -> None:
    elsewhere = charts.url.replace("127.0.0.1", "localhost")
    charts.publish("near", "1.0.0")
    charts.publish("far", "1.0.0")
    charts.index["entries"]["far"][0]["urls"] = [f"{elsewhere}/far-1.0.0.tgz"]
    await service.secret("login", username="me", password="canary-pass")
    login = {"secretRef": {"name": "login"}}
    await service.apply("HelmRepository", "charts", url=charts.url, **login)
    for name in ("near", "far"):
        await service.apply("HelmChart", name, chart=name, sourceRef=a_source())
        await service.ready("HelmChart", name)
    secretive = dict(charts.seen)
    everywhere = {**login, "passCredentials": True}
    await service.apply("HelmRepository", "charts", url=charts.url, **everywhere)
    await service.apply("HelmChart", "far-2", chart="far", sourceRef=a_source())
    await service.ready("HelmRepository", "charts")
    await service.ready("HelmChart", "far-2")

    assert secretive["/index.yaml"].startswith("Basic ")
    assert secretive["/near-1.0.0.tgz"].startswith("Basic ")
    assert secretive["/far-1.0.0.tgz"] == ""
    assert charts.seen[-1][1].startswith("Basic ")


async def test_with_other_values_files_it_is_another_chart_and_without_the_first_one(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0+a", a_chart("shop", "1.0.0+a", files={"prod.yaml": "a: 1\n"}))
    await service.apply("HelmRepository", "charts", url=charts.url)
    spec = {"chart": "shop", "sourceRef": a_source()}
    await service.apply("HelmChart", "c", **spec, valuesFiles=["prod.yaml"])
    changed = await service.ready("HelmChart", "c", "1.0.0+a.1")

    await service.apply("HelmChart", "c", **spec, valuesFiles=["values.yaml"])
    await service.ready("HelmChart", "c", "1.0.0+a")
    await service.until("HelmChart", "c", lambda o: o["status"]["observedGeneration"] == 2)
    plain = await service.ready("HelmChart", "c", "1.0.0+a")

    assert condition(changed, "Ready")["reason"] == "ChartPackageSucceeded"
    assert condition(plain, "Ready")["reason"] == "ChartPullSucceeded"
    assert "observedValuesFiles" not in plain["status"]
    path = service.storage / plain["status"]["artifact"]["path"]
    assert path.read_bytes() == charts.charts["shop-1.0.0+a.tgz"]


async def test_a_stalled_chart_does_not_take_an_old_archive_for_its_own(
    service: SourceService, charts: ChartServer
) -> None:
    """Another repository has the same version of it, with another content."""
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source())
    await service.ready("HelmChart", "c", "1.0.0")
    async with chart_server() as other:
        await service.apply("HelmRepository", "other", url=other.url)
        await service.ready("HelmRepository", "other")
        source = a_source("HelmRepository", "other")
        await service.apply("HelmChart", "c", chart="shop", sourceRef=source)
        await service.not_ready("HelmChart", "c", "InvalidChartReference")
        other.publish("shop", "1.0.0", a_chart("shop", "1.0.0", files={"other": "x"}))

        await service.request("HelmRepository", "other", "now")

        assert "shop/other" in await service.files(await service.ready("HelmChart", "c"))


async def test_a_failure_to_fetch_takes_the_place_of_one_to_build(
    service: SourceService, charts: ChartServer
) -> None:
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    spec = {"chart": "shop", "sourceRef": a_source()}
    await service.apply("HelmChart", "c", **spec, valuesFiles=["gone.yaml"])
    build = await service.not_ready("HelmChart", "c", "ValuesFilesError")
    charts.charts.clear()

    await service.apply("HelmChart", "c", **spec)

    fetch = await service.not_ready("HelmChart", "c", "ChartPullError")
    assert condition(build, "BuildFailed")["status"] == "True"
    assert condition(build, "FetchFailed") == {}
    assert condition(fetch, "FetchFailed")["status"] == "True"
    assert condition(fetch, "BuildFailed") == {}
