"""What somebody hostile writes into a spec or serves: told once, touching nothing and nobody else.

Each source here was good before it turned hostile: its last artifact must stay.
"""

import os
import shutil
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git import runner
from shared.cluster.errors import Invalid
from shared.cluster.objects import Manifest
from tests.source.conftest import commit_tree, git_in
from tests.source.test_submodules import link, section
from tests.support.chart_server import ChartServer
from tests.support.eventually import eventually
from tests.support.footprint import footprint_of
from tests.support.holding import held
from tests.support.odd_registry import OddRegistry, odd_registry
from tests.support.packing import entry, pack_entries
from tests.support.registry import Layer
from tests.support.served import served
from tests.support.source_service import SourceService, a_source, condition

GIT = "GitRepository"
MIB = 2**20
MAIN = {"branch": "main"}


@dataclass
class Watched:
    """The service, and what it has started: `git` is one that writes down its arguments."""

    service: SourceService
    canary: Path
    log: Path

    @property
    def commands(self) -> list[list[str]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split("\x1f") for line in text.split("\x1e") if line]

    def nothing_else_happened(self) -> None:
        assert not self.canary.exists()
        assert not list(self.service.folder.rglob("canary*"))
        for arguments in self.commands:
            assert arguments[0] in runner._SUBCOMMANDS
            options = [word for word in arguments if word.startswith("-")]
            assert not [word for word in options if "touch" in word or "pack=" in word], arguments
        assert self.commands


@pytest.fixture
async def watched(
    idle_service: SourceService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Watched]:
    shims, log = tmp_path / "shims", tmp_path / "commands"
    shims.mkdir()
    script = f"""#!/bin/sh
# Only the service's: tests and servers run it, too.
[ -z "$GIT_LITERAL_PATHSPECS" ] || {{ printf '%s\\037' "$@"; printf '\\036'; }} >> {log}
exec {shutil.which("git")} "$@"
"""
    (shims / "git").write_text(script)
    (shims / "git").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{shims}:{os.environ['PATH']}")
        async with held(idle_service.running()):
            yield Watched(idle_service, tmp_path / "canary", log)


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n"})


async def two_good_sources(service: SourceService, shop: Repository) -> Manifest:
    for name in ("shop", "bystander"):
        await service.apply(GIT, name, url=shop.url, ref=MAIN)
    await service.ready(GIT, "bystander")
    return await service.ready(GIT, "shop")


def errors_of(service: SourceService, name: str) -> list[str]:
    return [told.reason for told in service.told if (told.name, told.severity) == (name, "error")]


async def told_once_and_nobody_else_harmed(
    service: SourceService, kind: str, name: str, reason: str, good: Manifest
) -> str:
    """Once each time that somebody asks, and not by itself; returns the message."""
    await service.not_ready(kind, name, reason)
    assert errors_of(service, name) == [reason]
    await service.request(kind, name, "again")
    assert errors_of(service, name) == [reason, reason]
    stored = await service.not_ready(kind, name, reason)
    assert stored["status"]["artifact"] == good["status"]["artifact"]
    assert await service.files(stored) == await service.files(good)
    await service.request(GIT, "bystander", "now")
    await service.ready(GIT, "bystander")
    return str(condition(stored, "Ready")["message"])


@pytest.mark.parametrize(
    "url",
    ["ext::sh -c touch%20canary", "--upload-pack=touch", "file:///etc/passwd", "fd::17", "/etc"],
)
async def test_the_api_server_refuses_what_is_no_address(
    service: SourceService, shop: Repository, url: str
) -> None:
    with pytest.raises(Invalid, match=r"spec\.url"):
        await service.apply(GIT, "shop", url=url)


