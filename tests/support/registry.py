"""A real OCI registry (distribution) on loopback, and what pushes to it as any client would."""

import asyncio
import hashlib
import io
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from penstock.local.certificates import Certificates, certificates
from penstock.local.ports import free_port
from penstock.toolchain import binary
from services.source.oci.manifest import OCI_INDEX, OCI_MANIFEST
from shared.credentials import Basic
from tests.support.packing import Files, entry, pack_entries

FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
FLUX_CONTENT = "application/vnd.cncf.flux.content.v1.tar+gzip"
USER, PASSWORD = "team", "only-for-tests-0"
LOGIN = Basic(USER, PASSWORD)
_HTPASSWD = f"{USER}:$2a$04$3OR6S8eorKZLDfSPUX3TGuclCwN5HMKKptPo/ANl1REcQGbz/220K\n"


@dataclass
class Layer:
    content: bytes
    media_type: str = FLUX_CONTENT
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {
            "mediaType": self.media_type,
            "digest": digest_of(self.content),
            "size": len(self.content),
            **({"annotations": dict(self.annotations)} if self.annotations else {}),
        }


def a_layer(folder: Path, files: Files, media_type: str = FLUX_CONTENT) -> Layer:
    """As `flux push artifact` packs a folder."""
    entries = [entry(path, content) for path, content in files.items()]
    return Layer(pack_entries(folder, entries).read_bytes(), media_type)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class RegistryServer:
    host: str  # with the port
    folder: Path
    authority: Path | None = None  # of its certificate, when it speaks TLS
    headers: dict[str, str] = field(default_factory=dict)  # of whoever pushes

    def url(self, repository: str) -> str:
        return f"oci://{self.host}/{repository}"

    async def push(
        self,
        repository: str,
        tag: str,
        layers: Iterable[Layer],
        annotations: Mapping[str, str] | None = None,
        **more: Any,
    ) -> str:
        """The manifest's digest. `more` are fields of the manifest."""
        layers = list(layers)
        config = Layer(b"{}", more.pop("config_type", FLUX_CONFIG))
        for each in (config, *layers):
            await self.push_blob(repository, each.content)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor,
            "layers": [each.descriptor for each in layers],
            **({"annotations": dict(annotations)} if annotations else {}),
            **more,
        }
        return await self.push_manifest(repository, tag, json.dumps(manifest).encode())

    async def push_index(self, repository: str, tag: str, manifests: Iterable[Any]) -> str:
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(manifests)}
        return await self.push_manifest(repository, tag, json.dumps(index).encode(), OCI_INDEX)

    async def push_manifest(
        self, repository: str, tag: str, content: bytes, media_type: str = OCI_MANIFEST
    ) -> str:
        """`tag` may be empty: the manifest is then known by its digest alone."""
        digest = digest_of(content)
        path = f"{repository}/manifests/{tag or digest}"
        async with self._session() as session:
            await self._put(session, self._base + path, content, media_type)
        return digest

    async def push_blob(self, repository: str, content: bytes) -> str:
        digest = digest_of(content)
        async with self._session() as session:
            uploads = f"{self._base}{repository}/blobs/uploads/"
            async with session.post(uploads, ssl=self._context()) as answer:
                assert answer.status == 202, await answer.text()
                place = answer.headers["Location"]
            separator = "&" if "?" in place else "?"
            where = f"{place}{separator}digest={digest}"
            await self._put(session, where, content, "application/octet-stream")
        return digest

    async def tag(self, repository: str, tag: str, digest: str) -> None:
        async with self._session() as session:
            url = f"{self._base}{repository}/manifests/{digest}"
            accept = {"Accept": f"{OCI_MANIFEST}, {OCI_INDEX}"}
            async with session.get(url, headers=accept, ssl=self._context()) as answer:
                content, media_type = await answer.read(), answer.content_type
        await self.push_manifest(repository, tag, content, media_type)

    @property
    def _base(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.host}/v2/"

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers=self.headers)

    def _context(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self.authority) if self.authority else True

    async def _put(
        self, session: aiohttp.ClientSession, url: str, content: bytes, media_type: str
    ) -> None:
        headers = {"Content-Type": media_type}
        body = io.BytesIO(content)
        async with session.put(url, data=body, headers=headers, ssl=self._context()) as answer:
            assert answer.status == 201, await answer.text()


@asynccontextmanager
async def running_registry(
    folder: Path, *, auth: Mapping[str, Any] | None = None, tls: bool = False
) -> AsyncIterator[RegistryServer]:
    """`auth` is distribution's own section; `htpasswd()` makes one."""
    port = free_port()
    keys = certificates(folder / "keys") if tls else None
    process = _started(folder, _configuration(folder, port, auth, keys))
    try:
        await _listens(port)
        yield RegistryServer(f"127.0.0.1:{port}", folder, keys.authority if keys else None)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


def _started(folder: Path, configuration: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump(configuration))
    with (folder / "registry.log").open("ab") as log:
        return subprocess.Popen(
            [binary("registry"), "serve", path],
            stdout=log,
            stderr=log,
            env={"OTEL_TRACES_EXPORTER": "none", "HOME": str(folder)},
        )


def htpasswd(folder: Path) -> dict[str, Any]:
    """USER and PASSWORD may do everything, others nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "htpasswd"
    path.write_text(_HTPASSWD)
    return {"htpasswd": {"realm": "registry", "path": str(path)}}


def _configuration(
    folder: Path, port: int, auth: Mapping[str, Any] | None, keys: Certificates | None
) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "loopback"}
    if keys is not None:
        http["tls"] = {"certificate": str(keys.server), "key": str(keys.server_key)}
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
        **({"auth": dict(auth)} if auth else {}),
    }


async def _listens(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        return
    raise AssertionError("the registry did not start; see its registry.log")
