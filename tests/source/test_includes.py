import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from shared.cluster.objects import Manifest
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n"})


@pytest.fixture
async def shared(git_server: GitServer) -> Repository:
    files = {"base/x.yaml": "x: 1\n", "base/deep/y.yaml": "y: 1\n", "other/z.yaml": "z: 1\n"}
    return await git_server.repository("shared", files)


def an_include(name: str = "shared", **paths: str) -> dict[str, object]:
    return {"repository": {"name": name}, **paths}


async def applied(
    service: SourceService, repository: Repository, *includes: dict[str, object], **spec: object
) -> None:
    spec = {"url": repository.url, "ref": MAIN, "include": list(includes), **spec}
    await service.apply("GitRepository", repository.name, **spec)


async def files_of(service: SourceService, name: str = "shop") -> dict[str, bytes]:
    return await service.files(await service.ready("GitRepository", name))


async def unavailable(service: SourceService, reason: str) -> Manifest:
    stored = await service.not_ready("GitRepository", "shop", reason)
    assert condition(stored, "IncludeUnavailable")["reason"] == reason
    return stored


async def test_an_included_artifact_is_copied_in(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await applied(service, shared)
    theirs = await service.ready("GitRepository", "shared")

    await applied(
        service,
        shop,
        an_include(),
        an_include(fromPath="./base/", toPath="app/base"),
        an_include(fromPath="other/z.yaml", toPath="app/only.yaml"),
    )
    stored = await service.ready("GitRepository", "shop")

    assert await service.files(stored) == {
        "app/a.yaml": b"a: 1\n",
        "app/base/deep/y.yaml": b"y: 1\n",
        "app/base/x.yaml": b"x: 1\n",
        "app/only.yaml": b"z: 1\n",
        "shared/base/deep/y.yaml": b"y: 1\n",
        "shared/base/x.yaml": b"x: 1\n",
        "shared/other/z.yaml": b"z: 1\n",
    }
    assert stored["status"]["includedArtifacts"] == [theirs["status"]["artifact"]] * 3
    assert stored["status"]["observedInclude"][0] == an_include()
    assert stored["status"]["observedInclude"][1]["fromPath"] == "./base/"


async def test_a_new_revision_of_the_included_is_taken_at_once(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await applied(service, shared)
    await applied(service, shop, an_include())
    first = await service.ready("GitRepository", "shop")
    head = await shared.commit("new", {"base/x.yaml": "x: 2\n"})

    await service.request("GitRepository", "shared", "now")

    def is_new(stored: Manifest) -> bool:
        included = stored["status"].get("includedArtifacts") or [{"revision": ""}]
        return bool(included[0]["revision"] == f"main@sha1:{head}")

    stored = await service.until("GitRepository", "shop", is_new, within=10)
    assert (await service.files(stored))["shared/base/x.yaml"] == b"x: 2\n"
    artifact = stored["status"]["artifact"]
    assert artifact["revision"] == first["status"]["artifact"]["revision"]
    assert artifact["digest"] != first["status"]["artifact"]["digest"]
    assert condition(stored, "ArtifactOutdated") == {}
    assert [t.reason for t in service.told if t.name == "shop"] == ["NewArtifact"] * 2


async def test_until_the_change_is_taken_in_the_artifact_is_outdated(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await applied(service, shared)
    await applied(service, shop, an_include(fromPath="other"))
    good = await service.ready("GitRepository", "shop")
    await shared.commit("another layout", remove=["other/z.yaml"])

    await service.request("GitRepository", "shared", "now")
    stored = await service.not_ready("GitRepository", "shop", "CopyFailure")

    assert condition(stored, "ArtifactOutdated")["reason"] == "IncludeChange"
    assert stored["status"]["artifact"] == good["status"]["artifact"]
    assert await service.files(stored)


async def test_what_is_not_there_yet_is_waited_for_and_taken_when_it_comes(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await applied(service, shop, an_include())
    missing = await unavailable(service, "NotFound")
    assert f"GitRepository {service.namespace}/shared" in condition(missing, "Ready")["message"]

    await applied(service, shared, ref={"branch": "gone"})
    await unavailable(service, "NoArtifact")
    await applied(service, shared)

    assert "shared/base/x.yaml" in await files_of(service)
    stored = await service.read("GitRepository", "shop")
    assert condition(stored, "IncludeUnavailable") == {}
    assert not [told for told in service.told if told.name == "shop" and told.severity == "error"]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ({"toPath": "../../x"}, "IllegalPath"),
        ({"fromPath": "base/../../x"}, "IllegalPath"),
        ({"fromPath": "gone"}, "CopyFailure"),
        ({"fromPath": "base", "toPath": "app/a.yaml"}, "ArchiveOperationFailed"),
        ({"fromPath": "base/x.yaml", "toPath": "app"}, "ArchiveOperationFailed"),
    ],
)
async def test_paths_that_lead_out_or_nowhere_are_refused(
    service: SourceService,
    shop: Repository,
    shared: Repository,
    paths: dict[str, str],
    reason: str,
) -> None:
    await applied(service, shared)
    await service.ready("GitRepository", "shared")

    await applied(service, shop, an_include(**paths))
    stored = await service.not_ready("GitRepository", "shop", reason)

    assert condition(stored, "StorageOperationFailed")["reason"] == reason


async def test_at_the_root_an_included_file_takes_the_place_of_one_of_the_same_name(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await shared.commit("same", {"app/a.yaml": "theirs"})
    await applied(service, shared)
    await service.ready("GitRepository", "shared")

    await applied(service, shop, an_include(toPath="./"), ignore="other/\n")

    assert await files_of(service) == {
        "app/a.yaml": b"theirs",
        "base/deep/y.yaml": b"y: 1\n",
        "base/x.yaml": b"x: 1\n",
    }


@pytest.mark.parametrize("members", [["shop"], ["shop", "shared"], ["shop", "third", "shared"]])
async def test_a_circle_is_refused_and_does_not_go_round(
    service: SourceService,
    git_server: GitServer,
    shop: Repository,
    shared: Repository,
    members: list[str],
) -> None:
    third = await git_server.repository("third", {"t": "1"})
    by_name = {each.name: each for each in (shop, shared, third)}
    for repository in by_name.values():
        await applied(service, repository)
        await service.ready("GitRepository", repository.name)
    for name, following in zip(members, members[1:] + members[:1], strict=True):
        await applied(service, by_name[name], an_include(following))

    for name in members:
        stored = await service.not_ready("GitRepository", name, "IncludeCycle")
        assert condition(stored, "Stalled")["status"] == "True"
        assert "includes itself" in condition(stored, "Ready")["message"]
    last = members[-1]
    await applied(service, by_name[last])  # opens the circle

    for name in members:
        await service.ready("GitRepository", name)


async def test_with_nothing_new_a_tick_costs_no_request_to_kubernetes(
    service: SourceService, git_server: GitServer, shop: Repository, shared: Repository
) -> None:
    await applied(service, shared)
    await applied(service, shop, an_include(), interval="200ms")
    await service.ready("GitRepository", "shop")
    git_server.requests.clear()
    service.gate.seen.clear()

    await eventually(lambda: len(git_server.requests), lambda count: count >= 5)

    assert set(git_server.requests) == {"POST /shop.git/git-upload-pack"}
    assert service.requests() == []


async def test_an_included_artifact_that_is_damaged_on_disk_is_not_copied(
    service: SourceService, shop: Repository, shared: Repository
) -> None:
    await applied(service, shared)
    theirs = await service.ready("GitRepository", "shared")
    path = service.storage / theirs["status"]["artifact"]["path"]
    path.write_bytes(path.read_bytes()[:-1])

    await applied(service, shop, an_include())
    await unavailable(service, "NoArtifact")
    await service.request("GitRepository", "shared", "heal")

    assert "shared/base/x.yaml" in await files_of(service)
