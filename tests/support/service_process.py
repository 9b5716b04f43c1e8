"""A service as its own process, as it runs in production; a test may kill it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from penstock.local.ports import LOOPBACK, PortBook

CHECKOUT = Path(__file__).parents[2]


class ServiceProcess:
    """`environment` is what the service needs beside its ports, which are free ones."""

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._module = module
        self.log = folder / f"{module}.log"
        doors = (
            "HEALTH_ADDR",
            "METRICS_ADDR",
            "EVENTS_ADDR",
            "RECEIVER_ADDR",
            "STORAGE_ADDRESS",
        )
        ports = PortBook(folder / f"{module}.ports")
        self.addresses = {name: f"{LOOPBACK}:{ports.port(name)}" for name in doors}
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "PENSTOCK_STATE": str(folder / "state"),
            **self.addresses,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str) -> str:
        return f"http://{self.addresses[name]}"

    async def start(self) -> None:
        self._process = self._spawn()
        await self._ready()

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        return self._end(signal.SIGTERM) if self._process is not None else 0

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", self._module]
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        return process.wait(timeout=20)

    async def _ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                assert self._process is not None
                if self._process.poll() is not None:
                    break
                try:
                    async with session.get(self.url("HEALTH_ADDR") + "/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(
            f"{self._module} did not become ready:\n{self.log.read_text()[-5000:]}"
        )


@asynccontextmanager
async def running_service(
    module: str, folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[ServiceProcess]:
    service = ServiceProcess(module, folder, environment)
    try:
        await service.start()
        yield service
    finally:
        service.stop()
