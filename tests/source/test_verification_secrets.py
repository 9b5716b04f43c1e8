"""Which Secrets `spec.verify` reads, and what is said when they are not as they should be."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from services.source.endings import FetchFailed
from services.source.verification.interface import VerificationFailed
from services.source.verification.signature_verifier import SignatureVerifier
from services.source.verification.spec_verifier import SpecVerifier
from shared.resources.meta import LocalObjectReference, NamespacedName
from shared.resources.source.verification import OCIVerification
from tests.support.code_signing import NOW
from tests.support.keyless_signatures import BY, SIGSTORE
from tests.support.keyless_signatures import signed as signed_keyless
from tests.support.signed_artifacts import MemoryRepository, Recorded
from tests.support.trusted_signers import ARTIFACT, a_secret, signed

NAMED = LocalObjectReference(name="trust")
BY_KEY = OCIVerification(secret_ref=NAMED)
KEYLESS = OCIVerification(trusted_root_secret_ref=NAMED)
BY_POLICY = OCIVerification(provider="notation", secret_ref=NAMED)


@dataclass
class MemorySecrets:
    """All are called trust, and are in team-a."""

    content: Mapping[str, bytes] | None = None
    asked: list[tuple[NamespacedName, bool]] = field(default_factory=list)

    async def values(self, key: NamespacedName, *, fresh: bool = False) -> Mapping[str, bytes]:
        self.asked.append((key, fresh))
        if self.content is None or key != NamespacedName("team-a", "trust"):
            raise FetchFailed(f"Secret {key} not found", reason="AuthenticationFailed")
        return self.content


def verifier(secrets: MemorySecrets) -> SpecVerifier:
    return SpecVerifier(secrets, SignatureVerifier(now=lambda: NOW))


@pytest.mark.parametrize("fresh", [True, False])
async def test_secrets_of_the_own_namespace_are_read(fresh: bool) -> None:
    recorded = Recorded.load("cosign-p256-bundle")
    secrets = MemorySecrets(recorded.secret)

    await verifier(secrets).verify(
        recorded.artifact, recorded.registry, BY_KEY, namespace="team-a", fresh=fresh
    )

    assert secrets.asked == [(NamespacedName("team-a", "trust"), fresh)]


async def test_each_provider_has_what_it_needs_from_its_secret() -> None:
    root = MemorySecrets({"trusted_root.json": SIGSTORE.trusted_root})
    policy = MemorySecrets(a_secret())

    keyless = await verifier(root).verify(
        ARTIFACT, signed_keyless("bundle"), KEYLESS, namespace="team-a", fresh=False
    )
    notation = await verifier(policy).verify(
        ARTIFACT, signed(), BY_POLICY, namespace="team-a", fresh=False
    )

    assert keyless == [BY]
    assert [one.by for one in notation] == ["CN=signer,O=Example,ST=WA,C=US"]


@pytest.mark.parametrize(
    ("spec", "provider"),
    [(BY_KEY, "cosign"), (KEYLESS, "cosign keyless"), (BY_POLICY, "notation")],
)
async def test_a_secret_that_is_missing_is_named(spec: OCIVerification, provider: str) -> None:
    with pytest.raises(VerificationFailed) as caught:
        await verifier(MemorySecrets()).verify(
            ARTIFACT, MemoryRepository(), spec, namespace="team-a", fresh=False
        )

    assert str(caught.value) == (
        f"failed to verify with provider '{provider}': Secret team-a/trust not found"
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (OCIVerification(provider="notation"), "spec.verify.secretRef is missing"),
        (OCIVerification(provider="pgp"), "is neither cosign nor notation"),
    ],
)
async def test_a_spec_that_asks_for_nothing_known_is_refused(
    spec: OCIVerification, problem: str
) -> None:
    with pytest.raises(VerificationFailed, match=problem):
        await verifier(MemorySecrets()).verify(
            ARTIFACT, MemoryRepository(), spec, namespace="team-a", fresh=False
        )
