import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from shared.archive import unpack
from tests.support.charts import a_chart
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}


@dataclass
class ChartServer:
    """A Helm repository as any web server serves it."""

    url: str = ""
    index: Any = field(default_factory=lambda: {"apiVersion": "v1", "entries": {}})
    charts: dict[str, bytes] = field(default_factory=dict)
    authorization: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)  # path and Authorization

    def publish(self, name: str, version: str, content: bytes | None = None, **more: Any) -> None:
        path = f"{name}-{version}.tgz"
        self.charts[path] = a_chart(name, version) if content is None else content
        entry = {"name": name, "version": version, "urls": [path], **more}
        self.index["entries"].setdefault(name, []).append(entry)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        self.seen.append((request.path, given))
        if self.authorization and given != self.authorization:
            raise web.HTTPUnauthorized
        if request.path == "/index.yaml":
            return self._index(request)
        content = self.charts.get(request.path.removeprefix("/"))
        if content is None:
            raise web.HTTPNotFound
        return web.Response(body=content)

    def _index(self, request: web.Request) -> web.Response:
        text = self.index if isinstance(self.index, str) else yaml.safe_dump(self.index)
        etag = f'"{hashlib.sha256(text.encode()).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(text=text, headers={"ETag": etag})


@pytest.fixture
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def runs_of_charts() -> float:
    return counted("controller_runtime_reconcile_total", controller="helmchart", result="success")


def a_source(kind: str = "HelmRepository", name: str = "charts") -> dict[str, str]:
    return {"kind": kind, "name": name}


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

    assert service.gate.seen == []
    assert len([t for t in service.told if t.reason == "NewArtifact"]) == 1


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("entries: [", "line 2"),
        ("<html></html>", "no entries"),
        ("a: &a [*a]", "contains itself"),
        ("", "no entries"),
    ],
)
async def test_a_broken_index_is_told(
    service: SourceService, charts: ChartServer, index: Any, problem: str
) -> None:
    charts.index = index
    await service.apply("HelmRepository", "charts", url=charts.url)

    stored = await service.not_ready("HelmRepository", "charts", "IndexationFailed")

    assert problem in condition(stored, "FetchFailed")["message"]


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
    assert service.gate.seen == []


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"chart": "gone"}, "InvalidChartReference"),
        ({"chart": "shop", "version": "9.x"}, "InvalidChartReference"),
        ({"chart": "shop", "version": "not a range"}, "InvalidChartReference"),
        ({"chart": "shop", "sourceRef": a_source("HelmRepository", "no")}, "SourceUnavailable"),
        ({"chart": "shop", "sourceRef": a_source("Bucket", "no")}, "UnsupportedSourceKind"),
        ({"chart": "shop", "verify": {"provider": "cosign"}}, "UnsupportedField"),
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


@pytest.fixture
async def fleet(git_server: GitServer) -> Repository:
    return await git_server.repository(
        "fleet",
        {
            "charts/shop/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
            "charts/shop/values.yaml": "a: 1\n",
            "charts/shop/templates/a.yaml": "x: {{ .Values.a }}\n",
            "charts/shop/templates/.hidden": "x",
            "charts/shop/ci/test.txt": "x",
            "charts/shop/.helmignore": "/ci/\n*.bak\n",
            "charts/shop/old.bak": "x",
            "prod.yaml": "a: 2\n",
            "elsewhere.txt": "x",
        },
    )


async def test_a_directory_of_a_git_repository_is_packaged(
    service: SourceService, fleet: Repository
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    await service.apply("HelmChart", "c", chart="./charts/shop", sourceRef=source)

    stored = await service.ready("HelmChart", "c", "1.0.0")

    path = service.storage / stored["status"]["artifact"]["path"]
    assert path.name == "shop-1.0.0.tgz"
    assert [entry.path for entry in unpack(path.read_bytes())] == [
        *("shop/.helmignore", "shop/Chart.yaml", "shop/templates/a.yaml", "shop/values.yaml")
    ]
    assert condition(stored, "Ready")["reason"] == "ChartPackageSucceeded"
    revision = stored["status"]["observedSourceArtifactRevision"]
    assert revision == f"main@sha1:{fleet.head}"


async def test_a_commit_makes_a_new_chart_only_with_a_new_version_or_by_revision(
    service: SourceService, fleet: Repository
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    by_revision = {"reconcileStrategy": "Revision"}
    await service.apply("HelmChart", "v", chart="charts/shop", sourceRef=source)
    await service.apply("HelmChart", "r", chart="charts/shop", sourceRef=source, **by_revision)
    before = await service.ready("HelmChart", "v", "1.0.0")
    await service.ready("HelmChart", "r", f"1.0.0+{fleet.head[:12]}")

    head = await fleet.commit("template", {"charts/shop/templates/a.yaml": "x: 2\n"})
    await service.request("GitRepository", "fleet", "now")

    await service.ready("HelmChart", "r", f"1.0.0+{head[:12]}")
    seen = f"main@sha1:{head}"
    after = await service.until(
        "HelmChart", "v", lambda o: o["status"]["observedSourceArtifactRevision"] == seen
    )
    assert after["status"]["artifact"] == before["status"]["artifact"]


async def test_values_files_of_a_git_source_are_relative_to_its_root(
    service: SourceService, fleet: Repository
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    await service.apply(
        *("HelmChart", "c"),
        chart="charts/shop",
        sourceRef=a_source("GitRepository", "fleet"),
        valuesFiles=["charts/shop/values.yaml", "./prod.yaml"],
    )

    stored = await service.ready("HelmChart", "c", "1.0.0+1")

    assert (await service.files(stored))["shop/values.yaml"] == b"a: 2\n"


async def test_a_dependency_that_is_not_there_is_named(
    service: SourceService, fleet: Repository
) -> None:
    await fleet.commit(
        "needs redis",
        {
            "charts/shop/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.1.0\ndependencies:\n"
            "- {name: redis, version: 1.x, repository: 'https://charts.example'}\n"
            "- {name: common, version: 1.x, repository: 'https://charts.example'}\n",
            "charts/shop/charts/common-lib-1.2.3.tgz": "",
            "charts/shop/charts/common/Chart.yaml": "name: common\nversion: 1.0.0\n",
        },
    )
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    await service.apply("HelmChart", "c", chart="charts/shop", sourceRef=source)

    stored = await service.not_ready("HelmChart", "c", "DependencyBuildError")

    assert "redis not found in charts/" in condition(stored, "BuildFailed")["message"]


@pytest.mark.parametrize("path", ["charts/gone", "charts", "elsewhere.txt"])
async def test_a_path_without_a_chart_waits_for_another_commit(
    service: SourceService, fleet: Repository, path: str
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    await service.apply("HelmChart", "c", chart=path, sourceRef=source)
    stored = await service.not_ready("HelmChart", "c", "InvalidChartReference")
    assert condition(stored, "Stalled")["status"] == "True"


async def test_an_oci_repository_is_refused_clearly(service: SourceService) -> None:
    await service.apply("HelmRepository", "oci", url="oci://ghcr.io/x", type="oci")
    await service.apply("HelmRepository", "mixed", url="oci://ghcr.io/x")

    stored = await service.not_ready("HelmRepository", "oci", "UnsupportedField")
    await service.not_ready("HelmRepository", "mixed", "URLInvalid")

    assert "OCI registries are not served" in condition(stored, "Ready")["message"]


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
