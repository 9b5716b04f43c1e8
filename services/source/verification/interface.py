"""What verification is asked, what it reads, and how it answers.

Everything that a registry says is a stranger's: it is counted, measured and checked against its
digest before anybody parses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.redaction import redact

MANIFEST_LIMIT = 4 * 1024 * 1024  # what registries accept at most
SIGNATURE_LIMIT = 1024 * 1024  # real ones have 1 to 20 KiB
MOST_SIGNATURES = 64  # looked at in one place; a registry must not keep us busy
MOST_ALTOGETHER = 200  # for one artifact
MOST_TOLD = 3  # reasons in one message
MOST_REFERRERS = 1000  # looked through for signatures


class VerificationFailed(Exception):
    """No signature that the spec asks for; the message is for the user."""


class Rejected(Exception):
    """One signature does not count; the reason is told when none does."""


@dataclass(frozen=True)
class SignedArtifact:
    """What must be signed: `repository` is host and path, without scheme, tag and digest."""

    repository: str
    digest: str
    media_type: str
    size: int

    @property
    def hex(self) -> str:
        return self.digest.removeprefix("sha256:")


class Described(Protocol):
    """A blob or a manifest, as another manifest tells of it; nothing of it is proven."""

    @property
    def digest(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def media_type(self) -> str: ...
    @property
    def artifact_type(self) -> str | None: ...
    @property
    def annotations(self) -> Mapping[str, str] | None: ...


class RegistryReader(Protocol):
    """One repository, as its source sees it. Raises what ends the run when the registry fails."""

    async def manifest(self, reference: str) -> bytes | None:
        """By tag or digest, of `MANIFEST_LIMIT` bytes at most; None when it is not there."""

    async def blob(self, blob: Described, limit: int) -> bytes | None:
        """None when it is not there."""

    async def referrers(self, digest: str) -> Sequence[Described]:
        """What names this manifest as its subject, by the API or by the fallback tag."""


@dataclass(frozen=True)
class Verified:
    """One signature that counts, and whose it is: a key of the Secret, or an identity."""

    by: str


def no_signature(
    artifact: SignedArtifact, provider: str, reasons: Sequence[str]
) -> VerificationFailed:
    """Tells of the first reasons; the others are more of the same."""
    what = f"{artifact.repository}@{artifact.digest}"
    if not reasons:
        return failed(provider, f"{what} has no signature; sign it, or remove spec.verify")
    told = "; ".join(dict.fromkeys(reasons[:MOST_TOLD]))
    if len(reasons) == 1:
        return failed(provider, f"the signature of {what} does not count: {told}")
    return failed(provider, f"none of {len(reasons)} signatures of {what} counts: {told}")


def failed(provider: str, problem: str) -> VerificationFailed:
    """In the words of all failures: they name the provider."""
    return VerificationFailed(redact(f"failed to verify with provider '{provider}': {problem}"))
