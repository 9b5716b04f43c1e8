"""Charts, and the servers that they come from, as an enemy would have them."""

import asyncio
import tarfile
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.credentials import Basic
from tests.support.chart_server import ChartServer
from tests.support.packing import entry, pack_entries
from tests.support.served import served
from tests.support.source_service import SourceService, a_source, condition

METADATA = b"apiVersion: v2\nname: shop\nversion: 1.0.0\n"
CHART = entry("shop/Chart.yaml", METADATA)
LAUGHS = b"a0: &a0 [1,2,3,4,5,6,7,8]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)
)
LINK: dict[str, Any] = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
ARCHIVES: dict[str, tuple[list[Any], str]] = {
    "bomb": (
        [CHART, *(entry(f"shop/files/{n}", bytes(4 * 2**20)) for n in range(30))],
        "larger than 100 MiB together",
    ),
    "crowd": ([CHART, *(entry(f"shop/f/{n}") for n in range(10_001))], "more than 10000 files"),
    "way out": ([CHART, entry("shop/../../etc/cron.d/x", "x")], "not a path inside the archive"),
    "link": ([entry("shop/Chart.yaml", **LINK)], "does not hold exactly one directory"),
    "two": ([CHART, entry("other/Chart.yaml", METADATA)], "does not hold exactly one directory"),
    "laughs": ([entry("shop/Chart.yaml", METADATA + LAUGHS)], "aliases repeat more than"),
    "deep": ([entry("shop/Chart.yaml", METADATA + b"a: " + b"[" * 9999)], "nests deeper than"),
}


@pytest.mark.parametrize("name", ARCHIVES)
async def test_an_archive_that_does_harm_is_refused(
    service: SourceService, charts: ChartServer, tmp_path: Path, name: str
) -> None:
    entries, problem = ARCHIVES[name]
    charts.publish("shop", "1.0.0", pack_entries(tmp_path, entries).read_bytes())
    await service.apply("HelmRepository", "charts", url=charts.url)

    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source())

    stored = await service.not_ready("HelmChart", "c", "ChartPullError")
    message = condition(stored, "FetchFailed")["message"]
    assert message.startswith("chart pull error: shop 1.0.0: ")
    assert problem in message
    assert not (service.storage / "helmchart").exists()


async def test_a_values_file_is_never_read_through_a_link(
    service: SourceService, charts: ChartServer, tmp_path: Path
) -> None:
    linked = pack_entries(tmp_path, [CHART, entry("shop/prod.yaml", **LINK)]).read_bytes()
    charts.publish("shop", "1.0.0", linked)
    await service.apply("HelmRepository", "charts", url=charts.url)
    files = {"valuesFiles": ["prod.yaml", "../../../etc/passwd"]}

    await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source(), **files)

    stored = await service.not_ready("HelmChart", "c", "ValuesFilesError")
    assert "'prod.yaml' not found" in condition(stored, "BuildFailed")["message"]
    assert condition(stored, "Stalled")["status"] == "True"


async def test_a_body_without_an_end_ends(service: SourceService) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = web.StreamResponse()
        await body.prepare(request)
        if request.path == "/slow/index.yaml":
            await body.write(b"apiVersion: v1\n")
            await asyncio.Event().wait()
        while True:
            await body.write(bytes(2**20))

    async with served(answer) as url:
        await service.apply("HelmRepository", "slow", url=f"{url}/slow", timeout="1s")
        await service.apply("HelmRepository", "long", url=url)
        slow = await service.not_ready("HelmRepository", "slow", "Failed")
        long = await service.not_ready("HelmRepository", "long", "Failed")

    assert "no complete answer within 1s" in condition(slow, "FetchFailed")["message"]
    assert "larger than the limit of 52428800" in condition(long, "FetchFailed")["message"]


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_redirect_takes_the_login_along_only_if_that_is_wanted(
    service: SourceService, charts: ChartServer, everywhere: bool
) -> None:
    charts.publish("shop", "1.0.0")
    login = Basic("me", "canary-pass")
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        raise web.HTTPFound(f"{charts.url}{request.path}")

    async with served(answer) as url:
        near = url.replace("127.0.0.1", "localhost")
        await service.secret("login", username=login.username, password=login.password)
        given = {"secretRef": {"name": "login"}, "passCredentials": everywhere}
        await service.apply("HelmRepository", "charts", url=near, **given)
        await service.apply("HelmChart", "c", chart="shop", sourceRef=a_source())
        await service.ready("HelmChart", "c", "1.0.0")

    assert seen == [login.authorization] * 2
    expected = login.authorization if everywhere else ""
    assert charts.seen == [("/index.yaml", expected), ("/shop-1.0.0.tgz", expected)]
