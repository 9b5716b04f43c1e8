"""What a signature of cosign's older layout speaks of: the "simple signing" payload."""

from services.source.verification.interface import Rejected, SignedArtifact
from services.source.verification.reading import Camel, decoded

TYPES = frozenset({"cosign container image signature", "https://sigstore.dev/cosign/sign/v1"})


class _Image(Camel, frozen=True, kw_only=True, rename="kebab"):
    docker_manifest_digest: str


class _Critical(Camel, frozen=True, kw_only=True):
    image: _Image
    type: str


class _Payload(Camel, frozen=True, kw_only=True):
    critical: _Critical


def require_about(payload: bytes, artifact: SignedArtifact) -> None:
    """Call it with what a signature was found to be good for."""
    critical = decoded(payload, _Payload, "the signed payload").critical
    if critical.type not in TYPES:
        raise Rejected(f"the signed payload is of type {critical.type[:80]!r}")
    if critical.image.docker_manifest_digest != artifact.digest:
        other = critical.image.docker_manifest_digest[:80]
        raise Rejected(f"it is the signature of {other}, not of this artifact")
