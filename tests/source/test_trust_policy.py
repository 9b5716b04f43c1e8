"""What a trust policy of the Notary Project decides about signatures."""

import json
from datetime import timedelta
from typing import Any

import pytest

from services.source.verification.interface import SignedArtifact
from tests.support.code_signing import NOW, Identity, Profile, payload
from tests.support.signed_artifacts import MemoryRepository
from tests.support.trusted_signers import (
    ARTIFACT,
    EXPIRED,
    ROOT,
    a_policy,
    a_secret,
    refusal,
    signed,
    verify,
)


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


async def test_only_stores_of_authorities_count() -> None:
    secret = a_secret(a_policy(trustStores=["signingAuthority:example"]))

    assert "trust policy 'all' has no trust store of kind ca" in await refusal(signed(), secret)


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
        ({"trustedIdentities": ["x509.subject: C=US"] * 101}, "trustedIdentities: more than 100"),
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
