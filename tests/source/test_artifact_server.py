import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from services.source.file_server import file_server
from services.source.storage import Owner, Storage
from shared.digests import digest_of
from tests.support.eventually import eventually

SHOP = Owner("gitrepository", "team", "shop")
FILE = "gitrepository/team/shop/0123abcd.tar.gz"
CONTENT = bytes(range(256)) * 100


@dataclass
class Server:
    url: str
    folder: Path
    runner: web.AppRunner
    storage: Storage
    damaged: list[Owner]

    def connections(self) -> int:
        return len(self.runner.server.connections) if self.runner.server else 0

    async def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        # A raw connection: a client of HTTP would tidy the path up.
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        return int(status.split()[1]), body, dict(f.split(": ", 1) for f in fields)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    folder = tmp_path / "artifacts"
    storage = Storage(folder, "source")
    await storage.write_bytes(SHOP, "0123abcd.tar.gz", CONTENT)
    (tmp_path / "canary").write_text("canary")
    beside = (folder / FILE).parent
    (beside / "latest.tar.gz").symlink_to("0123abcd.tar.gz")
    (beside / "escape.tar.gz").symlink_to(tmp_path / "canary")
    (beside / "parent.tar.gz").symlink_to("..")
    (beside / ".partial-x").write_text("half")
    (beside / "stranger.tar.gz").write_text("canary")
    damaged: list[Owner] = []
    storage.damaged = damaged.append
    runner = web.AppRunner(file_server(storage, timedelta(seconds=0.3), 3), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield Server(url, folder, runner, storage, damaged)
    await runner.cleanup()


async def test_an_artifact_is_served_as_it_is(server: Server) -> None:
    status, body, headers = await server.get(f"/{FILE}")

    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "application/gzip"
    assert "Content-Encoding" not in headers


async def test_the_latest_one_has_a_fixed_name(server: Server) -> None:
    assert (await server.get("/gitrepository/team/shop/latest.tar.gz"))[1] == CONTENT


async def test_a_head_request_is_answered_without_the_body(server: Server) -> None:
    status, body, headers = await server.get(f"/{FILE}", "HEAD")

    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(CONTENT)))


DIGEST = digest_of(CONTENT)


@pytest.mark.parametrize(
    ("asked", "told", "body"),
    [
        ("bytes=10-19", "bytes 10-19/25600", CONTENT[10:20]),
        ("bytes=25590-", "bytes 25590-25599/25600", CONTENT[25590:]),
        ("bytes=-10", "bytes 25590-25599/25600", CONTENT[-10:]),
        ("bytes=25599-99999", "bytes 25599-25599/25600", CONTENT[-1:]),
    ],
)
async def test_a_part_of_it_is_served(server: Server, asked: str, told: str, body: bytes) -> None:
    status, content, headers = await server.get(f"/{FILE}", Range=asked)

    assert (status, content, headers["Content-Range"]) == (206, body, told)


@pytest.mark.parametrize("asked", ["bytes=25600-", "bytes=-0", "bytes=5-4", "bytes=-"])
async def test_a_part_that_it_does_not_have_is_refused(server: Server, asked: str) -> None:
    status, _, headers = await server.get(f"/{FILE}", Range=asked)

    assert (status, headers["Content-Range"]) == (416, "bytes */25600")


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=a-b", "bytes=٣-٤", "1-2"])
async def test_what_is_no_range_means_all_of_it(server: Server, asked: str) -> None:
    assert (await server.get(f"/{FILE}", Range=asked))[:2] == (200, CONTENT)


async def test_the_entity_tag_is_the_digest(server: Server) -> None:
    _, _, headers = await server.get(f"/{FILE}")

    unchanged = await server.get(f"/{FILE}", If_None_Match=f'"{DIGEST}"')
    since = await server.get(f"/{FILE}", If_Modified_Since=headers["Last-Modified"])
    other = await server.get(f"/{FILE}", If_None_Match='"sha256:0"')

    assert headers["Etag"] == f'"{DIGEST}"'
    assert unchanged[:2] == since[:2] == (304, b"")
    assert other[:2] == (200, CONTENT)


