"""`.dockerconfigjson`: the logins that `docker login` and `kubectl create secret` write down.

Of the entries whose registry and path fit, the most specific one counts, as for the kubelet: a
longer path before a shorter one, a name before a pattern (`*.example.com`).
"""

import base64
import binascii
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from services.source.oci.address import DOCKER_HUB_NAMES, IdentityToken, RegistryLogin, Repository
from shared.credentials import Bearer, InvalidCredentials, basic
from shared.redaction import register

CONFIG = ".dockerconfigjson"
OLD_CONFIG = ".dockercfg"  # the same entries without `auths` around them
MOST_ENTRIES = 1000


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _Config(msgspec.Struct, frozen=True):
    auths: dict[str, _Entry] | None = None


class _Rank(NamedTuple):
    path: int
    exact: bool


def registry_login(values: Mapping[str, bytes], repository: Repository) -> RegistryLogin | None:
    """Of a Secret; None when it has no entry for this repository. Raises InvalidCredentials."""
    found = [
        (rank, entry)
        for name, entry in _entries(values).items()
        if (rank := _rank(name, repository)) is not None
    ]
    if not found:
        return None
    return _login(max(found, key=lambda each: each[0])[1])


def _entries(values: Mapping[str, bytes]) -> Mapping[str, _Entry]:
    key = CONFIG if CONFIG in values else OLD_CONFIG
    if key not in values:
        raise InvalidCredentials(f"the Secret has no key {CONFIG}")
    try:
        if key == CONFIG:
            entries = msgspec.json.decode(values[key], type=_Config).auths or {}
        else:
            entries = msgspec.json.decode(values[key], type=dict[str, _Entry])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCredentials(f"key {key} is not the JSON that docker login writes") from error
    if len(entries) > MOST_ENTRIES:
        raise InvalidCredentials(f"key {key} has more than {MOST_ENTRIES} entries")
    return entries


def _rank(name: str, repository: Repository) -> _Rank | None:
    """How well an entry fits; None when it does not."""
    place = name.partition("://")[2] or name
    host, _, path = place.partition("/")
    path = path.strip("/")
    if path in ("v1", "v2"):
        path = ""
    inside = repository.path == path or repository.path.startswith(f"{path}/")
    if path and not inside:
        return None
    exact = _same_registry(host, repository.host)
    if not exact and not _fits(host, repository.host):
        return None
    return _Rank(len(path), exact)


def _same_registry(host: str, other: str) -> bool:
    if host.lower() in DOCKER_HUB_NAMES:
        return other in DOCKER_HUB_NAMES
    return host.lower().removesuffix(":443") == other.lower().removesuffix(":443")


def _fits(pattern: str, host: str) -> bool:
    """A star stands for characters of one part of the name, never for a port."""
    name, _, port = host.partition(":")
    wanted, _, wanted_port = pattern.partition(":")
    parts, wanted_parts = name.split("."), wanted.split(".")
    return (
        port == wanted_port
        and len(parts) == len(wanted_parts)
        and all(fnmatchcase(part, one) for part, one in zip(parts, wanted_parts, strict=True))
    )


def _login(entry: _Entry) -> RegistryLogin | None:
    username, password = entry.username, entry.password
    if entry.auth:
        username, password = _decoded(entry.auth)
    for text in (entry.auth, password, entry.identitytoken, entry.registrytoken):
        register(text)
    if not (username + password + entry.identitytoken + entry.registrytoken).isprintable():
        raise InvalidCredentials(f"key {CONFIG} has control characters in a login")
    if entry.registrytoken:
        return Bearer(entry.registrytoken)
    if entry.identitytoken:
        return IdentityToken(entry.identitytoken)
    return basic(username, password) if username or password else None


def _decoded(auth: str) -> tuple[str, str]:
    try:
        pair = base64.b64decode(auth, validate=True).decode().rstrip("\0\r\n")
    except (binascii.Error, ValueError) as error:
        raise InvalidCredentials(f"key {CONFIG} has an auth that is not base64") from error
    username, colon, password = pair.partition(":")
    if not colon:
        raise InvalidCredentials(f"key {CONFIG} has an auth without a colon in it")
    return username, password
