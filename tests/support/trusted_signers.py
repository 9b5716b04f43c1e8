"""Verifying by trust policy: a Secret that trusts ROOT, and signatures of SIGNER."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from services.source.verification.interface import SignedArtifact, VerificationFailed, Verified
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification
from tests.support.code_signing import NOW, SCHEME, Identity, add_signature, header, jws, payload
from tests.support.signed_artifacts import MemoryRepository, an_artifact

BY_POLICY = OCIVerification(provider="notation", secret_ref=LocalObjectReference(name="trust"))
EXPIRY = "io.cncf.notary.expiry"
ROOT = Identity.root()
SIGNER = ROOT.issue()
ARTIFACT = an_artifact()


def a_policy(**changes: Any) -> bytes:
    """For everything, strictly."""
    statement = {
        "name": "all",
        "registryScopes": ["*"],
        "signatureVerification": {"level": "strict"},
        "trustStores": ["ca:example"],
        "trustedIdentities": ["*"],
        **changes,
    }
    return json.dumps({"version": "1.0", "trustPolicies": [statement]}).encode()


def a_secret(policy: bytes | None = None, root: Identity = ROOT) -> dict[str, bytes]:
    return {"trustpolicy.json": policy or a_policy(), "root.crt": root.pem}


async def verify(
    artifact: SignedArtifact, registry: MemoryRepository, secret: Mapping[str, bytes]
) -> list[Verified]:
    verifier = SignatureVerifier(now=lambda: NOW)
    return await verifier.verify(artifact, registry, BY_POLICY, VerificationSecrets(secret=secret))


async def refusal(registry: MemoryRepository, secret: Mapping[str, bytes] | None = None) -> str:
    with pytest.raises(VerificationFailed) as caught:
        await verify(ARTIFACT, registry, secret or a_secret())
    return str(caught.value)


def signed(signer: Identity = SIGNER, content: bytes = b"", **changes: Any) -> MemoryRepository:
    registry = MemoryRepository()
    envelope = jws(signer, content or payload(ARTIFACT), header(**changes))
    add_signature(registry, ARTIFACT, envelope)
    return registry


EXPIRED: dict[str, Any] = {EXPIRY: "2026-05-31T00:00:00Z", "crit": [SCHEME, EXPIRY]}
