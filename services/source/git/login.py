"""How the git program gets to one server, for one command.

Logins are settings in its environment, certificates files of ours alone; ssh is spoken by the
service itself, and git gets an end of a socket that leads to it.
"""

import asyncio
import contextlib
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.source.git.remote import Remote
from services.source.git.runner import GitError, GitRefused, GitTimeout
from services.source.git.ssh_address import SshAlgorithms
from shared.credentials import PROXY_PORTS, Proxy, Tls
from shared.durations import in_seconds
from shared.web.proxies import proxy_of_process
from shared.web.reach import Reach

if TYPE_CHECKING:
    from services.source.git.ssh import SshError, UploadPack

_BRIDGE = Path(__file__).parent / "ssh_bridge.py"
_CHUNK = 128 * 1024


@dataclass(frozen=True)
class Access:
    """What git is told: a URL, settings, and descriptors that it inherits."""

    url: str
    configuration: dict[str, str] = field(default_factory=dict, repr=False)
    holds: tuple[int, ...] = ()


def access_to(
    remote: Remote, deadline: timedelta, ssh: SshAlgorithms, reach: Reach
) -> AbstractAsyncContextManager[Access]:
    """Entering and using it raises GitError when the server cannot be reached."""
    if remote.ssh:
        return _over_ssh(remote, deadline, ssh, reach)
    return _over_http(remote, deadline, reach)


@asynccontextmanager
async def _over_http(remote: Remote, deadline: timedelta, reach: Reach) -> AsyncIterator[Access]:
    way = await _way(remote, deadline, reach)
    with _configuration_for(remote) as configuration:
        yield Access(remote.url, way | configuration)


async def _way(remote: Remote, deadline: timedelta, reach: Reach) -> dict[str, str]:
    """What git connects to, so that it asks nobody else where that is."""
    if remote.proxy is None and (proxy := proxy_of_process(remote.url)):
        return {"http.proxy": proxy}
    first = remote.proxy.address if remote.proxy else remote.url
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            pinned = await _pinned(first, reach)
    except TimeoutError as error:
        raise GitTimeout(
            f"{first}: its address was not found within {in_seconds(deadline)}"
        ) from error
    except OSError as error:
        raise GitError(f"{first}: {error.strerror or error}") from error
    way = _proxy(remote.proxy) if remote.proxy else {"http.proxy": ""}
    return way | {"http.curloptResolve": pinned}


async def _pinned(url: str, reach: Reach) -> str:
    """For every name at this port: curl may read what is one for us as another."""
    parts = urlsplit(url)
    port = parts.port or PROXY_PORTS[parts.scheme]
    hosts = [place.host for place in await reach.places(parts.hostname or "", port)]
    return f"*:{port}:{','.join(f'[{host}]' if ':' in host else host for host in hosts)}"


@contextmanager
def _configuration_for(remote: Remote) -> Iterator[dict[str, str]]:
    """Git's settings; certificates are gone with the context."""
    credentials = remote.credentials
    configuration = {}
    if credentials.authorization:
        header = f"Authorization: {credentials.authorization}"
        configuration[f"http.{remote.url}.extraHeader"] = header
    with TemporaryDirectory(prefix="penstock-tls-") as folder:
        if credentials.tls:
            configuration |= _certificates(credentials.tls, Path(folder))
            if "http.sslCAInfo" in configuration:  # an https proxy is trusted by the same word
                configuration["http.proxySSLCAInfo"] = configuration["http.sslCAInfo"]
        yield configuration


def _proxy(proxy: Proxy) -> dict[str, str]:
    # The proxy resolves the names of hosts, as it does for the other kinds of sources.
    url = proxy.url.replace("socks5://", "socks5h://", 1)
    return {"http.proxy": url, "http.proxyAuthMethod": "basic"}


def _certificates(tls: Tls, folder: Path) -> dict[str, str]:
    texts = {
        "http.sslCAInfo": tls.authority,
        "http.sslCert": tls.certificate,
        "http.sslKey": tls.key,
    }
    configuration = {}
    for setting, text in texts.items():
        if text:
            path = folder / setting
            path.write_text(text)
            configuration[setting] = str(path)
    return configuration


@asynccontextmanager
async def _over_ssh(
    remote: Remote, deadline: timedelta, ssh: SshAlgorithms, reach: Reach
) -> AsyncIterator[Access]:
    from services.source.git.ssh import SshError, upload_pack

    try:
        async with upload_pack(remote, deadline, ssh, reach) as there:
            ours, gits = socket.socketpair()
            with ours, gits:
                async with _carried(ours, there):
                    yield _through_bridge(gits.fileno())
    except SshError as error:
        raise _as_git_says(error) from error


def _through_bridge(descriptor: int) -> Access:
    """Not a word of a stranger's is in the command, which git hands to a shell."""
    command = (sys.executable, "-I", "-S", str(_BRIDGE), str(descriptor))
    configuration = {
        "protocol.ssh.allow": "always",
        "core.sshCommand": shlex.join(command),
        "ssh.variant": "simple",
    }
    return Access("ssh://penstock/repository", configuration, (descriptor,))


@asynccontextmanager
async def _carried(ours: socket.socket, there: "UploadPack") -> AsyncIterator[None]:
    """Between git and the server, until the context ends; why git failed, the server may know."""
    ours.setblocking(False)
    carrying = [asyncio.create_task(_up(ours, there)), asyncio.create_task(_down(there, ours))]
    try:
        yield
    except GitTimeout:
        raise
    except GitError as error:
        said = await there.farewell()
        raise GitError(f"{error}; the server says: {said}" if said else str(error)) from error
    finally:
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _up(ours: socket.socket, there: "UploadPack") -> None:
    loop = asyncio.get_running_loop()
    try:
        while piece := await loop.sock_recv(ours, _CHUNK):
            await there.write(piece)
        there.write_eof()
    except OSError:
        _end(ours, socket.SHUT_RD)


async def _down(there: "UploadPack", ours: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while piece := await there.output.read(_CHUNK):
            await loop.sock_sendall(ours, piece)
    _end(ours, socket.SHUT_WR)


def _end(ours: socket.socket, direction: int) -> None:
    with contextlib.suppress(OSError):  # git has ended it already
        ours.shutdown(direction)


def _as_git_says(error: "SshError") -> GitError:
    if error.timed_out:
        return GitTimeout(str(error))
    return GitRefused(str(error)) if error.refuses_us else GitError(str(error))
