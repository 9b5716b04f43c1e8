"""What `spec.verify` asks for, put to the verifier of its provider."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.source.verification import keyless, notation
from services.source.verification.cosign import CosignVerifier, KeyJudge
from services.source.verification.identities import AllowedIdentities
from services.source.verification.interface import (
    RegistryReader,
    SignedArtifact,
    Verified,
    failed,
)
from services.source.verification.keyless import KeylessJudge
from services.source.verification.notation import NotationVerifier
from services.source.verification.public_good import PublicGood
from services.source.verification.public_keys import public_keys
from shared.clock import Now, now
from shared.resources.source.verification import ChartVerification, OCIVerification

COSIGN = KeyJudge.provider
TRUSTED_ROOT = "trusted_root.json"
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class VerificationSecrets:
    """The values of the Secrets that the spec names; None where it names none."""

    secret: Mapping[str, bytes] | None = None
    trusted_root: Mapping[str, bytes] | None = None


class SignatureVerifier:
    """One for the whole service: it keeps the trusted root of the public-good instance."""

    def __init__(self, public_good: PublicGood | None = None, now: Now = now) -> None:
        self._public_good = public_good or PublicGood(now=now)
        self._now = now

    async def verify(
        self,
        artifact: SignedArtifact,
        registry: RegistryReader,
        spec: ChartVerification,
        secrets: VerificationSecrets,
    ) -> list[Verified]:
        """What proves it. Raises VerificationFailed, and what the registry raises."""
        if not _SHA256.fullmatch(artifact.digest):
            told = artifact.digest[:80]
            raise failed(provider_of(spec), f"{told!r} is no SHA-256 digest, which signatures need")
        verifier = await self._verifier(spec, secrets)
        return await verifier.verify(artifact, registry)

    async def _verifier(
        self, spec: ChartVerification, secrets: VerificationSecrets
    ) -> CosignVerifier | NotationVerifier:
        if spec.provider == COSIGN:
            if spec.secret_ref is None:
                return CosignVerifier(await self._keyless(spec, secrets))
            keys = public_keys(_values(secrets.secret, spec), COSIGN, _secret(spec))
            return CosignVerifier(KeyJudge(keys))
        if spec.provider == notation.PROVIDER:
            values = _values(secrets.secret, spec)
            return NotationVerifier.from_secret(values, _secret(spec), self._now)
        raise failed(spec.provider, "spec.verify.provider is neither cosign nor notation")

    async def _keyless(self, spec: ChartVerification, secrets: VerificationSecrets) -> KeylessJudge:
        allowed = AllowedIdentities.of(spec.match_oidc_identity, keyless.PROVIDER)
        named = spec.trusted_root_secret_ref if isinstance(spec, OCIVerification) else None
        if named is None:
            return KeylessJudge(await self._public_good.trusted_root(), allowed)
        root = (secrets.trusted_root or {}).get(TRUSTED_ROOT)
        if root is None:
            raise failed(keyless.PROVIDER, f"Secret '{named.name}' has no key {TRUSTED_ROOT}")
        return KeylessJudge(root, allowed)


def provider_of(spec: ChartVerification) -> str:
    """As messages name it."""
    is_keyless = spec.provider == COSIGN and spec.secret_ref is None
    return keyless.PROVIDER if is_keyless else spec.provider


def _values(values: Mapping[str, bytes] | None, spec: ChartVerification) -> Mapping[str, bytes]:
    if spec.secret_ref is None:
        raise failed(spec.provider, "spec.verify.secretRef is missing, which this provider needs")
    return values or {}


def _secret(spec: ChartVerification) -> str:
    return f"Secret '{spec.secret_ref.name}'" if spec.secret_ref else ""
