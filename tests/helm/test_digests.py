"""Digests that Flux computes too: vectors, and the engine asked no more than needed."""

import hashlib

from services.helm.digests import ReleaseDigests, of_common_metadata
from shared.resources.transforms import CommonMetadata
from tests.helm.conftest import Kitchen

NOTHING = f"sha256:{hashlib.sha256(b'').hexdigest()}"


async def test_the_digest_of_a_release_is_the_one_of_the_api(kitchen: Kitchen) -> None:
    digests = await ReleaseDigests(kitchen.engine).of_release({"name": "foo"})

    assert digests.release == (
        "sha256:f1498f27a16a09cd7e1ee610d924df065c03d30035638babc95dd9a8d412ce4d"
    )
    assert digests.config == NOTHING


async def test_values_are_digested_as_yaml_with_sorted_keys(kitchen: Kitchen) -> None:
    digests = ReleaseDigests(kitchen.engine)

    text = b"a:\n  b: x\n  c: true\nz: 1\n"
    assert await digests.of_values({"z": 1, "a": {"c": True, "b": "x"}}) == (
        f"sha256:{hashlib.sha256(text).hexdigest()}"
    )
    assert await digests.of_values({}) == NOTHING


async def test_the_order_of_keys_does_not_matter(kitchen: Kitchen) -> None:
    digests = ReleaseDigests(kitchen.engine)

    first = await digests.of_values({"a": 1, "b": {"c": 2, "d": 3}})

    assert await digests.of_values({"b": {"d": 3, "c": 2}, "a": 1}) == first
    assert await digests.of_values({"b": {"d": 3, "c": 4}, "a": 1}) != first


def test_common_metadata_is_digested_as_go_writes_json() -> None:
    text = rb'{"annotations":{"a":"\u003c\u0026\u003e","b":"x"},"labels":{"team":"a"}}' + b"\n"

    digest = of_common_metadata(
        CommonMetadata(labels={"team": "a"}, annotations={"b": "x", "a": "<&>"})
    )

    assert digest == f"sha256:{hashlib.sha256(text).hexdigest()}"
    assert of_common_metadata(None) is None
