import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed, GitStalled
from services.source.git.reference import Target, resolve
from services.source.git.remote import Remote
from shared.credentials import Basic, HttpCredentials
from shared.resources.source.git_repository import GitReference
from tests.source.conftest import Tools, git_in

SOON = timedelta(seconds=10)
FULL = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


async def resolved(repository: Repository, tools: Tools, **reference: str) -> Target:
    wanted = GitReference(**reference)
    return await resolve(wanted, Remote(repository.url), tools.refs, SOON)


async def test_each_kind_of_reference_has_its_own_form_of_revision(
    shop: Repository, tools: Tools
) -> None:
    head = shop.head
    await shop.tag("v1.2.0")
    await shop.branch("team/dev")
    await shop.branch("master")

    async def revision(**reference: str) -> str:
        return (await resolved(shop, tools, **reference)).revision

    assert await revision() == f"master@sha1:{head}"
    assert await revision(branch="main") == f"main@sha1:{head}"
    assert await revision(branch="team/dev") == f"team/dev@sha1:{head}"
    assert await revision(tag="v1.2.0") == f"v1.2.0@sha1:{head}"
    assert await revision(name="refs/heads/main") == f"refs/heads/main@sha1:{head}"
    assert await revision(commit=head) == f"sha1:{head}"
    assert await revision(commit=head, branch="main") == f"main@sha1:{head}"
    assert await revision(semver="^1.0") == f"v1.2.0@sha1:{head}"


async def test_commit_beats_name_beats_tag_beats_semver_beats_branch(
    shop: Repository, tools: Tools
) -> None:
    await shop.tag("v1.0.0")
    everything = {
        "commit": FULL,
        "name": "refs/heads/main",
        "tag": "v1.0.0",
        "semver": "*",
        "branch": "gone",
    }
    labels = []
    for field in ("commit", "name", "tag", "semver"):
        labels.append((await resolved(shop, tools, **everything)).label)
        del everything[field]

    assert labels == ["gone", "refs/heads/main", "v1.0.0", "v1.0.0"]


async def test_an_annotated_tag_means_its_commit(
    git_server: GitServer, tools: Tools, shop: Repository
) -> None:
    await git_in(shop, "tag", "-m", "release", "v2", shop.head)

    target = await resolved(shop, tools, tag="v2")

    assert target.commit == shop.head


async def test_the_highest_version_in_the_range_is_taken(shop: Repository, tools: Tools) -> None:
    for tag in ("v1.2.0", "v1.10.0", "v2.0.0", "v1.11.0-rc1", "1.9", "latest"):
        await shop.tag(tag)

    assert (await resolved(shop, tools, semver=">=1.0 <2")).label == "v1.10.0"
    assert (await resolved(shop, tools, semver=">=1.0.0-0 <2")).label == "v1.11.0-rc1"


async def test_a_second_look_is_one_request(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    await resolved(shop, tools, branch="main")
    git_server.requests.clear()

    await resolved(shop, tools, branch="main")

    assert git_server.requests == ["POST /shop.git/git-upload-pack"]


async def test_a_pinned_commit_needs_no_request(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    await resolved(shop, tools, commit=FULL)

    assert git_server.requests == []


async def test_a_missing_branch_and_an_empty_repository_are_told_apart(
    shop: Repository, tools: Tools
) -> None:
    with pytest.raises(FetchFailed, match="'refs/heads/gone' not found") as missing:
        await resolved(shop, tools, branch="gone")
    await git_in(shop, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(FetchFailed, match="is empty") as empty:
        await resolved(shop, tools, branch="main")

    assert (missing.value.reason, empty.value.reason) == (
        "GitOperationFailed",
        "EmptyGitRepository",
    )


@pytest.mark.parametrize(
    "reference",
    [
        {"branch": "--upload-pack=touch canary"},
        {"branch": "a..b"},
        {"branch": "x\ncommand=fetch"},
        {"branch": "x.lock"},
        {"tag": "-x y"},
        {"tag": "v1^{}"},
        {"name": "refs/heads/../../config"},
        {"name": "HEAD"},
        {"name": "refs/remotes/x"},
        {"commit": "HEAD;id"},
        {"commit": "abc123"},
        {"commit": "--output=x"},
        {"semver": "latest; id"},
    ],
)
async def test_a_hostile_reference_is_refused_unasked(
    shop: Repository, tools: Tools, git_server: GitServer, reference: dict[str, str]
) -> None:
    git_server.requests.clear()

    with pytest.raises(GitStalled):
        await resolved(shop, tools, **reference)

    assert [r for r in git_server.requests if "semver" not in reference] == []


async def test_a_login_is_needed_where_it_is_asked_for(git_server: GitServer, tools: Tools) -> None:
    login = Basic("git", "s3cret-word")
    private = await git_server.repository("private", {"a": "b"}, authorization=login.authorization)
    main = GitReference(branch="main")

    with pytest.raises(FetchFailed) as refused:
        await resolve(main, Remote(private.url), tools.refs, SOON)
    admitted = await resolve(main, Remote(private.url, HttpCredentials(login)), tools.refs, SOON)

    assert refused.value.reason == "AuthenticationFailed"
    assert admitted.commit == private.head


async def test_a_server_of_the_old_protocol_is_understood(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    await git_in(shop, "tag", "-m", "release", "v2.0.0", shop.head)

    async def as_of_old(request: web.Request) -> web.StreamResponse:
        arguments = ("upload-pack", "--stateless-rpc", "--advertise-refs", ".")
        said = await git_in(shop, *arguments)
        return web.Response(
            body=b"001e# service=git-upload-pack\n0000" + said,
            content_type="application/x-git-upload-pack-advertisement",
        )

    git_server.fault = as_of_old

    assert (await resolved(shop, tools, tag="v2.0.0")).commit == shop.head
    assert (await resolved(shop, tools, branch="main")).commit == shop.head


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>welcome</html>"),
        web.Response(status=500),
        web.Response(body=b"zzzz", content_type="application/x-git-upload-pack-advertisement"),
        web.Response(body=b"00ffcut", content_type="application/x-git-upload-pack-advertisement"),
    ],
    ids=["a page", "an error", "no packets", "half a packet"],
)
async def test_what_is_no_git_server_is_a_failure_that_says_so(
    shop: Repository, tools: Tools, git_server: GitServer, answer: web.Response
) -> None:
    async def strange(request: web.Request) -> web.StreamResponse:
        return answer

    git_server.fault = strange

    with pytest.raises(FetchFailed, match="failed to list remote references: http://127"):
        await resolved(shop, tools, branch="main")


async def test_a_server_that_hangs_is_left_at_the_deadline(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    async def hangs(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    git_server.fault = hangs

    with pytest.raises(FetchFailed, match=r"no complete answer within 0\.1s"):
        await resolve(
            GitReference(branch="main"),
            Remote(shop.url),
            tools.refs,
            timedelta(seconds=0.1),
        )
