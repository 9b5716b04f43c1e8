import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import hdrs, web
from multidict import CIMultiDict

from penstock.local.git_repository import Content, Repository
from penstock.local.git_server import GitServer, _run_backend, basic
from services.source.git import submodules
from services.source.git.gitmodules import Submodule, SubmoduleError, address_of, submodules_in
from tests.source.conftest import git_in
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}


async def link(
    parent: Repository,
    links: Mapping[str, str],
    gitmodules: str,
    files: Mapping[str, Content] | None = None,
) -> str:
    """A commit with submodules: ids of commits by their path."""
    parent.head = await parent.commit("link", {".gitmodules": gitmodules, **(files or {})})
    orders = "commit refs/heads/main\ncommitter t <t@localhost> 1700000000 +0000\ndata 4\nlink\n"
    orders += f"from {parent.head}\n"
    orders += "".join(f'M 160000 {commit} "{path}"\n' for path, commit in links.items())
    await git_in(parent, "fast-import", "--quiet", given=orders.encode())
    parent.head = await parent.revision("refs/heads/main")
    return parent.head


def section(path: str, url: str, name: str = "") -> str:
    return f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n'


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


@pytest.fixture
async def library(git_server: GitServer) -> Repository:
    return await git_server.repository("library", {"lib.yaml": "lib: 1\n", "x/y.yaml": "y: 1\n"})


async def applied(service: SourceService, url: str, **spec: object) -> None:
    await service.apply(
        "GitRepository", "shop", **{"url": url, "ref": MAIN, "recurseSubmodules": True, **spec}
    )


async def refused(service: SourceService, url: str, **spec: object) -> str:
    await applied(service, url, **spec)
    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")
    assert condition(stored, "FetchFailed")["status"] == "True"
    return str(condition(stored, "Ready")["message"])


async def test_submodules_are_packed_at_their_paths_and_at_their_commits(
    service: SourceService, git_server: GitServer, shop: Repository, library: Repository
) -> None:
    deep = await git_server.repository("deep", {"deep.yaml": "d: 1\n"})
    head = await link(library, {"inner": deep.head}, section("inner", deep.url))
    await library.commit("later, and not pinned", {"later.yaml": ""})
    await link(shop, {"vendor/lib": head}, section("vendor/lib", "../library.git"))

    await applied(service, shop.url)
    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")

    assert await service.files(stored) == {
        "a.yaml": b"a: 1\n",
        "vendor/lib/inner/deep.yaml": b"d: 1\n",
        "vendor/lib/lib.yaml": b"lib: 1\n",
        "vendor/lib/x/y.yaml": b"y: 1\n",
    }
    assert stored["status"]["observedRecurseSubmodules"] is True


async def test_without_the_field_submodules_stay_out_and_with_it_they_come_in(
    service: SourceService, git_server: GitServer, shop: Repository, library: Repository
) -> None:
    await link(shop, {"lib": library.head}, section("lib", "../library.git"))
    await applied(service, shop.url, recurseSubmodules=False)
    stored = await service.ready("GitRepository", "shop")
    assert list(await service.files(stored)) == ["a.yaml"]
    assert not [line for line in git_server.requests if "library" in line]

    await applied(service, shop.url)

    stored = await service.until(
        "GitRepository", "shop", lambda o: o["status"].get("observedRecurseSubmodules")
    )
    assert "lib/lib.yaml" in await service.files(stored)


async def test_with_submodules_a_tick_still_costs_one_request(
    service: SourceService, git_server: GitServer, shop: Repository, library: Repository
) -> None:
    await link(shop, {"lib": library.head}, section("lib", "../library.git"))
    await applied(service, shop.url)
    await service.ready("GitRepository", "shop")
    git_server.requests.clear()

    await service.request("GitRepository", "shop", "again")

    assert git_server.requests == ["POST /shop.git/git-upload-pack"]


async def test_the_same_repository_twice_at_different_commits(
    service: SourceService, shop: Repository, library: Repository
) -> None:
    first = library.head
    second = await library.commit("second", {"lib.yaml": "lib: 2\n"})
    described = section("one", "../library.git") + section("two", "../library.git")
    await link(shop, {"one": first, "two": second}, described)

    await applied(service, shop.url)
    files = await service.files(await service.ready("GitRepository", "shop"))

    assert (files["one/lib.yaml"], files["two/lib.yaml"]) == (b"lib: 1\n", b"lib: 2\n")


