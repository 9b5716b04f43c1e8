"""Keyless signatures of cosign's older layout, whose proofs are annotations beside the signature.

The sigstore library reads bundles only, so its parts are used here one by one: certificate, its
being in the log of certificates, and the promise of the log of signatures that it has an entry
about this very signature, made while the certificate was valid.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import KeyringPurpose
from sigstore._utils import KeyID
from sigstore.errors import Error
from sigstore.models import TrustedRoot

from services.source.verification.interface import Rejected
from services.source.verification.public_keys import supported, verifies
from services.source.verification.reading import Camel, decoded, from_base64

CERTIFICATE = "dev.sigstore.cosign/certificate"
PROMISE = "dev.sigstore.cosign/bundle"


class _Logged(Camel, frozen=True, kw_only=True):
    body: str
    integrated_time: int
    log_index: int
    log_id: str = msgspec.field(name="logID")


class _Promise(Camel, frozen=True, kw_only=True, rename="pascal"):
    signed_entry_timestamp: bytes
    payload: _Logged


class _Hash(Camel, frozen=True, kw_only=True):
    algorithm: str
    value: str


class _Content(Camel, frozen=True, kw_only=True):
    hash: _Hash


class _Key(Camel, frozen=True, kw_only=True):
    content: bytes


class _Signature(Camel, frozen=True, kw_only=True):
    content: bytes
    public_key: _Key


class _Spec(Camel, frozen=True, kw_only=True):
    data: _Content
    signature: _Signature


class _Entry(Camel, frozen=True, kw_only=True):
    kind: str
    api_version: str
    spec: _Spec


def require_detached(
    root: TrustedRoot, payload: bytes, signature: bytes, annotations: Mapping[str, str]
) -> x509.Certificate:
    """The certificate that made the signature. Raises Rejected, and what the library raises."""
    if CERTIFICATE not in annotations or PROMISE not in annotations:
        raise Rejected("it has no certificate or no log entry; was it made with a key?")
    certificate = x509.load_pem_x509_certificate(annotations[CERTIFICATE].encode())
    promise = decoded(annotations[PROMISE].encode(), _Promise, "the promise of the log")
    logged_at = _require_promised(root, promise)
    chain = _chain(root, certificate, logged_at)
    verify_sct(certificate, chain, root.ct_keyring(KeyringPurpose.VERIFY))
    _require_signer(certificate)
    if not verifies(supported(certificate.public_key()), signature, payload):
        raise Rejected("the signature was not made with the key of its certificate")
    _require_entry(promise.payload, payload, signature, certificate)
    return certificate


def _require_promised(root: TrustedRoot, promise: _Promise) -> datetime:
    """When the log promised to keep the entry."""
    logged = promise.payload
    promised = {
        "body": logged.body,
        "integratedTime": logged.integrated_time,
        "logID": logged.log_id,
        "logIndex": logged.log_index,
    }
    try:
        root.rekor_keyring(KeyringPurpose.VERIFY).verify(
            key_id=KeyID(bytes.fromhex(logged.log_id)),
            signature=promise.signed_entry_timestamp,
            data=orjson.dumps(promised, option=orjson.OPT_SORT_KEYS),  # as RFC 8785 writes these
        )
    except Error as error:
        raise Rejected("no log of the trusted root has promised to keep it") from error
    return datetime.fromtimestamp(logged.integrated_time, UTC)


def _chain(
    root: TrustedRoot, certificate: x509.Certificate, moment: datetime
) -> list[x509.Certificate]:
    """From the issuer upwards, all valid at that moment. What keys are for is asked elsewhere."""
    any_use = (x509.ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
    verifier = (
        PolicyBuilder()
        .store(Store(root.get_fulcio_certs()))
        .time(moment)
        .extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca().may_be_present(*any_use),
            ee_policy=ExtensionPolicy.webpki_defaults_ee().may_be_present(*any_use),
        )
        .build_client_verifier()
    )
    try:
        return list(verifier.verify(certificate, []).chain[1:])
    except VerificationError as error:
        raise Rejected(f"its certificate is not of the trusted root: {error}") from error


def _require_signer(certificate: x509.Certificate) -> None:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if not usage.digital_signature or ExtendedKeyUsageOID.CODE_SIGNING not in uses:
        raise Rejected("its certificate is for something else than signing")


def _require_entry(
    logged: _Logged, payload: bytes, signature: bytes, certificate: x509.Certificate
) -> None:
    """Otherwise the promise given for another signature would prove the time of this one."""
    entry = decoded(from_base64(logged.body, "the log entry"), _Entry, "the log entry")
    if (entry.kind, entry.api_version) != ("hashedrekord", "0.0.1"):
        raise Rejected(f"a log entry of kind {entry.kind[:40]!r}")
    logged_hash = (entry.spec.data.hash.algorithm, entry.spec.data.hash.value)
    if logged_hash != ("sha256", hashlib.sha256(payload).hexdigest()):
        raise Rejected("the log entry is about another payload")
    if entry.spec.signature.content != signature:
        raise Rejected("the log entry is about another signature")
    key = x509.load_pem_x509_certificate(entry.spec.signature.public_key.content)
    if key.public_bytes(Encoding.DER) != certificate.public_bytes(Encoding.DER):
        raise Rejected("the log entry is about another certificate")
