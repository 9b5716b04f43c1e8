import asyncio
import io

import msgspec
import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.helm.chart_repository import ChartRepository
from services.source.helm.dependency_build import DependencyBuilder
from services.source.helm.limits import HelmLimits
from services.source.helm.local_charts import LocalCharts
from services.source.storage import Owner
from shared.archive import Entry, pack, unpack
from shared.resources.meta import Artifact
from shared.resources.source import GitRepository, HelmChart
from tests.source.conftest import Tools
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, a_source, condition, runs_of_charts

MAIN = {"branch": "main"}


class NoRepositories:
    async def at(self, url: str, namespace: str) -> ChartRepository:
        raise AssertionError(f"{url} is not needed")


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


@pytest.mark.parametrize("path", ["charts/gone", "charts", "elsewhere.txt"])
async def test_a_path_without_a_chart_waits_for_another_commit(
    service: SourceService, fleet: Repository, path: str
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    await service.apply("HelmChart", "c", chart=path, sourceRef=source)
    stored = await service.not_ready("HelmChart", "c", "InvalidChartReference")
    assert condition(stored, "Stalled")["status"] == "True"


async def test_an_idle_chart_does_not_read_its_source_again(
    service: SourceService, fleet: Repository
) -> None:
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    await service.apply(
        *("HelmChart", "c"), chart="charts/shop", sourceRef=source, interval="100ms"
    )
    await service.ready("HelmChart", "c")
    stored = await service.read("GitRepository", "fleet")
    (service.storage / stored["status"]["artifact"]["path"]).unlink()
    before = runs_of_charts()

    await eventually(runs_of_charts, lambda runs: runs >= before + 3)

    await service.ready("HelmChart", "c")


async def test_a_version_that_cannot_take_a_revision_stalls(
    service: SourceService, fleet: Repository
) -> None:
    """The longest version that is one, and thirteen characters more."""
    version = f"1.0.0-{'x' * 250}"
    chart = f"apiVersion: v2\nname: shop\nversion: {version}\n"
    await fleet.commit("long", {"charts/shop/Chart.yaml": chart})
    await service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
    source = a_source("GitRepository", "fleet")
    by_revision = {"reconcileStrategy": "Revision"}

    await service.apply("HelmChart", "c", chart="charts/shop", sourceRef=source, **by_revision)

    stored = await service.not_ready("HelmChart", "c", "MetadataPatchError")
    assert condition(stored, "BuildFailed")["reason"] == "MetadataPatchError"
    assert condition(stored, "Stalled")["status"] == "True"


async def test_a_file_that_is_too_large_for_a_chart_is_told(
    idle_service: SourceService, fleet: Repository
) -> None:
    await fleet.commit("large", {"charts/shop/large.txt": "x" * 1001})
    source = a_source("GitRepository", "fleet")
    async with idle_service.running(helm=HelmLimits(file=1000)):
        await idle_service.apply("GitRepository", "fleet", url=fleet.url, ref=MAIN)
        await idle_service.apply("HelmChart", "c", chart="charts/shop", sourceRef=source)

        stored = await idle_service.not_ready("HelmChart", "c", "ChartPackageError")

    assert "'shop/large.txt' is larger than" in condition(stored, "BuildFailed")["message"]


async def test_charts_of_one_commit_share_what_they_read(tools: Tools) -> None:
    """While the first one is at work, the others do not read the archive again."""
    files = io.BytesIO()
    metadata = b"apiVersion: v2\nname: shop\nversion: 1.0.0\n"
    pack([Entry("a/Chart.yaml", 0o600, metadata), Entry("b/Chart.yaml", 0o600, metadata)], files)
    key = {"metadata": {"name": "fleet", "namespace": "team"}}
    repository = msgspec.convert(
        {**key, "spec": {"url": "https://git.example", "interval": "1h"}}, GitRepository
    )
    owner = Owner.of(repository)
    stored = await tools.storage.write_bytes(owner, "1.tar.gz", files.getvalue())
    artifact = msgspec.convert(tools.storage.artifact(stored, "main@sha1:1"), Artifact)
    charts = [
        msgspec.convert(
            {**key, "spec": {"chart": path, "interval": "1h", "sourceRef": a_source()}}, HelmChart
        )
        for path in ("a", "b")
    ]
    builder = DependencyBuilder(NoRepositories())
    local = LocalCharts(tools.storage, builder, HelmLimits())

    first = await local.candidate(charts[0], repository, artifact)
    await tools.storage.remove(owner)
    second = await local.candidate(charts[1], repository, artifact)

    packed = await asyncio.gather(first.package(), second.package())
    assert [each.packaged for each in packed] == [True, True]
    del first, second
    await eventually(lambda: not local._trees)  # a thread may hold it for a moment
    with pytest.raises(FetchFailed, match="cannot be read"):
        await local.candidate(charts[0], repository, artifact)
