"""Whatever a registry or a Secret holds: an artifact is refused, and nothing else happens."""

import json
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.source.verification import cbor, distinguished_name
from services.source.verification.cbor import CborError, Tagged
from services.source.verification.distinguished_name import InvalidName
from services.source.verification.interface import VerificationFailed
from services.source.verification.signature_verifier import SignatureVerifier, VerificationSecrets
from services.source.verification.trust_policy import InvalidPolicy, TrustPolicy
from shared.resources.meta import LocalObjectReference
from shared.resources.source.verification import OCIVerification
from tests.support.code_signing import ARTIFACT_TYPE, NOW
from tests.support.private_sigstore import BUNDLE, PrivateSigstore
from tests.support.signed_artifacts import (
    MemoryRepository,
    Recorded,
    an_artifact,
    simple_payload,
    statement,
)
from tests.support.trusted_signers import a_policy, a_secret

SECRET = LocalObjectReference(name="secret")
BY_KEY = OCIVerification(provider="cosign", secret_ref=SECRET)
KEYLESS = OCIVerification(trusted_root_secret_ref=SECRET)
BY_POLICY = OCIVerification(provider="notation", secret_ref=SECRET)
ARTIFACT = an_artifact()
SIGSTORE = PrivateSigstore()
KEY = Recorded.load("cosign-p256-tag").secret
SECRETS = {
    "cosign": VerificationSecrets(secret=KEY),
    "keyless": VerificationSecrets(trusted_root={"trusted_root.json": SIGSTORE.trusted_root}),
    "notation": VerificationSecrets(secret=a_secret()),
}
SPECS = {"cosign": BY_KEY, "keyless": KEYLESS, "notation": BY_POLICY}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
quickly = settings(max_examples=60, deadline=None)


async def refuse(registry: MemoryRepository, provider: str) -> None:
    verifier = SignatureVerifier(now=lambda: NOW)
    with pytest.raises(VerificationFailed):
        await verifier.verify(ARTIFACT, registry, SPECS[provider], SECRETS[provider])


def with_blob(blob: bytes, provider: str, media_type: str) -> MemoryRepository:
    registry = MemoryRepository()
    kind = ARTIFACT_TYPE if provider == "notation" else BUNDLE
    registry.add_referrer(ARTIFACT, kind, registry.add_blob(blob, media_type))
    return registry


TYPES = {
    "cosign": (BUNDLE,),
    "keyless": (BUNDLE,),
    "notation": ("application/jose+json", "application/cose"),
}
PROVIDERS = st.sampled_from(tuple(SPECS))


@quickly
@given(blob=st.binary(max_size=300) | JSON.map(lambda told: json.dumps(told).encode()))
@pytest.mark.parametrize("provider", SPECS)
async def test_any_bytes_in_place_of_a_signature(provider: str, blob: bytes) -> None:
    for media_type in TYPES[provider]:
        await refuse(with_blob(blob, provider, media_type), provider)


@quickly
@given(manifest=st.binary(max_size=200) | JSON.map(lambda told: json.dumps(told).encode()))
async def test_any_bytes_in_place_of_a_manifest(manifest: bytes) -> None:
    registry = MemoryRepository({f"sha256-{ARTIFACT.hex}.sig": manifest})

    await refuse(registry, "cosign")


