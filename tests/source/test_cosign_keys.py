"""Signatures of cosign, made with a key; the recorded ones were made by cosign 3.1.3."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.source.verification.candidates import MOST_LAYERS
from services.source.verification.interface import (
    MOST_SIGNATURES,
    SIGNATURE_LIMIT,
    SignedArtifact,
    VerificationFailed,
    Verified,
)
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification
from tests.support.signed_artifacts import (
    MemoryRepository,
    Recorded,
    an_artifact,
    simple_payload,
    statement,
)

BY_KEY = OCIVerification(provider="cosign", secret_ref=LocalObjectReference(name="keys"))
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
KINDS = ("p256", "p384", "p521", "rsa")


def pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


SECRET = {"cosign.pub": pem(KEY.public_key())}


async def verify(
    artifact: SignedArtifact, registry: MemoryRepository, secret: Mapping[str, bytes] = SECRET
) -> list[Verified]:
    secrets = VerificationSecrets(secret=secret)
    return await SignatureVerifier().verify(artifact, registry, BY_KEY, secrets)


async def refusal(
    artifact: SignedArtifact, registry: MemoryRepository, secret: Mapping[str, bytes] = SECRET
) -> str:
    with pytest.raises(VerificationFailed) as caught:
        await verify(artifact, registry, secret)
    return str(caught.value)


def sign(message: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def simple_layer(
    registry: MemoryRepository, payload: bytes, signature: bytes | str
) -> dict[str, Any]:
    told = signature if isinstance(signature, str) else base64.b64encode(signature).decode()
    annotations = {"dev.cosignproject.cosign/signature": told}
    return registry.add_blob(payload, annotations=annotations)


def envelope(
    payload: bytes,
    sign_it: Callable[[bytes], bytes] = sign,
    kind: str = "application/vnd.in-toto+json",
) -> dict[str, Any]:
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    signature = base64.b64encode(sign_it(signed)).decode()
    told = {"payload": base64.b64encode(payload).decode(), "payloadType": kind}
    return {**told, "signatures": [{"sig": signature}]}


def add_bundle(registry: MemoryRepository, artifact: SignedArtifact, **content: Any) -> None:
    material = {"publicKey": {"hint": "x"}}
    bundle = {"mediaType": BUNDLE, "verificationMaterial": material, **content}
    layer = registry.add_blob(json.dumps(bundle).encode(), BUNDLE)
    registry.add_referrer(artifact, BUNDLE, layer)


@pytest.mark.parametrize("layout", ["bundle", "tag"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_cosign_signed_is_verified(kind: str, layout: str) -> None:
    recorded = Recorded.load(f"cosign-{kind}-{layout}")

    verified = await verify(recorded.artifact, recorded.registry, recorded.secret)

    assert verified == [Verified(f"{kind}.pub")]


async def test_the_older_layout_may_refer_to_the_artifact() -> None:
    recorded = Recorded.load("cosign-p256-referrer")

    verified = await verify(recorded.artifact, recorded.registry, recorded.secret)

    assert verified == [Verified("p256.pub")]
    assert sum("referrers" in asked for asked in recorded.registry.asked) == 1


@pytest.mark.parametrize("layout", ["bundle", "tag", "referrer"])
async def test_another_key_has_not_signed_it(layout: str) -> None:
    recorded = Recorded.load(f"cosign-p256-{layout}")

    said = await refusal(recorded.artifact, recorded.registry)

    assert said.startswith("failed to verify with provider 'cosign': the signature of 127.0.0.1")
    assert "no key of the Secret made it (tried cosign.pub)" in said


@pytest.mark.parametrize("layout", ["bundle", "tag"])
async def test_one_of_several_keys_is_enough(layout: str) -> None:
    recorded = Recorded.load(f"cosign-p384-{layout}")
    others = {name: key for kind in KINDS for name, key in _secret_of(kind).items()}

    assert await verify(recorded.artifact, recorded.registry, SECRET | others) == [
        Verified("p384.pub")
    ]


def _secret_of(kind: str) -> dict[str, bytes]:
    return Recorded.load(f"cosign-{kind}-tag").secret


@pytest.mark.parametrize("layout", ["bundle", "tag", "referrer"])
async def test_a_signature_of_another_artifact_does_not_count(layout: str) -> None:
    """Somebody who may push has moved the signature to where ours would be."""
    recorded, other = Recorded.load(f"cosign-p256-{layout}"), an_artifact()
    old = recorded.artifact.hex
    moved = {
        name.replace(old, other.hex): content.replace(old.encode(), other.hex.encode())
        for name, content in recorded.registry.manifests.items()
    }
    registry = MemoryRepository({}, recorded.registry.blobs)
    for name, content in moved.items():
        if not name.startswith("sha256:"):
            registry.manifests[name] = content
        elif b'"subject"' in content:
            told = json.loads(content)
            registry.add_referrer(other, told["artifactType"], *told["layers"])

    said = await refusal(other, registry, recorded.secret)

    assert "it is the signature of" in said


async def test_an_attestation_is_no_signature() -> None:
    """A scanner that attests with the same key need not have found anything good."""
    recorded = Recorded.load("cosign-p256-attestation")

    said = await refusal(recorded.artifact, recorded.registry, recorded.secret)

    assert "it is an attestation of type 'https://example.test/scan/v1'" in said


async def test_an_artifact_without_a_signature_is_refused() -> None:
    artifact = an_artifact()

    assert await refusal(artifact, MemoryRepository()) == (
        f"failed to verify with provider 'cosign': registry.example/team/app@{artifact.digest} "
        "has no signature; sign it, or remove spec.verify"
    )


async def test_older_layouts_cost_a_request_only_when_there_is_no_good_bundle() -> None:
    recorded = Recorded.load("cosign-p256-bundle")

    await verify(recorded.artifact, recorded.registry, recorded.secret)

    assert len(recorded.registry.asked) == 3
    assert not any(reference.endswith(".sig") for reference in recorded.registry.asked)


def ed25519_key() -> tuple[PublicKeyTypes, Callable[[bytes], bytes]]:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.public_key(), key.sign


def p384_with_sha256() -> tuple[PublicKeyTypes, Callable[[bytes], bytes]]:
    key = ec.generate_private_key(ec.SECP384R1())
    return key.public_key(), lambda message: key.sign(message, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("make", [ed25519_key, p384_with_sha256])
async def test_keys_that_other_releases_of_cosign_use_are_verified(
    make: Callable[[], tuple[PublicKeyTypes, Callable[[bytes], bytes]]],
) -> None:
    artifact, registry = an_artifact(), MemoryRepository()
    public, sign_with_it = make()
    payload = simple_payload(artifact.digest)
    registry.add_at_tag(artifact, simple_layer(registry, payload, sign_with_it(payload)))

    assert await verify(artifact, registry, {"a.pub": pem(public)}) == [Verified("a.pub")]


async def test_a_good_signature_is_found_among_bad_ones() -> None:
    artifact, registry = an_artifact(), MemoryRepository()
    payload = simple_payload(artifact.digest)
    layers = [
        simple_layer(registry, payload, sign(payload, STRANGER)),
        simple_layer(registry, payload, "not base64"),
        {"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": ""},
        simple_layer(registry, payload, sign(payload)),
    ]
    add_bundle(registry, artifact, dsseEnvelope=envelope(statement("sha256:00")))
    registry.add_referrer(artifact, BUNDLE)
    registry.add_at_tag(artifact, *layers)

    assert await verify(artifact, registry) == [Verified("cosign.pub")]


async def test_a_bundle_may_sign_the_manifest_itself() -> None:
    manifest = b'{"schemaVersion": 2, "layers": []}'
    artifact = an_artifact(manifest)
    registry = MemoryRepository({artifact.digest: manifest})
    signature = {"signature": base64.b64encode(sign(manifest)).decode()}
    add_bundle(registry, artifact, messageSignature=signature)

    assert await verify(artifact, registry) == [Verified("cosign.pub")]

    registry.manifests[artifact.digest] = manifest + b" "
    assert "has digest" in await refusal(artifact, registry)


def tampered(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    payload = simple_payload("sha256:" + "0" * 64)
    layer = simple_layer(registry, payload, sign(payload))
    registry.blobs[layer["digest"]] = simple_payload(artifact.digest)
    registry.add_at_tag(artifact, layer)


def swapped(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    other = simple_payload("sha256:" + "0" * 64)
    registry.add_at_tag(
        artifact, simple_layer(registry, simple_payload(artifact.digest), sign(other))
    )


def wrong_type(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    payload = simple_payload(artifact.digest, "something else")
    registry.add_at_tag(artifact, simple_layer(registry, payload, sign(payload)))


def no_json(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    registry.add_at_tag(artifact, simple_layer(registry, b"{", sign(b"{")))


def deep_json(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    payload = b'{"critical":' + b"[" * 100_000
    registry.add_at_tag(artifact, simple_layer(registry, payload, sign(payload)))


def huge(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    payload = simple_payload(artifact.digest) + b" " * SIGNATURE_LIMIT
    registry.add_at_tag(artifact, simple_layer(registry, payload, sign(payload)))


def missing(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    tampered(registry, artifact)
    registry.blobs.clear()


def manifest_of_nothing(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    registry.manifests[f"sha256-{artifact.hex}.sig"] = b"[]"


def too_many_layers(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    layer = {"digest": "sha256:" + "0" * 64, "size": 1}
    registry.add_at_tag(artifact, *[layer] * (MOST_LAYERS + 1))


def two_in_an_envelope(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    told = envelope(statement(artifact.digest))
    add_bundle(registry, artifact, dsseEnvelope={**told, "signatures": told["signatures"] * 2})


def wrong_payload_type(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    told = envelope(statement(artifact.digest), kind="text/plain")
    add_bundle(registry, artifact, dsseEnvelope=told)


def other_statement(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    told = statement(artifact.digest, kind="https://example.test/Statement/v1")
    add_bundle(registry, artifact, dsseEnvelope=envelope(told))


def renamed_payload_type(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    told = envelope(statement(artifact.digest), kind="text/plain")
    told["payloadType"] = "application/vnd.in-toto+json"
    add_bundle(registry, artifact, dsseEnvelope=told)


def no_content(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    add_bundle(registry, artifact)


def other_subject(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    add_bundle(registry, artifact, dsseEnvelope=envelope(statement(artifact.digest)))
    registry.referring.clear()
    other = an_artifact(b"other")
    layer = registry.add_blob(next(iter(registry.blobs.values())), BUNDLE)
    registry.add_referrer(other, BUNDLE, layer)


def replaced_manifest(registry: MemoryRepository, artifact: SignedArtifact) -> None:
    add_bundle(registry, artifact, dsseEnvelope=envelope(statement(artifact.digest)))
    digest = registry.referring[0].digest
    registry.manifests[digest] += b" "


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (tampered, "the signature's blob has digest sha256:"),
        (swapped, "no key of the Secret made it"),
        (wrong_type, "the signed payload is of type 'something else'"),
        (no_json, "the signed payload is not as it should be"),
        (deep_json, "the signed payload is not as it should be"),
        (huge, f"{SIGNATURE_LIMIT} are the limit"),
        (missing, "is not there"),
        (manifest_of_nothing, "the signature's manifest is not as it should be"),
        (too_many_layers, f"more than {MOST_LAYERS} layers"),
        (two_in_an_envelope, "its envelope has 2 signatures instead of one"),
        (wrong_payload_type, "its envelope holds 'text/plain', not a statement"),
        (other_statement, "the signed statement is of type 'https://example.test/Statement/v1'"),
        (renamed_payload_type, "no key of the Secret made it"),
        (no_content, "needs either an envelope or a message signature"),
        (other_subject, "the signature's manifest names another artifact"),
        (replaced_manifest, "the signature's manifest has digest sha256:"),
    ],
)
async def test_a_signature_that_is_not_right_does_not_count(
    spoil: Callable[[MemoryRepository, SignedArtifact], None], reason: str
) -> None:
    artifact, registry = an_artifact(), MemoryRepository()
    spoil(registry, artifact)

    assert reason in await refusal(artifact, registry)


async def test_only_so_many_signatures_are_looked_at() -> None:
    artifact, registry = an_artifact(), MemoryRepository()
    payload = simple_payload(artifact.digest)
    bad = simple_layer(registry, payload, sign(payload, STRANGER))
    good = simple_layer(registry, payload, sign(payload))
    registry.add_at_tag(artifact, *[bad] * MOST_SIGNATURES, good)

    said = await refusal(artifact, registry)

    assert f"none of {MOST_SIGNATURES} signatures" in said
    assert len(registry.asked) <= MOST_SIGNATURES + 2


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ({}, "Secret 'keys' has no key whose name ends with .pub"),
        ({"cosign.key": b"x"}, "Secret 'keys' has no key whose name ends with .pub"),
        (
            {f"{number}.pub": SECRET["cosign.pub"] for number in range(33)},
            "Secret 'keys' has 33 public keys; 32 are the most",
        ),
        ({"a.pub": b"x"}, "Secret 'keys', key a.pub: not a public key in PEM"),
        (
            {"a.pub": pem(rsa.generate_private_key(65537, 1024).public_key())},
            "Secret 'keys', key a.pub: an RSA key of 1024 bits; 2048 are the least",
        ),
        (
            {"a.pub": pem(ec.generate_private_key(ec.SECP256K1()).public_key())},
            "curve secp256k1 is not supported; use P-256, P-384 or P-521",
        ),
        (
            {"a.pub": pem(dsa.generate_private_key(1024).public_key())},
            "Secret 'keys', key a.pub: neither ECDSA, nor Ed25519, nor RSA",
        ),
    ],
)
async def test_a_secret_without_usable_keys_is_named(
    secret: dict[str, bytes], problem: str
) -> None:
    said = await refusal(an_artifact(), MemoryRepository(), secret)

    assert problem in said


async def test_the_digest_must_be_sha256() -> None:
    artifact = SignedArtifact("registry.example/app", "sha512:" + "0" * 128, "", 1)

    assert "is no SHA-256 digest" in await refusal(artifact, MemoryRepository())
