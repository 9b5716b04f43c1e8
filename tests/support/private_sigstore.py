"""A private instance of Sigstore in memory: authority, log of certificates, log of signatures.

It makes what cosign would bring home from a real one, byte for byte in the same formats, so that
keyless signatures can be verified without the public instance.
"""

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.code_signing import key_usage, subject

SIGNED_AT = datetime(2026, 5, 1, 12, 5, tzinfo=UTC)
ISSUER = "https://token.actions.example"
WORKFLOW = "https://github.example/team/app/.github/workflows/release.yaml@refs/heads/main"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_CERTIFICATE_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Certified:
    """A key that lives for one signature."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, message: bytes) -> bytes:
        return sign(self.key, message)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Who wants a certificate, and what is wrong with it."""

    workflow: str = WORKFLOW
    issuer: str = ISSUER
    email: str = ""
    old_issuer_only: bool = False
    extended: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    use: str = "digital_signature"
    starts: datetime = SIGNED_AT - timedelta(minutes=5)
    logged: bool = True


@dataclass
class PrivateSigstore:
    authority: ec.EllipticCurvePrivateKey = field(default_factory=a_key)
    certificate_log: ec.EllipticCurvePrivateKey = field(default_factory=a_key)
    log: ec.EllipticCurvePrivateKey = field(default_factory=a_key)

    def __post_init__(self) -> None:
        name, key = subject("authority"), self.authority.public_key()
        self.root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key)
            .serial_number(1)
            .not_valid_before(SIGNED_AT - timedelta(days=365))
            .not_valid_after(SIGNED_AT + timedelta(days=36500))
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    @property
    def trusted_root(self) -> bytes:
        certificate = {"rawBytes": base64_of(self.root.public_bytes(Encoding.DER))}
        authority = {
            "subject": {"organization": "Example", "commonName": "authority"},
            "uri": "https://fulcio.example",
            "certChain": {"certificates": [certificate]},
            "validFor": {"start": "2025-01-01T00:00:00Z"},
        }
        told = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [_log("https://rekor.example", self.log)],
            "certificateAuthorities": [authority],
            "ctlogs": [_log("https://ctfe.example", self.certificate_log)],
            "timestampAuthorities": [],
        }
        return json.dumps(told).encode()

    def certify(self, wish: Wish = Wish()) -> Certified:
        key = a_key()
        builder = self._builder(key.public_key(), wish)
        if wish.logged:
            precertificate = builder.sign(self.authority, hashes.SHA256())
            timestamps = self._timestamps(precertificate)
            extension = x509.UnrecognizedExtension(_CERTIFICATE_TIMESTAMPS, timestamps)
            builder = builder.add_extension(extension, critical=False)
        return Certified(key, builder.sign(self.authority, hashes.SHA256()))

    def detached(self, signer: Certified, payload: bytes, **entry: Any) -> dict[str, str]:
        """The annotations of a signature in the older layout. `entry` replaces what is logged."""
        signature = signer.sign(payload)
        logged = entry.get("body") or hashed_record(signer, payload, signature)
        promised = self._promised(canonical(logged), entry.get("at", SIGNED_AT))
        told = {"SignedEntryTimestamp": self._promise(promised), "Payload": promised}
        return {
            "dev.cosignproject.cosign/signature": base64_of(signature),
            "dev.sigstore.cosign/certificate": signer.pem,
            "dev.sigstore.cosign/chain": self.root.public_bytes(Encoding.PEM).decode(),
            "dev.sigstore.cosign/bundle": json.dumps(told),
        }

    def envelope_bundle(self, signer: Certified, payload: bytes) -> dict[str, Any]:
        signed = b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
        signature = signer.sign(signed)
        envelope = {
            "payload": base64_of(payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": base64_of(signature)}],
        }
        logged_signature = {
            "signature": base64_of(signature),
            "verifier": base64_of(signer.pem.encode()),
        }
        spec = {
            "envelopeHash": _hash(canonical(envelope)),
            "payloadHash": _hash(payload),
            "signatures": [logged_signature],
        }
        entry = {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}
        return self._bundle(signer, entry, dsseEnvelope=envelope)

    def message_bundle(self, signer: Certified, message: bytes) -> dict[str, Any]:
        signature = signer.sign(message)
        digest = {"algorithm": "SHA2_256", "digest": base64_of(hashlib.sha256(message).digest())}
        told = {"messageDigest": digest, "signature": base64_of(signature)}
        entry = hashed_record(signer, message, signature)
        return self._bundle(signer, entry, messageSignature=told)

    def _builder(self, key: ec.EllipticCurvePublicKey, wish: Wish) -> x509.CertificateBuilder:
        names: list[x509.GeneralName] = []
        if wish.email:
            names.append(x509.RFC822Name(wish.email))
        if wish.workflow:
            names.append(x509.UniformResourceIdentifier(wish.workflow))
        issuer = wish.issuer.encode()
        told = {_ISSUER_V1: issuer}
        if not wish.old_issuer_only:
            told[_ISSUER_V2] = bytes([0x0C, len(issuer)]) + issuer
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(wish.starts)
            .not_valid_after(wish.starts + timedelta(minutes=10))
            .add_extension(key_usage(wish.use), critical=True)
            .add_extension(x509.ExtendedKeyUsage([wish.extended]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
        )
        for identifier, value in told.items():
            extension = x509.UnrecognizedExtension(identifier, value)
            builder = builder.add_extension(extension, critical=False)
        return builder

    def _timestamps(self, precertificate: x509.Certificate) -> bytes:
        """RFC 6962: the promise of the log of certificates, as the certificate carries it."""
        moment = int(precertificate.not_valid_before_utc.timestamp() * 1000)
        issuer = hashlib.sha256(_der(self.authority)).digest()
        tbs = precertificate.tbs_certificate_bytes
        length = len(tbs).to_bytes(3, "big")
        signed = struct.pack("!BBQH", 0, 0, moment, 1) + issuer + length + tbs + b"\0\0"
        signature = sign(self.certificate_log, signed)
        identifier = hashlib.sha256(_der(self.certificate_log)).digest()
        one = b"\0" + identifier + struct.pack("!QH", moment, 0) + b"\4\3" + _sized(signature)
        listed = _sized(_sized(one))
        return bytes([0x04, len(listed)]) + listed  # an OCTET STRING of less than 128 bytes

    def _promised(self, body: bytes, at: datetime) -> dict[str, Any]:
        return {
            "body": base64_of(body),
            "integratedTime": int(at.timestamp()),
            "logIndex": 0,
            "logID": hashlib.sha256(_der(self.log)).hexdigest(),
        }

    def _promise(self, promised: dict[str, Any]) -> str:
        return base64_of(sign(self.log, canonical(promised)))

    def _bundle(self, signer: Certified, entry: Any, **content: Any) -> dict[str, Any]:
        der = signer.certificate.public_bytes(Encoding.DER)
        material = {
            "certificate": {"rawBytes": base64_of(der)},
            "tlogEntries": [self._entry(entry)],
        }
        return {"mediaType": BUNDLE, "verificationMaterial": material, **content}

    def _entry(self, entry: Any) -> dict[str, Any]:
        body = canonical(entry)
        promised = self._promised(body, SIGNED_AT)
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"rekor.example - 1\n1\n{base64_of(root)}\n"
        identifier = bytes.fromhex(promised["logID"])
        signature = base64_of(identifier[:4] + sign(self.log, note.encode()))
        return {
            "logIndex": "0",
            "logId": {"keyId": base64_of(identifier)},
            "kindVersion": {"kind": entry["kind"], "version": entry["apiVersion"]},
            "integratedTime": str(promised["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": self._promise(promised)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": base64_of(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example {signature}\n"},
            },
            "canonicalizedBody": base64_of(body),
        }


def hashed_record(signer: Certified, payload: bytes, signature: bytes) -> dict[str, Any]:
    """What the log of signatures keeps of one."""
    key = {"content": base64_of(signer.pem.encode())}
    spec = {
        "data": {"hash": _hash(payload)},
        "signature": {"content": base64_of(signature), "publicKey": key},
    }
    return {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}


def _hash(content: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sized(content: bytes) -> bytes:
    return struct.pack("!H", len(content)) + content


def _log(url: str, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": base64_of(_der(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": "2025-01-01T00:00:00Z"},
        },
        "logId": {"keyId": base64_of(hashlib.sha256(_der(key)).digest())},
    }
