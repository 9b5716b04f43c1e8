"""Whether a key has made a signature: the part of SSH signatures that needs `cryptography`."""

import base64
import hashlib

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from services.source.git.ssh_encoding import SshError, SshReader

MIN_RSA_BITS = 2048
_CURVES = {b"nistp256": hashes.SHA256(), b"nistp384": hashes.SHA384(), b"nistp521": hashes.SHA512()}
_RSA = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
_SK_ED25519 = b"sk-ssh-ed25519@openssh.com"
_SK_ECDSA = b"sk-ecdsa-sha2-nistp256@openssh.com"
_TOUCHED = 0x01


def require_signed(key: bytes, signature: bytes, signed: bytes) -> None:
    """Key and signature in SSH's encoding; raises SshError."""
    try:
        _verify(key, signature, signed)
    except InvalidSignature as error:
        raise SshError("the signature does not match the content") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SshError(f"the key or the signature is malformed: {error}") from error


def _verify(key: bytes, signature: bytes, signed: bytes) -> None:
    kind = SshReader(key).text()
    reader = SshReader(signature)
    algorithm, value = reader.text(), reader.text()
    if kind in (_SK_ED25519, _SK_ECDSA) and algorithm == kind:
        return _verify_touched(key, value, reader, signed)
    reader.require_end()
    public = load_ssh_public_key(kind + b" " + base64.b64encode(key))
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


def _verify_touched(blob: bytes, value: bytes, rest: SshReader, signed: bytes) -> None:
    """Of a security key, which signs its own flags and counter together with the digest."""
    key = SshReader(blob)
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
    reader = SshReader(value)
    r, s = (int.from_bytes(reader.text(), signed=True) for _ in range(2))
    reader.require_end()
    return utils.encode_dss_signature(r, s)
