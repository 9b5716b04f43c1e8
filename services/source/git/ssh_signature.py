"""SSH signatures of commits and tags (OpenSSH's PROTOCOL.sshsig), without a process.

The key must be one of those given, the namespace git's, the hash and the algorithm strong: no
SHA-1, no RSA below 2048 bits. A security key must have been touched. (See ssh_mathematics.)
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from services.source.git.ssh_encoding import SshError, SshReader

BEGIN = b"-----BEGIN SSH SIGNATURE-----"
END = b"-----END SSH SIGNATURE-----"
NAMESPACE = b"git"
MAX_SIGNATURE = 64 * 1024
_MAGIC = b"SSHSIG"
_DIGESTS = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_LINE = re.compile(rb"(?P<kind>[a-z0-9@.-]+)[ \t]+(?P<key>[A-Za-z0-9+/]+=*)(?:[ \t].*)?")


class _Signature(NamedTuple):
    key: bytes
    namespace: bytes
    reserved: bytes
    digest: bytes
    signature: bytes


@dataclass(frozen=True)
class SshKey:
    """As authorized keys hold it: the public key's own encoding."""

    blob: bytes

    @property
    def fingerprint(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).rstrip(b"=")
        return f"SHA256:{digest.decode()}"


def ssh_keys(text: bytes) -> list[SshKey]:
    """One a line; comments and empty lines pass by. Raises SshError."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        try:
            keys.append(_key(stripped))
        except SshError as error:
            said = f"line {number} is not a public key (<type> <base64> [comment]): {error}"
            raise SshError(said) from error
    if not keys:
        raise SshError("no SSH public key")
    return keys


def _key(line: bytes) -> SshKey:
    found = _LINE.fullmatch(line)
    if found is None:
        raise SshError("it begins otherwise")
    blob = _decoded(found["key"])
    if SshReader(blob).text() != found["kind"]:
        raise SshError("the key is of another type")
    return SshKey(blob)


def verified_by(payload: bytes, armored: bytes, keys: Iterable[SshKey]) -> str:
    """The fingerprint of the key that signed; raises SshError."""
    signature = _parsed(armored)
    key = SshKey(signature.key)
    if key not in set(keys):
        raise SshError(f"key {key.fingerprint} is not among those that are trusted")
    if signature.namespace != NAMESPACE:
        raise SshError(f"the signature is not for git, but for {signature.namespace[:50]!r}")
    if signature.digest not in _DIGESTS:
        raise SshError(f"the signature's hash {signature.digest[:20]!r} is not SHA-256 or SHA-512")
    hashed = _DIGESTS[signature.digest](payload).digest()
    fields = (signature.namespace, signature.reserved, signature.digest, hashed)
    signed = _MAGIC + b"".join(map(_string, fields))
    from services.source.git.ssh_mathematics import require_signed  # only now: it is 8 MiB

    require_signed(signature.key, signature.signature, signed)
    return key.fingerprint


def _parsed(armored: bytes) -> _Signature:
    text = armored.strip()
    if len(text) > MAX_SIGNATURE or not (text.startswith(BEGIN) and text.endswith(END)):
        raise SshError("not one SSH signature")
    reader = SshReader(_decoded(b"".join(text[len(BEGIN) : -len(END)].split())))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(4) != b"\0\0\0\1":
        raise SshError("not an SSH signature of version 1")
    signature = _Signature(*(reader.text() for _ in range(5)))
    reader.require_end()
    return signature


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SshError("the key or the signature is not base64") from error
