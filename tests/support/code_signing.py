"""Certificates for signing, and signatures of the Notary Project made with them."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.source.verification.interface import SignedArtifact
from tests.support.signed_artifacts import MemoryRepository

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
JWS = "application/jose+json"
PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
SCHEME, TIME = "io.cncf.notary.signingScheme", "io.cncf.notary.signingTime"
_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def subject(name: str, organization: str = "Example") -> x509.Name:
    attributes = {
        NameOID.COUNTRY_NAME: "US",
        NameOID.STATE_OR_PROVINCE_NAME: "WA",
        NameOID.ORGANIZATION_NAME: organization,
        NameOID.COMMON_NAME: name,
    }
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes.items()])


def key_usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USES})


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a certificate says of itself; the defaults are a good signer's."""

    name: str = "signer"
    uses: tuple[str, ...] | None = ("digital_signature",)
    usage_is_critical: bool = True
    extended: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.CODE_SIGNING,)
    is_authority: bool | None = False
    path_length: int | None = None
    starts: datetime = NOW - timedelta(days=30)
    ends: datetime = NOW + timedelta(days=30)
    organization: str = "Example"


AUTHORITY = Profile(
    name="root", uses=("key_cert_sign", "crl_sign"), extended=None, is_authority=True
)


@dataclass(frozen=True)
class Identity:
    key: Key
    chain: tuple[x509.Certificate, ...]

    @classmethod
    def root(cls, profile: Profile = AUTHORITY, key: Key | None = None) -> Self:
        key = key or ec.generate_private_key(ec.SECP256R1())
        return cls(key, (_certificate(profile, key, None),))

    def issue(self, profile: Profile = Profile(), key: Key | None = None) -> "Identity":
        key = key or ec.generate_private_key(ec.SECP256R1())
        return Identity(key, (_certificate(profile, key, self), *self.chain))

    @property
    def pem(self) -> bytes:
        """Of its own certificate."""
        return self.chain[0].public_bytes(Encoding.PEM)


def _certificate(profile: Profile, key: Key, issuer: Identity | None) -> x509.Certificate:
    name = subject(profile.name, profile.organization)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.chain[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(profile.starts)
        .not_valid_after(profile.ends)
    )
    if profile.is_authority is not None:
        constraints = x509.BasicConstraints(profile.is_authority, profile.path_length)
        builder = builder.add_extension(constraints, critical=True)
    if profile.uses is not None:
        usage = key_usage(*profile.uses)
        builder = builder.add_extension(usage, critical=profile.usage_is_critical)
    if profile.extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.extended), critical=False)
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def header(algorithm: str = "ES256", **changes: Any) -> dict[str, Any]:
    """The signed header of a good signature; None takes an entry away."""
    told = {
        "alg": algorithm,
        "cty": PAYLOAD,
        "crit": [SCHEME],
        SCHEME: "notary.x509",
        TIME: "2026-05-30T12:00:00Z",
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


def payload(artifact: SignedArtifact, **changes: Any) -> bytes:
    target = {"mediaType": artifact.media_type, "digest": artifact.digest, "size": artifact.size}
    return json.dumps({"targetArtifact": target | changes}).encode()


def jws(
    signer: Identity,
    content: bytes,
    signed_header: Mapping[str, Any],
    certificates: Sequence[x509.Certificate] | None = None,
) -> bytes:
    protected, body = _url64(json.dumps(signed_header).encode()), _url64(content)
    signature = _signature(signer.key, f"{protected}.{body}".encode())
    chain = signer.chain if certificates is None else certificates
    x5c = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
    told = {"payload": body, "protected": protected, "signature": _url64(signature)}
    return json.dumps({**told, "header": {"x5c": x5c}}).encode()


def add_signature(
    registry: MemoryRepository, artifact: SignedArtifact, envelope: bytes, media_type: str = JWS
) -> None:
    registry.add_referrer(artifact, ARTIFACT_TYPE, registry.add_blob(envelope, media_type))


def _signature(key: Key, message: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return key.sign(message, pss, hashes.SHA256())
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    half = (key.key_size + 7) // 8
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
