"""A Sigstore bundle, as far as a verification by public key needs it, and the statement in it.

The bundle's own log entries and timestamps count for keyless signatures only; whose key it is says
the Secret.
"""

import msgspec

from services.source.verification.interface import Rejected, SignedArtifact
from services.source.verification.reading import Camel, decoded

ARTIFACT_TYPE = "application/vnd.dev.sigstore.bundle"  # what follows is the version
IN_TOTO = "application/vnd.in-toto+json"
SIGNING = "https://sigstore.dev/cosign/sign/v1"
_STATEMENTS = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})


class _Signature(Camel, frozen=True, kw_only=True):
    sig: bytes


class Envelope(Camel, frozen=True, kw_only=True):
    payload: bytes
    payload_type: str
    signatures: tuple[_Signature, ...]

    @property
    def signature(self) -> bytes:
        if len(self.signatures) != 1:
            raise Rejected(f"its envelope has {len(self.signatures)} signatures instead of one")
        return self.signatures[0].sig

    @property
    def signed(self) -> bytes:
        """What a DSSE signature is made over: type and payload, each with its length."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


class MessageSignature(Camel, frozen=True, kw_only=True):
    signature: bytes


class Bundle(Camel, frozen=True, kw_only=True):
    media_type: str
    dsse_envelope: Envelope | None = None
    message_signature: MessageSignature | None = None

    @classmethod
    def decode(cls, content: bytes) -> "Bundle":
        bundle = decoded(content, cls, "the Sigstore bundle")
        if not bundle.media_type.startswith(ARTIFACT_TYPE):
            raise Rejected(f"a bundle of type {bundle.media_type[:80]!r}")
        if (bundle.dsse_envelope is None) == (bundle.message_signature is None):
            raise Rejected("the Sigstore bundle needs either an envelope or a message signature")
        return bundle

    @property
    def signature(self) -> bytes:
        """Of a message; empty when there is none."""
        return self.message_signature.signature if self.message_signature else b""


class _Subject(Camel, frozen=True, kw_only=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True, kw_only=True):
    type: str = msgspec.field(name="_type")
    predicate_type: str = msgspec.field(name="predicateType")
    subject: tuple[_Subject, ...]


def require_statement(payload_type: str, payload: bytes, artifact: SignedArtifact) -> None:
    """An attestation is no signature: who attests to a scan does not say that it is good."""
    if payload_type != IN_TOTO:
        raise Rejected(f"its envelope holds {payload_type[:80]!r}, not a statement")
    statement = decoded(payload, _Statement, "the signed statement")
    if statement.type not in _STATEMENTS:
        raise Rejected(f"the signed statement is of type {statement.type[:80]!r}")
    if statement.predicate_type != SIGNING:
        raise Rejected(f"it is an attestation of type {statement.predicate_type[:80]!r}")
    if artifact.hex not in (subject.digest.get("sha256") for subject in statement.subject):
        raise Rejected("it is the signature of another artifact")
