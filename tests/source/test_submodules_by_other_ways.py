"""Submodules are reached as their parent is: over ssh with its key, through its proxy."""

from collections.abc import AsyncIterator

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from tests.source.conftest import git_in
from tests.support.proxies import ProxyServer, running
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import SshServer, ssh_server

MAIN = {"branch": "main"}


@pytest.fixture
async def server() -> AsyncIterator[SshServer]:
    async with ssh_server() as server:
        yield server


@pytest.fixture
async def library(git_server: GitServer) -> Repository:
    return await git_server.repository("library", {"lib.yaml": "lib: 1\n"})


async def with_submodule(git_server: GitServer, library: Repository, url: str) -> Repository:
    shop = await git_server.repository(
        "shop", {".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'}
    )
    orders = "commit refs/heads/main\ncommitter t <t@localhost> 1700000000 +0000\ndata 4\nlink\n"
    orders += f"from {shop.head}\nM 160000 {library.head} lib\n"
    await git_in(shop, "fast-import", "--quiet", given=orders.encode())
    return shop


@pytest.mark.parametrize("is_relative", [True, False], ids=["relative", "absolute"])
async def test_over_ssh_with_the_same_key(
    service: SourceService,
    server: SshServer,
    git_server: GitServer,
    library: Repository,
    is_relative: bool,
) -> None:
    url = "../library.git" if is_relative else server.url(library)
    shop = await with_submodule(git_server, library, url)
    await service.secret("key", **server.secret())
    spec = {"secretRef": {"name": "key"}, "recurseSubmodules": True}

    await service.apply("GitRepository", "shop", url=server.url(shop), ref=MAIN, **spec)

    stored = await service.ready("GitRepository", "shop")
    assert await service.files(stored) == {"lib/lib.yaml": b"lib: 1\n"}
    assert f"git-upload-pack '{library.folder}'" in server.commands


async def test_of_a_host_whose_key_is_not_known_is_refused(
    service: SourceService, server: SshServer, git_server: GitServer, library: Repository
) -> None:
    async with ssh_server() as other:
        shop = await with_submodule(git_server, library, other.url(library))
        await service.secret("key", **server.secret())
        spec = {"secretRef": {"name": "key"}, "recurseSubmodules": True}

        await service.apply("GitRepository", "shop", url=server.url(shop), ref=MAIN, **spec)

        stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")

    assert "known_hosts has no key of this host" in condition(stored, "Ready")["message"]
    assert other.commands == []


async def test_through_the_same_proxy(
    service: SourceService, git_server: GitServer, library: Repository
) -> None:
    shop = await with_submodule(git_server, library, "../library.git")
    proxy = ProxyServer(login=("me", "canary-of-the-proxy"))
    async with running(proxy):
        await service.secret("way", **proxy.secret())
        spec = {"proxySecretRef": {"name": "way"}, "recurseSubmodules": True}
        url = shop.url.replace("127.0.0.1", "git.invalid")

        await service.apply("GitRepository", "shop", url=url, ref=MAIN, **spec)

        stored = await service.ready("GitRepository", "shop")
    assert await service.files(stored) == {"lib/lib.yaml": b"lib: 1\n"}
