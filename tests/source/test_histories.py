"""What people do to the history of a repository, and what that does to the artifact."""

import shutil
from datetime import UTC, datetime

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.reference import is_same_revision
from shared.cluster.objects import Manifest, ObjectRef
from tests.source.conftest import git_in
from tests.support.eventually import eventually
from tests.support.source_service import SOURCE, SourceService, condition

MAIN = {"branch": "main"}


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


async def applied(service: SourceService, repository: Repository, **ref: str) -> None:
    await service.apply("GitRepository", "shop", url=repository.url, ref=ref or MAIN)


async def ready(service: SourceService, revision: str) -> dict[str, bytes]:
    stored = await service.ready("GitRepository", "shop", revision)
    assert stored["status"]["artifact"]["revision"] == revision
    return await service.files(stored)


async def again(service: SourceService, token: str = "again") -> Manifest:
    return await service.request("GitRepository", "shop", token)


async def test_a_force_push_is_followed_wherever_it_leads(
    service: SourceService, shop: Repository
) -> None:
    first = shop.head
    second = await shop.commit("second", {"b": "2"})
    await applied(service, shop)
    await ready(service, f"main@sha1:{second}")
    await shop.branch("main", first)

    await again(service, "back")
    assert await ready(service, f"main@sha1:{first}") == {"a.yaml": b"a: 1\n"}
    rewritten = await shop.commit("without a past", {"c": "3"}, branch="elsewhere")
    await shop.branch("main", rewritten)
    await again(service, "elsewhere")

    assert await ready(service, f"main@sha1:{rewritten}") == {"c": b"3"}


async def test_a_branch_that_is_deleted_leaves_the_artifact_and_comes_back(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop)
    good = await service.ready("GitRepository", "shop")
    await git_in(shop, "update-ref", "-d", "refs/heads/main")
    await shop.branch("other")

    stored = await again(service)

    assert condition(stored, "FetchFailed")["reason"] == "GitOperationFailed"
    assert "'refs/heads/main' not found" in condition(stored, "Ready")["message"]
    assert stored["status"]["artifact"] == good["status"]["artifact"]
    await shop.branch("main")
    await ready(service, f"main@sha1:{shop.head}")
    assert [told.reason for told in service.told] == [
        "NewArtifact",
        "GitOperationFailed",
        "Succeeded",
    ]


async def test_an_empty_repository_is_named_so_until_its_first_commit(
    service: SourceService, shop: Repository
) -> None:
    await git_in(shop, "update-ref", "-d", "refs/heads/main")
    await applied(service, shop)

    stored = await service.not_ready("GitRepository", "shop", "EmptyGitRepository")

    assert condition(stored, "FetchFailed")["reason"] == "EmptyGitRepository"
    assert condition(stored, "Ready")["message"] == f"git repository {shop.url} is empty"
    head = await shop.commit("the first", {"first": "1"})
    await ready(service, f"main@sha1:{head}")


async def test_a_tag_that_is_moved_is_followed(service: SourceService, shop: Repository) -> None:
    first = shop.head
    await shop.tag("v1.0.0")
    await applied(service, shop, tag="v1.0.0")
    await ready(service, f"v1.0.0@sha1:{first}")
    second = await shop.commit("second", {"b": "2"})
    await git_in(shop, "tag", "--force", "-m", "moved", "v1.0.0", second)

    await again(service)

    assert "b" in await ready(service, f"v1.0.0@sha1:{second}")


async def test_a_commit_is_pinned_and_must_be_in_the_branch_that_is_named(
    service: SourceService, shop: Repository
) -> None:
    pinned = shop.head
    await shop.commit("second", {"b": "2"})
    stranger = await shop.commit("elsewhere", {"c": "3"}, branch="other")
    await applied(service, shop, branch="main", commit=pinned)
    assert await ready(service, f"main@sha1:{pinned}") == {"a.yaml": b"a: 1\n"}

    await applied(service, shop, branch="main", commit=stranger)
    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")

    assert condition(stored, "Ready")["message"].endswith(
        f"commit {stranger} is not in the history of branch 'main'"
    )
    await applied(service, shop, commit=stranger)
    assert await ready(service, f"sha1:{stranger}") == {"c": b"3"}


async def test_a_full_name_may_be_of_a_pull_request(
    service: SourceService, shop: Repository
) -> None:
    await git_in(shop, "update-ref", "refs/pull/1/head", shop.head)

    await applied(service, shop, name="refs/pull/1/head")

    await ready(service, f"refs/pull/1/head@sha1:{shop.head}")


