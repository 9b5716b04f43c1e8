"""Signatures of the Notary Project (notation), judged by the Secret's trust policy.

The Secret has `trustpolicy.json` and certificates (`*.crt`, `*.pem`); every named trust store of
kind `ca` has all of them. Not asked anywhere is whether a certificate was revoked, since that would
be requests to addresses that a stranger chose; nor are timestamps of third parties read: so all
certificates of a signature must be valid now, and a policy that requires a timestamp is not met.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.source.verification import distinguished_name, notary_cose, notary_jws
from services.source.verification.candidates import Candidates
from services.source.verification.certificate_chain import require_valid_at, sound_chain
from services.source.verification.distinguished_name import InvalidName
from services.source.verification.interface import (
    MOST_SIGNATURES,
    Described,
    RegistryReader,
    Rejected,
    SignedArtifact,
    Verified,
    failed,
    no_signature,
)
from services.source.verification.notary_envelope import Envelope, require_intact, require_target
from services.source.verification.trust_policy import (
    ANY,
    Action,
    Check,
    InvalidPolicy,
    Statement,
    TrustPolicy,
)
from shared.clock import Now

PROVIDER = "notation"
ARTIFACT_TYPE = "application/vnd.cncf.notary.signature"
POLICY = "trustpolicy.json"
_CERTIFICATES = (".crt", ".pem")
Reader: TypeAlias = Callable[[bytes], Envelope]
_READERS: Mapping[str, Reader] = {
    notary_jws.MEDIA_TYPE: notary_jws.read,
    notary_cose.MEDIA_TYPE: notary_cose.read,
}
_log = logging.getLogger(__name__)


class NotationVerifier:
    def __init__(self, policy: TrustPolicy, trusted: frozenset[bytes], now: Now) -> None:
        """`trusted` are certificates in DER."""
        self._policy = policy
        self._trusted = trusted
        self._now = now

    @classmethod
    def from_secret(cls, values: Mapping[str, bytes], secret: str, now: Now) -> "NotationVerifier":
        """Raises VerificationFailed."""
        if POLICY not in values:
            raise failed(PROVIDER, f"{secret} has no key {POLICY}")
        try:
            policy = TrustPolicy.load(values[POLICY])
        except InvalidPolicy as error:
            raise failed(PROVIDER, f"{secret}, key {POLICY}: {error}") from error
        return cls(policy, _trusted(values, secret), now)

    async def verify(self, artifact: SignedArtifact, registry: RegistryReader) -> list[Verified]:
        """The first that counts. Raises VerificationFailed."""
        statement = self._policy.statement(artifact.repository)
        if statement is None:
            raise failed(PROVIDER, f"no trust policy has {artifact.repository} in registryScopes")
        if statement.skips:
            return [Verified(f"nobody: trust policy '{statement.name}' skips verification")]
        candidates = Candidates(artifact, registry)
        reasons: list[str] = []
        for referrer in (await candidates.referring(_is_ours))[:MOST_SIGNATURES]:
            try:
                return [await self._judged(candidates, referrer, statement)]
            except Rejected as rejected:
                reasons.append(str(rejected))
        raise no_signature(artifact, PROVIDER, reasons)

    async def _judged(
        self, candidates: Candidates, referrer: Described, statement: Statement
    ) -> Verified:
        manifest = await candidates.manifest_of(referrer)
        if len(manifest.layers) != 1:
            raise Rejected(f"the signature's manifest has {len(manifest.layers)} layers, not one")
        layer = manifest.layers[0]
        if layer.media_type not in _READERS:
            raise Rejected(f"an envelope of type {layer.media_type[:80]!r}")
        content = await candidates.content_of(layer)
        read = _READERS[layer.media_type]
        signer = await asyncio.to_thread(self._judge, candidates.artifact, statement, read, content)
        return Verified(signer)

    def _judge(
        self, artifact: SignedArtifact, statement: Statement, read: Reader, content: bytes
    ) -> str:
        """Who signed."""
        envelope = read(content)
        chain = sound_chain(envelope.certificates)
        require_intact(envelope, chain[0])
        require_target(envelope.payload, artifact)
        self._demand(statement, envelope, chain)
        return chain[0].subject.rfc4514_string()

    def _demand(
        self, statement: Statement, envelope: Envelope, chain: list[x509.Certificate]
    ) -> None:
        checks: Mapping[Check, Callable[[], None]] = {
            Check.AUTHENTICITY: lambda: self._require_trust(statement, chain),
            Check.TIMESTAMP: lambda: self._require_time(statement, chain),
            Check.EXPIRY: lambda: self._require_fresh(envelope),
        }
        for check, require in checks.items():
            try:
                require()
            except Rejected as rejected:
                if statement.action(check) == Action.ENFORCE:
                    raise
                fields = {"policy": statement.name, "check": check.value, "reason": str(rejected)}
                _log.warning("the trust policy lets a signature count nevertheless", extra=fields)

    def _require_trust(self, statement: Statement, chain: list[x509.Certificate]) -> None:
        if not statement.trusts_authorities:
            raise Rejected(f"trust policy '{statement.name}' has no trust store of kind ca")
        if self._trusted.isdisjoint(one.public_bytes(Encoding.DER) for one in chain):
            raise Rejected(f"{_subject(chain)} does not lead to a certificate of the Secret")
        if ANY in statement.trusted_identities:
            return
        try:
            subject = distinguished_name.of_subject(chain[0])
        except InvalidName as error:
            raise Rejected(str(error)) from error
        if not any(distinguished_name.is_within(name, subject) for name in statement.names()):
            raise Rejected(f"{_subject(chain)} is none of the trustedIdentities")

    def _require_time(self, statement: Statement, chain: list[x509.Certificate]) -> None:
        if statement.requires_timestamp:
            raise Rejected(
                f"trust policy '{statement.name}' requires a timestamp, which is not read here; "
                "set verifyTimestamp to afterCertExpiry, or remove the trust store of kind tsa"
            )
        require_valid_at(chain, self._now())

    def _require_fresh(self, envelope: Envelope) -> None:
        expiry = envelope.attributes.expiry
        if expiry is not None and expiry <= self._now():
            raise Rejected(f"the signature expired on {expiry:%Y-%m-%d}")


def _trusted(values: Mapping[str, bytes], secret: str) -> frozenset[bytes]:
    found = [
        one.public_bytes(Encoding.DER)
        for name in sorted(values)
        if name.endswith(_CERTIFICATES)
        for one in _certificates(values[name], f"{secret}, key {name}")
    ]
    if not found:
        raise failed(PROVIDER, f"{secret} has no key whose name ends with .crt or .pem")
    return frozenset(found)


def _certificates(content: bytes, where: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise failed(PROVIDER, f"{where}: not certificates in PEM") from error


def _is_ours(artifact_type: str) -> bool:
    return artifact_type == ARTIFACT_TYPE


def _subject(chain: list[x509.Certificate]) -> str:
    return repr(chain[0].subject.rfc4514_string()[:200])
