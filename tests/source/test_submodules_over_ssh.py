from collections.abc import AsyncIterator

import pytest

from penstock.local.git_server import GitServer
from tests.source.test_submodules import link, section
from tests.support.source_service import SourceService
from tests.support.ssh_server import SshServer, new_key, ssh_server


@pytest.fixture
async def server() -> AsyncIterator[SshServer]:
    async with ssh_server(users={"git": new_key(), "alice": new_key()}) as server:
        yield server


@pytest.mark.parametrize("user", ["git", "alice"])
@pytest.mark.parametrize("relative", [True, False])
async def test_a_deploy_key_opens_submodules_of_the_same_server(
    service: SourceService, git_server: GitServer, server: SshServer, user: str, relative: bool
) -> None:
    shop = await git_server.repository("shop", {"a": "1"})
    library = await git_server.repository("library", {"l": "1"})
    url = "../library.git" if relative else server.url(library, user)
    await link(shop, {"lib": library.head}, section("lib", url))
    await service.secret("key", **server.secret(user))

    spec = {"url": server.url(shop, user), "ref": {"branch": "main"}, "recurseSubmodules": True}
    await service.apply("GitRepository", "shop", **spec, secretRef={"name": "key"})
    stored = await service.ready("GitRepository", "shop")

    assert sorted(await service.files(stored)) == ["a", "lib/l"]
