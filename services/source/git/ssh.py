"""The one door to ssh, with asyncssh behind it: a running `git-upload-pack` on a server.

Keys, passphrases and known hosts stay in memory, and nothing of the machine's own ssh is read: no
configuration, no agent, no keys. Import this module where it is first needed; asyncssh is large.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncssh

from services.source.git.remote import Remote
from services.source.git.ssh_address import SshAddress, SshAlgorithms, ssh_address
from services.source.git.ssh_keys import SshKeys, keys_of
from services.source.git.ssh_tunnel import TunnelError, tunnel
from shared.credentials import InvalidCredentials, SshCredentials
from shared.redaction import redact
from shared.web.reach import Reach

_VERSION_2: Mapping[bytes | str, bytes | str] = {
    "GIT_PROTOCOL": "version=2"
}  # servers that do not let it through speak version 0
_FAREWELL = timedelta(seconds=1)
_LAST_WORDS = timedelta(milliseconds=200)
_ERRORS_KEPT = 2048
_LONGEST = 500  # of a stranger's words
logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells of every connection


class SshError(Exception):
    """No usable connection; the message names the server and shows no secret."""

    def __init__(self, message: str, *, refuses_us: bool = False, timed_out: bool = False) -> None:
        super().__init__(redact(message))
        self.refuses_us = refuses_us
        self.timed_out = timed_out


class UploadPack(asyncssh.SSHClientSession[bytes]):
    """A running `git-upload-pack`: what it says is read as fast as somebody listens."""

    def __init__(self) -> None:
        self.output = asyncio.StreamReader(limit=256 * 1024)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._errors = b""
        self._lost: Exception | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._closed = asyncio.Event()

    async def write(self, content: bytes) -> None:
        assert self._channel  # noqa: S101  (it is made with the connection)
        await self._may_write.wait()
        self._channel.write(content)

    def write_eof(self) -> None:
        assert self._channel  # noqa: S101  (it is made with the connection)
        self._channel.write_eof()

    async def farewell(self) -> str:
        """What it said on its error stream, or when it hung up, in one line.

        That may come after the end of its output, and when git has given up already.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS.total_seconds()):
                await self._closed.wait()
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines()]
        text = "; ".join(line for line in lines if line)
        return _one_line(text) or (_said(self._lost) if self._lost else "")

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        self.output.set_transport(chan)  # type: ignore[arg-type]  # it can pause and resume

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self._errors = (self._errors + data)[-_ERRORS_KEPT:]
        else:
            self.output.feed_data(data)

    def eof_received(self) -> bool:
        self.output.feed_eof()
        return True  # it may still listen

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc
        self.output.feed_eof()  # whoever reads misses something, and says so
        self._may_write.set()
        self._closed.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()


@asynccontextmanager
async def upload_pack(
    remote: Remote, deadline: timedelta, algorithms: SshAlgorithms, reach: Reach
) -> AsyncIterator[UploadPack]:
    """All of it, the caller's part also, has to end within the deadline.

    Raises SshError.
    """
    assert remote.ssh  # noqa: S101  (as `remote_of` makes it)
    address = ssh_address(remote.url)
    with _explaining(address, remote.ssh, deadline):
        async with asyncio.timeout(deadline.total_seconds()):
            keys = await keys_of(remote.ssh)
            with _explaining_host_keys(address, keys):
                sock = await _socket(remote, address, reach)
                connection = await _connected(sock, remote.ssh, address, keys, algorithms)
            try:
                there = UploadPack()
                await connection.create_session(
                    lambda: there, address.command, env=_VERSION_2, encoding=None
                )
                yield there
            finally:
                await _close(connection)


async def _socket(remote: Remote, address: SshAddress, reach: Reach) -> socket.socket:
    if remote.proxy is None:
        return await reach.connected(address.host, address.port)
    return await tunnel(remote.proxy, address.host, address.port, reach)


