"""The public keys of a Secret, as cosign writes them: ECDSA, Ed25519 and RSA."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.source.verification.interface import failed

SUFFIX = ".pub"
SMALLEST_RSA = 2048
MOST_KEYS = 32  # every one is tried on every signature
_Key: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
# Releases of cosign differ in whether a larger curve goes with its own hash or with SHA-256.
_HASHES: dict[str, tuple[hashes.HashAlgorithm, ...]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA384(), hashes.SHA256()),
    "secp521r1": (hashes.SHA512(), hashes.SHA256()),
}


class UnusableKey(ValueError):
    """Says what is wrong with it."""


@dataclass(frozen=True)
class PublicKey:
    name: str
    key: _Key

    @classmethod
    def load(cls, name: str, pem: bytes) -> "PublicKey":
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UnusableKey("not a public key in PEM") from error
        return cls(name, supported(key))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        return verifies(self.key, signature, message)


def public_keys(values: Mapping[str, bytes], provider: str, secret: str) -> list[PublicKey]:
    """All keys of the Secret must be readable: a typo must not silently take trust away."""
    names = sorted(name for name in values if name.endswith(SUFFIX))
    if not names:
        raise failed(provider, f"{secret} has no key whose name ends with {SUFFIX}")
    if len(names) > MOST_KEYS:
        raise failed(provider, f"{secret} has {len(names)} public keys; {MOST_KEYS} are the most")
    keys = []
    for name in names:
        try:
            keys.append(PublicKey.load(name, values[name]))
        except UnusableKey as error:
            raise failed(provider, f"{secret}, key {name}: {error}") from error
    return keys


def supported(key: object) -> _Key:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _HASHES:
            raise UnusableKey(f"curve {key.curve.name} is not supported; use P-256, P-384 or P-521")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise UnusableKey(f"an RSA key of {key.key_size} bits; {SMALLEST_RSA} are the least")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise UnusableKey("neither ECDSA, nor Ed25519, nor RSA")


def verifies(key: _Key, signature: bytes, message: bytes) -> bool:
    match key:
        case ec.EllipticCurvePublicKey():
            return any(_ecdsa(key, signature, message, one) for one in _HASHES[key.curve.name])
        case rsa.RSAPublicKey():
            return _rsa(key, signature, message)
        case ed25519.Ed25519PublicKey():
            return _ed25519(key, signature, message)


def _ecdsa(
    key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, by: hashes.HashAlgorithm
) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(by))
    except InvalidSignature:
        return False
    return True


def _rsa(key: rsa.RSAPublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _ed25519(key: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