async def test_a_server_that_gives_out_no_bare_commit_is_asked_for_its_references(
    service: SourceService, git_server: GitServer, shop: Repository, library: Repository
) -> None:
    """As servers of the old protocol are, unless they are told otherwise."""
    pinned = library.head
    await library.commit("later", {"lib.yaml": "lib: 2\n"})
    await git_in(library, "config", "uploadpack.allowAnySHA1InWant", "false")
    await link(shop, {"lib": pinned}, section("lib", "../library.git"))

    async def as_of_old(request: web.Request) -> web.StreamResponse | None:
        if not request.path.startswith("/library"):
            return None
        headers = CIMultiDict(request.headers)
        headers.pop("Git-Protocol", None)
        return await _run_backend(library, request.clone(headers=headers))

    git_server.fault = as_of_old
    await applied(service, shop.url)
    stored = await service.ready("GitRepository", "shop")

    assert (await service.files(stored))["lib/lib.yaml"] == b"lib: 1\n"


async def test_a_commit_that_is_nowhere_is_a_failure_that_names_it(
    service: SourceService, shop: Repository, library: Repository
) -> None:
    await link(shop, {"lib": "1" * 40}, section("lib", "../library.git"))

    message = await refused(service, shop.url)

    assert "submodule 'lib'" in message
    assert "1" * 40 in message


async def test_credentials_go_to_the_submodules_of_the_same_server_and_to_no_other(
    service: SourceService, git_server: GitServer, tmp_path: Path
) -> None:
    canary = "Bearer canary-token-of-shop"
    shop = await git_server.repository("p", {"a": "b"}, authorization=canary)
    near = await git_server.repository("near", {"n": "1"}, authorization=canary)
    heard: list[str] = []

    async def listens(request: web.Request) -> None:
        heard.append(request.headers.get(hdrs.AUTHORIZATION, ""))

    async with GitServer(tmp_path / "elsewhere") as other:
        other.fault = listens
        far = await other.repository("far", {"f": "1"})
        described = section("near", "../near.git") + section("far", far.url)
        await link(shop, {"near": near.head, "far": far.head}, described)
        await service.secret("login", bearerToken="canary-token-of-shop")
        await applied(service, shop.url, secretRef={"name": "login"})
        stored = await service.ready("GitRepository", "shop")

    assert {"near/n", "far/f"} <= set(await service.files(stored))
    assert set(heard) == {""}


async def test_repositories_that_are_each_others_submodules_finish(
    service: SourceService, shop: Repository, library: Repository
) -> None:
    """Each run holds two mirrors; none may wait for one that the other holds."""
    first = shop.head
    head = await link(library, {"shop": first}, section("shop", "../shop.git"))
    await link(shop, {"library": head}, section("library", "../library.git"))

    await applied(service, shop.url)
    spec = {"url": library.url, "ref": MAIN, "recurseSubmodules": True}
    await service.apply("GitRepository", "library", **spec)

    files = await service.files(await service.ready("GitRepository", "shop"))
    assert "library/shop/a.yaml" in files
    await service.ready("GitRepository", "library")


@pytest.mark.parametrize(
    ("limit", "said"), [("MAX_DEPTH", "nest deeper than 1"), ("MAX_COUNT", "more than 1 submod")]
)
async def test_depth_and_number_are_bounded(
    service: SourceService,
    shop: Repository,
    library: Repository,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    said: str,
) -> None:
    head = await link(library, {"shop": shop.head}, section("shop", "../shop.git"))
    await link(shop, {"library": head}, section("library", "../library.git"))
    monkeypatch.setattr(submodules, limit, 1)

    assert said in await refused(service, shop.url)


async def test_a_link_that_nothing_describes_is_a_failure(
    service: SourceService, shop: Repository, library: Repository
) -> None:
    await link(shop, {"lib": library.head}, section("other", "../library.git"))

    assert "'lib' is not in .gitmodules" in await refused(service, shop.url)


async def test_a_server_that_hangs_ends_with_the_objects_timeout(
    service: SourceService, git_server: GitServer, shop: Repository, library: Repository
) -> None:
    await link(shop, {"lib": library.head}, section("lib", "../library.git"))

    async def hangs(request: web.Request) -> None:
        if request.path.startswith("/library"):
            await asyncio.Event().wait()

    git_server.fault = hangs

    assert "within 1s" in await refused(service, shop.url, timeout="1s")


