"""Where an `ssh://` URL points, and the one command that is run there."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

PORT = 22
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}\.?|[0-9a-fA-F:.]*:[0-9a-fA-F:.%a-z]*")


class SshAlgorithms(NamedTuple):
    """What may be used, in order of preference; empty: what the library holds to be safe."""

    key_exchange: tuple[str, ...] = ()
    host_key: tuple[str, ...] = ()


SAFE = SshAlgorithms()


class SshAddress(NamedTuple):
    user: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def command(self) -> str:
        """Hosts read it as a shell would, so the path is quoted as git itself quotes it."""
        quoted = self.path.replace("'", "'\\''").replace("!", "'\\!'")
        return f"git-upload-pack '{quoted}'"


def ssh_address(url: str) -> SshAddress:
    """Raises ValueError, whose message says what is wrong with the URL."""
    parts = urlsplit(url)
    host, path, user = parts.hostname or "", unquote(parts.path), unquote(parts.username or "")
    if parts.port == 0:
        raise ValueError("the port is 0")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is not the name of a host")
    if user and (user.startswith("-") or not user.isprintable()):
        raise ValueError("it has a user name that nobody has")
    if path in ("", "/") or not path.isprintable():
        raise ValueError("it has no path of a repository, or one with control characters")
    if parts.query or parts.fragment:
        raise ValueError("a path has no '?' and no '#', which are written %3F and %23")
    if path.startswith("/~"):
        path = path[1:]  # below somebody's home
    return SshAddress(user, host, parts.port or PORT, path)
