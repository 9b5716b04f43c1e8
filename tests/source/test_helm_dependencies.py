from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.helm.chart_files import Chart, ChartError
from services.source.helm.registry_charts import CHART_CONTENT
from shared.archive import Entry, unpack
from shared.credentials import Basic
from tests.support.chart_server import ChartServer
from tests.support.charts import a_chart
from tests.support.helm_program import HelmProgram
from tests.support.registry import Layer, RegistryServer, running_registry
from tests.support.source_service import SourceService, a_source, condition

FLEET = a_source("GitRepository", "fleet")
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
IMPORTS = {"import-values": ["data", {"parent": "p", "child": "<c>"}]}


def chart_yaml(name: str, version: str = "1.0.0", *dependencies: Any, **more: Any) -> str:
    described = {"apiVersion": "v2", "name": name, "version": version, **more}
    if dependencies:
        described["dependencies"] = list(dependencies)
    return yaml.safe_dump(described)


def needs(name: str, repository: str, version: str = "1.x", **more: Any) -> dict[str, Any]:
    return {"name": name, "repository": repository, "version": version, **more}


def demanding(path: str, api: str, demands: list[dict[str, Any]]) -> dict[str, str]:
    described = {"apiVersion": api, "description": "<b> & c"}
    if api == "v2":
        return {f"{path}/Chart.yaml": chart_yaml("shop", "1.0.0", *demands, **described)}
    return {
        f"{path}/Chart.yaml": chart_yaml("shop", "1.0.0", **described),
        f"{path}/requirements.yaml": yaml.safe_dump({"dependencies": demands}),
    }


@pytest.fixture
async def registry(tmp_path: Path) -> Any:
    async with running_registry(tmp_path / "registry") as server:
        yield server


class Source:
    """A Git repository of charts, as the service and as stock Helm see it."""

    def __init__(self, service: SourceService, repository: Repository, folder: Path) -> None:
        self.service = service
        self.repository = repository
        self.folder = folder

    async def commit(self, files: Mapping[str, str | bytes]) -> None:
        for path, content in files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        await self.repository.commit("charts", dict(files))

    async def chart(self, path: str = "charts/shop", **spec: Any) -> None:
        main = {"branch": "main"}
        await self.service.apply("GitRepository", "fleet", url=self.repository.url, ref=main)
        await self.service.apply("HelmChart", "c", chart=path, sourceRef=FLEET, **spec)

    async def built(self) -> dict[str, bytes]:
        return await self.service.files(await self.service.ready("HelmChart", "c"))

    async def problem(self, reason: str = "DependencyBuildError") -> str:
        stored = await self.service.not_ready("HelmChart", "c", reason)
        assert condition(stored, "FetchFailed") == {}
        message: str = condition(stored, "BuildFailed")["message"]
        return message


@pytest.fixture
async def source(service: SourceService, git_server: GitServer, tmp_path: Path) -> Source:
    repository = await git_server.repository("fleet", {"README": "charts"})
    return Source(service, repository, tmp_path / "checkout")


