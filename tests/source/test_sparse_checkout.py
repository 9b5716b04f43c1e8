import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.sparse import SparseCheckout
from tests.source.test_submodules import link, section
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}
FILES = {
    "README.md": "read",
    "charts/a/Chart.yaml": "a",
    "charts/b/Chart.yaml": "b",
    "charts/index.yaml": "i",
    "deploy/x.yaml": "x",
    "charts-old/y.yaml": "y",
}


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", FILES)


async def applied(service: SourceService, url: str, *directories: str, **spec: object) -> None:
    spec = {"url": url, "ref": MAIN, "sparseCheckout": list(directories), **spec}
    await service.apply("GitRepository", "shop", **spec)


async def test_the_listed_directories_are_packed_and_nothing_on_the_way_to_them(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop.url, "./charts/a", "deploy/")

    stored = await service.ready("GitRepository", "shop")

    assert sorted(await service.files(stored)) == ["charts/a/Chart.yaml", "deploy/x.yaml"]
    assert stored["status"]["observedSparseCheckout"] == ["./charts/a", "deploy/"]


async def test_another_list_makes_another_artifact_of_the_same_revision(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop.url, "deploy")
    before = await service.ready("GitRepository", "shop")

    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, sparseCheckout=["charts"])
    after = await service.ready("GitRepository", "shop")

    assert "charts/b/Chart.yaml" in await service.files(after)
    assert "deploy/x.yaml" not in await service.files(after)
    assert before["status"]["artifact"]["revision"] == after["status"]["artifact"]["revision"]
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, sparseCheckout=[])
    everything = await service.ready("GitRepository", "shop")
    assert sorted(await service.files(everything)) == sorted(FILES)
    assert "observedSparseCheckout" not in everything["status"]


@pytest.mark.parametrize(
    "directory", ["gone", "README.md", "../sib", "charts/a/..", "-x", "--output=x", "*", ":/deploy"]
)
async def test_a_directory_that_is_not_there_is_named(
    service: SourceService, shop: Repository, directory: str
) -> None:
    await applied(service, shop.url, "deploy", directory)

    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")

    said = f"spec.sparseCheckout: there is no directory {directory!r} in this revision"
    assert condition(stored, "Ready")["message"] == said
    assert condition(stored, "FetchFailed")["status"] == "True"


async def test_submodules_outside_of_the_directories_are_not_fetched(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    library = await git_server.repository("library", {"in/l.yaml": "1", "out/o.yaml": "1"})
    described = section("vendor/lib", "../library.git") + section("other", "../absent.git")
    await link(shop, {"vendor/lib": library.head, "other": "1" * 40}, described)

    await applied(service, shop.url, "vendor/lib/in", "deploy", recurseSubmodules=True)
    stored = await service.ready("GitRepository", "shop")

    files = await service.files(stored)
    assert {"deploy/x.yaml", "vendor/lib/in/l.yaml"} <= set(files)
    assert "vendor/lib/out/o.yaml" not in files
    assert not [line for line in git_server.requests if "absent" in line]


@pytest.mark.parametrize("everything", [(), (".",), ("./",), ("/", "charts")])
def test_the_root_is_everything(everything: tuple[str, ...]) -> None:
    sparse = SparseCheckout.of(everything)

    assert sparse.wants("a/b/c")
    assert sparse.reaches("a/b")
