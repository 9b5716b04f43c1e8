"""A registry in memory that tells the truth until a test lets it do something else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from services.source.oci.manifest import OCI_MANIFEST
from services.source.oci.registry import RegistryError
from tests.support.registry import FLUX_CONFIG, Layer, digest_of

Odd: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse] | web.StreamResponse | None]


@dataclass
class OddRegistry:
    host: str = ""
    manifests: dict[str, bytes] = field(default_factory=dict)  # by tag and by digest
    blobs: dict[str, bytes] = field(default_factory=dict)
    odd: Odd | None = None  # answers in place of the registry, or lets it answer
    seen: list[str] = field(default_factory=list)  # "METHOD path authorization"

    def url(self, repository: str = "team/app") -> str:
        return f"oci://{self.host}/{repository}"

    def add(self, tag: str, *layers: Layer, **more: Any) -> str:
        config = Layer(b"{}", FLUX_CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
            **more,
        }
        return self.add_manifest(tag, json.dumps(manifest).encode(), *layers)

    def add_manifest(self, tag: str, content: bytes, *layers: Layer) -> str:
        digest = digest_of(content)
        self.manifests |= {tag: content, digest: content}
        self.blobs |= {digest_of(layer.content): layer.content for layer in layers}
        return digest

    async def answer(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.seen.append(f"{request.method} {request.path_qs} {authorization}".strip())
        odd = self.odd(request) if self.odd else None
        if odd is not None:
            return odd if isinstance(odd, web.StreamResponse) else await odd
        *_, what, name = request.path.split("/")
        if what == "manifests" and name in self.manifests:
            return manifest(self.manifests[name])
        if what == "blobs" and name in self.blobs:
            return web.Response(body=self.blobs[name])
        if what == "tags":
            return web.json_response({"tags": sorted(self.manifests)})
        if request.path == "/v2/":
            return web.json_response({})
        raise web.HTTPNotFound


def manifest(content: bytes, digest: str = "", media_type: str = OCI_MANIFEST) -> web.Response:
    headers = {"Docker-Content-Digest": digest or digest_of(content), "Content-Type": media_type}
    return web.Response(body=content, headers=headers)


async def endless(request: web.Request) -> web.StreamResponse:
    """A body that ends only when the client goes away."""
    response = web.StreamResponse(headers={"Content-Type": OCI_MANIFEST})
    await response.prepare(request)
    try:
        while True:
            await response.write(bytes(64 * 1024))
    except (ConnectionError, asyncio.CancelledError):
        return response


def at(part: str, answer: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    return lambda request: answer(request) if f"/{part}/" in request.path else None


def answers(**response: Any) -> Callable[[web.Request], Any]:
    return lambda _: web.Response(**response)


async def refused(asked: Any, problem: str = ".") -> RegistryError:
    with pytest.raises(RegistryError, match=problem) as caught:
        await asked
    return caught.value


@asynccontextmanager
async def odd_registry() -> AsyncIterator[OddRegistry]:
    registry = OddRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        await runner.cleanup()
