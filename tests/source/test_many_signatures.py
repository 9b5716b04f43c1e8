"""Artifacts with more signatures and attestations than anybody wants to look at."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.source.verification.candidates import Layer
from services.source.verification.interface import (
    MOST_ALTOGETHER,
    MOST_REFERRERS,
    MOST_SIGNATURES,
    VerificationFailed,
    Verified,
)
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification
from tests.support.private_sigstore import BUNDLE, IN_TOTO, base64_of, sign
from tests.support.signed_artifacts import (
    SIGNING,
    MemoryRepository,
    an_artifact,
    simple_payload,
    statement,
)

BY_KEY = OCIVerification(provider="cosign", secret_ref=LocalObjectReference(name="keys"))
SCAN = "https://example.test/scan/v1"
OLD_LAYOUT = "application/vnd.dev.cosign.artifact.sig.v1+json"
ARTIFACT = an_artifact()
KEY, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


async def verify(registry: MemoryRepository) -> list[Verified]:
    secrets = VerificationSecrets(secret={"cosign.pub": PUBLIC})
    return await SignatureVerifier().verify(ARTIFACT, registry, BY_KEY, secrets)


def add_bundle(registry: MemoryRepository, predicate: str, *, told: bool) -> None:
    """`told`: the registry repeats the manifest's annotations where it lists it."""
    payload = statement(ARTIFACT.digest, predicate)
    signed = b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
    envelope = {
        "payload": base64_of(payload),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64_of(sign(KEY, signed))}],
    }
    content = json.dumps({"mediaType": BUNDLE, "dsseEnvelope": envelope}).encode()
    digest = registry.add_referrer(ARTIFACT, BUNDLE, registry.add_blob(content, BUNDLE))
    if told:
        annotations = {"dev.sigstore.bundle.predicateType": predicate}
        registry.referring[-1] = Layer(
            digest=digest, size=1, artifact_type=BUNDLE, annotations=annotations
        )


def layers(registry: MemoryRepository, key: ec.EllipticCurvePrivateKey) -> dict[str, object]:
    payload = simple_payload(ARTIFACT.digest)
    signature = base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    annotations = {"dev.cosignproject.cosign/signature": signature}
    return registry.add_blob(payload, annotations=annotations)


async def test_attestations_do_not_hide_the_signature_behind_them() -> None:
    registry = MemoryRepository()
    for _ in range(2 * MOST_SIGNATURES):
        add_bundle(registry, SCAN, told=True)
    add_bundle(registry, SIGNING, told=True)

    assert await verify(registry) == [Verified("cosign.pub")]
    assert len(registry.asked) == 3


async def test_bundles_do_not_hide_the_signature_at_the_tag() -> None:
    registry = MemoryRepository()
    for _ in range(2 * MOST_SIGNATURES):
        add_bundle(registry, SCAN, told=False)
    registry.add_at_tag(ARTIFACT, layers(registry, KEY))

    assert await verify(registry) == [Verified("cosign.pub")]
    assert len(registry.asked) == 1 + 2 * MOST_SIGNATURES + 2


async def test_there_is_an_end_to_looking() -> None:
    registry = MemoryRepository()
    bad = layers(registry, STRANGER)
    registry.add_at_tag(ARTIFACT, *[bad] * MOST_SIGNATURES)
    for number in range(MOST_REFERRERS + 10):
        told = {"digest": f"sha256:{number:064}", "size": 1}
        registry.add_referrer(ARTIFACT, OLD_LAYOUT, *[bad] * MOST_SIGNATURES, told)

    with pytest.raises(VerificationFailed, match=f"none of {MOST_ALTOGETHER} signatures"):
        await verify(registry)

    assert len(registry.asked) < MOST_ALTOGETHER + 10


async def test_manifests_without_signatures_are_counted_as_well() -> None:
    registry = MemoryRepository()
    for number in range(2 * MOST_SIGNATURES):
        registry.add_referrer(ARTIFACT, OLD_LAYOUT)
        registry.add_referrer(ARTIFACT, BUNDLE, {"digest": f"sha256:{number:064}", "size": 1})

    with pytest.raises(VerificationFailed):
        await verify(registry)

    assert len(registry.asked) <= 2 + 3 * MOST_SIGNATURES
