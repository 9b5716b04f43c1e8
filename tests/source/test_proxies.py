import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from penstock.local.certificates import Certificates, certificates
from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.git.mirror import Place
from services.source.git.reference import Target, resolve
from services.source.git.remote import Remote, remote_of
from services.source.git.runner import GitError
from shared.credentials import Basic, InvalidCredentials, Proxy, proxy_credentials
from shared.resources.source.git_repository import GitReference
from shared.web.client import Request, WebError
from tests.source.conftest import Tools
from tests.support.command_lines import command_lines
from tests.support.encrypted import encrypted
from tests.support.proxies import ProxyServer, SocksServer, running
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import ssh_server

SOON = timedelta(seconds=20)
MAIN = GitReference(branch="main")
LOGIN = ("me@work", "canary:pass/word")
SERVER = ("http", "socks5")


@pytest.fixture
def keys(tmp_path: Path) -> Certificates:
    return certificates(tmp_path / "keys")


def a_proxy(scheme: str, login: tuple[str, str] | None = LOGIN) -> ProxyServer:
    return SocksServer(login=login) if scheme == "socks5" else ProxyServer(login=login)


@pytest.fixture(params=SERVER)
async def proxy(request: pytest.FixtureRequest) -> AsyncIterator[ProxyServer]:
    proxy = a_proxy(request.param)
    async with running(proxy):
        yield proxy


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    login = Basic("git", "s3cret-of-git").authorization
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n"}, authorization=login)


def through(proxy: ProxyServer, **changes: str) -> Proxy:
    return proxy_credentials({k: v.encode() for k, v in (proxy.secret() | changes).items()})


def secret_of_git(authority: str = "") -> dict[str, bytes]:
    login = {"username": b"git", "password": b"s3cret-of-git"}
    return login | ({"ca.crt": authority.encode()} if authority else {})


async def fetched(tools: Tools, remote: Remote) -> str:
    target = await resolve(MAIN, remote, tools.refs, SOON)
    async with tools.mirrors.opened(Place(remote.url, "ns/key"), SOON) as mirror:
        return await mirror.fetch(tools.refs.place_of(remote), target)


def invented(url: str) -> str:
    """The same, under a name that only the proxies know."""
    return url.replace("127.0.0.1", "git.invalid")


async def test_looking_and_fetching_go_through_it(
    tools: Tools, proxy: ProxyServer, shop: Repository, git_server: GitServer
) -> None:
    remote = remote_of(invented(shop.url), secret_of_git(), through(proxy))
    port = int(git_server.url.rpartition(":")[2])

    assert await fetched(tools, remote) == shop.head

    assert set(proxy.seen) == {f"git.invalid:{port}"}
    assert len(proxy.seen) >= 2
    assert len(git_server.requests) == 5