SPECS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an option for a host": (
        {"url": "ssh://-oProxyCommand=touch%20canary/x"},
        "URLInvalid",
        "spec.url: ",
    ),
    "an option of the web": ({"url": "https://-oProxyCommand=x/y"}, "URLInvalid", "spec.url: "),
    "an option behind": ({"url": "http://h/x --upload-pack=touch"}, "URLInvalid", "spec.url: "),
    "a host that is none": ({"url": "https://[::1/x"}, "URLInvalid", "spec.url: "),
    "a branch": ({"ref": {"branch": "--upload-pack=touch"}}, "GitOperationFailed", "not found"),
    "a tag": ({"ref": {"tag": "-x"}}, "GitOperationFailed", "not found"),
    "a name": ({"ref": {"name": "refs/heads/../../config"}}, "GitOperationFailed", "spec.ref.name"),
    "no name": ({"ref": {"name": "config"}}, "GitOperationFailed", "spec.ref.name"),
    "a commit": ({"ref": {"commit": "HEAD;id"}}, "GitOperationFailed", "spec.ref.commit"),
    "no commit": ({"ref": {"commit": "--output=canary"}}, "GitOperationFailed", "spec.ref.commit"),
    "a range": ({"ref": {"semver": "`id`"}}, "GitOperationFailed", "spec.ref.semver"),
    "a directory": ({"sparseCheckout": ["../sib"]}, "GitOperationFailed", "'../sib'"),
    "the root": ({"sparseCheckout": ["/etc"]}, "GitOperationFailed", "'etc'"),
    "a place": (
        {"include": [{"repository": {"name": "bystander"}, "toPath": "../../x"}]},
        "IllegalPath",
        "../../x",
    ),
}


@pytest.mark.parametrize(("spec", "reason", "said"), SPECS.values(), ids=SPECS)
async def test_a_spec_that_could_mean_something_else_is_told_and_means_nothing(
    watched: Watched, shop: Repository, spec: dict[str, Any], reason: str, said: str
) -> None:
    service = watched.service
    good = await two_good_sources(service, shop)

    await service.apply(GIT, "shop", **{"url": shop.url, "ref": MAIN, **spec})
    message = await told_once_and_nobody_else_harmed(service, GIT, "shop", reason, good)

    assert said in message
    watched.nothing_else_happened()


async def test_links_of_a_tree_lead_nowhere(
    watched: Watched, shop: Repository, tmp_path: Path
) -> None:
    service = watched.service
    good = await two_good_sources(service, shop)
    (tmp_path / "secret").write_text("kanarienvogel")
    neighbour = service.storage / good["status"]["artifact"]["path"]
    targets = [str(tmp_path / "secret"), "/", str(neighbour), "gone", "../" * 30 + "etc/passwd"]
    lines = []
    for number, target in enumerate(targets):
        said = await git_in(shop, "hash-object", "-w", "--stdin", given=target.encode())
        lines.append(f"120000 blob {said.decode()}\tlink{number}\n")
    said = await git_in(shop, "hash-object", "-w", "--stdin", given=b"x: 1\n")
    head = await commit_tree(shop, "".join([*lines, f"100644 blob {said.decode()}\tx.yaml\n"]))

    await service.request(GIT, "shop", "now")
    stored = await service.ready(GIT, "shop", f"main@sha1:{head}")

    assert await service.files(stored) == {"x.yaml": b"x: 1\n"}
    assert "kanarienvogel" not in f"{stored}{service.told}"
    watched.nothing_else_happened()


TRAPS = {
    ".gitattributes": "* filter=evil diff=evil ident export-subst\n*.bin filter=lfs\n",
    "lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
    "hooks/post-checkout": "#!/bin/sh\ntouch canary\n",
    "git/hooks/post-checkout": "#!/bin/sh\ntouch canary\n",
    ".sourceignore": "# all of it\n",
}
MODULES = {
    "another protocol": section("lib", "ext::sh -c touch%20canary"),
    "the hooks": section(".git/hooks", "../bystander.git"),
    "a file": section("lib", "file:///etc"),
}
NOT_EVEN_FETCHED = {
    "a command": section("lib", "../bystander.git") + "\tupdate = !touch canary\n",
    "an option": section("lib", "--upload-pack=touch"),
    "a name": section("lib", "../bystander.git", "../../hooks"),
}


