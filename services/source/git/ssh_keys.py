"""Private keys and known hosts, read from text that anybody may have written.

Encrypted keys name the work that decrypting them takes; one that names too much is refused before
it is begun. What was read is remembered: that work is not done again for every look at a server.
"""

import asyncio
import base64
import binascii
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import asyncssh
from asyncssh.asn1 import ASN1DecodeError, der_decode

from shared.credentials import InvalidCredentials, SshCredentials

MOST_KNOWN = 1000
MOST_BCRYPT_ROUNDS = 512  # ssh-keygen's own are 16 or 24
MOST_ITERATIONS = 10_000_000
_OPENSSH = b"openssh-key-v1\0"


class SshKeys(NamedTuple):
    ours: asyncssh.SSHKey
    theirs: asyncssh.SSHKnownHosts


_known: OrderedDict[SshCredentials, SshKeys] = OrderedDict()


async def keys_of(credentials: SshCredentials) -> SshKeys:
    """Raises InvalidCredentials."""
    keys = _known.get(credentials)
    if keys is None:
        keys = await asyncio.to_thread(_read, credentials)
    _known[credentials] = keys
    _known.move_to_end(credentials)
    while len(_known) > MOST_KNOWN:
        _known.popitem(last=False)
    return keys


def _read(credentials: SshCredentials) -> SshKeys:
    _require_little_work(credentials.identity)
    try:
        ours = asyncssh.import_private_key(credentials.identity, credentials.passphrase or None)
    except asyncssh.KeyEncryptionError as error:
        raise InvalidCredentials(_locked(credentials, str(error))) from error
    except (asyncssh.KeyImportError, ValueError) as error:
        if "assphrase" in str(error):
            raise InvalidCredentials(_locked(credentials, str(error))) from error
        or_locked = ", or password is not its passphrase" if credentials.passphrase else ""
        problem = f"identity is not a private key that ssh knows{or_locked}"
        raise InvalidCredentials(problem) from error
    try:
        theirs = asyncssh.import_known_hosts(credentials.known_hosts)
    except ValueError as error:
        raise InvalidCredentials("known_hosts is not a list of hosts and their keys") from error
    return SshKeys(ours, theirs)


def _locked(credentials: SshCredentials, problem: str) -> str:
    if "requires bcrypt" in problem:
        return (
            "identity is encrypted in OpenSSH's own format, which cannot be read here; "
            "write it anew with ssh-keygen -p -m PKCS8"
        )
    if credentials.passphrase:
        return "identity is encrypted, and password is not its passphrase"
    return "identity is encrypted; add its passphrase as password, or use a key without one"


def _require_little_work(identity: str) -> None:
    lines = identity.strip().splitlines()
    try:
        raw = base64.b64decode(
            "".join(line for line in lines if ":" not in line and "-" not in line)
        )
    except (binascii.Error, ValueError):
        return  # no key at all, as its reader will say
    if raw.startswith(_OPENSSH):
        work, most = _bcrypt_rounds(raw.removeprefix(_OPENSSH)), MOST_BCRYPT_ROUNDS
    else:
        work, most = _iterations(raw), MOST_ITERATIONS
    if work > most:
        raise InvalidCredentials(
            f"identity asks for {work} rounds to decrypt it, more than {most}; "
            "write it anew with ssh-keygen -p"
        )


def _bcrypt_rounds(raw: bytes) -> int:
    """After cipher and function come the function's options: salt and rounds."""
    try:
        options = list(_strings(raw, 3))[2]
        return int.from_bytes(options[-4:], "big") if options else 0
    except (struct.error, IndexError):
        return 0


def _strings(raw: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        (length,) = struct.unpack_from(">I", raw)
        yield raw[4 : 4 + length]
        raw = raw[4 + length :]


def _iterations(raw: bytes) -> int:
    """The largest number among the parameters of an encrypted PKCS #8 key."""
    try:
        decoded = der_decode(raw)
    except (ASN1DecodeError, ValueError, IndexError):
        return 0
    # Encrypted: a pair of the method with its parameters, and the content.
    method = decoded[0] if isinstance(decoded, tuple) and decoded else None
    return max(_numbers(method), default=0) if isinstance(method, tuple) else 0


def _numbers(decoded: Any) -> Iterator[int]:
    if isinstance(decoded, int):
        yield decoded
    elif isinstance(decoded, tuple):
        for each in decoded:
            yield from _numbers(each)
