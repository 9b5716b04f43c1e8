"""The door from OCI artifacts to whoever knows about signatures.

`services.source.verification` implements `Verifier`; what it reads of a registry, it reads through
a `RepositoryReader`, whose failures end the run as those of any other question do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.source.endings import FETCH_FAILED, STORAGE_FAILED
from services.source.oci.address import Repository
from services.source.oci.manifest import Descriptor
from services.source.oci.reference import PULL_FAILED, failed
from services.source.oci.registry import Registry, RegistryError
from services.source.verification.interface import Described
from shared.outcomes import ConditionMark, Failed, Marks
from shared.resources.meta import NamespacedName
from shared.resources.source.verification import ChartVerification

SOURCE_VERIFIED = "SourceVerified"
VERIFICATION_ERROR = "VerificationError"


class NotVerified(Failed):
    """No signature that the spec asks for; nothing is wrong with how the artifact was fetched."""

    def __init__(self, message: str) -> None:
        mark = ConditionMark("False", VERIFICATION_ERROR, message)
        conditions = {SOURCE_VERIFIED: mark, FETCH_FAILED: None, STORAGE_FAILED: None}
        super().__init__(message, reason=VERIFICATION_ERROR, conditions=conditions)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What must be signed, as the spec of `owner` asks for it; Secrets are in its namespace."""

    owner: NamespacedName
    asked: ChartVerification
    artifact: Descriptor
    reader: "RepositoryReader"
    fresh: bool  # Secrets are to be read again


class Verifier(Protocol):
    async def verified(self, verification: Verification) -> None:
        """Raises NotVerified, with a message that names the provider (`provider_of`)."""


@dataclass(frozen=True)
class RepositoryReader:
    """One repository; what is not there is None, any other failure is FetchFailed."""

    repository: Repository
    registry: Registry

    async def manifest(self, reference: str) -> bytes | None:
        try:
            return (await self.registry.manifest(self.repository, reference)).raw
        except RegistryError as error:
            _require_missing(error)
        return None

    async def blob(self, blob: Described, limit: int) -> bytes | None:
        wanted = Descriptor(digest=blob.digest, size=blob.size)
        try:
            return await self.registry.blob(self.repository, wanted, limit)
        except RegistryError as error:
            _require_missing(error)
        return None

    async def referrers(self, digest: str) -> Sequence[Descriptor]:
        try:
            return await self.registry.referrers(self.repository, digest)
        except RegistryError as error:
            raise failed(error, "failed to look for signatures", PULL_FAILED) from error


def provider_of(asked: ChartVerification) -> str:
    """As messages name it."""
    keyless = asked.provider == "cosign" and asked.secret_ref is None
    return "cosign keyless" if keyless else asked.provider


def verified_mark(revision: str) -> Marks:
    message = f"verified signature of revision {revision}"
    return {SOURCE_VERIFIED: ConditionMark("True", "Succeeded", message)}


def _require_missing(error: RegistryError) -> None:
    if not error.missing:
        raise failed(error, "failed to read signatures", PULL_FAILED) from error
