import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from shared.archive import unpack
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, a_source, condition, runs_of_charts

MAIN = {"branch": "main"}


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
