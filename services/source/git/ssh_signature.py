"""SSH signatures of commits and tags (OpenSSH's PROTOCOL.sshsig), without a process.

The key must be one of those given, the namespace git's, the hash and the algorithm strong: no
SHA-1, no RSA below 2048 bits. A security key must have been touched.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

BEGIN = b"-----BEGIN SSH SIGNATURE-----"
END = b"-----END SSH SIGNATURE-----"
NAMESPACE = b"git"
MAX_SIGNATURE = 64 * 1024
MIN_RSA_BITS = 2048
_MAGIC = b"SSHSIG"
_DIGESTS = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_CURVES = {b"nistp256": hashes.SHA256(), b"nistp384": hashes.SHA384(), b"nistp521": hashes.SHA512()}
_RSA = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
_SK_ED25519 = b"sk-ssh-ed25519@openssh.com"
_SK_ECDSA = b"sk-ecdsa-sha2-nistp256@openssh.com"
_TOUCHED = 0x01
_LINE = re.compile(rb"(?P<kind>[a-z0-9@.-]+)[ \t]+(?P<key>[A-Za-z0-9+/]+=*)(?:[ \t].*)?")


class SshError(Exception):
    """Not a good signature, or not a key; the message says why."""


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
        found = _LINE.fullmatch(stripped)
        blob = _decoded(found["key"]) if found else b""
        if not found or _Reader(blob).text() != found["kind"]:
            raise SshError(f"line {number} is not a public key: <type> <base64> [comment]")
        keys.append(SshKey(blob))
    if not keys:
        raise SshError("no SSH public key")
    return keys


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
    try:
        _verify(signature, signed)
    except InvalidSignature as error:
        raise SshError("the signature does not match the content") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SshError(f"the key or the signature is malformed: {error}") from error
    return key.fingerprint


def _verify(signature: _Signature, signed: bytes) -> None:
    kind = _Reader(signature.key).text()
    reader = _Reader(signature.signature)
    algorithm, value = reader.text(), reader.text()
    if kind in (_SK_ED25519, _SK_ECDSA) and algorithm == kind:
        return _verify_touched(signature.key, value, reader, signed)
    reader.require_end()
    public = load_ssh_public_key(kind + b" " + base64.b64encode(signature.key))
    match public:
        case ed25519.Ed25519PublicKey() if algorithm == b"ssh-ed25519":
            return public.verify(value, signed)
        case ec.EllipticCurvePublicKey() if algorithm == kind:
            digest = _CURVES[kind.rpartition(b"-")[2]]
            return public.verify(_ecdsa(value), signed, ec.ECDSA(digest))
        case rsa.RSAPublicKey() if algorithm in _RSA and public.key_size >= MIN_RSA_BITS:
            return public.verify(value, signed, padding.PKCS1v15(), _RSA[algorithm])
        case _:
            raise SshError(
                f"signatures by {kind.decode(errors='replace')} keys with "
                f"{algorithm.decode(errors='replace')} are not accepted (nor RSA below "
                f"{MIN_RSA_BITS} bits)"
            )


def _verify_touched(blob: bytes, value: bytes, rest: "_Reader", signed: bytes) -> None:
    """Of a security key, which signs its own flags and counter together with the digest."""
    key = _Reader(blob)
    kind = key.text()
    flags, counter = rest.take(1), rest.take(4)
    rest.require_end()
    if not flags[0] & _TOUCHED:
        raise SshError("the security key was not touched")
    if kind == _SK_ED25519:
        point, application = key.text(), key.text()
        public = ed25519.Ed25519PublicKey.from_public_bytes(point)
        message = _touched(application, flags, counter, signed)
        return public.verify(value, message)
    _, point, application = key.text(), key.text(), key.text()
    curve = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    message = _touched(application, flags, counter, signed)
    return curve.verify(_ecdsa(value), message, ec.ECDSA(hashes.SHA256()))


def _touched(application: bytes, flags: bytes, counter: bytes, signed: bytes) -> bytes:
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(signed).digest()


def _ecdsa(value: bytes) -> bytes:
    """Two numbers in SSH's encoding -> in ASN.1's."""
    reader = _Reader(value)
    r, s = (int.from_bytes(reader.text(), signed=True) for _ in range(2))
    reader.require_end()
    return utils.encode_dss_signature(r, s)


def _parsed(armored: bytes) -> _Signature:
    text = armored.strip()
    if len(text) > MAX_SIGNATURE or not (text.startswith(BEGIN) and text.endswith(END)):
        raise SshError("not one SSH signature")
    reader = _Reader(_decoded(b"".join(text[len(BEGIN) : -len(END)].split())))
    if reader.take(len(_MAGIC)) != _MAGIC or reader.take(4) != b"\0\0\0\1":
        raise SshError("not an SSH signature of version 1")
    signature = _Signature(*(reader.text() for _ in range(5)))
    reader.require_end()
    return signature


class _Reader:
    """Reads SSH's length-prefixed strings; raises SshError at an end that comes too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def take(self, size: int) -> bytes:
        taken, self._content = self._content[:size], self._content[size:]
        if len(taken) < size:
            raise SshError("the key or the signature is cut off")
        return taken

    def text(self) -> bytes:
        return self.take(int.from_bytes(self.take(4)))

    def require_end(self) -> None:
        if self._content:
            raise SshError("there is more than a signature")


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SshError("the key or the signature is not base64") from error