def leaves(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    found = [path] if path else []
    for key, value in entries:
        place = (*path, key)
        found += leaves(value, place) if isinstance(value, dict | list) else [place]
    return found


def at(document: Any, path: tuple[Any, ...]) -> Any:
    return at(document[path[0]], path[1:]) if path else document


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


GOOD_BUNDLE = SIGSTORE.envelope_bundle(SIGSTORE.certify(), statement(ARTIFACT.digest))
GOOD_LAYER = SIGSTORE.detached(SIGSTORE.certify(), simple_payload(ARTIFACT.digest))
GOOD_PROMISE = json.loads(GOOD_LAYER["dev.sigstore.cosign/bundle"])


@quickly
@given(place=st.sampled_from(leaves(GOOD_BUNDLE)), value=JSON)
@example(place=("dsseEnvelope", "signatures", 0, "sig"), value="")
@example(place=("verificationMaterial", "tlogEntries", 0, "logIndex"), value="9" * 5000)
async def test_any_value_in_place_of_one_in_a_bundle(place: tuple[Any, ...], value: Any) -> None:
    bundle = replaced(GOOD_BUNDLE, place, value)
    registry = with_blob(json.dumps(bundle).encode(), "keyless", BUNDLE)

    # The index in the whole log, and what nobody reads, may be anything.
    verifier = SignatureVerifier(now=lambda: NOW)
    try:
        await verifier.verify(ARTIFACT, registry, KEYLESS, SECRETS["keyless"])
    except VerificationFailed:
        return
    assert place[-1] not in {"sig", "payload", "rawBytes", "canonicalizedBody"}


@quickly
@given(place=st.sampled_from(leaves(GOOD_PROMISE)), value=JSON)
@example(place=("Payload", "integratedTime"), value=10**18)
@example(place=("Payload", "logID"), value="xyz")
async def test_any_value_in_place_of_one_in_a_promise(place: tuple[Any, ...], value: Any) -> None:
    assume(value != at(GOOD_PROMISE, place))
    promise = json.dumps(replaced(GOOD_PROMISE, place, value))
    registry = MemoryRepository()
    annotations = {**GOOD_LAYER, "dev.sigstore.cosign/bundle": promise}
    payload = simple_payload(ARTIFACT.digest)
    registry.add_at_tag(ARTIFACT, registry.add_blob(payload, annotations=annotations))

    await refuse(registry, "keyless")


@quickly
@given(name=st.sampled_from(tuple(GOOD_LAYER)), value=st.text(max_size=40))
async def test_any_text_in_place_of_an_annotation(name: str, value: str) -> None:
    if name == "dev.sigstore.cosign/chain":
        return  # nobody reads it: whom to trust says the root
    registry = MemoryRepository()
    payload = simple_payload(ARTIFACT.digest)
    annotations = {**GOOD_LAYER, name: value}
    registry.add_at_tag(ARTIFACT, registry.add_blob(payload, annotations=annotations))

    await refuse(registry, "keyless")


@quickly
@given(content=st.binary(max_size=200))
@example(content=b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
@example(content=b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff")
@example(content=b"\xbb\x00\x00\x00\x00\x7f\xff\xff\xff")
@example(content=b"\xc6" * 200)
@example(content=b"\x81" * 200)
@example(content=b"\xa1\xa0\x00")
@example(content=b"\xa2\x01\x00\x01\x00")
@example(content=b"\xf9\x00\x00")
@example(content=b"\x9f\xff")
def test_no_cbor_costs_more_than_its_size(content: bytes) -> None:
    try:
        value = cbor.load(content)
    except CborError:
        return
    assert _count(value) <= len(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cut off"),
        (b"\x00\x00", "more than one item"),
        (b"\x81" * 17 + b"\x00", "nests deeper than 16 levels"),
        (b"\xc1" * 17 + b"\x00", "nests deeper than 16 levels"),
        (b"\xa2\x01\x00\x01\x00", "the key '1' twice"),
        (b"\xa1\x41a\x00", "a key that is neither a number nor text"),
        (b"\xa1\x80\x00", "nests deeper"),
        (b"\x5f\xff", "a length that is not definite"),
        (b"\x61\xff", "text that is not UTF-8"),
        (b"\xf9\x00\x00", "a value that is no integer"),
    ],
)
def test_cbor_outside_of_what_signatures_use_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(CborError, match=problem):
        cbor.load(content)


def _count(value: Any) -> int:
    match value:
        case Tagged():
            return 1 + _count(value.value)
        case dict():
            return 1 + sum(1 + _count(each) for each in value.values())
        case list():
            return 1 + sum(map(_count, value))
    return 1


@given(st.lists(st.binary(max_size=300) | st.text(max_size=300), max_size=30))
def test_cbor_that_is_written_reads_as_it_was(values: list[bytes | str]) -> None:
    items = [cbor.text(one) if isinstance(one, str) else cbor.byte_string(one) for one in values]

    assert cbor.load(cbor.array(*items)) == values


@given(size=st.sampled_from([0, 23, 24, 255, 256, 65535, 65536]))
def test_cbor_of_every_length_reads_as_it_was(size: int) -> None:
    assert cbor.load(cbor.byte_string(bytes(size))) == bytes(size)


@quickly
@given(st.binary(max_size=100) | JSON.map(lambda told: json.dumps(told).encode()))
def test_any_bytes_in_place_of_a_policy(content: bytes) -> None:
    with pytest.raises(InvalidPolicy):
        TrustPolicy.load(content)


@quickly
@given(place=st.sampled_from(leaves(json.loads(a_policy()))), value=JSON)
def test_any_value_in_place_of_one_in_a_policy(place: tuple[Any, ...], value: Any) -> None:
    policy = json.dumps(replaced(json.loads(a_policy()), place, value)).encode()

    try:
        TrustPolicy.load(policy)
    except InvalidPolicy:
        return


@quickly
@given(st.text(max_size=80) | st.text(alphabet='CSTO=,\\+"; a#', max_size=30))
@example("C=" + "\\" * 999)
@example(" " * 1000)
def test_any_text_in_place_of_a_name(text: str) -> None:
    try:
        attributes = distinguished_name.parsed(text)
    except InvalidName:
        return
    assert attributes.keys() >= {"C", "ST", "O"}


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("C=US, ST=WA, O=Example", {"C": "US", "ST": "WA", "O": "Example"}),
        ("c=US,s=WA,o=A\\, B", {"C": "US", "ST": "WA", "O": "A, B"}),
        ("C=US,ST=WA,O=\\C3\\A9t\\C3\\A9", {"C": "US", "ST": "WA", "O": "été"}),
        ("C=US;ST=WA;O= a b\\ ", {"C": "US", "ST": "WA", "O": "a b "}),
    ],
)
def test_names_are_written_in_the_usual_ways(text: str, attributes: dict[str, str]) -> None:
    assert distinguished_name.parsed(text) == attributes
