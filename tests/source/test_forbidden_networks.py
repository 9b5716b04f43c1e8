"""No request goes to an address that the operator forbids, however an object names it.

127.0.0.2 stands for what is forbidden where another server has to be reached first.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.fetching_identities import FetchingIdentities
from services.source.git.mirror import Mirrors, Place
from services.source.git.reference import Target, resolve
from services.source.git.refs import GitRefs
from services.source.git.remote import Remote, remote_of
from services.source.git.runner import GitError, GitRunner
from services.source.oci.address import Access, Repository
from services.source.oci.registry import Registry
from shared.cloud.identities import OBJECT_LEVEL
from shared.cluster.client import Cluster
from shared.credentials import Proxy
from shared.resources.source.git_repository import GitReference
from shared.settings import SettingError, load
from shared.web.client import Request, WebClient, WebError
from shared.web.reach import EVERYWHERE, Forbidden, Reach
from shared.web.wire import Wire, WireError
from tests.source.test_cloud_identities import BLOBS, an_ask
from tests.support.clouds import Clouds
from tests.support.odd_registry import answers, at, odd_registry, refused
from tests.support.served import served
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import ssh_server

HERE = Reach.of(["loopback"])
THERE = Reach.of(["127.0.0.2"])
SOON = timedelta(seconds=10)
MAIN = GitReference(branch="main")
SAID = "FORBIDDEN_NETWORKS forbids; name another server"


@dataclass
class Sink:
    """Whoever connects is counted, and sent away."""

    port: int = 0
    connections: int = 0

    async def serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[Sink]:
    sink = Sink()
    async with await asyncio.start_server(sink.serve, host, 0) as server:
        sink.port = server.sockets[0].getsockname()[1]
        yield sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with listening() as sink:
        yield sink


async def by_web(reach: Reach, address: str, folder: Path, proxy: Proxy | None = None) -> None:
    async with WebClient.open(reach) as client:
        await client.fetch(
            Request(url=f"http://{address}/x", limit=100, deadline=SOON, proxy=proxy)
        )


async def by_wire(reach: Reach, address: str, folder: Path, proxy: Proxy | None = None) -> None:
    async with Wire.open(proxy=proxy, reach=reach) as wire:
        await wire.call(wire.send, "GET", f"http://{address}/x", {})


async def by_git(reach: Reach, address: str, folder: Path, proxy: Proxy | None = None) -> None:
    mirrors = Mirrors(folder / "mirrors", GitRunner(folder / "home"), reach=reach)
    async with mirrors.opened(Place(address, ""), SOON) as mirror:
        target = Target("refs/heads/main", "0" * 40, "main")
        await mirror.fetch(Remote(f"http://{address}/x.git", proxy=proxy), target)


async def by_ssh(reach: Reach, address: str, folder: Path, proxy: Proxy | None = None) -> None:
    async with ssh_server() as server, WebClient.open(reach) as client:
        values = {key: text.encode() for key, text in server.secret().items()}
        remote = remote_of(f"ssh://git@{address}/x.git", values, proxy)
        await resolve(MAIN, remote, GitRefs(client, reach=reach), SOON)


WAYS = pytest.mark.parametrize("way", [by_web, by_wire, by_git, by_ssh])
FAILURES = (WebError, WireError, GitError, FetchFailed)


@WAYS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_is_connected_to_where_that_is_forbidden(
    way: Callable[..., Awaitable[None]], host: str, sink: Sink, tmp_path: Path
) -> None:
    with pytest.raises(FAILURES, match=SAID):
        await way(HERE, f"{host}:{sink.port}", tmp_path)

    assert sink.connections == 0


@WAYS
@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0", "[::ffff:127.0.0.1]"])
async def test_odd_spellings_lead_nowhere(
    way: Callable[..., Awaitable[None]], host: str, sink: Sink, tmp_path: Path
) -> None:
    with pytest.raises(FAILURES):  # some of them are no URL for aiohttp
        await way(HERE, f"{host}:{sink.port}", tmp_path)

    assert sink.connections == 0


@WAYS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_where_nothing_is_forbidden_the_same_is_connected_to(
    way: Callable[..., Awaitable[None]], host: str, sink: Sink, tmp_path: Path
) -> None:
    with pytest.raises(FAILURES) as failed:
        await way(EVERYWHERE, f"{host}:{sink.port}", tmp_path)

    assert sink.connections > 0
    assert "FORBIDDEN_NETWORKS" not in str(failed.value)


@WAYS
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_proxy_of_a_secret_is_an_address_as_any_other(
    way: Callable[..., Awaitable[None]], scheme: str, host: str, sink: Sink, tmp_path: Path
) -> None:
    proxy = Proxy(f"{scheme}://{host}:{sink.port}")

    with pytest.raises(FAILURES, match=SAID):
        await way(HERE, "git.invalid:8000", tmp_path, proxy)

    assert sink.connections == 0


@pytest.mark.parametrize("way", [by_web, by_wire, by_git])
async def test_the_proxy_of_the_process_is_the_operators(
    way: Callable[..., Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening() as sink:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{sink.port}")

        with pytest.raises(FAILURES):
            await way(HERE, "git.invalid:8000", tmp_path)

        assert sink.connections > 0


async def test_a_redirect_does_not_lead_there() -> None:
    async with listening("127.0.0.2") as sink:

        async def elsewhere(_: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"http://127.0.0.2:{sink.port}/")

        async with served(elsewhere) as url, WebClient.open(THERE) as client:
            with pytest.raises(WebError, match=rf"http://127.0.0.2:{sink.port}/.*{SAID}"):
                await client.fetch(Request(url=url, limit=100, deadline=SOON))

        assert sink.connections == 0


async def test_a_registry_does_not_send_us_there() -> None:
    async with (
        listening("127.0.0.2") as sink,
        odd_registry() as registry,
        WebClient.open(THERE) as client,
    ):
        where = {"Location": f"http://127.0.0.2:{sink.port}/x"}
        registry.odd = at("manifests", answers(status=307, headers=where))
        app = Repository.parse(registry.url(), Access(insecure=True, deadline=SOON))

        await refused(Registry(client).resolve(app, "1"), SAID)

        assert sink.connections == 0


async def test_a_registry_that_names_a_realm_there_gets_no_token_for_it() -> None:
    async with listening() as sink, odd_registry() as registry, WebClient.open(THERE) as client:
        sees = f'Bearer realm="http://127.0.0.2:{sink.port}/token",service="s",scope="a:b:c"'
        registry.odd = answers(status=401, headers={"WWW-Authenticate": sees})
        app = Repository.parse(registry.url(), Access(insecure=True, deadline=SOON))

        await refused(Registry(client).resolve(app, "1"))

        assert sink.connections == 0


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("GitRepository", {"url": "http://HOST/x.git"}, "GitOperationFailed"),
        ("GitRepository", {"url": "ssh://git@HOST/x.git"}, "GitOperationFailed"),
        ("HelmRepository", {"url": "http://HOST"}, "Failed"),
        ("OCIRepository", {"url": "oci://HOST/x", "insecure": True}, "OCIArtifactPullFailed"),
        (
            "Bucket",
            {"endpoint": "HOST", "bucketName": "x", "insecure": True},
            "BucketOperationFailed",
        ),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_each_kind_tells_what_is_forbidden(
    idle_service: SourceService,
    sink: Sink,
    kind: str,
    spec: dict[str, Any],
    reason: str,
    host: str,
) -> None:
    address = f"{host}:{sink.port}"
    spec = {key: _with_host(value, address) for key, value in spec.items()}
    async with idle_service.running(reach=HERE), ssh_server() as server:
        if spec.get("url", "").startswith("ssh:"):
            await idle_service.secret("key", **server.secret())
            spec["secretRef"] = {"name": "key"}
        await idle_service.apply(kind, "shop", **spec)

        stored = await idle_service.not_ready(kind, "shop", reason)

    assert SAID in condition(stored, "FetchFailed")["message"]
    assert condition(stored, "Stalled") == {}
    assert sink.connections == 0


def _with_host(value: Any, address: str) -> Any:
    return value.replace("HOST", address) if isinstance(value, str) else value


class Rebinding:
    """The system's resolver, but one name leads to these addresses in turn; the last one stays."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self._all = socket.getaddrinfo

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebinding.invalid":
            host = self._addresses.pop(0) if self._addresses[1:] else self._addresses[0]
        return self._all(host, *args, **kwargs)


