"""`spec.verify` of one object, with the Secrets that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.source.endings import FetchFailed
from services.source.verification.interface import (
    RegistryReader,
    SignedArtifact,
    Verified,
    failed,
)
from services.source.verification.signature_verifier import (
    SignatureVerifier,
    VerificationSecrets,
    provider_of,
)
from shared.resources.meta import LocalObjectReference, NamespacedName
from shared.resources.source.verification import ChartVerification, OCIVerification


class SecretValues(Protocol):
    """As ReferencedSecrets reads them."""

    async def values(self, key: NamespacedName, *, fresh: bool = False) -> Mapping[str, bytes]:
        """Raises FetchFailed when it is not there."""


@dataclass(frozen=True)
class SpecVerifier:
    secrets: SecretValues
    signatures: SignatureVerifier

    async def verify(
        self,
        artifact: SignedArtifact,
        registry: RegistryReader,
        spec: ChartVerification,
        *,
        namespace: str,
        fresh: bool,
    ) -> list[Verified]:
        """Raises VerificationFailed, also for a missing Secret; `fresh` reads Secrets again."""
        try:
            secrets = await self._secrets(spec, namespace, fresh)
        except FetchFailed as error:
            raise failed(provider_of(spec), str(error)) from error
        return await self.signatures.verify(artifact, registry, spec, secrets)

    async def _secrets(
        self, spec: ChartVerification, namespace: str, fresh: bool
    ) -> VerificationSecrets:
        root = spec.trusted_root_secret_ref if isinstance(spec, OCIVerification) else None
        return VerificationSecrets(
            secret=await self._values(spec.secret_ref, namespace, fresh),
            trusted_root=await self._values(root, namespace, fresh),
        )

    async def _values(
        self, reference: LocalObjectReference | None, namespace: str, fresh: bool
    ) -> Mapping[str, bytes] | None:
        if reference is None:
            return None
        return await self.secrets.values(NamespacedName(namespace, reference.name), fresh=fresh)