async def test_it_wins_over_what_the_environment_says(
    tools: Tools, proxy: ProxyServer, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert await fetched(tools, remote_of(invented(shop.url), secret_of_git(), through(proxy)))


async def test_through_a_tunnel_the_servers_certificate_is_checked(
    tools: Tools, proxy: ProxyServer, shop: Repository, git_server: GitServer, keys: Certificates
) -> None:
    async with encrypted(git_server.url, keys) as url:
        trusting = secret_of_git(keys.authority.read_text())
        known = remote_of(f"{url}/shop.git", trusting, through(proxy))
        unknown = remote_of(f"{url}/shop.git", secret_of_git(), through(proxy))

        assert await fetched(tools, known) == shop.head
        with pytest.raises(FetchFailed, match="certificate verify failed"):
            await fetched(tools, unknown)
        async with tools.mirrors.opened(Place("x", ""), SOON) as mirror:
            with pytest.raises(GitError, match="certificate"):
                await mirror.fetch(unknown, Target("refs/heads/main", shop.head, "main"))

    assert not [head for head in proxy.heads if b"\r\nAuthorization:" in head]


async def test_a_proxy_may_be_spoken_to_by_https(
    tools: Tools, shop: Repository, git_server: GitServer, keys: Certificates
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys.server, keys.server_key)
    proxy = ProxyServer(login=LOGIN, tls=context)
    trusting = secret_of_git(keys.authority.read_text())
    async with running(proxy), encrypted(git_server.url, keys) as url:
        remote = remote_of(f"{url}/shop.git", trusting, through(proxy))

        assert await fetched(tools, remote) == shop.head

    assert len(proxy.seen) >= 2


@pytest.mark.parametrize("scheme", SERVER)
@pytest.mark.parametrize("trouble", ["login", "nobody", "hangs", "refuses"])
async def test_a_proxy_that_fails_is_a_failure_of_the_web_and_shows_no_login(
    tools: Tools, shop: Repository, scheme: str, trouble: str
) -> None:
    proxy = a_proxy(scheme)
    async with running(proxy):
        chosen = through(proxy)
        if trouble == "login":
            chosen = through(proxy, password="canary-wrong")
        elif trouble == "nobody":
            chosen = through(proxy, address=f"{scheme}://127.0.0.1:1")
        elif trouble == "hangs":
            proxy.hangs = True
        elif isinstance(proxy, SocksServer):
            proxy.refusal = 2
        else:
            proxy.login = ("somebody", "else")
        request = Request(
            url=f"{shop.url}/x", limit=1000, deadline=timedelta(seconds=1), proxy=chosen
        )

        with pytest.raises(WebError) as failed:
            await tools.web.fetch(request)
        async with tools.mirrors.opened(Place("x", ""), timedelta(seconds=1)) as mirror:
            remote = Remote(shop.url, proxy=chosen)
            target = Target("refs/heads/main", shop.head, "main")
            with pytest.raises(GitError) as failed_too:
                await mirror.fetch(remote, target)

    for error in (failed, failed_too):
        assert "canary" not in str(error.value)
        assert "Y2FuYXJ5" not in str(error.value)


async def test_its_login_is_in_no_argument(
    tools: Tools, proxy: ProxyServer, shop: Repository, git_server: GitServer
) -> None:
    seen: list[bytes] = []

    async def look(request: object) -> None:
        seen.extend(command_lines())

    git_server.fault = look
    await fetched(tools, remote_of(shop.url, secret_of_git(), through(proxy)))

    assert [line for line in seen if b"fetch" in line]
    assert not [line for line in seen if b"canary" in line]


async def test_ssh_goes_through_it(tools: Tools, proxy: ProxyServer, shop: Repository) -> None:
    async with ssh_server() as server:
        values = {key: text.encode() for key, text in server.secret().items()}
        values["known_hosts"] = values["known_hosts"].replace(b"127.0.0.1", b"git.invalid")
        remote = remote_of(invented(server.url(shop)), values, through(proxy))

        assert await fetched(tools, remote) == shop.head

    assert proxy.seen == [f"git.invalid:{server.port}"] * 2


@pytest.mark.parametrize("scheme", SERVER)
@pytest.mark.parametrize(
    ("trouble", "problem"),
    [("login", "the proxy "), ("nobody", "the proxy "), ("hangs", "no complete answer within")],
)
async def test_ssh_tells_which_proxy_failed_and_shows_no_login(
    tools: Tools, shop: Repository, scheme: str, trouble: str, problem: str
) -> None:
    proxy = a_proxy(scheme)
    async with running(proxy), ssh_server() as server:
        values = {key: text.encode() for key, text in server.secret().items()}
        changes = {
            "login": {"password": "canary-wrong"},
            "nobody": {"address": f"{scheme}://127.0.0.1:1"},
        }
        proxy.hangs = trouble == "hangs"
        chosen = through(proxy, **changes.get(trouble, {}))
        remote = remote_of(server.url(shop), values, chosen)

        with pytest.raises(FetchFailed, match=problem) as failed:
            await resolve(MAIN, remote, tools.refs, timedelta(seconds=1))

    assert "canary" not in str(failed.value)
    assert server.commands == []


async def test_a_proxy_that_asks_for_a_login_gets_none_and_says_so(
    tools: Tools, proxy: ProxyServer, shop: Repository
) -> None:
    nobody = Proxy(proxy.address)
    async with ssh_server() as server:
        values = {key: text.encode() for key, text in server.secret().items()}
        with pytest.raises(FetchFailed, match="the proxy "):
            await fetched(tools, remote_of(server.url(shop), values, nobody))
    with pytest.raises(FetchFailed):
        await fetched(tools, remote_of(shop.url, secret_of_git(), nobody))


def test_ssh_through_an_https_proxy_is_refused_in_words() -> None:
    proxy = Proxy("https://proxy.example:443")

    with pytest.raises(InvalidCredentials, match="use http or socks5"):
        remote_of("ssh://git@h/x", {"identity": b"x", "known_hosts": b"y"}, proxy)


@pytest.mark.parametrize(
    ("address", "full"),
    [
        ("http://proxy", "http://proxy:80"),
        ("https://proxy/", "https://proxy:443/"),
        ("socks5://proxy", "socks5://proxy:1080"),
        ("socks5://[::1]", "socks5://[::1]:1080"),
        ("http://proxy:3128", "http://proxy:3128"),
    ],
)
def test_its_port_is_the_same_for_all_who_use_it(address: str, full: str) -> None:
    assert proxy_credentials({"address": address.encode()}).address == full


async def test_a_repository_behind_a_proxy_becomes_an_artifact(
    service: SourceService, proxy: ProxyServer, shop: Repository
) -> None:
    await service.secret("git", username="git", password="s3cret-of-git")
    await service.secret("way", **proxy.secret() | {"address": "ftp://127.0.0.1"})
    spec = {"secretRef": {"name": "git"}, "proxySecretRef": {"name": "way"}}
    await service.apply(
        "GitRepository", "shop", url=invented(shop.url), ref={"branch": "main"}, **spec
    )
    stored = await service.not_ready("GitRepository", "shop", "AuthenticationFailed")
    message = condition(stored, "FetchFailed")["message"]
    assert message == (
        f"Secret {service.namespace}/way: address is not a URL of one of the schemes "
        "http, https, socks5"
    )

    await service.secret("way", **proxy.secret())
    await service.request("GitRepository", "shop", "now")

    await service.ready("GitRepository", "shop")
