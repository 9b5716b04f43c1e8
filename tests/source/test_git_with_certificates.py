import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.local.certificates import Certificates, certificates
from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from tests.support.client_keys import ClientKeys, client_keys
from tests.support.encrypted import encrypted
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}


@dataclass
class Strict:
    """A Git server that lets nobody in without a certificate."""

    url: str
    keys: Certificates
    client: ClientKeys
    context: ssl.SSLContext

    def secret(self) -> dict[str, str]:
        return {
            "ca.crt": self.keys.authority.read_text(),
            "tls.crt": self.client.certificate,
            "tls.key": self.client.key,
        }


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a": "b"})


@pytest.fixture
async def strict(git_server: GitServer, tmp_path: Path) -> AsyncIterator[Strict]:
    keys, client = certificates(tmp_path / "keys"), client_keys()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=client.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(keys.server, keys.server_key)
    async with encrypted(git_server.url, keys, context) as url:
        yield Strict(f"{url}/shop.git", keys, client, context)


async def apply(service: SourceService, url: str) -> None:
    await service.apply("GitRepository", "shop", url=url, ref=MAIN, secretRef={"name": "tls"})


@pytest.mark.parametrize(
    "names",
    [("ca.crt", "tls.crt", "tls.key"), ("caFile", "certFile", "keyFile")],
    ids=["today's keys", "the old keys"],
)
async def test_a_server_that_asks_for_a_certificate_gets_it(
    service: SourceService, strict: Strict, shop: Repository, names: tuple[str, ...]
) -> None:
    await service.secret("tls", **dict(zip(names, strict.secret().values(), strict=True)))

    await apply(service, strict.url)

    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert await service.files(stored) == {"a": b"b"}


async def test_without_it_the_server_says_no(
    service: SourceService, strict: Strict, shop: Repository
) -> None:
    await service.secret("tls", **{"ca.crt": strict.secret()["ca.crt"]})

    await apply(service, strict.url)

    stored = await service.not_ready("GitRepository", "shop", "GitOperationFailed")
    message = condition(stored, "FetchFailed")["message"]
    assert re.search("certificate required|Server disconnected", message)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tls.key": client_keys().key}, "tls.key must be PEM, and the pair must match"),
        ({"tls.crt": "nonsense"}, "tls.key must be PEM, and the pair must match"),
        ({"ca.crt": "nonsense"}, "tls.key must be PEM, and the pair must match"),
        ({"tls.key": ""}, "needs both tls.crt and tls.key, or neither"),
    ],
)
async def test_keys_that_are_none_are_a_problem_of_the_secret(
    service: SourceService,
    strict: Strict,
    shop: Repository,
    changes: dict[str, str],
    problem: str,
) -> None:
    await service.secret("tls", **strict.secret() | changes)

    await apply(service, strict.url)

    stored = await service.not_ready("GitRepository", "shop", "AuthenticationFailed")
    message = condition(stored, "FetchFailed")["message"]
    assert message.startswith(f"Secret {service.namespace}/tls: ")
    assert message.endswith(problem)
    assert "BEGIN" not in message


async def test_a_new_authority_in_the_secret_counts_without_a_restart(
    service: SourceService, strict: Strict, shop: Repository, tmp_path: Path
) -> None:
    await service.secret("tls", **strict.secret())
    await apply(service, strict.url)
    await service.ready("GitRepository", "shop")
    new = certificates(tmp_path / "new-keys")
    strict.context.load_cert_chain(new.server, new.server_key)
    second = await shop.commit("second", {"c": "d"})

    stored = await service.request("GitRepository", "shop", "now")
    assert condition(stored, "Ready")["reason"] == "GitOperationFailed"
    assert "certificate" in condition(stored, "Ready")["message"]
    await service.secret("tls", **strict.secret() | {"ca.crt": new.authority.read_text()})

    await service.ready("GitRepository", "shop", f"main@sha1:{second}")
