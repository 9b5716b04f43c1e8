"""A real S3 server on loopback, with a client of its own to fill its buckets."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

from penstock.local.certificates import Certificates
from penstock.local.ports import free_port
from penstock.toolchain import binary
from tests.support.eventually import eventually

ACCESS_KEY, SECRET_KEY = "penstock-access", "penstock-secret-canary"


@dataclass
class S3Server:
    address: str  # host and port, as spec.endpoint has it
    folder: Path
    client: Any

    @property
    def requests(self) -> list[str]:
        """A word a request, as the server's log calls it: `ListObjectsV2`, `GetObject`."""
        words = (self.folder / "access.log").read_text().split()
        return [word.removeprefix("s3_") for word in words if word.startswith("s3_")]

    def forget(self) -> None:
        (self.folder / "access.log").write_text("")

    async def bucket(self, name: str, objects: Mapping[str, str | bytes] | None = None) -> None:
        await asyncio.to_thread(self.client.create_bucket, Bucket=name)
        await self.put(name, objects or {})

    async def put(self, bucket: str, objects: Mapping[str, str | bytes]) -> None:
        def put() -> None:
            for key, content in objects.items():
                body = content.encode() if isinstance(content, str) else content
                self.client.put_object(Bucket=bucket, Key=key, Body=body)

        await asyncio.to_thread(put)

    async def remove(self, bucket: str, *keys: str) -> None:
        def remove() -> None:
            for key in keys:
                self.client.delete_object(Bucket=bucket, Key=key)

        await asyncio.to_thread(remove)

    async def etags(self, bucket: str) -> dict[str, str]:
        answer = await asyncio.to_thread(self.client.list_objects_v2, Bucket=bucket)
        return {each["Key"]: each["ETag"].strip('"') for each in answer.get("Contents", ())}

    async def allow(self, bucket: str, policy: Mapping[str, Any]) -> None:
        text = json.dumps(policy)
        await asyncio.to_thread(self.client.put_bucket_policy, Bucket=bucket, Policy=text)

    def fill(self, bucket: str, keys: Iterable[str]) -> None:
        """Many small objects at once, behind the server's back; all have the same ETag."""
        for key in keys:
            (self.folder / "buckets" / bucket / key).write_text(key)

    def sparse(self, bucket: str, key: str, size: int) -> None:
        """A large object that takes no room on the disk."""
        with (self.folder / "buckets" / bucket / key).open("wb") as file:
            file.truncate(size)


@asynccontextmanager
async def s3_server(folder: Path, keys: Certificates | None = None) -> AsyncIterator[S3Server]:
    """With `keys` it speaks TLS."""
    for each in ("buckets", "metadata"):
        (folder / each).mkdir(parents=True)
    (folder / "access.log").touch()
    port = free_port()
    process = _started(folder, port, keys)
    client = _client(port, keys)
    try:
        await eventually(lambda: _answers(port))
        yield S3Server(f"127.0.0.1:{port}", folder, client)
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=10)


def _started(folder: Path, port: int, keys: Certificates | None) -> subprocess.Popen[bytes]:
    tls = ("--cert", str(keys.server), "--key", str(keys.server_key)) if keys else ()
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [
                binary("versitygw"),
                *("--port", f"127.0.0.1:{port}", "--quiet", *tls),
                *("--access-log", str(folder / "access.log")),
                *("posix", "--sidecar", str(folder / "metadata"), "--default-etag", "same"),
                str(folder / "buckets"),
            ],
            env={"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
            stdout=log,
            stderr=log,
            cwd=folder,
        )


def _client(port: int, keys: Certificates | None) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"{'https' if keys else 'http'}://127.0.0.1:{port}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        verify=str(keys.authority) if keys else False,
        config=Config(s3={"addressing_style": "path"}),
    )


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
