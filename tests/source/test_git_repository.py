import asyncio
import hashlib

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n", "logo.png": "x"})


async def test_a_commit_becomes_an_artifact(service: SourceService, shop: Repository) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)

    stored = await service.ready("GitRepository", "shop")

    artifact = stored["status"]["artifact"]
    path = f"gitrepository/{service.namespace}/shop/{shop.head}.tar.gz"
    packed = (service.storage / path).read_bytes()
    assert artifact["revision"] == f"main@sha1:{shop.head}"
    assert artifact["path"] == path
    assert artifact["url"] == f"http://{service.address}/{path}"
    assert artifact["digest"] == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert artifact["size"] == len(packed)
    assert await service.files(stored) == {"app/a.yaml": b"a: 1\n"}
    message = f"stored artifact for revision 'main@sha1:{shop.head}'"
    assert condition(stored, "Ready")["message"] == message
    assert condition(stored, "ArtifactInStorage")["reason"] == "Succeeded"
    assert [(t.reason, t.message, t.metadata["revision"]) for t in service.told] == [
        ("NewArtifact", "stored artifact for commit 'Begin'", f"main@sha1:{shop.head}")
    ]


async def test_a_second_commit_replaces_the_first(service: SourceService, shop: Repository) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    first = await service.ready("GitRepository", "shop")
    second = await shop.commit("second", {"app/b.yaml": "b: 2\n"})

    await service.request("GitRepository", "shop", "now")

    stored = await service.ready("GitRepository", "shop", f"main@sha1:{second}")
    assert "app/b.yaml" in await service.files(stored)
    assert condition(stored, "ArtifactOutdated") == {}
    # Whoever has just read the old status can still download what it names.
    assert (service.storage / first["status"]["artifact"]["path"]).exists()


async def test_the_interval_alone_brings_a_commit(service: SourceService, shop: Repository) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, interval="300ms")
    await service.ready("GitRepository", "shop")
    second = await shop.commit("second", {"b": "2"})

    await service.ready("GitRepository", "shop", f"main@sha1:{second}")


async def test_with_nothing_new_a_tick_is_one_request_to_git_and_none_to_kubernetes(
    service: SourceService, git_server: GitServer
) -> None:
    private = await git_server.repository("p", {"a": "b"}, authorization="Bearer s3cret-token")
    await service.secret("login", bearerToken="s3cret-token")
    await service.apply(
        *("GitRepository", "shop"),
        url=private.url,
        ref=MAIN,
        interval="200ms",
        secretRef={"name": "login"},
    )
    await service.ready("GitRepository", "shop")
    git_server.requests.clear()
    service.gate.seen.clear()

    await eventually(lambda: len(git_server.requests), lambda count: count >= 5)

    assert set(git_server.requests) == {"POST /p.git/git-upload-pack"}
    assert service.requests() == []


async def test_other_rules_of_what_to_leave_out_make_another_artifact(
    service: SourceService, shop: Repository
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    before = await service.ready("GitRepository", "shop")

    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, ignore="/app\n")

    stored = await service.ready("GitRepository", "shop")
    assert stored["status"]["observedIgnore"] == "/app\n"
    assert await service.files(stored) == {"logo.png": b"x"}
    assert stored["status"]["artifact"]["digest"] != before["status"]["artifact"]["digest"]


async def test_a_broken_source_keeps_its_last_artifact(
    service: SourceService, shop: Repository
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    good = await service.ready("GitRepository", "shop")
    await service.apply("GitRepository", "shop", url=shop.url, ref={"branch": "gone"})

    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")

    assert "'refs/heads/gone' not found" in condition(stored, "Ready")["message"]
    assert condition(stored, "FetchFailed")["status"] == "True"
    assert condition(stored, "ArtifactInStorage")["status"] == "True"
    assert stored["status"]["artifact"] == good["status"]["artifact"]
    assert await service.files(stored)


async def test_a_source_that_recovers_says_so(service: SourceService, shop: Repository) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref={"branch": "dev"})
    await service.not_ready("GitRepository", "shop", "GitOperationFailed")
    await shop.branch("dev")

    stored = await service.ready("GitRepository", "shop")

    assert condition(stored, "FetchFailed") == {}
    reasons = [told.reason for told in service.told]
    assert reasons[0] == "GitOperationFailed"
    assert reasons[-1] == "NewArtifact"


