import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from services.source.file_server import file_server
from tests.support.eventually import eventually

FILE = "gitrepository/team/shop/0123abcd.tar.gz"
CONTENT = bytes(range(256)) * 100


@dataclass
class Server:
    url: str
    folder: Path
    runner: web.AppRunner

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
    path = folder / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    (tmp_path / "canary").write_text("canary")
    (path.parent / "latest.tar.gz").symlink_to(path.name)
    (path.parent / "escape.tar.gz").symlink_to(tmp_path / "canary")
    (path.parent / ".partial-x").write_text("half")
    runner = web.AppRunner(file_server(folder, timedelta(seconds=0.3)), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Server(f"http://127.0.0.1:{runner.addresses[0][1]}", folder, runner)
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


async def test_ranges_and_conditional_requests_work(server: Server) -> None:
    _, _, headers = await server.get(f"/{FILE}")

    part = await server.get(f"/{FILE}", Range="bytes=10-19")
    unchanged = await server.get(f"/{FILE}", If_None_Match=headers["Etag"])

    assert part[:2] == (206, CONTENT[10:20])
    assert unchanged[:2] == (304, b"")


async def test_a_range_list_of_gigabytes_costs_nothing(server: Server) -> None:
    ranges = ",".join(f"{n}-" for n in range(1000))

    status, body, _ = await server.get(f"/{FILE}", Range=f"bytes={ranges}")

    assert status in (200, 400, 416)
    assert len(body) <= len(CONTENT)


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


async def test_a_reader_that_does_not_read_is_left_at_the_deadline(server: Server) -> None:
    (server.folder / FILE).write_bytes(bytes(50_000_000))
    host, port = server.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await loop.sock_connect(connection, (host, int(port)))
    await loop.sock_sendall(connection, f"GET /{FILE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    await eventually(lambda: server.connections() == 1)

    await eventually(lambda: server.connections() == 0, within=5)

    connection.close()