async def _connected(
    sock: socket.socket,
    credentials: SshCredentials,
    address: SshAddress,
    keys: SshKeys,
    algorithms: SshAlgorithms,
) -> asyncssh.SSHClientConnection:
    options: dict[str, Any] = {
        "username": credentials.user,
        "client_keys": [keys.ours],
        "known_hosts": keys.theirs,
        "preferred_auth": "publickey",
        "config": None,
        "agent_path": None,
        "x509_trusted_certs": None,
        "compression_algs": ["none"],  # packs are small already, and nobody inflates at our cost
        "login_timeout": 0,  # ours is over all
    }
    if algorithms.key_exchange:
        options["kex_algs"] = list(algorithms.key_exchange)
    if algorithms.host_key:
        options["server_host_key_algs"] = list(algorithms.host_key)
    try:
        return await asyncssh.connect(address.host, address.port, sock=sock, **options)
    except BaseException:
        sock.close()
        raise


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    """With a word of farewell to who listens, and without waiting for who does not."""
    connection.close()
    try:
        async with asyncio.timeout(_FAREWELL.total_seconds()):
            await connection.wait_closed()
    except TimeoutError:
        pass
    finally:
        connection.abort()


@contextmanager
def _explaining(
    address: SshAddress, credentials: SshCredentials, deadline: timedelta
) -> Iterator[None]:
    """asyncssh's errors end here."""
    try:
        yield
    except TimeoutError as error:
        limit = f"{deadline.total_seconds():g}s"
        problem = f"ssh to {address}: no complete answer within {limit}"
        raise SshError(problem, timed_out=True) from error
    except InvalidCredentials as error:
        raise SshError(f"ssh to {address}: {error}", refuses_us=True) from error
    except asyncssh.PermissionDenied as error:
        problem = f"ssh to {address}: the server does not let {credentials.user!r} in with this key"
        raise SshError(problem, refuses_us=True) from error
    except TunnelError as error:
        raise SshError(f"ssh to {address}: {error}") from error
    except (asyncssh.Error, OSError) as error:
        raise SshError(f"ssh to {address}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Some of it may be the server's word."""
    text = error.strerror if isinstance(error, OSError) else ""
    return _one_line(text or str(error) or type(error).__name__)


def _one_line(text: str) -> str:
    return redact("".join(c if c.isprintable() else "?" for c in text))[:_LONGEST]


@contextmanager
def _explaining_host_keys(address: SshAddress, keys: SshKeys) -> Iterator[None]:
    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise SshError(_about_host_key(address, keys), refuses_us=True) from error
    except asyncssh.KeyExchangeFailed as error:
        raise SshError(_about_algorithms(address, error)) from error
    except (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError) as error:
        raise SshError(_hung_up(address, keys)) from error
    except ValueError as error:  # asyncssh checks the settings when it connects
        raise SshError(_about_algorithms(address, error)) from error


def _about_algorithms(address: SshAddress, error: Exception) -> str:
    return f"ssh to {address}: {_said(error)}; see the settings SSH_KEX_ALGOS, SSH_HOSTKEY_ALGOS"


def _about_host_key(address: SshAddress, keys: SshKeys) -> str:
    known, revoked = _known_keys(address, keys)
    if revoked:
        return f"ssh to {address}: known_hosts says that the host's key is revoked"
    if known:
        return (
            f"ssh to {address}: the host's key is not the one in known_hosts; it was changed, or "
            "somebody is in between: compare it with the host's own and update the Secret"
        )
    return f"ssh to {address}: known_hosts has no key of this host; add what ssh-keyscan prints"


def _hung_up(address: SshAddress, keys: SshKeys) -> str:
    """Servers say no more when they have no host key of a type that we can compare."""
    known, _ = _known_keys(address, keys)
    types = ", ".join(sorted({key.get_algorithm() for key in known})) or "none"
    return (
        f"ssh to {address}: the server hung up before it let us in; "
        f"the types of its keys in known_hosts: {types}"
    )


def _known_keys(
    address: SshAddress, keys: SshKeys
) -> tuple[Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey]]:
    """Those of the host and its authorities, and those that are revoked."""
    port = address.port if address.port != asyncssh.DEFAULT_PORT else None
    known, authorities, revoked, *_ = keys.theirs.match(address.host, "", port)
    return [*known, *authorities], revoked
