"""A webhook on loopback that keeps what it gets: the team's chat, in the demo and in tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from penstock.local.ports import LOOPBACK, free_port


class Sink:
    def __init__(self) -> None:
        self.url = ""
        self.alerts: list[dict[str, Any]] = []

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator["Sink"]:
        sink = cls()
        app = web.Application()
        app.router.add_post("/alerts", sink._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            port = free_port()
            await web.TCPSite(runner, LOOPBACK, port).start()
            sink.url = f"http://{LOOPBACK}:{port}/alerts"
            yield sink
        finally:
            await runner.cleanup()

    def about(self, kind: str, name: str, severity: str) -> list[dict[str, Any]]:
        """Alerts about one object, oldest first."""
        return [
            alert
            for alert in self.alerts
            if alert["severity"] == severity
            and alert["involvedObject"]["kind"] == kind
            and alert["involvedObject"]["name"] == name
        ]

    async def _take(self, request: web.Request) -> web.Response:
        self.alerts.append(await request.json())
        return web.Response()
