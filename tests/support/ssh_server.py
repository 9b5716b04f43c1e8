"""Git over ssh on loopback: asyncssh in front of the real `git upload-pack`.

    async with ssh_server() as server:
        server.url(repository), server.secret()     # what a user would write down

`fault`, when set, gets each connection's process in git's place; `host_key` may be changed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import asyncssh

from penstock.local.git_repository import Repository, git_environment

Process: TypeAlias = "asyncssh.SSHServerProcess[bytes]"
Fault: TypeAlias = Callable[[Process], Awaitable[None]]


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


@dataclass
class SshServer:
    users: dict[str, asyncssh.SSHKey] = field(default_factory=lambda: {"git": new_key()})
    host_keys: list[asyncssh.SSHKey] = field(default_factory=lambda: [new_key()])
    accepts_version: bool = True  # lets GIT_PROTOCOL through
    fault: Fault | None = None
    commands: list[str] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    options: dict[str, object] = field(default_factory=dict)
    port: int = 0
    _acceptor: asyncssh.SSHAcceptor | None = None

    def url(self, repository: Repository, user: str = "git") -> str:
        return f"ssh://{user}@127.0.0.1:{self.port}{repository.folder}"

    @property
    def known_hosts(self) -> str:
        lines = (key.export_public_key().decode().strip() for key in self.host_keys)
        return "".join(f"[127.0.0.1]:{self.port} {line}\n" for line in lines)

    def secret(self, user: str = "git", passphrase: str = "") -> dict[str, str]:
        kind = "pkcs8-pem" if passphrase else "openssh"
        identity = self.users[user].export_private_key(kind, passphrase or None).decode()
        extra = {"password": passphrase} if passphrase else {}
        return {"identity": identity, "known_hosts": self.known_hosts, **extra}

    async def change_host_key(self, kind: str = "ssh-ed25519") -> None:
        self.host_keys = [new_key(kind)]
        await self.stop()
        await self.start()

    async def start(self) -> None:
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=lambda: _Server(self),
            server_host_keys=self.host_keys,
            process_factory=self._serve,
            encoding=None,
            config=None,
            **self.options,
        )
        self.port = self._acceptor.get_port()

    async def stop(self) -> None:
        assert self._acceptor is not None
        self._acceptor.close()
        for connection in set(self.connections):
            connection.abort()
        await self._acceptor.wait_closed()

    async def _serve(self, process: Process) -> None:
        self.commands.append(process.command or "")
        self.protocols.append(str(process.env.get("GIT_PROTOCOL", "")))
        try:
            if self.fault:
                await self.fault(process)
            else:
                await run_git(process, self.accepts_version)
        except (asyncssh.Error, ConnectionError):
            pass  # the client has gone
        finally:
            with contextlib.suppress(OSError):
                process.exit(0)


class _Server(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection:
            self._server.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        known = self._server.users.get(username)
        return known is not None and known.public_data == key.public_data


async def run_git(process: Process, accepts_version: bool = True) -> None:
    """As sshd would: the command, as text, by a shell."""
    assert process.command
    protocol = process.env.get("GIT_PROTOCOL", "") if accepts_version else ""
    child = await asyncio.create_subprocess_shell(
        process.command,
        env=git_environment(Path("/nonexistent")) | {"GIT_PROTOCOL": str(protocol)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    feeding = asyncio.ensure_future(_fed(process.stdin, child.stdin))
    try:
        await asyncio.gather(
            # An end of one would be the end of both: ssh has one per channel.
            _carry(child.stdout, process.stdout),
            _carry(child.stderr, process.stderr),
        )
        process.exit(await child.wait())
    finally:
        feeding.cancel()
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _fed(reader: Any, writer: Any) -> None:
    await _carry(reader, writer)
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        writer.write_eof()


async def _carry(reader: Any, writer: Any) -> None:
    with contextlib.suppress(ConnectionError, asyncssh.Error):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def ssh_server(**how: object) -> AsyncIterator[SshServer]:
    server = SshServer(**how)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