async def test_a_download_goes_on_only_in_the_same_file(server: Server) -> None:
    same = await server.get(f"/{FILE}", Range="bytes=10-19", If_Range=f'"{DIGEST}"')
    other = await server.get(f"/{FILE}", Range="bytes=10-19", If_Range='"sha256:0"')

    assert same[:2] == (206, CONTENT[10:20])
    assert other[:2] == (200, CONTENT)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda path: path.write_bytes(CONTENT[:9] + b"!" + CONTENT[10:]),
    "a missing end": lambda path: os.truncate(path, 100),
    "nothing left": lambda path: os.truncate(path, 0),
    "a file that is gone": lambda path: path.unlink(),
    "a folder that is gone": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_file_is_not_served_and_its_owner_hears_of_it(
    server: Server, damage: Callable[[Path], object]
) -> None:
    assert (await server.get(f"/{FILE}"))[0] == 200
    damage(server.folder / FILE)

    status, body, _ = await server.get(f"/{FILE}")

    assert (status, server.damaged) == (404, [SHOP])
    assert CONTENT[:5] not in body


async def test_a_file_damaged_while_nobody_was_there_is_not_served_either(
    server: Server,
) -> None:
    (server.folder / FILE).write_bytes(CONTENT[:9] + b"!" + CONTENT[10:])
    fresh = Storage(server.folder, "source")  # as after a restart: it knows nothing
    server.storage.about = fresh.about  # type: ignore[method-assign]
    server.storage.look_at = fresh.look_at  # type: ignore[method-assign]

    assert (await server.get(f"/{FILE}"))[0] == 404


async def test_a_range_list_of_gigabytes_costs_nothing(server: Server) -> None:
    await server.storage.write_bytes(SHOP, "large.tar.gz", bytes(2**20))
    ranges = ",".join(["0-"] * 2100)  # of the whole file each

    status, body, _ = await server.get(
        "/gitrepository/team/shop/large.tar.gz", Range=f"bytes={ranges}"
    )

    assert (status, len(body)) == (200, 2**20)


@pytest.mark.parametrize("asked", ["bytes={}-", "bytes=-{}", "bytes=0-{}", "bytes={0}-{0}"])
async def test_a_number_of_thousands_of_digits_is_no_range(server: Server, asked: str) -> None:
    status, body, _ = await server.get(f"/{FILE}", Range=asked.format("9" * 3800))

    assert (status, body) == (200, CONTENT)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/gitrepository",
        "/gitrepository/",
        "/gitrepository/team/shop",
        "/gitrepository/team/shop/",
        "/gitrepository/team/shop/.partial-x",
        "/gitrepository/team/shop/escape.tar.gz",
        "/gitrepository/team/shop/parent.tar.gz",
        "/gitrepository/team/shop/stranger.tar.gz",
        "/gitrepository/team/shop/.about-0123abcd.tar.gz",
        "/gitrepository/team/shop/../shop",
        "/..%2f..%2fcanary",
        "/gitrepository/team/shop/..%2f..%2f..%2f..%2fcanary",
        "/../../../canary",
        "/gitrepository/team/../../../canary",
        "/a/b/c/%2e%2e",
        "//canary/x/y",
        "/gitrepository/team/shop/none.tar.gz",
    ],
)
async def test_nothing_else_is_there(server: Server, path: str) -> None:
    status, body, _ = await server.get(path)

    assert status in (400, 404)
    assert b"canary" not in body
    assert b"0123abcd" not in body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(server: Server, method: str) -> None:
    status, _, _ = await server.get(f"/{FILE}", method)

    assert status == 405
    assert (server.folder / FILE).read_bytes() == CONTENT


async def lazy_reader(server: Server) -> socket.socket:
    """Asks for the large file and reads nothing of it."""
    host, port = server.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await loop.sock_connect(connection, (host, int(port)))
    asking = b"GET /gitrepository/team/shop/large.tar.gz HTTP/1.1\r\nHost: x\r\n\r\n"
    await loop.sock_sendall(connection, asking)
    return connection


async def test_a_reader_that_does_not_read_is_left_at_the_deadline(server: Server) -> None:
    await server.storage.write_bytes(SHOP, "large.tar.gz", bytes(50_000_000))
    connection = await lazy_reader(server)
    await eventually(lambda: server.connections() == 1)

    await eventually(lambda: server.connections() == 0, within=5)

    connection.close()


async def test_many_lazy_readers_do_not_pile_up(server: Server) -> None:
    await server.storage.write_bytes(SHOP, "large.tar.gz", bytes(50_000_000))
    lazy = [await lazy_reader(server) for _ in range(3)]

    async def refused() -> bool:
        status, _, headers = await server.get(f"/{FILE}")
        return (status, headers.get("Retry-After")) == (503, "5")

    await eventually(refused)
    await eventually(lambda: server.connections() == 0, within=5)
    assert (await server.get(f"/{FILE}"))[0] == 200

    for connection in lazy:
        connection.close()
