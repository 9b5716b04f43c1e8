"""A real nats-server on loopback that a test may kill, pause, restart and empty."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nats.aio.client import Client

from penstock.local.ports import free_port

SERVER = Path(sys.executable).with_name("nats-server")


class NatsProcess:
    """`settings` are appended to the server's configuration file, which reads `environment`."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._config.write_text(
            f'host: "127.0.0.1"\nport: {self.port}\n'
            f'jetstream {{ store_dir: "{folder}/jetstream", max_memory_store: 256MB, '
            f"max_file_store: 2GB, sync_interval: always }}\n{settings}\n"
        )
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = self._spawn()
        await self._answers()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    async def restart(self) -> None:
        self.kill()
        await self.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [SERVER, "-c", self._config], stdout=log, stderr=log, env=self._environment
            )

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _end(self, number: int) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(timeout=10)
        self._process = None

    async def _answers(self) -> None:
        for _ in range(500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
        raise AssertionError(f"nats-server did not start:\n{self._log.read_text()}")

    @asynccontextmanager
    async def admin(self, **login: Any) -> AsyncIterator[Client]:
        """A plain client, for what only a test does: deleting streams, sending garbage."""
        client = Client()
        await client.connect(self.url, **login)
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def running_nats(
    folder: Path, settings: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[NatsProcess]:
    server = NatsProcess(folder, settings, environment)
    await server.start()
    try:
        yield server
    finally:
        server.stop()
