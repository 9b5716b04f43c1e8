"""Servers that misbehave, as a process of their own: `async with misbehaving() as servers`.

Each behaviour has a port on which it begins at once, and one on which a Git server and an OCI
registry say what they have, and misbehave when it is fetched. Many addresses of the machine's own
network (127.0.0.1 and up) lead to them, so that they are many servers.
"""

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from penstock.local.ports import free_port

Behaviour: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]
CHECKOUT = Path(__file__).parents[2]
ADDRESSES = 100
COMMIT = b"1" * 40
TLS = b"\x16"  # what begins a handshake
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
GIT = b"Content-Type: application/x-git-upload-pack-"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    for byte in OK + GIT + b"result\r\nContent-Length: 1000\r\n\r\n" + bytes(1000):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(OK + GIT + b"result\r\nContent-Length: 1000\r\n\r\n000dpackfile\n" + b"x" * 500)
    await writer.drain()


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 400)
    await writer.drain()


BEHAVIOURS: dict[str, Behaviour] = {"hang": hang, "drip": drip, "half": half, "garbage": garbage}


@dataclass
class Misbehaving:
    ports: dict[str, int]  # `hang`, and `late-hang` for what begins with the fetch

    def git(self, behaviour: str, number: int) -> str:
        """A server of its own, if the number is."""
        return f"http://{_address(number)}:{self.ports[behaviour]}/x.git"

    def registry(self, behaviour: str, number: int) -> str:
        return f"oci://{_address(number)}:{self.ports[behaviour]}/x"


@asynccontextmanager
async def misbehaving() -> AsyncIterator[Misbehaving]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.misbehaving"),
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Misbehaving(json.loads(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()


def _address(number: int) -> str:
    return f"127.0.0.{number % ADDRESSES + 1}"


async def _serve() -> None:
    """Until nobody holds the other end of the input any more."""
    ports = {}
    for name, behaviour in BEHAVIOURS.items():
        ports[name] = await _listening(behaviour, late=False)
        ports[f"late-{name}"] = await _listening(behaviour, late=True)
    print(json.dumps(ports), flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)


async def _listening(behaviour: Behaviour, *, late: bool) -> int:
    ended = (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*ended):
            if late:
                await _answer(reader, writer, behaviour)
            else:
                await behaviour(writer)
            writer.close()

    port = free_port()
    hosts = [_address(number) for number in range(ADDRESSES)]
    await asyncio.start_server(connected, hosts, port, backlog=1000)
    return port


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaviour: Behaviour
) -> None:
    first = await reader.readexactly(1)
    if first == TLS:
        return
    head = first + await reader.readuntil(b"\r\n\r\n")
    method, path = head.split()[:2]
    if path.startswith(b"/v2/"):
        answer = _of_registry(path)
    elif method == b"GET":
        answer = _said(GIT + b"advertisement\r\n", _advertisement())
    else:
        body = await reader.read(64 * 1024)
        is_fetch = b"command=fetch" in body
        answer = b"" if is_fetch else _said(GIT + b"result\r\n", _references())
    if not answer:
        await behaviour(writer)
        return
    writer.write(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer)
    await writer.drain()


def _of_registry(path: bytes) -> bytes:
    """Nothing for a blob."""
    if b"/blobs/" in path:
        return b""
    if b"/manifests/" not in path:
        return _said(b"", b"{}")
    digest = f"sha256:{hashlib.sha256(b'').hexdigest()}"
    layer = {"mediaType": "application/gzip", "digest": digest, "size": 1000}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {**layer, "mediaType": "application/vnd.oci.empty.v1+json"},
        "layers": [layer],
    }
    content = json.dumps(manifest).encode()
    named = f"sha256:{hashlib.sha256(content).hexdigest()}"
    headers = f"Content-Type: {MANIFEST_TYPE}\r\nDocker-Content-Digest: {named}\r\n"
    return _said(headers.encode(), content)


def _said(headers: bytes, content: bytes) -> bytes:
    return OK + headers + b"Content-Length: %d\r\n\r\n%s" % (len(content), content)


def _advertisement() -> bytes:
    said = (b"version 2\n", b"ls-refs\n", b"fetch=shallow\n", b"object-format=sha1\n")
    service = _packet(b"# service=git-upload-pack\n")
    return service + b"0000" + b"".join(map(_packet, said)) + b"0000"


def _references() -> bytes:
    return _packet(COMMIT + b" refs/heads/main\n") + b"0000"


def _packet(content: bytes) -> bytes:
    return b"%04x%s" % (len(content) + 4, content)


if __name__ == "__main__":
    asyncio.run(_serve())
