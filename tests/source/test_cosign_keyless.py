"""Keyless signatures, made by a private instance of Sigstore whose work cosign 3.1.3 accepts."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.source.verification.interface import VerificationFailed, Verified
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from tests.support.keyless_signatures import (
    ARTIFACT,
    BY,
    LAYOUTS,
    PAYLOAD,
    ROOT,
    SIGSTORE,
    STATEMENT,
    asked,
    refusal,
    signed,
    verify,
    with_bundle,
    with_layer,
)
from tests.support.private_sigstore import (
    ISSUER,
    SIGNED_AT,
    WORKFLOW,
    Certified,
    PrivateSigstore,
    Wish,
    a_key,
    hashed_record,
    sign,
)
from tests.support.signed_artifacts import (
    Recorded,
    an_artifact,
    simple_payload,
    statement,
)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_who_signed_is_told(layout: str) -> None:
    assert await verify(signed(layout)) == [BY]


async def test_a_bundle_may_sign_the_manifest_itself() -> None:
    manifest = b'{"schemaVersion": 2}'
    registry = with_bundle(SIGSTORE.message_bundle(SIGSTORE.certify(), manifest))
    registry.manifests[ARTIFACT.digest] = manifest
    assert await verify(registry) == [BY]

    other = with_bundle(SIGSTORE.message_bundle(SIGSTORE.certify(), b"other"))
    other.manifests[ARTIFACT.digest] = manifest
    assert "it proves no identity: Bundle message digest mismatch" in await refusal(other)


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_person_signs_as_well_as_a_workflow(layout: str) -> None:
    wish = Wish(
        email="jo@team.example",
        workflow="",
        issuer="https://accounts.example",
        old_issuer_only=True,
    )

    verified = await verify(signed(layout, wish=wish), asked(("accounts", "@team[.]example$")))

    assert verified == [Verified("jo@team.example (https://accounts.example)")]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("identities", "counts"),
    [
        ([], True),
        ([(ISSUER, WORKFLOW)], True),
        ([("actions", "team/app")], True),
        ([("^https://token[.]actions[.]example$", "^https://github[.]example/team/.*$")], True),
        ([("nobody", "team"), ("actions", "release.yaml@refs/heads/main$")], True),
        ([("actions", "^team/app")], False),
        ([("nobody", "team"), ("actions", "other")], False),
        ([("^actions$", "team/app")], False),
    ],
)
async def test_identities_are_regular_expressions(
    layout: str, identities: list[tuple[str, str]], counts: bool
) -> None:
    registry, spec = signed(layout), asked(*identities)

    if counts:
        assert await verify(registry, spec) == [BY]
    else:
        said = await refusal(registry, spec)
        assert said.startswith("failed to verify with provider 'cosign keyless': the signature of")
        assert f"{BY.by} signed it, which spec.verify.matchOIDCIdentity does not match" in said


async def test_an_expression_that_is_none_is_named() -> None:
    said = await refusal(signed("tag"), asked((".*", ".*"), ("a", "(")))

    assert "spec.verify.matchOIDCIdentity[1].subject: '(' is no regular expression" in said


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("stranger", "reasons"),
    [
        (
            PrivateSigstore(authority=SIGSTORE.authority, log=SIGSTORE.log),
            {"bundle": "failed to verify SCT", "tag": "SCT verify failed"},
        ),
        (
            PrivateSigstore(authority=SIGSTORE.authority, certificate_log=SIGSTORE.certificate_log),
            {"bundle": "invalid log entry", "tag": "no log of the trusted root has promised"},
        ),
        (
            PrivateSigstore(log=SIGSTORE.log, certificate_log=SIGSTORE.certificate_log),
            {"bundle": "certificate chain", "tag": "its certificate is not of the trusted root"},
        ),
    ],
    ids=["log of certificates", "log of signatures", "authority"],
)
async def test_every_proof_must_be_of_the_trusted_root(
    layout: str, stranger: PrivateSigstore, reasons: dict[str, str]
) -> None:
    assert reasons[layout] in await refusal(signed(layout, stranger))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("wish", "reasons"),
    [
        (Wish(logged=False), ("signed certificate timestamp", "signed certificate timestamp")),
        (Wish(extended=ExtendedKeyUsageOID.SERVER_AUTH), ("code signing", "than signing")),
        (Wish(email="jo@team.example"), ("2 identities instead", "2 identities instead")),
        (Wish(use="key_agreement"), ("digital signature", "than signing")),
        (Wish(starts=SIGNED_AT + timedelta(minutes=1)), ("not valid at", "not valid at")),
        (Wish(starts=SIGNED_AT - timedelta(minutes=11)), ("not valid at", "not valid at")),
    ],
    ids=["not logged", "for servers", "two identities", "for agreement", "too early", "too late"],
)
async def test_the_certificate_must_be_for_signing_and_valid_then(
    layout: str, wish: Wish, reasons: tuple[str, str]
) -> None:
    said = await refusal(signed(layout, wish=wish))

    assert reasons[LAYOUTS.index(layout)] in said


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_signature_of_another_artifact_does_not_count(layout: str) -> None:
    signer, other = SIGSTORE.certify(), an_artifact(b"other")
    payload = simple_payload(other.digest)
    registry = (
        with_bundle(SIGSTORE.envelope_bundle(signer, statement(other.digest)))
        if layout == "bundle"
        else with_layer(SIGSTORE.detached(signer, payload), payload)
    )

    assert "it is the signature of" in await refusal(registry)


async def test_an_attestation_is_no_signature() -> None:
    told = statement(ARTIFACT.digest, predicate="https://slsa.dev/provenance/v1")

    said = await refusal(with_bundle(SIGSTORE.envelope_bundle(SIGSTORE.certify(), told)))

    assert "it is an attestation of type 'https://slsa.dev/provenance/v1'" in said


def other_payload(signer: Certified) -> Any:
    return hashed_record(signer, b"other", signer.sign(PAYLOAD))


def other_signature(signer: Certified) -> Any:
    return hashed_record(signer, PAYLOAD, signer.sign(PAYLOAD))


def other_certificate(signer: Certified) -> Any:
    return hashed_record(SIGSTORE.certify(), PAYLOAD, b"")


def other_kind(signer: Certified) -> Any:
    return {**hashed_record(signer, PAYLOAD, b""), "kind": "rekord"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (other_payload, "the log entry is about another payload"),
        (other_signature, "the log entry is about another signature"),
        (other_certificate, "the log entry is about another"),
        (other_kind, "a log entry of kind 'rekord'"),
        (lambda signer: {"kind": "hashedrekord"}, "the log entry is not as it should be"),
    ],
)
async def test_the_log_must_have_seen_this_very_signature(
    entry: Callable[[Certified], Any], reason: str
) -> None:
    signer = SIGSTORE.certify()

    said = await refusal(with_layer(SIGSTORE.detached(signer, PAYLOAD, body=entry(signer))))

    assert reason in said


async def test_the_certificate_must_be_the_logged_one() -> None:
    """A certificate for the same key and another identity, of the same authority."""
    signer = SIGSTORE.certify()
    signature = signer.sign(PAYLOAD)
    annotations = SIGSTORE.detached(signer, PAYLOAD)
    logged = hashed_record(SIGSTORE.certify(), PAYLOAD, signature)
    told = SIGSTORE.detached(signer, PAYLOAD, body=logged)
    told["dev.cosignproject.cosign/signature"] = base64.b64encode(signature).decode()

    assert await verify(with_layer(annotations)) == [BY]
    assert "the log entry is about another certificate" in await refusal(with_layer(told))


async def test_the_signature_must_be_of_the_certificate() -> None:
    annotations = SIGSTORE.detached(SIGSTORE.certify(), PAYLOAD)
    forged = base64.b64encode(sign(a_key(), PAYLOAD)).decode()
    annotations["dev.cosignproject.cosign/signature"] = forged

    assert "was not made with the key of its certificate" in await refusal(with_layer(annotations))


@pytest.mark.parametrize("change", ["integratedTime", "logIndex"])
async def test_what_the_log_promised_cannot_be_changed(change: str) -> None:
    annotations = SIGSTORE.detached(SIGSTORE.certify(), PAYLOAD)
    promise = json.loads(annotations["dev.sigstore.cosign/bundle"])
    promise["Payload"][change] += 1
    annotations["dev.sigstore.cosign/bundle"] = json.dumps(promise)

    assert "no log of the trusted root has promised" in await refusal(with_layer(annotations))


async def test_a_signature_by_key_proves_no_identity() -> None:
    for layout in LAYOUTS:
        recorded = Recorded.load(f"cosign-p256-{layout}")
        with pytest.raises(VerificationFailed, match="cosign keyless"):
            await SignatureVerifier().verify(recorded.artifact, recorded.registry, asked(), ROOT)


async def test_a_bundle_with_two_envelopes_is_read_once() -> None:
    """What was signed must not be taken from one reading, and who signed from another."""
    signer, other = SIGSTORE.certify(), an_artifact(b"other")
    honest = SIGSTORE.envelope_bundle(signer, statement(other.digest))
    forged = {**honest["dsseEnvelope"], "payload": base64.b64encode(STATEMENT).decode()}
    for names in (("dsse_envelope", "dsseEnvelope"), ("dsseEnvelope", "dsse_envelope")):
        bundle = {**honest, names[0]: honest["dsseEnvelope"], names[1]: forged}
        await refusal(with_bundle(bundle))


async def test_a_signed_timestamp_tells_the_time_as_well() -> None:
    """The second version of Sigstore's log leaves that to an authority of its own."""
    recorded = Recorded.load("keyless-timestamped")
    secrets = VerificationSecrets(trusted_root=recorded.secret)

    verified = await SignatureVerifier().verify(
        recorded.artifact, recorded.registry, asked((ISSUER, WORKFLOW)), secrets
    )

    assert verified == [BY]

    root = json.loads(recorded.secret["trusted_root.json"])
    root["timestampAuthorities"] = []
    without = VerificationSecrets(trusted_root={"trusted_root.json": json.dumps(root).encode()})
    with pytest.raises(VerificationFailed, match="no Timestamp Authorities"):
        await SignatureVerifier().verify(recorded.artifact, recorded.registry, asked(), without)
