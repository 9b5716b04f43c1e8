"""Implements `verifying.Verifier` with the signatures of cosign and notation.

What checks them is a library of its own weight: it is imported when the first object asks for it.
"""

from typing import TYPE_CHECKING

from services.source.oci.verifying import NotVerified, Verification
from services.source.referenced_secrets import ReferencedSecrets

if TYPE_CHECKING:
    from services.source.verification.spec_verifier import SpecVerifier


class Signatures:
    def __init__(self, secrets: ReferencedSecrets) -> None:
        self._secrets = secrets
        self._verifier: SpecVerifier | None = None

    async def verified(self, verification: Verification) -> None:
        from services.source.verification.interface import SignedArtifact, VerificationFailed

        artifact = SignedArtifact(
            repository=str(verification.reader.repository),
            digest=verification.artifact.digest,
            media_type=verification.artifact.media_type,
            size=verification.artifact.size,
        )
        try:
            await self._lazily().verify(
                artifact,
                verification.reader,
                verification.asked,
                namespace=verification.owner.namespace,
                fresh=verification.fresh,
            )
        except VerificationFailed as error:
            raise NotVerified(str(error)) from error

    def _lazily(self) -> "SpecVerifier":
        from services.source.verification.signature_verifier import SignatureVerifier
        from services.source.verification.spec_verifier import SpecVerifier

        if self._verifier is None:
            self._verifier = SpecVerifier(self._secrets, SignatureVerifier())
        return self._verifier
