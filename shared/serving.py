"""The HTTP side doors of a service: /healthz and /readyz on one port, /metrics on another."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.settings import Address, Settings


@asynccontextmanager
async def listening(
    app: web.Application, address: Address, *, keepalive_timeout: float = 75.0
) -> AsyncIterator[None]:
    """Serve an application while the context lasts.

    A connection that sends no whole head of a request for `keepalive_timeout` seconds is closed.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=keepalive_timeout,
        shutdown_timeout=5,
        lingering_time=1,  # for the rest of a body that was refused
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port)
        await site.start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def side_doors(settings: Settings, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Alive as long as the event loop answers; ready when `is_ready` says so."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        ready = is_ready()
        return web.Response(text="ok" if ready else "starting", status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    health = web.Application()
    health.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    counters = web.Application()
    counters.add_routes([web.get("/metrics", metrics)])
    async with listening(health, settings.health_addr), listening(counters, settings.metrics_addr):
        yield
