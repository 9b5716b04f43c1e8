"""Signatures of the Notary Project; the recorded ones were made by notation-go 1.3.2."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.source.verification import cbor
from services.source.verification.interface import (
    MOST_SIGNATURES,
    VerificationFailed,
    Verified,
)
from tests.support.code_signing import (
    ARTIFACT_TYPE,
    AUTHORITY,
    JWS,
    NOW,
    SCHEME,
    TIME,
    Identity,
    Profile,
    add_signature,
    header,
    jws,
    payload,
)
from tests.support.signed_artifacts import MemoryRepository, Recorded
from tests.support.trusted_signers import (
    ARTIFACT,
    EXPIRED,
    EXPIRY,
    ROOT,
    SIGNER,
    a_policy,
    a_secret,
    refusal,
    signed,
    verify,
)

KINDS = ("p256", "p384", "p521", "rsa2048", "rsa3072")


@pytest.mark.parametrize("envelope", ["jws", "cose"])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_notation_signed_is_verified(kind: str, envelope: str) -> None:
    recorded = Recorded.load(f"notation-{kind}-{envelope}")
    policy = a_policy(trustedIdentities=["x509.subject: C=US, ST=WA, O=Example"])
    secret = {**recorded.secret, "trustpolicy.json": policy}

    verified = await verify(recorded.artifact, recorded.registry, secret)

    assert verified == [Verified(f"CN=signer {kind},O=Example,ST=WA,C=US")]


@pytest.mark.parametrize("envelope", ["jws", "cose"])
async def test_what_was_changed_after_signing_does_not_count(envelope: str) -> None:
    """One bit anywhere in the envelope; only the name of the signing program is not signed."""
    recorded = Recorded.load(f"notation-p256-{envelope}")
    secret = {**recorded.secret, "trustpolicy.json": a_policy()}
    (referrer,), (blob,) = recorded.registry.referring, recorded.registry.blobs.values()
    media_type = json.loads(recorded.registry.manifests[referrer.digest])["layers"][0]["mediaType"]
    unsigned = [b"io.cncf.notary.signingAgent", b"notation-go/1.3.2"]

    for position in range(0, len(blob), 5):
        changed = bytearray(blob)
        changed[position] ^= 1
        if any(_within(blob, part, position) for part in unsigned):
            continue
        registry = MemoryRepository()
        layer = registry.add_blob(bytes(changed), media_type)
        registry.add_referrer(recorded.artifact, referrer.artifact_type or "", layer)
        with pytest.raises(VerificationFailed):
            await verify(recorded.artifact, registry, secret)


def _within(whole: bytes, part: bytes, position: int) -> bool:
    start = whole.find(part)
    return start <= position < start + len(part)


async def test_a_root_that_the_secret_does_not_have_is_not_trusted() -> None:
    said = await refusal(signed(), a_secret(root=Identity.root()))

    assert said.startswith("failed to verify with provider 'notation': the signature of ")
    assert "'CN=signer,O=Example,ST=WA,C=US' does not lead to a certificate of the Secret" in said


async def test_an_intermediate_authority_may_be_what_is_trusted() -> None:
    below = ROOT.issue(Profile(**{**vars(AUTHORITY), "name": "intermediate"}))

    verified = await verify(ARTIFACT, signed(below.issue()), a_secret(root=below))

    assert verified == [Verified("CN=signer,O=Example,ST=WA,C=US")]


async def test_a_certificate_may_have_signed_itself() -> None:
    alone = Identity.root(Profile())

    assert await verify(ARTIFACT, signed(alone), a_secret(root=alone))
    assert "does not lead to" in await refusal(signed(alone))


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (Profile(ends=NOW - timedelta(days=1)), "is valid from 2026-05-02 to 2026-05-31 only"),
        (Profile(starts=NOW + timedelta(days=1)), "is valid from 2026-06-02 to 2026-07-01 only"),
        (Profile(is_authority=True), "is an authority, which must not sign itself"),
        (Profile(uses=None), "does not say what its key is for"),
        (Profile(uses=("key_agreement",)), "is not for digital signatures alone"),
        (Profile(uses=("digital_signature", "key_cert_sign")), "for digital signatures alone"),
        (Profile(usage_is_critical=False), "but not that it matters"),
        (Profile(extended=(ExtendedKeyUsageOID.SMARTCARD_LOGON,)), "else than signing code"),
        (Profile(extended=(ExtendedKeyUsageOID.SERVER_AUTH,)), "something else than signing code"),
        (
            Profile(extended=(ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.TIME_STAMPING)),
            "something else than signing code",
        ),
    ],
)
async def test_a_certificate_that_is_not_for_signing_does_not_count(
    profile: Profile, reason: str
) -> None:
    assert reason in await refusal(signed(ROOT.issue(profile)))


async def test_a_certificate_need_not_say_that_it_is_for_code() -> None:
    assert await verify(ARTIFACT, signed(ROOT.issue(Profile(extended=None))), a_secret())


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"is_authority": False}, "is no authority"),
        ({"is_authority": None}, "is no authority"),
        ({"uses": ("crl_sign",)}, "is not for issuing certificates"),
        ({"path_length": 0}, "allows 0 authorities below it"),
        ({"ends": NOW - timedelta(days=1)}, "is valid from"),
    ],
)
async def test_every_certificate_above_must_be_an_authority(
    profile: dict[str, Any], reason: str
) -> None:
    root = Identity.root(Profile(**{**vars(AUTHORITY), **profile}))
    below = root.issue(Profile(**{**vars(AUTHORITY), "name": "intermediate"}))

    assert reason in await refusal(signed(below.issue()), a_secret(root=root))


async def test_a_chain_must_be_whole_and_in_order() -> None:
    stranger = Identity.root()
    for chain in (SIGNER.chain[:1], SIGNER.chain[::-1], (*SIGNER.chain[:1], *stranger.chain)):
        registry = MemoryRepository()
        envelope = jws(SIGNER, payload(ARTIFACT), header(), chain)
        add_signature(registry, ARTIFACT, envelope)

        assert "was not issued by" in await refusal(registry)


@pytest.mark.parametrize(("count", "reason"), [(0, "without certificates"), (11, "more than 10")])
async def test_a_chain_has_its_length(count: int, reason: str) -> None:
    registry = MemoryRepository()
    envelope = jws(SIGNER, payload(ARTIFACT), header(), SIGNER.chain[:1] * count)
    add_signature(registry, ARTIFACT, envelope)

    assert reason in await refusal(registry)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alg": "ES384"}, "algorithm 'ES384' is not ES256, which the certificate's key is for"),
        ({"alg": "none"}, "algorithm 'none' is not ES256"),
        ({"alg": None}, "the signed header has no alg"),
        ({"cty": "text/plain"}, "of content 'text/plain'"),
        ({"crit": None}, "does not say what is critical"),
        ({"crit": []}, "does not mark its signing scheme as critical"),
        ({"crit": [SCHEME, "io.example.more"]}, "asks for a verification plugin"),
        ({"io.cncf.notary.verificationPlugin": "x"}, "asks for a verification plugin"),
        ({SCHEME: "notary.x509.signingAuthority"}, "scheme 'notary.x509.signingAuthority'"),
        ({TIME: None}, "does not say when it was made"),
        ({TIME: "yesterday"}, "io.cncf.notary.signingTime in the signed header is not a time"),
        ({EXPIRY: "2026-07-01T00:00:00Z"}, "does not mark its expiry as critical"),
        (EXPIRED, "the signature expired on 2026-05-31"),
    ],
)
async def test_what_the_signer_states_must_be_understood(
    changes: dict[str, Any], reason: str
) -> None:
    told = {name: value for name, value in changes.items() if name != "alg"}
    algorithm = {"algorithm": changes["alg"]} if "alg" in changes else {}

    assert reason in await refusal(signed(**algorithm, **told))


async def test_a_signature_is_of_one_artifact() -> None:
    for change in ({"digest": "sha256:" + "0" * 64}, {"size": 1}, {"mediaType": "text/plain"}):
        registry = signed(content=payload(ARTIFACT, **change))

        assert "it is the signature of" in await refusal(registry)


async def test_the_key_of_the_certificate_must_have_signed() -> None:
    impostor = Identity(ec.generate_private_key(ec.SECP256R1()), SIGNER.chain)

    assert "was not made with the key of its certificate" in await refusal(signed(impostor))


async def test_a_signature_has_one_spelling() -> None:
    """Numbers may be written with zeros in front; signatures must not have two texts."""
    told = json.loads(jws(SIGNER, payload(ARTIFACT), header()))
    raw = base64.urlsafe_b64decode(told["signature"] + "==")
    longer = raw[:32] + b"\0" + raw[32:]
    told["signature"] = base64.urlsafe_b64encode(longer).rstrip(b"=").decode()
    registry = MemoryRepository()
    add_signature(registry, ARTIFACT, json.dumps(told).encode())

    assert "was not made with the key of its certificate" in await refusal(registry)


async def test_a_manifest_holds_one_envelope() -> None:
    registry = MemoryRepository()
    layer = registry.add_blob(jws(SIGNER, payload(ARTIFACT), header()), JWS)
    registry.add_referrer(ARTIFACT, ARTIFACT_TYPE, layer, layer)

    assert "manifest has 2 layers, not one" in await refusal(registry)


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2056), ec.generate_private_key(ec.SECP256K1())],
    ids=["rsa-2056", "secp256k1"],
)
async def test_other_kinds_of_keys_are_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    assert "for signatures" in await refusal(signed(ROOT.issue(key=key)))


async def test_a_good_signature_is_found_among_bad_ones() -> None:
    registry = signed(Identity.root().issue())
    for envelope, media_type in ((b"{", JWS), (b"\xd2", "application/cose"), (b"x", "text/plain")):
        add_signature(registry, ARTIFACT, envelope, media_type)
    add_signature(registry, ARTIFACT, jws(SIGNER, payload(ARTIFACT), header()))

    assert await verify(ARTIFACT, registry, a_secret())


async def test_only_so_many_signatures_are_looked_at() -> None:
    registry = MemoryRepository()
    for number in range(MOST_SIGNATURES):
        add_signature(registry, ARTIFACT, b"%d" % number)
    add_signature(registry, ARTIFACT, jws(SIGNER, payload(ARTIFACT), header()))

    assert f"none of {MOST_SIGNATURES} signatures" in await refusal(registry)


COSE_PARTS: dict[str, Callable[[], bytes]] = {
    "not a message": lambda: b"\x83\x01\x02\x03",
    "another tag": lambda: b"\xd1\x84\x40\xa0\x40\x40",
    "no payload": lambda: b"\xd2\x84\x40\xa0\xf6\x40",
    "header is no map": lambda: b"\xd2\x84" + cbor.byte_string(b"\x01") + b"\xa0\x41a\x41b",
    "no certificates": lambda: b"\xd2\x84" + cbor.byte_string(b"\xa0") + b"\xa0\x41a\x41b",
    "a list without end": lambda: b"\xd2\x84" + cbor.byte_string(b"\xa0") + b"\xa1\x18\x21\x9f",
    "more behind it": lambda: b"\xd2\x84\x40\xa0\x40\x40\x00",
}


@pytest.mark.parametrize("part", COSE_PARTS)
async def test_what_is_no_cose_does_not_count(part: str) -> None:
    registry = MemoryRepository()
    add_signature(registry, ARTIFACT, COSE_PARTS[part](), "application/cose")

    await refusal(registry)
