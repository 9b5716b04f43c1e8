"""Signatures of the Notary Project; the recorded ones were made by notation-go 1.3.2."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.source.verification import cbor
from services.source.verification.interface import (
    MOST_SIGNATURES,
    SignedArtifact,
    VerificationFailed,
    Verified,
)
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification
from tests.support.code_signing import (
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
from tests.support.signed_artifacts import MemoryRepository, Recorded, an_artifact

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
        (
            {EXPIRY: "2026-05-31T00:00:00Z", "crit": [SCHEME, EXPIRY]},
            "the signature expired on 2026-05-31",
        ),
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


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2056), ec.generate_private_key(ec.SECP256K1())],
    ids=["rsa-2056", "secp256k1"],
)
async def test_other_kinds_of_keys_are_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    assert "for signatures" in await refusal(signed(ROOT.issue(key=key)))


@pytest.mark.parametrize(
    ("identities", "counts"),
    [
        (["x509.subject: C=US, ST=WA, O=Example"], True),
        (["x509.subject:CN=signer,O=Example,S=WA,C=US"], True),
        (["x509.subject: C=US, ST=WA, O=Other", "x509.subject: C=US,ST=WA,O=Example"], True),
        (["x509.subject: C=US, ST=WA, O=Example, OU=Releases"], False),
        (["x509.subject: C=US, ST=WA, O=Exam"], False),
    ],
)
async def test_only_trusted_identities_may_sign(identities: list[str], counts: bool) -> None:
    secret = a_secret(a_policy(trustedIdentities=identities))

    if counts:
        assert await verify(ARTIFACT, signed(), secret)
    else:
        assert "is none of the trustedIdentities" in await refusal(signed(), secret)


EXPIRED: dict[str, Any] = {EXPIRY: "2026-05-31T00:00:00Z", "crit": [SCHEME, EXPIRY]}
OLD = ROOT.issue(Profile(ends=NOW - timedelta(days=1)))
UNTRUSTED = Identity.root().issue()


@pytest.mark.parametrize(
    ("level", "registry", "counts"),
    [
        ({"level": "strict"}, signed(**EXPIRED), False),
        ({"level": "permissive"}, signed(**EXPIRED), True),
        ({"level": "permissive"}, signed(OLD), True),
        ({"level": "permissive"}, signed(UNTRUSTED), False),
        ({"level": "audit"}, signed(UNTRUSTED), True),
        ({"level": "audit"}, signed(content=payload(ARTIFACT, size=1)), False),
        ({"level": "skip"}, MemoryRepository(), True),
        ({"level": "strict", "override": {"expiry": "log"}}, signed(**EXPIRED), True),
        ({"level": "strict", "override": {"authenticTimestamp": "log"}}, signed(OLD), True),
        ({"level": "permissive", "override": {"expiry": "enforce"}}, signed(**EXPIRED), False),
        ({"level": "audit", "override": {"authenticity": "enforce"}}, signed(UNTRUSTED), False),
    ],
)
async def test_a_policy_says_how_strict_to_be(
    level: dict[str, Any], registry: MemoryRepository, counts: bool
) -> None:
    trust: dict[str, Any] = (
        {"trustStores": [], "trustedIdentities": []} if level["level"] == "skip" else {}
    )
    secret = a_secret(a_policy(signatureVerification=level, **trust))

    if counts:
        assert await verify(ARTIFACT, registry, secret)
    else:
        await refusal(registry, secret)


async def test_a_required_timestamp_is_not_taken_as_given() -> None:
    stores = ["ca:example", "tsa:clock"]
    strict = a_policy(trustStores=stores)
    later = {"level": "strict", "verifyTimestamp": "afterCertExpiry"}

    assert "requires a timestamp" in await refusal(signed(), a_secret(strict))
    relaxed = a_secret(a_policy(trustStores=stores, signatureVerification=later))
    assert await verify(ARTIFACT, signed(), relaxed)
    assert "is valid from" in await refusal(signed(OLD), relaxed)


async def test_the_policy_of_the_repository_comes_before_the_one_for_all() -> None:
    first = json.loads(a_policy(name="own", registryScopes=[ARTIFACT.repository]))
    for_all = json.loads(
        a_policy(signatureVerification={"level": "skip"}, trustStores=[], trustedIdentities=[])
    )
    policies = [*for_all["trustPolicies"], *first["trustPolicies"]]
    secret = a_secret(json.dumps({"version": "1.0", "trustPolicies": policies}).encode())

    assert "has no signature" in await refusal(MemoryRepository(), secret)
    elsewhere = SignedArtifact("registry.example/other", ARTIFACT.digest, "", 1)
    assert await verify(elsewhere, MemoryRepository(), secret)


async def test_a_repository_without_a_policy_is_refused() -> None:
    secret = a_secret(a_policy(registryScopes=["registry.example/other"]))

    assert "no trust policy has registry.example/team/app in" in await refusal(signed(), secret)


def strictness(**told: Any) -> dict[str, Any]:
    return {"signatureVerification": {"level": "strict", **told}}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": ""}, "a trust policy has no name"),
        ({"registryScopes": []}, "registryScopes needs repositories, or '*' alone"),
        ({"registryScopes": ["*", "a.example/b"]}, "registryScopes needs repositories"),
        ({"registryScopes": ["a.example/*"]}, "'a.example/*' is not like"),
        ({"registryScopes": ["a.example/b", "a.example/b"]}, "comes 2 times"),
        (strictness(level="lax"), "level 'lax' is not one of strict, permissive, audit, skip"),
        (strictness(verifyTimestamp="never"), "verifyTimestamp 'never' is not known"),
        (strictness(override={"integrity": "log"}), "integrity cannot be overridden"),
        (strictness(override={"expiry": "skip"}), "expiry cannot be skipped"),
        (strictness(override={"spelling": "log"}), "override 'spelling': 'log' is not known"),
        (strictness(level="skip"), "level skip must have neither trustStores"),
        (strictness(level="skip", override={"expiry": "log"}), "leaves nothing to override"),
        ({"trustStores": []}, "trustStores and trustedIdentities are both needed"),
        ({"trustStores": ["example"]}, "'example' is not like 'ca:name'"),
        ({"trustedIdentities": ["*", "x509.subject: C=US"]}, "'*' must be alone"),
        ({"trustedIdentities": ["CN=signer"]}, "'CN=signer' is not 'x509.subject: …' or '*'"),
        ({"trustedIdentities": ["x509.subject: C=US, O=a"]}, "has no ST; C, ST and O are needed"),
        ({"trustedIdentities": ["x509.subject: C=US, C=DE"]}, "has C twice"),
        ({"trustedIdentities": ["x509.subject: nobody"]}, "is not a name like"),
        (
            {"trustedIdentities": [f"x509.subject: C=US,ST=WA,O=a{cn}" for cn in ("", ",CN=b")]},
            "one of them includes another",
        ),
    ],
)
async def test_a_policy_with_a_mistake_is_named(changes: dict[str, Any], problem: str) -> None:
    said = await refusal(signed(), a_secret(a_policy(**changes)))

    assert "Secret 'trust', key trustpolicy.json: " in said
    assert problem in said


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ({"root.crt": ROOT.pem}, "Secret 'trust' has no key trustpolicy.json"),
        ({"trustpolicy.json": a_policy()}, "has no key whose name ends with .crt or .pem"),
        ({"trustpolicy.json": a_policy(), "a.pem": b"x"}, "key a.pem: not certificates in PEM"),
        ({"trustpolicy.json": b"{", "a.pem": ROOT.pem}, "the document is not as it should be"),
        (
            {"trustpolicy.json": b'{"version": "2.0", "trustPolicies": []}', "a.pem": ROOT.pem},
            "version '2.0' is not read; use '1.0'",
        ),
    ],
)
async def test_a_secret_that_is_not_whole_is_named(secret: dict[str, bytes], problem: str) -> None:
    assert problem in await refusal(signed(), secret)


async def test_a_good_signature_is_found_among_bad_ones() -> None:
    registry = signed(UNTRUSTED)
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
