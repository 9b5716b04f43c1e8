"""A signature of the Notary Project, read from either of its envelopes: JWS or COSE.

Reading an envelope says nothing about it; `require_intact` does, with the key of its own first
certificate. Whether that certificate is trusted is the trust policy's business.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from services.source.verification.interface import Rejected, SignedArtifact
from services.source.verification.reading import Camel, decoded

PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
SCHEME = "notary.x509"
LABEL = "io.cncf.notary."
SIGNING_SCHEME, SIGNING_TIME = LABEL + "signingScheme", LABEL + "signingTime"
EXPIRY, PLUGIN = LABEL + "expiry", LABEL + "verificationPlugin"
_UNDERSTOOD = frozenset({SIGNING_SCHEME, EXPIRY})
# One algorithm for each kind of key, so that nobody can choose a weaker one.
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("ES256", hashes.SHA256()),
    "secp384r1": ("ES384", hashes.SHA384()),
    "secp521r1": ("ES512", hashes.SHA512()),
}
_RSA_SIZES: dict[int, tuple[str, hashes.HashAlgorithm]] = {
    2048: ("PS256", hashes.SHA256()),
    3072: ("PS384", hashes.SHA384()),
    4096: ("PS512", hashes.SHA512()),
}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What the signer signed beside the payload."""

    algorithm: str
    content_type: str
    scheme: str
    critical: frozenset[str]
    signing_time: datetime
    expiry: datetime | None
    plugin: bool


@dataclass(frozen=True, kw_only=True)
class Envelope:
    attributes: Attributes
    payload: bytes
    signed: bytes  # what the signature is made over
    signature: bytes
    certificates: tuple[bytes, ...]


class _Target(Camel, frozen=True, kw_only=True):
    media_type: str
    digest: str
    size: int


class _Payload(Camel, frozen=True, kw_only=True):
    target_artifact: _Target


def require_intact(envelope: Envelope, signer: x509.Certificate) -> None:
    """Made with the key of this certificate, and asking for nothing that we do not know."""
    attributes = envelope.attributes
    if attributes.scheme != SCHEME:
        raise Rejected(f"signing scheme {attributes.scheme[:80]!r} is not served; {SCHEME} is")
    if attributes.plugin or not attributes.critical <= _UNDERSTOOD:
        raise Rejected("the signature asks for a verification plugin, which is not served")
    if SIGNING_SCHEME not in attributes.critical:
        raise Rejected("the signature does not mark its signing scheme as critical")
    if attributes.expiry is not None and EXPIRY not in attributes.critical:
        raise Rejected("the signature does not mark its expiry as critical")
    if attributes.content_type != PAYLOAD:
        raise Rejected(f"the signature is of content {attributes.content_type[:80]!r}")
    if not _is_signed(envelope, signer):
        raise Rejected("the signature was not made with the key of its certificate")


def require_target(payload: bytes, artifact: SignedArtifact) -> None:
    target = decoded(payload, _Payload, "the signed payload").target_artifact
    wanted = (artifact.digest, artifact.media_type, artifact.size)
    if (target.digest, target.media_type, target.size) != wanted:
        raise Rejected(f"it is the signature of {target.digest[:80]}, {target.size} bytes")


def _is_signed(envelope: Envelope, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            _verify_ecdsa(envelope, key)
        elif isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(envelope, key)
        else:
            raise Rejected("the certificate's key is neither RSA nor ECDSA")
    except InvalidSignature:
        return False
    return True


def _verify_ecdsa(envelope: Envelope, key: ec.EllipticCurvePublicKey) -> None:
    if key.curve.name not in _CURVES:
        raise Rejected(f"curve {key.curve.name} is not for signatures")
    algorithm, by = _CURVES[key.curve.name]
    _require_algorithm(envelope, algorithm)
    half = (key.key_size + 7) // 8
    if len(envelope.signature) != 2 * half:
        raise InvalidSignature
    r, s = envelope.signature[:half], envelope.signature[half:]
    encoded = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    key.verify(encoded, envelope.signed, ec.ECDSA(by))


def _verify_rsa(envelope: Envelope, key: rsa.RSAPublicKey) -> None:
    if key.key_size not in _RSA_SIZES:
        raise Rejected(f"RSA keys of {key.key_size} bits are not for signatures")
    algorithm, by = _RSA_SIZES[key.key_size]
    _require_algorithm(envelope, algorithm)
    pss = padding.PSS(padding.MGF1(by), padding.PSS.DIGEST_LENGTH)
    key.verify(envelope.signature, envelope.signed, pss, by)


def _require_algorithm(envelope: Envelope, algorithm: str) -> None:
    if envelope.attributes.algorithm != algorithm:
        told = envelope.attributes.algorithm[:20]
        raise Rejected(f"algorithm {told!r} is not {algorithm}, which the certificate's key is for")