def as_said(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What YAML says, not how."""
    told = {"Chart.yaml", "Chart.lock", "requirements.lock"}
    return {
        path: yaml.safe_load(content) if path.rpartition("/")[2] in told else content
        for path, content in files.items()
    }


def unpacked(path: Path) -> dict[str, bytes]:
    return {entry.path: entry.content for entry in unpack(path.read_bytes())}


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_a_build_has_the_content_that_helm_builds(
    source: Source, charts: ChartServer, registry: RegistryServer, tmp_path: Path, api: str
) -> None:
    """With a version 1 of the API, demands and lock are in files of their own."""
    for name, version in (("redis", "1.0.0"), ("redis", "1.2.0"), ("redis", "2.0.0")):
        charts.publish(name, version)
    charts.publish("vendored", "1.0.0")
    queue = Layer(a_chart("queue", "3.0.1+b1", files={"x.txt": "x"}), CHART_CONTENT)
    await registry.push("charts/queue", "3.0.1_b1", [queue], config_type=CHART_CONFIG)
    demands = [
        needs("redis", charts.url, "^1.0.0", condition="redis.enabled", tags=["a", "b"]),
        needs("redis", f"{charts.url}/", "^1.0.0", alias="cache", **IMPORTS),
        needs("queue", registry.url("charts"), "3.x"),
        needs("common", "file://../common", ">=0.1.0 <1"),
        needs("vendored", charts.url, "1.0.0"),
    ]
    await source.commit(
        {
            **demanding("charts/shop", api, demands),
            "charts/shop/values.yaml": "a: 1\n",
            "charts/shop/templates/a.yaml": "x: 1\n",
            "charts/shop/charts/vendored-1.0.0.tgz": charts.charts["vendored-1.0.0.tgz"],
            "charts/common/Chart.yaml": chart_yaml("common", "0.2.0"),
            "charts/common/.helmignore": "*.bak\n",
            "charts/common/a.bak": "x",
            "charts/common/values.yaml": "b: 1\n",
        }
    )
    oci = {"type": "oci", "insecure": True}
    await source.service.apply("HelmRepository", "oci", url=registry.url("charts"), **oci)
    helm, shop = HelmProgram(tmp_path / "helm"), source.folder / "charts/shop"
    await helm.run("repo", "add", "charts", charts.url)
    await helm.run("dependency", "update", shop, "--plain-http")
    (lock,) = shop.glob("*.lock")
    await source.commit({f"charts/shop/{lock.name}": lock.read_bytes()})
    charts.publish("redis", "1.9.0")  # newer than the lock

    packed = await helm.package(shop)
    await source.chart()
    built = await source.built()

    assert as_said(built) == as_said(unpacked(packed))
    assert yaml.safe_load(built["shop/charts/redis/Chart.yaml"])["version"] == "1.2.0"
    told = [t.message for t in source.service.told if t.reason == "ResolvedDependencies"]
    assert told == ["resolved 4 chart dependencies"]


async def test_without_a_lock_the_best_version_is_taken_at_every_depth(
    source: Source, charts: ChartServer
) -> None:
    for version in ("1.0.0", "1.5.0", "2.0.0"):
        charts.publish("redis", version)
    await source.commit(
        {
            "charts/shop/Chart.yaml": chart_yaml("shop", "1.0.0", needs("a", "file://../a", "*")),
            "charts/a/Chart.yaml": chart_yaml("a", "1.0.0", needs("b", "file://../../b", "")),
            "b/Chart.yaml": chart_yaml("b", "1.0.0", needs("redis", charts.url)),
        }
    )

    await source.chart()
    built = await source.built()

    deepest = "shop/charts/a/charts/b/charts/redis/Chart.yaml"
    assert yaml.safe_load(built[deepest])["version"] == "1.5.0"


async def test_a_chart_that_is_vendored_is_not_downloaded(
    source: Source, charts: ChartServer
) -> None:
    await source.commit(
        {
            "charts/shop/Chart.yaml": chart_yaml(
                "shop", "1.0.0", needs("a", "https://no.example"), needs("b", "", "1.0.0")
            ),
            "charts/shop/charts/a-1.0.0.tgz": a_chart("a", "1.0.0"),
            "charts/shop/charts/b/Chart.yaml": chart_yaml("b"),
            "charts/shop/charts/_draft.tgz": "not a chart",
        }
    )

    await source.chart()
    built = await source.built()

    assert {"shop/charts/a/Chart.yaml", "shop/charts/b/Chart.yaml"} <= built.keys()
    assert [t for t in source.service.told if t.reason == "ResolvedDependencies"] == []


@pytest.mark.parametrize(
    ("dependency", "problem"),
    [
        (needs("a", "file:///etc"), "leads out of the source"),
        (needs("a", "file://../../../etc"), "leads out of the source"),
        (needs("a", "file://../shop"), "depends on itself"),
        (needs("a", "file://../gone"), "no Chart.yaml in 'charts/gone'"),
        (needs("a", "file://../b"), "is of 'b', not of 'a'"),
        (needs("b", "file://../b", "2.x"), "version '1.0.0', which '2.x' does not allow"),
        (needs("b", "file://../b", "what"), "'what' is not a version range"),
        (needs("a", "@stable"), "not an alias"),
        (needs("a", "alias:stable"), "not an alias"),
        (needs("a", "ftp://charts.example"), "is not served"),
        (needs("a", ""), "has no repository and is not in charts/"),
        (needs("../a", "file://../b"), "is not a name of a chart"),
        (needs("round", "file://../round"), "depends on itself"),
    ],
)
async def test_a_dependency_that_cannot_be_had_is_explained(
    source: Source, dependency: dict[str, Any], problem: str
) -> None:
    await source.commit(
        {
            "charts/shop/Chart.yaml": chart_yaml("shop", "1.0.0", dependency),
            "charts/b/Chart.yaml": chart_yaml("b"),
            "charts/round/Chart.yaml": chart_yaml("round", "1.0.0", needs("s", "file://../shop")),
        }
    )

    await source.chart()

    told = await source.problem()
    assert told.startswith("dependency build error: ")
    assert problem in told


async def test_charts_that_need_each_other_without_end_are_refused(source: Source) -> None:
    files = {
        f"c{i}/Chart.yaml": chart_yaml(f"c{i}", "1.0.0", needs(f"c{i + 1}", f"file://../c{i + 1}"))
        for i in range(30)
    }
    await source.commit(files)

    await source.chart("c0")

    assert "nest deeper than 10 charts" in await source.problem()


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        ({"digest": "sha256:0", "dependencies": []}, "Chart.lock is out of sync"),
        ({"dependencies": "all"}, "Chart.lock: Expected `array | null`"),
        ("text", "Chart.lock: Expected `object`"),
    ],
    ids=["other demands", "no list", "no lock"],
)
async def test_a_lock_of_other_demands_is_refused(
    source: Source, charts: ChartServer, lock: Any, problem: str
) -> None:
    charts.publish("redis", "1.0.0")
    await source.commit(
        {
            "charts/shop/Chart.yaml": chart_yaml("shop", "1.0.0", needs("redis", charts.url)),
            "charts/shop/Chart.lock": yaml.safe_dump(lock),
        }
    )

    await source.chart()

    assert problem in await source.problem()


async def test_a_helm_repository_with_the_same_address_lends_its_login(
    source: Source, charts: ChartServer
) -> None:
    service = source.service
    charts.publish("redis", "1.0.0")
    charts.authorization = Basic("me", "canary-pass").authorization
    await source.commit(
        {"charts/shop/Chart.yaml": chart_yaml("shop", "1.0.0", needs("redis", f"{charts.url}/"))}
    )
    await source.chart()
    refused = await service.not_ready("HelmChart", "c", "AuthenticationFailed")
    assert condition(refused, "BuildFailed") == {}
    await service.secret("login", username="me", password="canary-pass")
    await service.apply("HelmRepository", "r", url=charts.url, secretRef={"name": "login"})
    await service.ready("HelmRepository", "r")
    charts.seen.clear()

    await service.request("HelmChart", "c", "now")

    await service.ready("HelmChart", "c", "1.0.0")
    assert charts.seen == [("/redis-1.0.0.tgz", charts.authorization)]  # its index is known


async def test_a_dependency_that_is_too_large_is_refused(
    source: Source, charts: ChartServer
) -> None:
    charts.publish("redis", "1.0.0", bytes(11 * 2**20))
    await source.commit(
        {"charts/shop/Chart.yaml": chart_yaml("shop", "1.0.0", needs("redis", charts.url))}
    )

    await source.chart()

    assert "larger than the limit of 10485760 bytes" in await source.problem()


async def test_archives_in_archives_have_one_budget() -> None:
    """Each is small and within all limits; together they would be a gigabyte."""
    filling = {f"files/{i}": "0" * (4 * 2**20) for i in range(20)}
    inner = a_chart("inner", "1.0.0", files=filling)
    assert len(inner) < 2**20
    files = {f"charts/inner-1.0.{i}.tgz": Entry("", 0, inner) for i in range(20)}
    metadata = Entry("Chart.yaml", 0, b"name: shop\nversion: 1.0.0\n")
    chart = Chart.of({"Chart.yaml": metadata, **files})

    with pytest.raises(ChartError, match="larger than"):
        chart.with_charts_unpacked()