@pytest.mark.parametrize("modules", MODULES.values(), ids=MODULES)
async def test_a_repository_of_traps_is_files_and_nothing_more(
    watched: Watched, shop: Repository, git_server: GitServer, modules: str
) -> None:
    """Without submodules all is text; with them, what is no address of the web is refused."""
    service = watched.service
    await two_good_sources(service, shop)
    library = await git_server.repository("library", {"x.yaml": "x: 1\n"})
    await shop.commit("traps", TRAPS)
    head = await link(shop, {"lib": library.head}, modules)
    await service.request(GIT, "shop", "now")
    good = await service.ready(GIT, "shop", f"main@sha1:{head}")
    files = await service.files(good)

    await service.apply(GIT, "shop", url=shop.url, ref=MAIN, recurseSubmodules=True)
    await told_once_and_nobody_else_harmed(service, GIT, "shop", "GitOperationFailed", good)

    assert files["lfs.bin"] == TRAPS["lfs.bin"].encode()
    assert files["hooks/post-checkout"] == TRAPS["hooks/post-checkout"].encode()
    assert not [path for path in files if path.startswith((".git/", "lib/"))]
    watched.nothing_else_happened()


@pytest.mark.parametrize("recursing", [False, True])
@pytest.mark.parametrize("modules", NOT_EVEN_FETCHED.values(), ids=NOT_EVEN_FETCHED)
async def test_what_git_itself_holds_for_an_attack_is_not_even_fetched(
    watched: Watched, shop: Repository, modules: str, recursing: bool
) -> None:
    service = watched.service
    good = await two_good_sources(service, shop)
    spec = {"url": shop.url, "ref": MAIN, "recurseSubmodules": recursing}
    evil = await link(shop, {"lib": shop.head}, modules)
    await shop.branch("evil", evil)
    await shop.branch("main", good["status"]["artifact"]["revision"].rpartition(":")[2])

    await service.apply(GIT, "shop", **{**spec, "ref": {"branch": "evil"}})
    reason = "GitOperationFailed"
    message = await told_once_and_nobody_else_harmed(service, GIT, "shop", reason, good)

    assert "disallowed submodule" in message
    watched.nothing_else_happened()