@pytest.mark.parametrize("damage", ["flip", "delete"])
async def test_an_artifact_that_is_lost_or_damaged_is_made_again(
    service: SourceService, shop: Repository, damage: str
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    stored = await service.ready("GitRepository", "shop")
    path = service.storage / stored["status"]["artifact"]["path"]
    good = path.read_bytes()
    if damage == "flip":
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    else:
        path.unlink()

    await service.request("GitRepository", "shop", "check")

    stored = await service.ready("GitRepository", "shop")
    assert path.read_bytes() == good
    told = [t.reason for t in service.told]
    assert ("ArtifactVerificationFailed" in told) == (damage == "flip")


async def test_an_artifact_that_is_lost_for_good_is_not_announced_any_more(
    service: SourceService, shop: Repository, git_server: GitServer
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    stored = await service.ready("GitRepository", "shop")
    (service.storage / stored["status"]["artifact"]["path"]).unlink()

    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPBadGateway

    git_server.fault = away
    stored = await service.request("GitRepository", "shop", "check")

    assert "artifact" not in stored["status"]
    assert condition(stored, "ArtifactInStorage") == {}


async def test_a_restart_finds_everything_as_it_was(
    idle_service: SourceService, shop: Repository, git_server: GitServer
) -> None:
    async with idle_service.running():
        await idle_service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
        before = await idle_service.ready("GitRepository", "shop")
    git_server.requests.clear()

    async with idle_service.running():
        await eventually(lambda: git_server.requests)
        after = await idle_service.ready("GitRepository", "shop")

        expected = before["status"]["artifact"] | {
            "url": f"http://{idle_service.address}/{before['status']['artifact']['path']}"
        }
        await idle_service.until(
            "GitRepository", "shop", lambda o: o["status"]["artifact"] == expected
        )
        assert after["status"]["artifact"]["lastUpdateTime"] == expected["lastUpdateTime"]
    assert [r for r in git_server.requests if r.startswith("POST")] == [
        "POST /shop.git/git-upload-pack"
    ]


async def test_a_deleted_source_leaves_nothing_behind(
    service: SourceService, shop: Repository
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    await service.ready("GitRepository", "shop")

    await service.delete("GitRepository", "shop")

    assert not (service.storage / "gitrepository" / service.namespace / "shop").exists()


async def test_old_artifacts_are_collected(service: SourceService, shop: Repository) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    for number in range(5):
        head = await shop.commit(str(number), {"n": str(number)})
        await service.request("GitRepository", "shop", f"r{number}")
        await service.ready("GitRepository", "shop", f"main@sha1:{head}")

    await service.request("GitRepository", "shop", "last")

    kept = sorted((service.storage / "gitrepository" / service.namespace / "shop").iterdir())
    assert len(kept) == 2
    assert any(shop.head in path.name for path in kept)


async def test_a_url_that_git_would_misread_is_refused(
    service: SourceService, shop: Repository
) -> None:
    url = "ssh://-oProxyCommand=touch%20canary/x"
    await service.apply("GitRepository", "shop", url=url, ref=MAIN)

    stored = await service.not_ready("GitRepository", "shop", "URLInvalid")

    assert condition(stored, "Ready")["message"].startswith("spec.url: ")
    assert condition(stored, "Stalled")["status"] == "True"


async def test_a_login_that_is_refused_only_by_the_fetch_is_still_one(
    service: SourceService, git_server: GitServer
) -> None:
    """A commit that is given is not looked for first."""
    private = await git_server.repository("p", {"a": "b"}, authorization="Bearer right-token")
    await service.secret("login", bearerToken="wrong-token")
    spec = {"ref": {"commit": private.head}, "secretRef": {"name": "login"}}
    await service.apply("GitRepository", "shop", url=private.url, **spec)

    await service.not_ready("GitRepository", "shop", "AuthenticationFailed")

    await service.secret("login", bearerToken="right-token")
    await service.ready("GitRepository", "shop")


async def test_login_by_secret_its_rotation_and_its_absence(
    service: SourceService, git_server: GitServer
) -> None:
    private = await git_server.repository("p", {"a": "b"}, authorization="Bearer first-token")
    spec = {"url": private.url, "ref": MAIN, "secretRef": {"name": "login"}, "interval": "300ms"}
    await service.apply("GitRepository", "shop", **spec)
    missing = await service.not_ready("GitRepository", "shop", "AuthenticationFailed")
    assert f"Secret {service.namespace}/login not found" in condition(missing, "Ready")["message"]
    await service.secret("login", bearerToken="first-token")
    await service.ready("GitRepository", "shop")

    await service.secret("login", bearerToken="second-token")
    private.authorization = "Bearer second-token"
    head = await private.commit("behind the new token", {"c": "d"})

    await service.ready("GitRepository", "shop", f"main@sha1:{head}")
    refused = [told for told in service.told if told.reason == "AuthenticationFailed"]
    assert len(refused) == 1  # that it was missing; the rotation alarms nobody
    everything = f"{service.told}{await service.read('GitRepository', 'shop')}"
    assert "first-token" not in everything
    assert "second-token" not in everything


async def test_a_full_disk_is_told_and_the_last_artifact_stays(
    service: SourceService, shop: Repository
) -> None:
    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
    good = await service.ready("GitRepository", "shop")
    folder = service.storage / "gitrepository" / service.namespace / "shop"
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("a file where the directory should be")
    await shop.commit("next", {"b": "2"})

    await service.request("GitRepository", "shop", "now")
    stored = await service.read("GitRepository", "shop")
    folder.unlink()
    aside.rename(folder)

    assert condition(stored, "StorageOperationFailed")["status"] == "True"
    head = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert head["status"]["artifact"] != good["status"]["artifact"]


async def test_twenty_objects_of_one_repository_share_a_mirror_and_finish(
    service: SourceService, shop: Repository
) -> None:
    """More of them than runs at a time: none may wait for what another can only give later."""
    for number in range(20):
        await service.apply("GitRepository", f"shop-{number}", url=shop.url, ref=MAIN)

    for number in range(20):
        await service.ready("GitRepository", f"shop-{number}")

    assert len(list((service.folder / "mirrors").iterdir())) == 1


async def test_a_server_that_hangs_holds_up_nobody_else(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:

    slow = await git_server.repository("slow", {"a": "b"})

    async def hangs(request: web.Request) -> None:
        if request.path.startswith("/slow"):
            await asyncio.Event().wait()

    git_server.fault = hangs
    for number in range(20):
        await service.apply("GitRepository", f"slow-{number}", url=slow.url, ref=MAIN)
    await eventually(lambda: len(git_server.requests), lambda count: count >= 10)

    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)

    await service.ready("GitRepository", "shop")