async def test_a_hostile_address_is_refused_and_runs_nothing(
    service: SourceService, shop: Repository, library: Repository, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    url = f'"ext::sh -c touch% {canary}"'
    await link(shop, {"lib": library.head}, section("lib", url))

    message = await refused(service, shop.url)

    assert "submodule 'lib' has the URL 'ext::sh" in message
    assert not canary.exists()


async def test_a_login_in_an_address_is_used_and_shown_to_nobody(
    service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    login = basic("robot", "canary-in-gitmodules")
    private = await git_server.repository("private", {"p": "1"}, authorization=login)
    url = private.url.replace("://", "://robot:canary-in-gitmodules@")
    await link(shop, {"p": private.head}, section("p", url))
    await applied(service, shop.url)
    stored = await service.ready("GitRepository", "shop")
    assert "p/p" in await service.files(stored)

    await link(shop, {"p": "1" * 40}, section("p", url))
    await service.request("GitRepository", "shop", "now")

    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")
    assert "canary" not in f"{stored}{service.told}"


def addresses(listing: bytes) -> list[str]:
    parent = "https://git.example/team/shop.git"
    return [address_of(module, parent) for module in submodules_in(listing).values()]


def listing(**values: str) -> bytes:
    name = values.pop("name", "lib")
    lines = [f"submodule.{name}.{key}\n{value}\0" for key, value in values.items()]
    return "".join(lines).encode()


@pytest.mark.parametrize(
    "values",
    [
        {"name": "../../hooks", "path": "lib", "url": "../x"},
        {"path": "../lib", "url": "../x"},
        {"path": "/etc", "url": "../x"},
        {"path": "lib/.git/hooks", "url": "../x"},
        {"path": "lib/.GIT", "url": "../x"},
        {"path": "-lib", "url": "../x"},
        {"path": "", "url": "../x"},
        {"path": "lib", "url": "-oProxyCommand=x"},
        {"path": "lib", "url": "--upload-pack=touch canary"},
        {"path": "lib", "url": "https://example.com/a b"},
        {"path": "lib", "url": "https://example.com/a\nb"},
        {"path": "lib", "url": "ext::sh -c x"},
        {"path": "lib", "url": "ext::x"},
        {"path": "lib", "url": "file:///etc"},
        {"path": "lib", "url": "/etc"},
        {"path": "lib", "url": "git://example.com/x"},
        {"path": "lib", "url": "ssh://git@example.com/x"},
        {"path": "lib", "url": "git@example.com:x/y.git"},
        {"path": "lib", "url": "https:///x"},
        {"path": "lib", "url": "https://[::1/x"},
        {"path": "lib", "url": "../../../../../x"},
        {"path": "lib", "url": "./../../../x/../../y"},
        {"path": "lib", "url": ".."},
        {"path": "lib", "url": "../"},
        {"path": "lib", "url": ""},
    ],
)
def test_what_leads_out_or_is_not_http_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(SubmoduleError, match="submodule"):
        addresses(listing(**values))


@pytest.mark.parametrize(
    ("url", "parent", "address"),
    [
        ("../lib.git", "https://h/team/shop.git", "https://h/team/lib.git"),
        ("../lib.git", "https://h:8443/team/shop.git/", "https://h:8443/team/lib.git"),
        ("../../other/lib", "https://h/team/shop", "https://h/other/lib"),
        ("./lib", "https://h/team/shop.git", "https://h/team/shop.git/lib"),
        ("http://other/x", "https://h/team/shop.git", "http://other/x"),
        ("git@h:team/lib.git", "ssh://git@h/team/shop.git", "ssh://git@h/team/lib.git"),
        ("../lib", "ssh://git@h:22/team/shop.git", "ssh://git@h:22/team/lib"),
    ],
)
def test_relative_addresses_start_from_the_parents(url: str, parent: str, address: str) -> None:
    assert address_of(Submodule("lib", "lib", url), parent) == address


def test_a_path_is_the_name_where_none_is_given_and_other_settings_mean_nothing() -> None:
    said = b"submodule.a.b.url\n../x\0submodule.a.b.update\n!touch canary\0core.sshcommand\nx\0"

    assert submodules_in(said) == {"a.b": Submodule("a.b", "a.b", "../x")}