async def test_of_tags_with_the_same_version_the_youngest_commit_is_taken(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    shop.now = lambda: datetime(2025, 1, 1, tzinfo=UTC)
    young = await shop.commit("young", {"young": ""})
    await shop.tag("v1.0.0+1")
    shop.now = lambda: datetime(2024, 1, 1, tzinfo=UTC)
    await shop.commit("old, but with the greater name", {"old": ""}, branch="old")
    await shop.tag("v1.0.0+2")
    await shop.tag("v0.9.0")

    await service.apply("GitRepository", "shop", url=shop.url, ref={"semver": "*"}, interval="1s")
    await ready(service, f"v1.0.0+1@sha1:{young}")
    git_server.requests.clear()
    await eventually(lambda: len(git_server.requests), lambda count: count >= 2)

    assert set(git_server.requests) == {"POST /shop.git/git-upload-pack"}
    assert [told.reason for told in service.told] == ["NewArtifact"]


async def test_an_event_shows_fifty_characters_of_the_subject(
    service: SourceService, shop: Repository
) -> None:
    await shop.commit("x" * 80 + "\n\nand a body", {"b": "2"})

    await applied(service, shop)
    await service.ready("GitRepository", "shop")

    assert [told.message for told in service.told] == [f"stored artifact for commit '{'x' * 50}'"]


async def test_an_artifact_of_the_old_form_of_revision_is_not_made_again(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop)
    await ready(service, f"main@sha1:{shop.head}")
    old = {"status": {"artifact": {"revision": f"main/{shop.head}"}}}
    ref = ObjectRef(SOURCE, "GitRepository", service.namespace, "shop")
    await service.cluster.merge_patch(ref, old, subresource="status")

    stored = await again(service)

    assert stored["status"]["artifact"]["revision"] == f"main/{shop.head}"
    assert condition(stored, "Ready")["status"] == "True"
    assert [told.reason for told in service.told] == ["NewArtifact"]


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("main/" + "a" * 40, "main@sha1:" + "a" * 40, True),
        ("team/dev/" + "a" * 40, "team/dev@sha1:" + "a" * 40, True),
        ("HEAD/" + "a" * 40, "sha1:" + "a" * 40, True),
        ("main/" + "a" * 40, "main@sha1:" + "b" * 40, False),
        ("dev/" + "a" * 40, "main@sha1:" + "a" * 40, False),
        ("main@sha1:" + "a" * 40, "main@sha1:" + "a" * 40, True),
        ("main/" + "a" * 64, "main@sha256:" + "a" * 64, True),
        ("", "main@sha1:" + "a" * 40, False),
    ],
)
def test_old_forms_of_revisions_are_understood(old: str, new: str, same: bool) -> None:
    assert is_same_revision(old, new) == same


async def test_a_mirror_that_lost_objects_is_made_anew_by_itself(
    service: SourceService, shop: Repository
) -> None:
    await shop.commit("many", {f"f{n}": str(n) for n in range(150)})
    await applied(service, shop)
    await service.ready("GitRepository", "shop")
    for path in service.folder.glob("mirrors/*/objects/pack/*.pack"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:100])

    spec = {"url": shop.url, "ref": MAIN, "ignore": "f1\n"}
    await service.apply("GitRepository", "shop", **spec)
    stored = await service.ready("GitRepository", "shop")

    assert len(await service.files(stored)) == 150


async def test_a_mirror_that_was_swept_away_is_made_again_without_an_alarm(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop)
    await service.ready("GitRepository", "shop")
    for path in service.folder.glob("mirrors/*"):
        shutil.rmtree(path)

    await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, ignore="x\n")
    await service.ready("GitRepository", "shop")

    assert [told.reason for told in service.told] == ["NewArtifact"]


async def test_the_same_content_by_other_rules_is_no_news(
    service: SourceService, shop: Repository
) -> None:
    await applied(service, shop)
    before = await service.ready("GitRepository", "shop")

    spec = {"url": shop.url, "ref": MAIN, "ignore": "nothing-that-is-there\n*.jpg\n"}
    await service.apply("GitRepository", "shop", **spec)
    after = await service.ready("GitRepository", "shop")

    assert before["status"]["artifact"]["digest"] == after["status"]["artifact"]["digest"]
    assert [told.reason for told in service.told] == ["NewArtifact"]
