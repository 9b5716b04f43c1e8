"""Keyless signatures by SIGSTORE, a private instance, in both layouts, and their verification."""

import json
from typing import Any

import pytest

from services.source.verification.interface import SignedArtifact, VerificationFailed, Verified
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification, OIDCIdentity
from tests.support.private_sigstore import BUNDLE, ISSUER, WORKFLOW, PrivateSigstore, Wish
from tests.support.signed_artifacts import (
    MemoryRepository,
    an_artifact,
    simple_payload,
    statement,
)

SIGSTORE = PrivateSigstore()
ARTIFACT = an_artifact()
PAYLOAD = simple_payload(ARTIFACT.digest)
STATEMENT = statement(ARTIFACT.digest)
BY = Verified(f"{WORKFLOW} ({ISSUER})")
ROOT = VerificationSecrets(trusted_root={"trusted_root.json": SIGSTORE.trusted_root})
LAYOUTS = ("bundle", "tag")


def asked(*identities: tuple[str, str]) -> OCIVerification:
    return OCIVerification(
        match_oidc_identity=tuple(
            OIDCIdentity(issuer=issuer, subject=subject) for issuer, subject in identities
        ),
        trusted_root_secret_ref=LocalObjectReference(name="root"),
    )


async def verify(
    registry: MemoryRepository,
    spec: OCIVerification | None = None,
    secrets: VerificationSecrets = ROOT,
) -> list[Verified]:
    return await SignatureVerifier().verify(ARTIFACT, registry, spec or asked(), secrets)


async def refusal(
    registry: MemoryRepository,
    spec: OCIVerification | None = None,
    secrets: VerificationSecrets = ROOT,
) -> str:
    with pytest.raises(VerificationFailed) as caught:
        await verify(registry, spec, secrets)
    return str(caught.value)


def with_bundle(bundle: dict[str, Any], artifact: SignedArtifact = ARTIFACT) -> MemoryRepository:
    registry = MemoryRepository()
    registry.add_referrer(artifact, BUNDLE, registry.add_blob(json.dumps(bundle).encode(), BUNDLE))
    return registry


def with_layer(annotations: dict[str, str], payload: bytes = PAYLOAD) -> MemoryRepository:
    registry = MemoryRepository()
    registry.add_at_tag(ARTIFACT, registry.add_blob(payload, annotations=annotations))
    return registry


def signed(
    layout: str, sigstore: PrivateSigstore = SIGSTORE, wish: Wish | None = None
) -> MemoryRepository:
    signer = sigstore.certify(wish or Wish())
    if layout == "bundle":
        return with_bundle(sigstore.envelope_bundle(signer, STATEMENT))
    return with_layer(sigstore.detached(signer, PAYLOAD))