def repeated(piece: bytes, times: int) -> bytes:
    """A gzip file of what is far too large to be made in full."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packed * times + b"\x03\0" + bytes(8)


def of_gib(size: int) -> bytes:
    info, content = entry("shop/zeros", bytes(4 * MIB))
    return repeated(info.tobuf() + content, size * 256)


def of_a_million_entries() -> bytes:
    names = [entry(f"shop/{number}")[0].tobuf() for number in range(1000)]
    return repeated(b"".join(names), 1000)


Bomb: TypeAlias = Callable[[], bytes]
# A chart of more than 9 GiB would be too large before it is unpacked.
BOMBS = {"9 GiB": lambda: of_gib(9), "1,000,000 entries": of_a_million_entries}


def disk_of(service: SourceService) -> int:
    return sum(path.stat().st_size for path in service.folder.rglob("*") if path.is_file())


@pytest.fixture
async def registry() -> AsyncIterator[OddRegistry]:
    async with odd_registry() as registry:
        yield registry


async def little_is_taken(
    service: SourceService, good: Manifest, reason: str, looked_for: tuple[str, str]
) -> None:
    """While the bomb is looked at: of memory, and of disk afterwards."""
    before = disk_of(service)
    async with footprint_of(os.getpid()) as usual:
        await eventually(lambda: usual.peak)
    async with footprint_of(os.getpid()) as found:
        await service.request(*looked_for, "now")
        kind, name = good["kind"], good["metadata"]["name"]
        await told_once_and_nobody_else_harmed(service, kind, name, reason, good)
    assert found.peak < usual.peak + 350 * MIB
    assert disk_of(service) < before + MIB


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_a_layer_that_grows_is_told_soon_and_takes_little(
    service: SourceService, shop: Repository, registry: OddRegistry, tmp_path: Path, bomb: Bomb
) -> None:
    await two_good_sources(service, shop)
    registry.add("latest", Layer(pack_entries(tmp_path, [entry("x.yaml", "x: 1\n")]).read_bytes()))
    await service.apply("OCIRepository", "app", url=registry.url(), insecure=True)
    good = await service.ready("OCIRepository", "app")

    registry.add("latest", Layer(bomb()))

    reason = "OCIArtifactLayerOperationFailed"
    await little_is_taken(service, good, reason, ("OCIRepository", "app"))


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_a_chart_that_grows_is_told_soon_and_takes_little(
    service: SourceService, shop: Repository, charts: ChartServer, bomb: Bomb
) -> None:
    await two_good_sources(service, shop)
    charts.publish("shop", "1.0.0")
    await service.apply("HelmRepository", "charts", url=charts.url)
    await service.ready("HelmRepository", "charts")
    await service.apply("HelmChart", "c", chart="shop", version="*", sourceRef=a_source())
    good = await service.ready("HelmChart", "c")

    charts.publish("shop", "1.0.1", bomb())

    await little_is_taken(service, good, "ChartPullError", ("HelmRepository", "charts"))


class Keys:
    """A store that lists what it likes; an object is its key, and says that it is packed."""

    def __init__(self, keys: list[str], content: bytes) -> None:
        self.keys = keys
        self.content = content

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "list-type" in request.query:
            objects = "".join(
                f"<Contents><Key>{key}</Key><ETag>x</ETag>"
                f"<Size>{len(self.content)}</Size></Contents>"
                for key in self.keys
            )
            listed = f"<ListBucketResult><Name>shop</Name>{objects}</ListBucketResult>"
            return web.Response(text=listed, content_type="application/xml")
        if request.method == "HEAD" and request.path == "/shop":
            return web.Response()
        if request.path.removeprefix("/shop/") not in self.keys:
            raise web.HTTPNotFound
        response = web.StreamResponse(headers={"Content-Encoding": "gzip", "ETag": '"x"'})
        response.content_length = len(self.content)
        await response.prepare(request)
        await response.write(self.content)
        return response


@pytest.mark.parametrize("key", ["../../escape", "a/../../b", "/etc/canary", "a//b", "./a"])
async def test_a_key_that_leads_out_of_the_bucket_is_told_and_written_nowhere(
    service: SourceService, shop: Repository, key: str
) -> None:
    await two_good_sources(service, shop)
    keys = Keys(["ok/x.yaml"], b"x: 1\n")
    async with served(keys.answer) as url:
        endpoint = url.removeprefix("http://")
        await service.apply("Bucket", "shop", bucketName="shop", endpoint=endpoint, insecure=True)
        good = await service.ready("Bucket", "shop")
        files = {path for path in service.folder.parent.rglob("*") if path.name in ("escape", "b")}

        keys.keys.append(key)
        await service.request("Bucket", "shop", "now")
        reason = "BucketOperationFailed"
        message = await told_once_and_nobody_else_harmed(service, "Bucket", "shop", reason, good)

    assert repr(key) in message
    assert files == {p for p in service.folder.parent.rglob("*") if p.name in ("escape", "b")}


async def test_an_object_that_grows_stays_what_it_is(
    service: SourceService, shop: Repository
) -> None:
    """Packed in transfer, says the store; nobody asked it to, so nobody unpacks."""
    bomb = of_gib(10)
    async with served(Keys(["bomb.yaml"], bomb).answer) as url:
        endpoint = url.removeprefix("http://")
        async with footprint_of(os.getpid()) as usual:
            await eventually(lambda: usual.peak)
        async with footprint_of(os.getpid()) as found:
            await service.apply(
                "Bucket", "shop", bucketName="shop", endpoint=endpoint, insecure=True
            )
            stored = await service.ready("Bucket", "shop")

    assert await service.files(stored) == {"bomb.yaml": bomb}
    assert found.peak < usual.peak + 350 * MIB