async def test_a_name_that_leads_elsewhere_the_second_time_is_of_no_use(
    git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await git_server.repository("shop", {"a.yaml": "a"})
    remote = Remote(shop.url.replace("127.0.0.1", "rebinding.invalid"))
    mirrors = Mirrors(tmp_path / "mirrors", GitRunner(tmp_path / "home"), reach=THERE)
    async with WebClient.open(THERE) as client:
        refs = GitRefs(client)
        monkeypatch.setattr(socket, "getaddrinfo", Rebinding("127.0.0.1"))
        target = await resolve(MAIN, remote, refs, SOON)
        async with mirrors.opened(Place("x", ""), SOON) as mirror:
            # Git itself does not know this name: it goes where it was told to.
            assert await mirror.fetch(remote, target) == shop.head
        seen = len(git_server.requests)

        monkeypatch.setattr(socket, "getaddrinfo", Rebinding("127.0.0.2"))
        async with mirrors.opened(Place("y", ""), SOON) as mirror:
            with pytest.raises(GitError, match=rf"resolves to 127.0.0.2, .*{SAID}"):
                await mirror.fetch(remote, target)

    assert len(git_server.requests) == seen


async def test_who_the_controller_is_its_node_may_tell_wherever_that_is(
    cluster: Cluster, clouds: Clouds
) -> None:
    identities = FetchingIdentities(cluster, {OBJECT_LEVEL}, reach=HERE)

    assert await identities.token(an_ask("azure", "storage", BLOBS, clouds))


V4 = st.integers(0, 2**24 - 1).map(lambda number: IPv4Address((127 << 24) + number))
SPELLINGS: tuple[Callable[[IPv4Address], str], ...] = (
    str,
    lambda v4: str(int(v4)),
    lambda v4: hex(int(v4)),
    lambda v4: f"0{int(v4):o}",
    lambda v4: f"127.{int(v4) & 0xFFFFFF}",
    lambda v4: f"0x7f.0x{int(v4) & 0xFFFFFF:x}",
    lambda v4: f"::ffff:{v4}",
    lambda v4: f"::ffff:0:{v4}",
    lambda v4: f"::{v4}",
    lambda v4: f"64:ff9b::{v4}",
    lambda v4: f"64:ff9b:1::{v4}",
    lambda v4: f"2002:{int(v4) >> 16:x}:{int(v4) & 0xFFFF:x}::1",
)


@given(V4, st.sampled_from(SPELLINGS))
def test_an_address_is_the_same_however_it_is_written(
    address: IPv4Address, spelling: Callable[[IPv4Address], str]
) -> None:
    for reach in (HERE, Reach.of(["127.0.0.0/8"])):
        with pytest.raises(Forbidden):
            asyncio.run(reach.places(spelling(address), 80))


@pytest.mark.parametrize(
    ("words", "forbidden", "allowed"),
    [
        (
            "link-local",
            ["169.254.169.254", "fe80::1%lo", "fd00:ec2::254", "100.100.100.200"],
            ["127.0.0.1", "10.0.0.1", "93.184.216.34"],
        ),
        ("loopback", ["127.0.0.1", "::1", "0.0.0.0", "::", "nonsense"], ["10.0.0.1", "2606::1"]),
        ("private", ["10.0.0.1", "192.168.0.1", "100.64.0.1", "fd00::1"], ["127.0.0.1", "8.8.8.8"]),
        ("10.96.0.0/12,1.2.3.4", ["10.96.0.1", "::ffff:1.2.3.4"], ["10.0.0.1", "1.2.3.5"]),
        ("none", [], ["127.0.0.1", "169.254.169.254", "nonsense"]),
    ],
)
def test_words_are_networks(words: str, forbidden: list[str], allowed: list[str]) -> None:
    reach = Reach.of(load({"FORBIDDEN_NETWORKS": words}).forbidden_networks)

    assert [address for address in forbidden if not reach.forbids(address)] == []
    assert [address for address in allowed if reach.forbids(address)] == []


@pytest.mark.parametrize("text", ["nowhere", "10.0.0.1/8", "none,loopback", "10.0.0.0/40"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="FORBIDDEN_NETWORKS"):
        load({"FORBIDDEN_NETWORKS": text})
